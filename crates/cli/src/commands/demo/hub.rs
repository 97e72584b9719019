//! The hub of the demo: the real one, in a process of its own, that can be killed and comes back.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
#[cfg(target_os = "linux")]
use rustix::process::{Signal, set_parent_process_death_signal};
use skep_server::folder::HubFile;
use tokio::process::Command;

use super::http::Http;
use super::process::Guarded;

/// How long a hub may take to get ready.
const READY_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// How often it is started again where its port was taken meanwhile, and the pause between. The port
/// is one that the system gives to anybody who connects somewhere.
const STARTS_MAX: u32 = 20;
const START_PAUSE: Duration = Duration::from_millis(100);

/// A hub that runs.
#[derive(Debug)]
pub(super) struct HubProcess {
    process: Guarded,
    mortal: bool,
    /// Its data folder.
    pub(super) data: PathBuf,
    /// `address:port`.
    pub(super) address: String,
    pub(super) token: String,
}

impl HubProcess {
    /// Starts a hub on a free port, and waits until it is ready.
    ///
    /// A mortal one ends with the demo, also when that is killed and can end nothing itself.
    pub(super) async fn start(data: &Path, mortal: bool) -> anyhow::Result<Self> {
        skep_server::folder::create(data)?;
        let (process, address) = start(data, "127.0.0.1:0", mortal).await?;
        let token = data.join("token");
        let token = std::fs::read_to_string(&token).with_context(|| format!("cannot read {}", token.display()))?;
        Ok(HubProcess { process, mortal, data: data.into(), address, token: token.trim().into() })
    }

    /// Kills it with SIGKILL, and starts it again on the same folder and port; answers for how long
    /// it was away.
    pub(super) async fn kill_and_restart(&mut self) -> anyhow::Result<Duration> {
        let since = Instant::now();
        self.process.kill().await?;
        let mut tries = 0;
        self.process = loop {
            tries += 1;
            match start(&self.data, &self.address, self.mortal).await {
                Ok((process, _)) => break process,
                Err(error) if tries == STARTS_MAX => return Err(error.context("the hub does not come back")),
                Err(_) => tokio::time::sleep(START_PAUSE).await,
            }
        };
        Ok(since.elapsed())
    }

    /// Whether it ended by itself, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.process.ended()
    }

    /// A way to it, as nobody in particular.
    pub(super) fn http(&self) -> Http {
        Http::new(&self.address, &self.token, None)
    }

    /// Lets it run on, when the demo is over.
    pub(super) fn release(self) -> u32 {
        let pid = self.process.pid().unwrap_or_default();
        self.process.release();
        pid
    }

    /// Kills it.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }
}

/// Starts this program as a hub, and waits until it says in `hub.json` where it is.
async fn start(data: &Path, listen: &str, mortal: bool) -> anyhow::Result<(Guarded, String)> {
    let log = data.join("hub.log");
    let file = File::options().append(true).create(true).open(&log);
    let file = file.with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = this_program()?;
    command.args(["demo", "hub", "--listen", listen]).arg("--data").arg(data);
    if mortal {
        command.arg("--mortal");
    }
    // No skep.toml of the user's is found from here.
    command.current_dir(data).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut process = Guarded::spawn(&mut command)?;
    let since = Instant::now();
    while since.elapsed() < READY_MAX {
        let hub = HubFile::read(data).filter(|hub| Some(hub.pid) == process.pid());
        if let Some(address) = hub.and_then(|hub| hub.http) {
            return Ok((process, address));
        }
        if let Some(status) = process.ended() {
            bail!("the hub ended while it started ({status}); its log is {}", log.display());
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    bail!("the hub is not ready after {READY_MAX:?}; its log is {}", log.display())
}

/// Becomes `skep serve`. Returns only if it cannot.
pub(super) fn become_hub(data: &str, listen: &str, mortal: bool) -> anyhow::Error {
    #[cfg(target_os = "linux")]
    if mortal && let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return anyhow::Error::new(error).context("the hub cannot be bound to the demo's life");
    }
    #[cfg(not(target_os = "linux"))]
    let _only_there = mortal;
    let serve = this_program().map(|mut command| {
        command.args(["serve", "--data", data, "--listen", listen]);
        command.into_std().exec()
    });
    match serve {
        Ok(error) => anyhow::Error::new(error).context("the hub cannot be started"),
        Err(error) => error,
    }
}

/// This program, without what the environment says of other hubs.
pub(super) fn this_program() -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    let mut command = Command::new(program);
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SKEP_"));
    for name in ours {
        command.env_remove(name);
    }
    Ok(command)
}
