//! What a hub is told: `skep.toml`, `SKEP_*`, flags; each value remembers where it came from.
//!
//! Precedence: flags, then the environment, then the file, then the default. One table,
//! [`KEYS`], describes each key; help, `config show` and errors are derived from it. What is
//! wrong is told all at once, each with its place, what was expected and the nearest known key.

mod durability;
mod environment;
mod error;
mod file;
mod filter;
mod find;
mod given;
mod key;
mod retention;
mod source;
mod span;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_core::{Guards, Level};
use skep_edge::limits::CONNECTIONS_MAX;
use skep_protocol::Filter;
use skep_protocol::limits::PAYLOAD_BYTES_MAX;

pub use environment::CLIENT_VARIABLES;
pub use error::{ConfigError, Problem};
pub use find::{Found, PassedOver, data_folder, new_data_folder};
use given::Given;
pub use key::{KEYS, Key, Takes};
pub use retention::RetentionTree;
pub use source::Source;

/// The port of a hub, unless it is told another.
pub const PORT: u16 = 7537;

/// How long settled messages are kept, unless the hub is told otherwise: a week.
const RETENTION_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Up to how many bytes of log, unless the hub is told otherwise: 1 GiB.
const RETENTION_BYTES: u64 = 1 << 30;
/// Memory that the index of queues may take, unless the hub is told otherwise: 1 GiB.
const MEMORY_BYTES: u64 = 1 << 30;
/// At least so much of it: settles that are remembered take up to half of that, whatever is drained.
const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// What a hub is told when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where HTTP and WebSocket listen; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// Where the Unix socket is.
    pub unix: UnixSocket,
    /// The data folder.
    pub data: PathBuf,
    /// Host names that HTTP requests may name, besides those of the loopback.
    pub allowed_hosts: Vec<String>,
    /// Origins that browsers may come from.
    pub allowed_origins: Vec<String>,
    /// Largest payload, in bytes.
    pub payload_bytes_max: usize,
    /// Connections at a time, of all kinds together.
    pub connections_max: usize,
    /// What stops loops that nobody watches.
    pub guards: Guards,
    /// Topic trees and how durable their messages are made, if not synced: the first that matches a topic counts.
    pub durability: Vec<(Filter, Level)>,
    /// Topic trees that are kept for looks by bounds of their own, also where no queue takes them: the first that matches a topic counts.
    pub retention: Vec<RetentionTree>,
    /// How long settled messages of all other topics are kept for looks.
    pub retention_age: Duration,
    /// Bytes of the log beyond which settled messages go, however young they are.
    pub retention_bytes: u64,
    /// Memory that the index of queues may take, in bytes.
    pub memory_bytes: u64,
    /// What is logged, as a filter of `tracing`: `info`, `warn,skep_core=debug`.
    pub log: String,
    /// Whether the log is JSON, one object a line.
    pub log_json: bool,
}

/// Where the Unix socket of a hub is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixSocket {
    /// There is none.
    Off,
    /// `hub.sock` in the data folder, or a short path elsewhere if that one is too long.
    InData,
    /// Here.
    At(PathBuf),
}

impl Config {
    /// The defaults, with this data folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Config {
            listen: Some((Ipv4Addr::LOCALHOST, PORT).into()),
            unix: UnixSocket::InData,
            data: data.into(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            connections_max: CONNECTIONS_MAX,
            guards: Guards::default(),
            durability: Vec::new(),
            retention: Vec::new(),
            retention_age: RETENTION_AGE,
            retention_bytes: RETENTION_BYTES,
            memory_bytes: MEMORY_BYTES,
            log: "info".into(),
            log_json: false,
        }
    }

    /// The same without listeners: only this process reaches the hub.
    #[must_use]
    pub fn in_process(self) -> Self {
        Config { listen: None, unix: UnixSocket::Off, ..self }
    }
}

/// What was said from outside. All of it is an argument, so that nothing here asks the process.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The working folder.
    pub folder: PathBuf,
    /// The environment: only names that begin with `SKEP_` matter.
    pub environment: Vec<(String, String)>,
    /// Flags by the name of their key; a repeated one adds up, where the key is a list.
    pub flags: Vec<(&'static str, String)>,
    /// The file that `--config` names.
    pub file: Option<PathBuf>,
}

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Data folders and files that were passed over and are nearer than those that are used.
    pub passed_over: Vec<PassedOver>,
    sources: Vec<(&'static str, Source)>,
}

impl Loaded {
    /// Where the value of a key came from.
    #[must_use]
    pub fn source(&self, key: &Key) -> Source {
        let said = self.sources.iter().rev().find(|(name, _)| *name == key.name);
        said.map_or(Source::Default, |(_, source)| source.clone())
    }

    fn set(&mut self, key: &'static Key, given: &Given<'_>, source: Source) -> Option<Problem> {
        if (key.set)(&mut self.config, given).is_none() {
            return Some(Problem::bad_value(key, &source, given));
        }
        self.sources.push((key.name, source));
        None
    }
}

/// Puts a configuration together.
///
/// # Errors
/// Every problem that was found.
pub fn load(said: &Said) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let Found { folder, passed_over } = data_folder(&said.folder);
    let config = Config::new(folder.clone().unwrap_or_else(|| new_data_folder(&said.folder)));
    let mut loaded = Loaded { config, file: None, passed_over, sources: Vec::new() };
    // The data folder may hold the file, so what is said of it elsewhere comes first.
    let mut preview = loaded.clone();
    let _ = environment::read(said, &mut preview);
    let _ = read_flags(said, &mut preview);
    let data = preview.config.data;
    let (file, files_passed_over) = find::file(said, &data, folder.as_deref());
    loaded.file = file;
    if let Some(path) = loaded.file.clone() {
        problems.extend(file::read(&path, &mut loaded));
        problems.extend(moves_itself(&path, &data, &loaded));
    }
    problems.extend(environment::read(said, &mut loaded));
    problems.extend(read_flags(said, &mut loaded));
    problems.extend(off_loopback(&loaded));
    if loaded.sources.iter().any(|(name, _)| *name == "data") {
        loaded.passed_over.clear();
    }
    // Of the folder that is used after all, or refused, whoever takes it says so.
    loaded.passed_over.retain(|passed| passed.path != loaded.config.data);
    loaded.passed_over.extend(files_passed_over);
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigError { problems }) }
}

fn read_flags(said: &Said, loaded: &mut Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    for key in KEYS {
        let texts: Vec<&str> =
            said.flags.iter().filter(|(name, _)| *name == key.name).map(|(_, text)| text.as_str()).collect();
        if !texts.is_empty() {
            let text = texts.join(",");
            let given = Given::Text { text: &text, base: &said.folder };
            problems.extend(loaded.set(key, &given, Source::Flag(key.flag)));
        }
    }
    problems
}

/// A file in the data folder cannot say where the data folder is.
fn moves_itself(path: &Path, data: &Path, loaded: &Loaded) -> Option<Problem> {
    let (_, source) = loaded.sources.iter().find(|(name, _)| *name == "data")?;
    let advice = "data cannot be set in the data folder's own file; use --data, SKEP_DATA, or ./skep.toml";
    (path.parent() == Some(data)).then(|| Problem::new(source, advice))
}

fn off_loopback(loaded: &Loaded) -> Option<Problem> {
    let listen = loaded.config.listen.filter(|listen| !listen.ip().is_loopback())?;
    let (_, source) = loaded.sources.iter().rev().find(|(name, _)| *name == "listen")?;
    let rule = "off loopback nothing listens without TLS and auth; TLS is not built yet";
    let advice = format!("expected an address of this machine only, such as 127.0.0.1:{}", listen.port());
    Some(Problem::new(source, format!("listen is {listen}: {rule}; {advice}")))
}

#[cfg(test)]
mod tests;
