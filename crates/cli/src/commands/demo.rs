//! `skep demo`: real processes do real work through a hub that is killed meanwhile.

mod agent;
mod collector;
mod faults;
mod http;
mod hub;
mod input;
mod language;
mod latency;
mod outcome;
mod process;
mod report;
mod statistics;
mod summary;
mod swarm;
mod tally;
mod task;
mod verify;
mod view;
mod watch;

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};

use self::agent::Role;
use self::faults::Plan;
use self::hub::HubProcess;
use self::input::Input;
use self::outcome::Outcome;
use self::report::Order;
use self::swarm::Swarm;
use self::task::COORDINATOR;
use self::view::View;
use self::watch::Watch;
use crate::context::Context;
use crate::exit::{Interrupted, Usage};
use crate::output::counted;

/// Watch agents work through a hub that is killed meanwhile
///
/// Starts a hub and a handful of agents, each in a process of its own, that count the words of
/// every text file of a folder. Meanwhile a worker is killed, a task fails for good, and the hub
/// itself is killed and comes back. At the end every result is compared with its file: none may
/// be lost, and none may count twice.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// The folder whose text files are worked on; unsaid, this one
    #[arg(long, value_name = "FOLDER")]
    input: Option<PathBuf>,
    /// How many workers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=32))]
    workers: u32,
    /// Leave the hub running at the end, to look around
    #[arg(long)]
    stay: bool,
    /// What decides where the faults fall; unsaid, chance
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Let nothing go wrong
    #[arg(long)]
    no_faults: bool,
    #[command(subcommand)]
    inner: Option<Inner>,
}

const EXAMPLES: &str = "\
Examples:
  skep demo
  skep demo --input ~/src/project --workers 8
  skep demo --seed 7                 # the faults of another run
  skep demo --stay                   # then: skep queue ls --data FOLDER, as the last lines say
  skep demo --json | jq .lost

The exit code is 0 only if nothing was lost and nothing counted twice.";

/// What the demo starts itself.
#[derive(Subcommand)]
enum Inner {
    /// One agent of the demo
    #[command(hide = true, subcommand)]
    Agent(Role),
    /// The hub of the demo, in the data folder
    #[command(hide = true)]
    Hub {
        /// Where it listens
        #[arg(long)]
        listen: String,
        /// It ends with the demo
        #[arg(long)]
        mortal: bool,
    },
}

/// Seeds that chance draws from: enough, and short to type again.
const SEEDS: u64 = 100_000;

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match (&self.inner, &context.global().data) {
            (None, _) => {}
            (Some(Inner::Agent(role)), _) => return role.clone().run(context),
            (Some(Inner::Hub { listen, mortal }), Some(data)) => return Err(hub::become_hub(data, listen, *mortal)),
            (Some(Inner::Hub { .. }), None) => {
                return Err(Usage("the demo starts its hub itself: skep demo".into()).into());
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // Whoever loses is dropped, and with it every process and folder that it owns.
            tokio::select! {
                done = self.show(context) => done,
                interrupted = interrupt() => interrupted,
            }
        })
    }

    /// The demo, and the files that it leaves behind when it fails.
    async fn show(&self, context: &Context) -> anyhow::Result<()> {
        let here = std::env::current_dir()?;
        let input = Input::find(self.input.as_deref().unwrap_or(&here))?;
        let place = Place::new(context, &here)?;
        match self.play(context, &input, &place).await {
            Ok(()) => {
                if self.stay {
                    place.keep();
                }
                Ok(())
            }
            Err(error) if error.is::<std::io::Error>() => Err(error),
            Err(error) => {
                let kept = place.keep();
                bail!("{error:#}. Logs and data are kept in {}", kept.display())
            }
        }
    }

    /// The demo from its start to its end.
    async fn play(&self, context: &Context, input: &Input, place: &Place) -> anyhow::Result<()> {
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("seed") % SEEDS);
        let plan = (!self.no_faults).then(|| Plan::draw(seed, input.files.len()));
        let mut view = View::new(*context.output());
        self.introduce(input, seed, &mut view);

        let before = verify::count(input);
        let hold = plan.as_ref().map(|plan| plan.hold);
        let hub = HubProcess::start(&place.data, !self.stay).await?;
        let swarm = Swarm::start(hub, place.folder.path(), self.workers, hold).await?;
        view.event(format!("hub ready at {}, {} agents attached", swarm.hub.address, self.workers + 3));
        let mut watch = Watch::new(swarm, plan.clone(), input);
        let done = self.work(&mut watch, input, plan.as_ref(), place, &mut view).await;
        view.clear();
        done?;
        let outcome = Outcome { input, before, workers: self.workers, seed, wall: view.elapsed() };
        let mut summary = outcome.sum_up(&mut watch).await?;
        self.end(watch, &mut summary).await?;
        context.output().answer(&summary, &summary)?;
        if summary.ok { Ok(()) } else { bail!("the demo failed: {}", summary.failures.join("; ")) }
    }

    /// The agents' work, and what goes wrong meanwhile.
    async fn work(
        &self,
        watch: &mut Watch,
        input: &Input,
        plan: Option<&Plan>,
        place: &Place,
        view: &mut View,
    ) -> anyhow::Result<()> {
        let poison =
            plan.map(|plan| plan.poison(place.folder.path())).transpose().context("the poison is not written")?;
        let resends = plan.map(|plan| plan.resends).unwrap_or_default();
        watch.swarm.order(COORDINATOR, &Order::Split { input: input.clone(), poison, resends }).await?;
        watch.run(view).await
    }

    fn introduce(&self, input: &Input, seed: u64, view: &mut View) {
        let files = counted(input.files.len() as u64, "text file", "text files");
        let workers = counted(u64::from(self.workers), "worker", "workers");
        view.event(format!("{files} of {}, {workers}, seed {seed}", input.root.display()));
        if input.cut {
            view.event(format!("there are more: the demo takes {} files at most, the first by name", input::FILES_MAX));
        }
    }

    /// Ends the hub, or leaves it running.
    async fn end(&self, watch: Watch, summary: &mut summary::Summary) -> anyhow::Result<()> {
        let mut hub = watch.swarm.into_hub();
        if !self.stay {
            return hub.kill().await;
        }
        let (address, data) = (hub.address.clone(), hub.data.clone());
        let stop = format!("skep stop --data {}", data.display());
        summary.hub = Some(summary::LeftRunning { address, data, pid: hub.release(), stop });
        Ok(())
    }
}

/// Where a run keeps its files: a folder for temporary ones, and the hub's data in it unless said.
struct Place {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl Place {
    fn new(context: &Context, here: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("skep-demo-").tempdir();
        let folder = folder.context("there is no folder for temporary files")?;
        let data = match &context.global().data {
            Some(data) => here.join(data),
            None => folder.path().join("hub"),
        };
        if data.join("log").exists() {
            bail!("--data {}: a hub was there before; the demo wants a folder that is new", data.display());
        }
        Ok(Place { folder, data })
    }

    /// Keeps the files.
    fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Ends when somebody wants the demo to end.
async fn interrupt() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Err(Interrupted.into())
}
