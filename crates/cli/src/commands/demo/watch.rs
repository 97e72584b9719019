//! A run from the first task to the last result: takes note of what agents report, and makes go
//! wrong what is planned to.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::{Deserialize, Serialize};
use skep_protocol::{Code, Event, QueueInfo, QueueName};
use tokio::time::{MissedTickBehavior, interval};

use super::faults::Plan;
use super::input::Input;
use super::process::Heard;
use super::report::{Order, Report};
use super::swarm::Swarm;
use super::tally::Tally;
use super::task::{COORDINATOR, LEDGER, TASKS, agent, queue};
use super::view::View;

/// The longest run. One that takes longer has failed.
const RUN_MAX: Duration = Duration::from_secs(300);
/// How often the processes are looked at, and the view is drawn.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// When nothing was reported for so long, the hub is asked whether there is anything left to do.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the hub's trace may take to show a lease.
const PROOF_MAX: Duration = Duration::from_secs(2);

/// A fault that was brought about.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Incident {
    pub(super) at_ms: u64,
    pub(super) what: String,
}

/// A task that was held when its worker was killed.
#[derive(Clone, Debug)]
pub(super) struct Killed {
    pub(super) worker: String,
    /// The id of the task's message.
    pub(super) message: String,
    pub(super) path: String,
}

/// One run.
pub(super) struct Watch {
    pub(super) swarm: Swarm,
    pub(super) tally: Tally,
    pub(super) incidents: Vec<Incident>,
    pub(super) killed: Option<Killed>,
    pub(super) hub_away: Option<Duration>,
    plan: Option<Plan>,
    root: PathBuf,
    files: usize,
    heard: Instant,
    /// Why there is no end, when it has been asked.
    waits_for: Option<String>,
}

impl Watch {
    pub(super) fn new(swarm: Swarm, plan: Option<Plan>, input: &Input) -> Self {
        Watch {
            swarm,
            tally: Tally::default(),
            incidents: Vec::new(),
            killed: None,
            hub_away: None,
            plan,
            root: input.root.clone(),
            files: input.files.len(),
            heard: Instant::now(),
            waits_for: None,
        }
    }

    /// Watches until all is done, or nothing is left to be done.
    pub(super) async fn run(&mut self, view: &mut View) -> anyhow::Result<()> {
        let mut look = interval(LOOK_PAUSE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = self.swarm.next() => match heard {
                    Some(heard) => self.note(heard, view).await?,
                    None => bail!("all agents are gone"),
                },
                _ = look.tick() => {
                    self.swarm.check_all()?;
                    if self.is_done() || self.heard.elapsed() > SILENCE {
                        self.waits_for = self.waiting().await?;
                        if self.waits_for.is_none() {
                            view.event(self.state());
                            return Ok(());
                        }
                    }
                    self.show(view);
                }
            }
            if view.elapsed() > RUN_MAX {
                let unsettled = self.tally.last_unsettled.as_deref().unwrap_or("none");
                let waits = self.waits_for.as_deref().unwrap_or("nothing that is known");
                let state = self.state();
                bail!(
                    "not done after {} s: {state}; it waits for: {waits}; the last task not settled: {unsettled}",
                    RUN_MAX.as_secs()
                );
            }
        }
    }

    /// Takes note of one report, and brings about the fault whose time has come.
    async fn note(&mut self, heard: Heard, view: &mut View) -> anyhow::Result<()> {
        self.swarm.check(&heard)?;
        (self.heard, self.waits_for) = (Instant::now(), None);
        let Heard { from, report: Some(report) } = heard else { return Ok(()) };
        if let Report::Held { message, path, attempt } = &report {
            let path = path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
            let held = Killed { worker: from.clone(), message: message.clone(), path };
            self.kill_worker(held, *attempt, view).await?;
        }
        if let Report::Dead { reason, attempts, .. } = &report {
            view.event(format!("the hub gave up on a task after {attempts} attempts: {reason}"));
        }
        self.tally.note(&from, report);
        if self.is_time_for_hub() {
            self.kill_hub(view).await?;
        }
        Ok(())
    }

    async fn kill_worker(&mut self, held: Killed, attempt: u32, view: &mut View) -> anyhow::Result<()> {
        if self.killed.is_some() {
            return self.swarm.order(&held.worker, &Order::GoOn).await;
        }
        self.prove_lease(&held).await?;
        let worker = held.worker.clone();
        self.swarm.kill(&worker).await?;
        let what = format!("killed {worker} (SIGKILL) while it held {} (attempt {attempt})", held.path);
        self.tell(what, view);
        let replacement = self.swarm.start_worker()?;
        view.event(format!("started {replacement} in its place"));
        self.killed = Some(held);
        Ok(())
    }

    /// The hub's own trace has to say that the worker holds the task now.
    async fn prove_lease(&self, held: &Killed) -> anyhow::Result<()> {
        let (since, party) = (Instant::now(), agent(&held.worker).source());
        while since.elapsed() < PROOF_MAX {
            let events = self.trace(&held.message).await?;
            if events.last().is_some_and(|event| event.what == "leased" && event.party.as_ref() == Some(&party)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        bail!("{} says that it holds {}, and the hub's trace of {} does not", held.worker, held.path, held.message)
    }

    /// What the hub knows of a message.
    pub(super) async fn trace(&self, message: &str) -> anyhow::Result<Vec<Event>> {
        #[derive(Deserialize)]
        struct Trace {
            events: Vec<Event>,
        }
        let trace: Trace = self.swarm.hub.http().get(&format!("/v1/trace/{message}")).await?;
        Ok(trace.events)
    }

    fn is_time_for_hub(&self) -> bool {
        let Some(plan) = self.plan.as_ref().filter(|_| self.hub_away.is_none()) else { return false };
        self.tally.done() >= plan.hub_after && (plan.hub_first || self.killed.is_some())
    }

    async fn kill_hub(&mut self, view: &mut View) -> anyhow::Result<()> {
        let (done, of) = (self.tally.done(), self.files);
        self.tell(format!("killed the hub (SIGKILL) after {done} of {of} results"), view);
        let away = self.swarm.hub.kill_and_restart().await?;
        view.event(format!("the hub is back after {:.2} s, on the same folder and port", away.as_secs_f64()));
        self.hub_away = Some(away);
        Ok(())
    }

    fn tell(&mut self, what: String, view: &mut View) {
        view.event(&what);
        let at_ms = u64::try_from(view.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.incidents.push(Incident { at_ms, what });
    }

    fn is_done(&self) -> bool {
        let faults =
            self.plan.is_none() || (self.killed.is_some() && self.hub_away.is_some() && !self.tally.dead.is_empty());
        faults && self.tally.done() >= self.files && self.tally.in_books() >= self.files
    }

    /// What waits somewhere; none if nothing does: then no result can come any more.
    async fn waiting(&self) -> anyhow::Result<Option<String>> {
        let (sent, tasks) = (self.tally.published.len(), self.tasks());
        if sent < tasks {
            return Ok(Some(format!("{} tasks are not sent", tasks - sent)));
        }
        for queue in [queue(TASKS), QueueName::inbox(&agent(COORDINATOR)), QueueName::inbox(&agent(LEDGER))] {
            let Some(info) = self.queue(&queue).await? else { return Ok(Some("the hub is away".into())) };
            let QueueInfo { ready, leased, delayed, .. } = info;
            if ready + leased + delayed > 0 {
                return Ok(Some(format!("{queue} holds {ready} ready, {leased} leased, {delayed} delayed")));
            }
        }
        Ok(None)
    }

    /// What a queue holds; none if the hub is not there just now.
    pub(super) async fn queue(&self, queue: &QueueName) -> anyhow::Result<Option<QueueInfo>> {
        match self.swarm.hub.http().get(&format!("/v1/queues/{queue}")).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if matches!(error.code, Code::ConnectionLost | Code::ShuttingDown) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How many tasks there are: one a file, and the poison.
    pub(super) fn tasks(&self) -> usize {
        self.files + usize::from(self.plan.is_some())
    }

    pub(super) fn has_faults(&self) -> bool {
        self.plan.is_some()
    }

    fn show(&self, view: &mut View) {
        let tally = &self.tally;
        let open = tally.published.len().saturating_sub(tally.done() + tally.dead.len());
        let words = match &self.waits_for {
            Some(what) => format!("waiting: {what}"),
            None => format!("{open} open, {} redelivered, {} workers", tally.redelivered(), self.swarm.workers()),
        };
        view.progress(tally.done(), self.files, words);
    }

    fn state(&self) -> String {
        let tally = &self.tally;
        let (sent, tasks, files) = (tally.published.len(), self.tasks(), self.files);
        format!(
            "{sent} of {tasks} tasks sent; of {files} files {} have a result, {} are in the books; {} dead",
            tally.done(),
            tally.in_books(),
            tally.dead.len(),
        )
    }
}
