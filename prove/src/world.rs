//! What all parties of a run share: the way to the hub, its lives, the stage of the run, and counts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::sleep;

use crate::history::{Seen, Told, What};
use crate::hub::Door;
use crate::limits::{OPERATIONS_MAX, WAITING_MAX};

/// Everything that is shared. Only the nemesis changes lives; only the run changes stages.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) door: Door,
    /// Where clients write their histories.
    pub(crate) histories: PathBuf,
    pub(crate) counts: Counts,
    began: Instant,
    /// How often the hub was started so far, counted after the one before was dead.
    life: AtomicU64,
    stage: Mutex<Stage>,
    /// Clients hold it to read for every operation; who holds it to write knows that nobody waits for an answer.
    gate: RwLock<()>,
}

/// Publishers end, then consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Work,
    Drain,
    End,
}

/// How much was done so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) operations: AtomicU64,
    pub(crate) publishes: AtomicU64,
    pub(crate) settles: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) deliveries: AtomicU64,
    pub(crate) redeliveries: AtomicU64,
    /// Messages that wait in queues which somebody consumes, when last looked at.
    pub(crate) waiting: AtomicU64,
}

impl World {
    pub(crate) fn new(seed: u64, door: Door, histories: PathBuf) -> Arc<Self> {
        Arc::new(World {
            seed,
            door,
            histories,
            counts: Counts::default(),
            began: Instant::now(),
            life: AtomicU64::new(1),
            stage: Mutex::new(Stage::Work),
            gate: RwLock::new(()),
        })
    }

    /// Nanoseconds since the run began.
    pub(crate) fn at(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::SeqCst)
    }

    /// The hub is dead, and the next one is about to be started.
    pub(crate) fn next_life(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Whether publishers go on.
    pub(crate) fn is_working(&self) -> bool {
        self.stage() == Stage::Work && self.counts.operations.load(Ordering::Relaxed) < OPERATIONS_MAX
    }

    /// To be held for an operation.
    pub(crate) async fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// Waits until no operation is under way, and lets none begin.
    pub(crate) async fn halt(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// Before a publish: waits for so long, and until not too much waits to be consumed.
    pub(crate) async fn pace(&self, pause: Duration) {
        sleep(pause).await;
        while self.counts.waiting.load(Ordering::Relaxed) > WAITING_MAX && self.is_working() {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Counts {
    pub(crate) fn began(&self, what: &What) {
        let count = |counter: &AtomicU64, more: usize| counter.fetch_add(more as u64, Ordering::Relaxed);
        count(&self.operations, 1);
        match what {
            What::Publish { messages } => count(&self.publishes, messages.len()),
            What::Settle { settles, messages, .. } => {
                count(&self.publishes, messages.len());
                count(&self.settles, settles.len())
            }
            What::Request { .. } => count(&self.requests, 1),
        };
    }

    pub(crate) fn ended(&self, results: &[Told]) {
        for told in results {
            let counter = match told {
                Told::Ok { .. } => &self.done,
                Told::Refused(_) => &self.refused,
                Told::Unknown(_) => &self.unknown,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn delivered(&self, seen: &Seen) {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        self.redeliveries.fetch_add(u64::from(seen.attempt > 1), Ordering::Relaxed);
    }

    /// For the line of progress.
    pub(crate) fn line(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} published, {} settles, {} delivered ({} again), {} refused, {} unknown",
            of(&self.publishes),
            of(&self.settles),
            of(&self.deliveries),
            of(&self.redeliveries),
            of(&self.refused),
            of(&self.unknown)
        )
    }
}
