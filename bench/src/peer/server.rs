//! A server of a run's own, on a free port of this machine and in an empty folder.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::Kind;

/// How long it may take to accept.
const READY_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether it accepts.
const LOOK: Duration = Duration::from_millis(10);

/// A running server. Dropped, it is killed; its folder goes with it.
pub(super) struct Server {
    pub(super) kind: Kind,
    pub(super) port: u16,
    child: Child,
    folder: TempDir,
}

impl Server {
    pub(super) fn start(kind: Kind, programs: &Path, place: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("skep-bench-").tempdir_in(place)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command =
            if kind.is_nats() { nats(kind, programs, &folder, port)? } else { redis(kind, programs, &folder, port) };
        let log = File::create(folder.path().join("log"))?;
        command.current_dir(&folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_owned();
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started; `cargo xtask peers` fetches it", program.display()))?;
        let mut server = Server { kind, port, child, folder };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.child.try_wait()?;
            ensure!(
                ended.is_none() && since.elapsed() < READY_MAX,
                "{} does not accept at port {port}; its log:\n{}",
                program.display(),
                fs::read_to_string(server.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(LOOK);
        }
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nats(kind: Kind, programs: &Path, folder: &TempDir, port: u16) -> anyhow::Result<Command> {
    let mut config = format!("listen: 127.0.0.1:{port}\nmax_payload: 8MB\n");
    if kind != Kind::Nats {
        let sync = if kind == Kind::JetStreamAlways { ", sync_interval: always" } else { "" };
        config += &format!("jetstream {{ store_dir: \"{}\"{sync} }}\n", folder.path().join("data").display());
    }
    let path = folder.path().join("nats.conf");
    fs::write(&path, config)?;
    let mut command = Command::new(programs.join("nats-server"));
    command.arg("-c").arg(path);
    Ok(command)
}

fn redis(kind: Kind, programs: &Path, folder: &TempDir, port: u16) -> Command {
    let (append, sync) = match kind {
        Kind::RedisAlways => ("yes", "always"),
        Kind::RedisEverySecond => ("yes", "everysec"),
        _ => ("no", "no"),
    };
    let mut command = Command::new(programs.join("redis-server"));
    command.args(["--bind", "127.0.0.1", "--save", "", "--port"]).arg(port.to_string()).arg("--dir").arg(folder.path());
    command.args(["--appendonly", append, "--appendfsync", sync, "--auto-aof-rewrite-percentage", "0"]);
    command.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
    command
}

/// What the programs in a folder say of themselves, in one line each.
pub(crate) fn versions(programs: &Path) -> Vec<String> {
    ["nats-server", "redis-server"]
        .map(|name| {
            let out = Command::new(programs.join(name)).arg("--version").output();
            let said = out.ok().and_then(|out| String::from_utf8(out.stdout).ok()).unwrap_or_default();
            said.lines().next().map_or_else(|| format!("{name} is not there"), |line| line.trim().to_owned())
        })
        .into()
}
