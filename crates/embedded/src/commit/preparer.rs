//! The thread that prepares the next segment, and tells whether there is room for it.

use std::sync::{Arc, PoisonError};

use skep_protocol::{Code, Error, Outcome};

use super::FULL_RETRY;
use crate::engine::{Effects, Shortage};
use crate::log::{LogError, Spares};
use crate::snapshot::Taker;
use crate::store::Store;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Prepares the next segment ahead of need, on its own thread.
pub(crate) struct Preparer {
    spares: Arc<Spares>,
    lack: Mutex<Lack>,
    asked: Mutex<Asked>,
    wake: Condvar,
}

/// What there was no room for the last time: since which look of the taker's for what may go, the next one that begins.
#[derive(Clone, Copy, Default)]
struct Lack {
    /// The next segment, or what is kept for a full disk.
    any: Option<u64>,
    /// Even the shortest segment.
    spare: Option<u64>,
    /// What waits for a segment larger than the one that is there.
    larger: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Spare,
    Stop,
}

impl Preparer {
    pub(crate) fn new(spares: Arc<Spares>) -> Self {
        // One is prepared at once: the first roll should not wait.
        let (asked, wake) = (Mutex::new(Asked::Spare), Condvar::new());
        Preparer { spares, lack: Mutex::new(Lack::default()), asked, wake }
    }

    pub(crate) fn hurry(&self) {
        self.ask(Asked::Spare);
    }

    pub(super) fn stop(&self) {
        self.ask(Asked::Stop);
    }

    pub(super) fn asked(&self) -> Asked {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self, what: Asked) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if *asked != Asked::Stop {
            *asked = what;
            self.wake.notify_one();
        }
    }

    /// Runs until it is stopped. A shortage is told to the store, and tried again.
    pub(crate) fn run(&self, store: &Store, taker: &Taker) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *asked {
                Asked::Stop => return,
                Asked::Nothing => asked = self.wake.wait(asked).unwrap_or_else(PoisonError::into_inner),
                Asked::Spare => {
                    *asked = Asked::Nothing;
                    drop(asked);
                    let is_full = self.prepare(store, taker);
                    asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                    if is_full && *asked == Asked::Nothing {
                        *asked = Asked::Spare;
                        asked = self.wake.wait_timeout(asked, FULL_RETRY).unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            }
        }
    }

    /// Whether there was no room the last time.
    pub(super) fn is_short(&self) -> bool {
        self.lack().any.is_some()
    }

    fn lack(&self) -> MutexGuard<'_, Lack> {
        self.lack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up what is kept for a full disk; answers whether something was.
    pub(crate) fn give_up(&self) -> bool {
        self.spares.give_up()
    }

    /// Bytes that a full disk is to have free before it is full no more.
    pub(crate) fn ease_bytes(&self) -> u64 {
        self.spares.ease_bytes()
    }

    /// Prepares one, and what is kept for a full disk; answers whether there is no room for both.
    pub(super) fn prepare(&self, store: &Store, taker: &Taker) -> bool {
        let mut shared = store.lock();
        let (wanted, snapshot_bytes) = (shared.wanted_spare(), shared.engine.dump_bytes_max());
        drop(shared);
        let snapshot_bytes = self.snapshot_bytes(snapshot_bytes, store.reader.extent().bytes);
        let lack = *self.lack();
        let is_scarce = lack.any.is_some() && wanted == 0;
        // While room is short, what is freed is for snapshots, too.
        let spare = if is_scarce { self.spares.prepare_short(false) } else { self.spares.prepare_for(wanted) };
        if lack.any.is_some() && taker.is_easing() {
            return self.wait_for_ease(store);
        }
        let kept = if self.spares.ready() { self.spares.keep(snapshot_bytes) } else { Ok(()) };
        let mut larger = false;
        let spare = match spare {
            Err(error) if self.spares.ready() && wanted > 0 => {
                // What waits for a larger one is refused; for all else there is room.
                store.refuse_first(&refusal(&error));
                larger = matches!(error, LogError::DiskFull { .. });
                Ok(())
            }
            spare => spare,
        };
        let why = spare.and(kept).err();
        let is_short = why.is_some();
        let is_full = matches!(why, Some(LogError::DiskFull { .. }));
        let was_eased = |since: Option<u64>| since.is_some_and(|since| taker.eased() >= since || !is_full && !larger);
        // Not before it is known that nothing goes.
        let is_out = !self.spares.ready() && was_eased(lack.spare);
        if is_out && is_full {
            let is_given_up = self.spares.give_up();
            let short = if is_given_up { self.spares.prepare_short(false) } else { Ok(()) };
            // A snapshot needs a segment behind it, however short, and the acks that let something go.
            drop(short.and_then(|()| self.spares.prepare_short(true)));
        }
        let lasts = is_full && was_eased(lack.any) || larger && was_eased(lack.larger);
        self.tell(store, why.as_ref(), is_out, lasts);
        let next = taker.next_easing();
        let any = is_short.then_some(lack.any.unwrap_or(next));
        let spare = (is_short && !self.spares.ready()).then_some(lack.spare.unwrap_or(next));
        // Until there was room for such a one.
        let larger_since = lack.larger.filter(|_| larger || wanted == 0).or(larger.then_some(next));
        *self.lack() = Lack { any, spare, larger: larger_since };
        // Not before: the next segment has the first claim to what room there is. Whatever else is wrong is no reason to let anything go.
        if is_full || larger {
            taker.ease();
        } else {
            taker.look();
        }
        is_short
    }

    /// A snapshot is under way that may free room, and needs some: whether there is room for more is asked when it is done.
    fn wait_for_ease(&self, store: &Store) -> bool {
        let mut shared = store.lock();
        if self.spares.ready() {
            shared.short.settles = None;
        }
        shared.engine.prepared(self.spares.room(), true);
        store.settle_effects(shared, &mut Effects::default());
        store.let_in();
        true
    }

    /// Bytes that a snapshot needs when also the next segment is full. (There is one before it, or the log is short; and it is less.)
    fn snapshot_bytes(&self, snapshot_bytes: u64, log_bytes: u64) -> u64 {
        let next = (self.spares.room() as f64 / log_bytes.max(1) as f64).min(1.0);
        snapshot_bytes + (snapshot_bytes as f64 * next) as u64
    }

    /// Tells the store what room there is, and what is refused; lets in what waited for that.
    fn tell(&self, store: &Store, why: Option<&LogError>, is_out: bool, lasts: bool) {
        let settles = why.filter(|_| is_out && !self.spares.ready()).map(settles_refused);
        let mut shared = store.lock();
        shared.short = Shortage { growth: why.map(refusal), settles };
        let room = self.spares.room();
        shared.engine.prepared(room, why.is_some());
        shared.rolls = lasts && shared.engine.wants_roll(room);
        store.settle_effects(shared, &mut Effects::default());
        store.let_in();
    }
}

/// What a publish is answered while the next segment cannot be prepared.
pub(super) fn refusal(error: &LogError) -> Error {
    refused(error, "publishes are refused, acks are taken")
}

/// What a settle is answered when nothing is left of what was prepared.
fn settles_refused(error: &LogError) -> Error {
    refused(error, "nothing that was kept for acks is left, they are refused, too")
}

fn refused(error: &LogError, consequence: &str) -> Error {
    let (code, what) = match error {
        LogError::OutOfFiles { .. } => (Code::Busy, error.to_string()),
        LogError::DiskFull { .. } => (Code::DiskFull, error.to_string()),
        // The log itself has not stopped.
        LogError::Io { doing, file, source } => {
            (Code::StoreFailed, format!("{doing} {file} failed: {source}; check the disk"))
        }
        _ => (Code::StoreFailed, error.to_string()),
    };
    let text = format!("{what}; {consequence}");
    Error { outcome: Outcome::Refused, ..Error::new(code, text) }
}
