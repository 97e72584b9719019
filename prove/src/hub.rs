//! The hub that is tormented: the real program on one folder, one port and one socket, started again and again.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::limits::{END_MAX, READY_MAX};
use crate::random::Random;

/// How clients reach the hub; it stays the same through all lives.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) http: SocketAddr,
    pub(crate) unix: PathBuf,
    token: PathBuf,
}

impl Door {
    /// The token; the hub writes it when it first starts.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.token).context("the hub has no token yet")?.trim().to_owned())
    }
}

/// A hub, alive or dead. Dropped, its process ends.
pub(crate) struct Hub {
    program: PathBuf,
    pub(crate) data: PathBuf,
    log: PathBuf,
    door: Door,
    child: Option<Child>,
}

impl Hub {
    /// None is started yet. The socket lies in `sockets`, whose path is short.
    pub(crate) fn new(program: &Path, data: &Path, log: &Path, sockets: &Path, random: &mut Random) -> Self {
        let door = Door { http: free_port(random), unix: sockets.join("hub.sock"), token: data.join("token") };
        Hub { program: program.to_owned(), data: data.to_owned(), log: log.to_owned(), door, child: None }
    }

    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// The same folder, at another port and socket, where no client looks.
    pub(crate) fn aside(&self, random: &mut Random) -> Self {
        let door = Door { http: free_port(random), unix: self.door.unix.with_extension("aside"), ..self.door.clone() };
        Hub { program: self.program.clone(), data: self.data.clone(), log: self.log.clone(), door, child: None }
    }

    /// Starts the process; whoever does not wait until it is ready may kill it before.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SKEP_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--json", "--log", "warn", "--listen", &self.door.http.to_string(), "--unix"]);
        command.arg(&self.door.unix).arg("--data").arg(&self.data);
        command.current_dir(self.data.parent().context("the data folder has a parent")?);
        let log = File::options().create(true).append(true).open(&self.log)?;
        // In a group of its own: Ctrl-C reaches this program alone, which then ends the hub.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0).kill_on_drop(true);
        self.child = Some(command.spawn().with_context(|| format!("{} cannot be started", self.program.display()))?);
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, with the end of its log.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let child = self.child.as_mut().context("it was started")?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines();
        let line = timeout(READY_MAX, lines.next_line()).await;
        match line {
            Err(_) => bail!("the hub is not ready after {READY_MAX:?}; its log ends:\n{}", self.log_end()),
            Ok(Ok(Some(line))) if line.contains("\"ready\":true") => Ok(()),
            Ok(other) => bail!("the hub did not start ({other:?}); its log ends:\n{}", self.log_end()),
        }
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        self.ready().await
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), |child| Ok(child.try_wait()?))
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.as_ref().and_then(Child::id).context("the hub has ended")?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("a process id is positive")?;
        Ok(kill_process(pid, signal)?)
    }

    /// As with `kill -9`.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        use std::os::unix::process::ExitStatusExt as _;
        let mut child = self.child.take().context("it was started")?;
        child.start_kill()?;
        let status = timeout(END_MAX, child.wait()).await.context("a killed hub does not end")??;
        ensure!(status.signal() == Some(9), "the hub ended by itself ({status}); its log ends:\n{}", self.log_end());
        Ok(())
    }

    /// Ends it in order.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let mut child = self.child.take().context("it was started")?;
        let status = timeout(END_MAX, child.wait()).await.context("the hub does not end when asked to")??;
        ensure!(status.success(), "the hub ended with {status}; its log ends:\n{}", self.log_end());
        Ok(())
    }

    /// The last of what it logged.
    pub(crate) fn log_end(&self) -> String {
        const BYTES: usize = 2048;
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(BYTES)..]).trim_end().to_owned()
    }
}

/// A pause between looks at something that will happen.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A free port below those that the system hands out by itself, so that nobody else is given it while the hub is down.
fn free_port(random: &mut Random) -> SocketAddr {
    loop {
        let port = u16::try_from(random.between(15_000, 29_999)).unwrap_or(15_000);
        let at = (Ipv4Addr::LOCALHOST, port).into();
        if TcpListener::bind::<SocketAddr>(at).is_ok() {
            return at;
        }
    }
}
