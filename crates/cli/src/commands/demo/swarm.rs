//! All processes of a run: the hub and its agents. Dropped, they are gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::hub::{HubProcess, this_program};
use super::process::{AgentProcess, Heard};
use super::report::{Order, Report};
use super::task::{COORDINATOR, LANGUAGES, LEDGER};

/// Reports that wait to be taken note of; beyond it agents wait with what they tell.
const HEARD_MAX: usize = 1_024;
/// How long agents may take until they are attached.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long an agent may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The hub and its agents.
pub(super) struct Swarm {
    /// First, so that they go before their hub.
    agents: Vec<AgentProcess>,
    pub(super) hub: HubProcess,
    heard: mpsc::Receiver<Heard>,
    teller: mpsc::Sender<Heard>,
    logs: PathBuf,
    workers_started: u32,
    hold: Option<u32>,
}

impl Swarm {
    /// Starts the agents of a hub, and waits until all are attached. Who begins that task on its
    /// first attempt holds it.
    pub(super) async fn start(hub: HubProcess, logs: &Path, workers: u32, hold: Option<u32>) -> anyhow::Result<Self> {
        let (teller, heard) = mpsc::channel(HEARD_MAX);
        let mut swarm = Swarm { agents: Vec::new(), hub, heard, teller, logs: logs.into(), workers_started: 0, hold };
        swarm.start_agent(COORDINATOR, &["coordinator"])?;
        swarm.start_agent(LEDGER, &["ledger"])?;
        swarm.start_agent(LANGUAGES, &["service"])?;
        swarm.all_ready(3).await?;
        // Workers find the queue declared, and results find whom they are for.
        for _ in 0..workers {
            swarm.start_worker()?;
        }
        swarm.all_ready(workers as usize).await?;
        Ok(swarm)
    }

    /// Starts one worker more; answers its name.
    pub(super) fn start_worker(&mut self) -> anyhow::Result<String> {
        self.workers_started += 1;
        let name = format!("worker-{}", self.workers_started);
        let hold = self.hold.map(|hold| hold.to_string());
        let args: Vec<&str> = match &hold {
            Some(hold) => vec!["worker", "--hold", hold],
            None => vec!["worker"],
        };
        self.start_agent(&name, &args)?;
        Ok(name)
    }

    fn start_agent(&mut self, name: &str, role: &[&str]) -> anyhow::Result<()> {
        let mut command = this_program()?;
        command.args(["demo", "agent"]).args(role).args(["--json", "--url", &self.hub.address, "--as", name]);
        // Arguments can be seen by everybody on the machine, the environment cannot.
        command.env("SKEP_TOKEN", &self.hub.token);
        self.agents.push(AgentProcess::start(name, command, &self.logs, self.teller.clone())?);
        Ok(())
    }

    async fn all_ready(&mut self, count: usize) -> anyhow::Result<()> {
        let mut waiting = count;
        while waiting > 0 {
            let heard = timeout(READY_MAX, self.heard.recv()).await;
            match heard.with_context(|| format!("{waiting} agents are not attached after {READY_MAX:?}"))? {
                Some(Heard { report: Some(Report::Ready), .. }) => waiting -= 1,
                Some(heard) => self.check(&heard)?,
                None => bail!("all agents are gone"),
            }
        }
        Ok(())
    }

    /// The next report. It may be cancelled: nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// Whether what was heard means that an agent failed; one that was killed is none of ours any more.
    pub(super) fn check(&self, heard: &Heard) -> anyhow::Result<()> {
        let Some(agent) = self.agents.iter().find(|agent| agent.name == heard.from) else { return Ok(()) };
        match &heard.report {
            Some(Report::Failed { why }) => bail!("{} failed: {why}; its log is {}", agent.name, agent.log.display()),
            None => bail!("{} ended by itself; its log is {}", agent.name, agent.log.display()),
            Some(_) => Ok(()),
        }
    }

    /// Whether the hub or an agent ended by itself.
    pub(super) fn check_all(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.hub.ended() {
            bail!("the hub ended by itself ({status}); its log is {}/hub.log", self.hub.data.display());
        }
        for agent in &mut self.agents {
            if let Some(status) = agent.ended() {
                bail!("{} ended by itself ({status}); its log is {}", agent.name, agent.log.display());
            }
        }
        Ok(())
    }

    pub(super) async fn order(&mut self, name: &str, order: &Order) -> anyhow::Result<()> {
        match self.agents.iter_mut().find(|agent| agent.name == name) {
            Some(agent) => agent.order(order).await,
            None => bail!("there is no agent {name} any more"),
        }
    }

    /// Kills an agent with SIGKILL.
    pub(super) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let at = self.agents.iter().position(|agent| agent.name == name);
        let mut agent = self.agents.swap_remove(at.with_context(|| format!("there is no agent {name} any more"))?);
        agent.kill().await
    }

    pub(super) fn workers(&self) -> usize {
        self.agents.iter().filter(|agent| agent.name.starts_with("worker-")).count()
    }

    /// The hub alone; agents that are left are killed.
    pub(super) fn into_hub(self) -> HubProcess {
        self.hub
    }

    /// Tells every agent to stop, and waits until all have: workers first, so that whom they ask and
    /// tell is there to the end. Answers what they still had to tell.
    pub(super) async fn stop(&mut self) -> anyhow::Result<Vec<Heard>> {
        let mut last = Vec::new();
        while let Some(mut agent) = self.agents.pop() {
            let name = agent.name.clone();
            let mut stopping = std::pin::pin!(agent.stop(STOP_MAX));
            // What an agent tells is heard while it stops; else it would wait for us.
            let ended = loop {
                tokio::select! {
                    ended = &mut stopping => break ended,
                    Some(heard) = self.heard.recv() => last.push(heard),
                }
            };
            if !ended {
                bail!("{name} did not stop within {STOP_MAX:?}; its log is {}/{name}.log", self.logs.display());
            }
            self.hear_out(&name, &mut last).await?;
        }
        Ok(last)
    }

    /// Hears an agent that has ended to its end.
    async fn hear_out(&mut self, name: &str, last: &mut Vec<Heard>) -> anyhow::Result<()> {
        let is_end = |heard: &Heard| heard.from == name && heard.report.is_none();
        while !last.iter().any(is_end) {
            let heard = timeout(STOP_MAX, self.heard.recv()).await;
            let heard = heard.with_context(|| format!("the output of {name} does not end"))?;
            last.extend(heard);
        }
        Ok(())
    }
}
