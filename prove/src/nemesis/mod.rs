//! What goes wrong in a run: seeded, at random moments, one fault after the other.

mod disk;
mod full;
mod kill;
mod rot;
mod segments;
mod tail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use skep_protocol::ProducerId;
use tokio::time::sleep;

pub(crate) use disk::Disk;

use crate::history::Scribe;
use crate::hub::Hub;
use crate::party::Maker;
use crate::random::Random;
use crate::world::World;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// kill -9 and restart, now and then while it starts
    Kill,
    /// SIGSTOP, and SIGCONT after a while
    Pause,
    /// No room on the disk, now and then with kill -9; needs the right to mount
    Full,
    /// With the hub dead: the unproven end of the log is cut, or a bit of it flips
    Tail,
    /// With the hub dead: a bit flips in what was proven durable
    Rot,
}

/// What was done, and what was not as it must be.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Torment {
    /// How often what happened, in words.
    pub(crate) faults: BTreeMap<String, u64>,
    /// What the hub did that it must not.
    pub(crate) problems: Vec<String>,
}

/// Causes the faults. It alone starts and ends the hub.
pub(crate) struct Nemesis {
    pub(crate) hub: Hub,
    pub(crate) torment: Torment,
    world: Arc<World>,
    random: Random,
    faults: Vec<Fault>,
    disk: Option<Disk>,
    /// Its own publishes, which nobody waits for.
    scribe: Scribe,
    maker: Maker,
    producer: ProducerId,
    next_sequence: u64,
}

impl Nemesis {
    /// `hub` runs; on `disk`, if there is one.
    pub(crate) fn new(hub: Hub, world: &Arc<World>, faults: Vec<Fault>, disk: Option<Disk>) -> anyhow::Result<Self> {
        let mut random = Random::of(world.seed, "nemesis");
        Ok(Nemesis {
            hub,
            torment: Torment::default(),
            world: Arc::clone(world),
            producer: ProducerId(random.bytes16()),
            random,
            faults,
            disk,
            scribe: Scribe::open(world, "nemesis")?,
            maker: Maker::new("nemesis"),
            next_sequence: 1,
        })
    }

    /// Causes faults until a moment.
    ///
    /// # Errors
    /// When the hub cannot be brought back: the run is over.
    pub(crate) async fn torment(&mut self, until: Instant) -> anyhow::Result<()> {
        loop {
            let pause = Duration::from_millis(self.random.between(200, 1_500));
            if self.faults.is_empty() || Instant::now() + pause >= until {
                sleep(until.saturating_duration_since(Instant::now())).await;
                return self.revive().await;
            }
            sleep(pause).await;
            self.revive().await?;
            // Killing costs little and shows much.
            let fault = if self.faults.contains(&Fault::Kill) && self.random.percent(40) {
                Fault::Kill
            } else {
                *self.random.pick(&self.faults)
            };
            match fault {
                Fault::Kill => self.kill().await?,
                Fault::Pause => self.pause().await?,
                Fault::Full => self.full().await?,
                Fault::Tail => self.tail().await?,
                Fault::Rot => self.rot().await?,
            }
        }
    }

    /// A hub that ended by itself is a problem, and is started again.
    async fn revive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.hub.ended()? {
            self.problem(format!("the hub ended by itself ({status}); its log ends:\n{}", self.hub.log_end()));
            self.restart().await?;
        }
        Ok(())
    }

    /// The next life, of a hub that is dead.
    async fn restart(&mut self) -> anyhow::Result<()> {
        self.world.next_life();
        self.hub.start().await
    }

    fn count(&mut self, what: &str) {
        *self.torment.faults.entry(what.to_owned()).or_default() += 1;
    }

    fn problem(&mut self, what: String) {
        eprintln!("problem: {what}");
        self.torment.problems.push(what);
    }
}
