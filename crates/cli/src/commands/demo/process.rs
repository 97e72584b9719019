//! Child processes that do not outlive the demo: an agent with its lines, and the guard of both
//! agents and hub.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::report::{Order, Report};

/// How long a killed process may take to be gone; it has no say in it.
const GONE_MAX: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(1);
/// How long an agent may take to read an order: it reads all the time.
const ORDER_MAX: Duration = Duration::from_secs(10);

/// A process that is killed with SIGKILL when this is dropped, and waited for.
#[derive(Debug)]
pub(super) struct Guarded(Option<Child>);

impl Guarded {
    /// Starts a program in a process group of its own: Ctrl-C reaches the demo alone, which ends
    /// its children in order.
    pub(super) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.process_group(0).spawn().context("a process of the demo cannot be started")?;
        Ok(Guarded(Some(child)))
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.0.as_ref().and_then(Child::id)
    }

    /// Whether it ended by itself, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.0.as_mut()?.try_wait() {
            Ok(status) => status.map(|status| status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Kills it, and returns when it is gone.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        match self.0.as_mut() {
            Some(child) => child.kill().await.context("a process of the demo cannot be killed"),
            None => Ok(()),
        }
    }

    /// Waits until it has ended by itself; if it does not within that time, it is killed.
    pub(super) async fn end_within(&mut self, patience: Duration) -> bool {
        let Some(child) = self.0.as_mut() else { return true };
        let ended = tokio::time::timeout(patience, child.wait()).await.is_ok();
        // If it cannot be killed now, the guard tries again when it is dropped.
        let _ = self.kill().await;
        ended
    }

    /// Lets it live on.
    pub(super) fn release(mut self) {
        self.0 = None;
    }

    fn child(&mut self) -> anyhow::Result<&mut Child> {
        self.0.as_mut().context("the process was let go")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some(child) = &mut self.0 else { return };
        // It is our own child and not yet waited for, so its pid is its own.
        let _ = child.start_kill();
        let since = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && since.elapsed() < GONE_MAX {
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}

/// What came from an agent.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) from: String,
    /// None when its output ended.
    pub(super) report: Option<Report>,
}

/// An agent of the demo, in its process.
#[derive(Debug)]
pub(super) struct AgentProcess {
    pub(super) name: String,
    /// What it logs.
    pub(super) log: PathBuf,
    process: Guarded,
    /// None when it was told to stop.
    orders: Option<ChildStdin>,
    reader: JoinHandle<()>,
}

impl AgentProcess {
    /// Starts this program once more, as an agent; what it tells comes by `heard`.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        logs: &Path,
        heard: mpsc::Sender<Heard>,
    ) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut process = Guarded::spawn(&mut command)?;
        let child = process.child()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let reader = tokio::spawn(hear(name.to_owned(), stdout.context("an agent has no output")?, heard));
        Ok(AgentProcess { name: name.into(), log, process, orders: stdin, reader })
    }

    pub(super) async fn order(&mut self, order: &Order) -> anyhow::Result<()> {
        let name = &self.name;
        let Some(orders) = &mut self.orders else { bail!("{name} was told to stop already") };
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let written = tokio::time::timeout(ORDER_MAX, orders.write_all(&line)).await;
        written.with_context(|| format!("{name} does not read its orders"))?.with_context(|| format!("{name} is gone"))
    }

    /// Kills it with SIGKILL, and returns when it is gone and all that it told was read.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        self.orders = None;
        Ok(())
    }

    /// Tells it to stop, and waits until it has; one that does not is killed.
    pub(super) async fn stop(&mut self, patience: Duration) -> bool {
        // One that is gone needs no order.
        let _ = self.order(&Order::Stop).await;
        self.orders = None;
        self.process.end_within(patience).await
    }

    pub(super) fn ended(&mut self) -> Option<String> {
        self.process.ended()
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Hears an agent until its output ends. Who takes the reports may fall behind: then the agent waits.
async fn hear(from: String, output: ChildStdout, heard: mpsc::Sender<Heard>) {
    let mut lines = BufReader::new(output).lines();
    loop {
        let report = match lines.next_line().await {
            Ok(Some(line)) => match serde_json::from_str(&line) {
                Ok(report) => Some(report),
                Err(error) => Some(Report::Failed { why: format!("it said what nobody understands: {error}: {line}") }),
            },
            Ok(None) | Err(_) => None,
        };
        let is_last = report.is_none();
        if heard.send(Heard { from: from.clone(), report }).await.is_err() || is_last {
            return;
        }
    }
}
