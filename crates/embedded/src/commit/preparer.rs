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

/// What became of an attempt to prepare everything.
struct Found {
    /// Something waits for a segment larger than the one that is there.
    is_larger_wanted: bool,
    /// Why there is no next segment, or nothing is kept for a full disk.
    why: Option<LogError>,
    /// The disk has no room for the larger one.
    lacks_larger: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Spare,
    Stop,
}

impl Found {
    fn is_full(&self) -> bool {
        self.why.as_ref().is_some_and(is_full)
    }

    /// Whether what has been lacking since then will not be had: it was looked for what may go, or nothing that goes would help.
    fn is_final(&self, since: Option<u64>, taker: &Taker) -> bool {
        since.is_some_and(|since| taker.eased() >= since || !self.is_full() && !self.lacks_larger)
    }
}

impl Lack {
    fn after(self, found: &Found, is_ready: bool, next: u64) -> Lack {
        let is_short = found.why.is_some();
        let since = |is_lacking: bool, since: Option<u64>| is_lacking.then(|| since.unwrap_or(next));
        // Until there was room for such a one.
        let is_larger_lacking = found.lacks_larger || self.larger.is_some() && !found.is_larger_wanted;
        Lack {
            any: since(is_short, self.any),
            spare: since(is_short && !is_ready, self.spare),
            larger: since(is_larger_lacking, self.larger),
        }
    }
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
        let lack = *self.lack();
        let Some(found) = self.find_room(store, taker, lack) else { return self.wait_for_ease(store) };
        // Not before it is known that nothing goes.
        let is_out = !self.spares.ready() && found.is_final(lack.spare, taker);
        if is_out && found.is_full() {
            self.use_what_was_kept();
        }
        let lasts = found.is_full() && found.is_final(lack.any, taker)
            || found.lacks_larger && found.is_final(lack.larger, taker);
        self.tell(store, found.why.as_ref(), is_out, lasts);
        *self.lack() = lack.after(&found, self.spares.ready(), taker.next_easing());
        // Not before: the next segment has the first claim to what room there is. Whatever else is wrong is no reason to let anything go.
        if found.is_full() || found.lacks_larger {
            taker.ease();
        } else {
            taker.look();
        }
        found.why.is_some()
    }

    /// Prepares what there is room for; nothing more while a snapshot is under way that may free some.
    fn find_room(&self, store: &Store, taker: &Taker, lack: Lack) -> Option<Found> {
        let mut shared = store.lock();
        let (wanted, snapshot_bytes) = (shared.wanted_spare(), shared.engine.dump_bytes_max());
        drop(shared);
        // While room is short, what is freed is for snapshots, too.
        let is_scarce = lack.any.is_some() && wanted == 0;
        let spare = if is_scarce { self.spares.prepare_short(false) } else { self.spares.prepare_for(wanted) };
        if lack.any.is_some() && taker.is_easing() {
            return None;
        }
        let is_ready = self.spares.ready();
        let snapshot_bytes = self.snapshot_bytes(snapshot_bytes, store.reader.extent().bytes);
        let kept = if is_ready { self.spares.keep(snapshot_bytes) } else { Ok(()) };
        let (why, lacks_larger) = match spare {
            Err(error) if is_ready && wanted > 0 => {
                // What waits for a larger one is refused; for all else there is room.
                store.refuse_first(&refusal(&error));
                (kept.err(), is_full(&error))
            }
            spare => (spare.and(kept).err(), false),
        };
        Some(Found { is_larger_wanted: wanted > 0, why, lacks_larger })
    }

    /// A snapshot needs a segment behind it, however short, and the acks that let something go.
    fn use_what_was_kept(&self) {
        if self.spares.give_up() {
            drop(self.spares.prepare_short(false));
        }
        drop(self.spares.prepare_short(true));
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
        let log_bytes = log_bytes.max(1);
        let more = u128::from(snapshot_bytes) * u128::from(self.spares.room().min(log_bytes)) / u128::from(log_bytes);
        snapshot_bytes + u64::try_from(more).unwrap_or(snapshot_bytes)
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

fn is_full(error: &LogError) -> bool {
    matches!(error, LogError::DiskFull { .. })
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
