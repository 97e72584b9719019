//! A hub of this run's own: `skep serve` on a fresh folder, ended by its process id.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::Killed;
use crate::wire::{Kind, Party};

/// How long a hub may take to end.
const END_MAX: Duration = Duration::from_secs(20);
/// How much of its log is shown, in bytes.
const LOG_BYTES: usize = 2048;

/// A running hub. Dropped, it is killed; its folder goes with it.
pub(crate) struct Hub {
    child: Killed,
    folder: TempDir,
    party: Party,
    /// From the start of the process to its ready line.
    pub(crate) ready_after: Duration,
}

/// The line a hub says when it is ready.
#[derive(serde::Deserialize)]
struct Ready {
    http: SocketAddr,
    unix: PathBuf,
}

impl Hub {
    /// Starts the program at `program` on a fresh folder in `place`, and waits until it is ready.
    pub(crate) fn start(program: &Path, place: &Path, kind: Kind, durability: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("skep-bench-").tempdir_in(place)?;
        Hub::start_in(folder, program, kind, durability)
    }

    fn start_in(folder: TempDir, program: &Path, kind: Kind, durability: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SKEP_")) {
            command.env_remove(name);
        }
        command.arg("serve").arg("--json").args(["--listen", "127.0.0.1:0", "--log", "warn", "--data"]);
        command.arg(folder.path().join("data")).current_dir(&folder);
        if durability != "fsync" {
            command.args(["--durability", &format!("> {durability}")]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(folder.path().join("log"))?);
        let since = Instant::now();
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let nowhere = Party { kind, http: ([127, 0, 0, 1], 0).into(), unix: PathBuf::new(), token: String::new() };
        let mut hub = Hub { child: Killed(child), folder, party: nowhere, ready_after: Duration::ZERO };
        let mut line = String::new();
        BufReader::new(hub.child.0.stdout.take().context("a pipe was asked for")?).read_line(&mut line)?;
        hub.ready_after = since.elapsed();
        let ready: Ready = serde_json::from_str(&line)
            .with_context(|| format!("the hub said {line:?} instead of being ready; its log:\n{}", hub.log()))?;
        let token = fs::read_to_string(hub.folder.path().join("data/token"))?.trim().to_owned();
        hub.party = Party { kind, http: ready.http, unix: ready.unix, token };
        Ok(hub)
    }

    /// How to reach it.
    pub(crate) fn party(&self) -> &Party {
        &self.party
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Ends it in order. What it logged, warnings and worse, is passed on.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.0.try_wait()? {
            bail!("the hub ended by itself ({status}); its log:\n{}", self.log());
        }
        let pid = Pid::from_raw(i32::try_from(self.pid())?).context("a process id is positive")?;
        kill_process(pid, Signal::TERM)?;
        let since = Instant::now();
        let status = loop {
            match self.child.0.try_wait()? {
                Some(status) => break status,
                None if since.elapsed() > END_MAX => bail!("the hub does not end; its log:\n{}", self.log()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        ensure!(status.success(), "the hub ended with {status}; its log:\n{}", self.log());
        let log = self.log();
        if !log.is_empty() {
            eprintln!("the hub logged:\n{log}");
        }
        Ok(())
    }

    /// Kills it, has `between` done to its data, and starts it again.
    pub(crate) fn kill_and_start(
        self,
        program: &Path,
        durability: &str,
        between: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let Hub { child, folder, party, .. } = self;
        drop(child);
        between(&folder.path().join("data"))?;
        Hub::start_in(folder, program, party.kind, durability)
    }

    fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES)..]).trim_end().to_owned()
    }
}
