//! The real `skep serve`, in a process that can be killed.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use skep_client::{Client, Error, Options};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::hub::soon;

/// A hub that is started, killed and started again on one folder and one port. Dropped, its
/// process ends.
pub(crate) struct Victim {
    folder: TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl Victim {
    /// None is started yet. `random` chooses the port.
    pub(crate) fn new(random: u64) -> Self {
        Victim::in_folder(tempfile::tempdir().expect("a folder"), random)
    }

    /// The same in a folder within another.
    pub(crate) fn within(folder: &Path, random: u64) -> Self {
        Victim::in_folder(tempfile::tempdir_in(folder).expect("a folder"), random)
    }

    fn in_folder(folder: TempDir, random: u64) -> Self {
        Victim { folder, address: free_port(random), child: None }
    }

    /// It is told this each time it starts.
    pub(crate) fn told(self, config: &str) -> Self {
        std::fs::write(self.folder.path().join("skep.toml"), config).expect("a file");
        self
    }

    /// Starts it; whoever does not wait until it is ready may kill it before.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(binary());
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SKEP_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--unix", "false", "--log", "warn", "--listen", &self.address.to_string()]);
        command.arg("--data").arg(self.data()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        self.child = Some(command.spawn().expect("skep starts"));
    }

    pub(crate) async fn ready(&mut self) {
        let child = self.child.as_mut().expect("it was started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = soon("the hub is ready", lines.next_line()).await.expect("text");
        if !line.as_ref().is_some_and(|line| line.starts_with("ready ")) {
            let mut errors = String::new();
            let _ = child.stderr.take().expect("a pipe").read_to_string(&mut errors).await;
            panic!("the hub did not start: {line:?} {errors}");
        }
    }

    /// As with `kill -9`.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        child.start_kill().expect("killed");
        let status = soon("it ends", child.wait()).await.expect("a status");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "it ended by itself: {status}");
    }

    /// As `kill` does; it ends by itself, in time, well or not.
    pub(crate) async fn terminate(&mut self) {
        let mut child = self.child.take().expect("it was started");
        let id = child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill runs");
        assert!(sent.success());
        let status = soon("it ends", child.wait()).await.expect("a status");
        assert!(status.code().is_some(), "it was ended: {status}");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// How to connect; also while it is down.
    pub(crate) fn door(&self) -> Door {
        let token = std::fs::read_to_string(self.data().join("token")).expect("it was ready once");
        Door { url: format!("ws://{}", self.address), token: token.trim().to_owned() }
    }
}

/// How to connect to the victim.
#[derive(Clone)]
pub(crate) struct Door {
    url: String,
    token: String,
}

impl Door {
    /// A client over WebSocket, as soon as there is a hub.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let options = Options { token: Some(self.token.clone()), ..Options::default() };
        Client::connect(&self.url, options).await
    }
}

/// A free port below those that the system hands out by itself, so that nobody else is given
/// it while the hub is down, and no client can connect to itself.
fn free_port(random: u64) -> SocketAddr {
    let ports = (0..1000).map(|n| 15_000 + u16::try_from((random + n) % 15_000).expect("less than 15,000"));
    let mut free =
        ports.map(|port| (Ipv4Addr::LOCALHOST, port).into()).filter(|at: &SocketAddr| TcpListener::bind(at).is_ok());
    free.next().expect("one of a thousand ports is free")
}

/// `SKEP_BIN`, else the binary beside this test, else one that is built now.
fn binary() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match env::var_os("SKEP_BIN") {
        Some(binary) => binary.into(),
        None => beside_this_test(),
    })
}

fn beside_this_test() -> PathBuf {
    let test = env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let binary = profile.join("skep");
    if !binary.exists() {
        let mut cargo = std::process::Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--locked", "--bin", "skep", "--target-dir"]).arg(profile.parent().expect("target"));
        cargo.args(profile.ends_with("release").then_some("--release"));
        // From the workspace's folder, so that the binary is in reach.
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace"));
        assert!(cargo.status().expect("cargo runs").success(), "{cargo:?} failed");
    }
    println!("the binary is {}", binary.display());
    binary
}
