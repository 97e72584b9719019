//! The thread that takes snapshots.

mod kept;

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::by_trees::ByTrees;
use super::retention::{LetsGo, Retention};
use crate::disk::is_full;
use crate::engine::Engine;
use crate::limits::{SNAPSHOT_PACE, SNAPSHOT_PACE_BYTES};
use crate::log::{Corrupt, Follower, FoundSnapshot, OpenError, Snapshot};
use crate::retained::Trees;
use crate::store::{State, Store};

/// Takes snapshots of what the writer has left behind. Two are kept that are whole: should one be damaged, the other is there.
pub(crate) struct Taker {
    follower: Follower,
    /// Bytes of segments behind the last one after which one is due; as many as the last one has itself, if that is more.
    every: u64,
    retention: Retention,
    trees: Arc<Trees>,
    seed: u64,
    known: Mutex<Known>,
    /// How often it was begun, and ended, to look for what may go on a full disk.
    easing: AtomicU64,
    eased: AtomicU64,
    asked: Mutex<Asked>,
    wake: Condvar,
}

/// What is known of the snapshots there are.
#[derive(Default)]
struct Known {
    /// The newest that was whole when it was last looked at.
    newest: Option<FoundSnapshot>,
    /// One that was not, whatever became of it: the disk is not to be trusted.
    damaged: Option<String>,
    /// Why the last one was not taken.
    untaken: Option<String>,
    /// Segments that no snapshot knows any more, and whose files are to go.
    leaving: Vec<u64>,
    /// Why some of them are still there.
    unremoved: Option<String>,
}

/// A snapshot that is whole, with what is in it.
struct Whole {
    found: FoundSnapshot,
    snapshot: Snapshot,
    engine: Engine,
}

/// The later ones say more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Nothing,
    Look,
    /// On a full disk.
    Ease,
    Stop,
}

/// Why none was taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untaken {
    #[error("{0}")]
    Log(#[from] OpenError),
    #[error(
        "no snapshot is whole, and segments before them were removed: {0}; look at the disk, and copy what the queues hold"
    )]
    Base(String),
    #[error("{0} is not what was written: {1}")]
    Changed(String, Corrupt),
    #[error("writing it failed: {0}")]
    Disk(#[from] std::io::Error),
    #[error("the store closes")]
    Closing,
}

impl Taker {
    /// One is taken after so many bytes, or as the retention asks for.
    pub(crate) fn new(
        follower: Follower,
        newest: Option<FoundSnapshot>,
        every: Option<u64>,
        retention: Retention,
        trees: Arc<Trees>,
        seed: u64,
    ) -> Self {
        let every = every.unwrap_or_else(|| retention.snapshot_bytes());
        // One may be due since before the store was opened.
        let (asked, wake) = (Mutex::new(Asked::Look), Condvar::new());
        let known = Mutex::new(Known { newest, ..Known::default() });
        Taker {
            follower,
            every,
            retention,
            trees,
            seed,
            known,
            easing: AtomicU64::new(0),
            eased: AtomicU64::new(0),
            asked,
            wake,
        }
    }

    /// The position of the newest snapshot, and when it was made.
    pub(crate) fn newest(&self) -> Option<(u64, u64)> {
        let newest = self.known().newest.as_ref().and_then(FoundSnapshot::valid);
        newest.map(|header| (header.position, header.made_ms))
    }

    /// What a person should know of the snapshots.
    pub(crate) fn trouble(&self) -> Option<String> {
        let known = self.known();
        let trouble = [known.damaged.clone(), known.untaken.clone(), known.unremoved.clone()];
        trouble.into_iter().flatten().reduce(|one, other| format!("{one}; {other}"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment may have been left behind.
    pub(crate) fn look(&self) {
        self.ask(Asked::Look);
    }

    /// How often it was looked to the end for what may go on a full disk; such looks are counted from one.
    pub(crate) fn eased(&self) -> u64 {
        self.eased.load(Ordering::Acquire)
    }

    /// The number of the next such look that begins.
    pub(crate) fn next_easing(&self) -> u64 {
        self.easing.load(Ordering::Acquire) + 1
    }

    /// Whether such a look is under way: what becomes free is for its snapshot.
    pub(crate) fn is_easing(&self) -> bool {
        self.eased() + 1 < self.next_easing()
    }

    /// The disk is full: what nobody needs is to go, also what was to be kept for looks.
    pub(crate) fn ease(&self) {
        self.ask(Asked::Ease);
    }

    pub(crate) fn stop(&self) {
        self.ask(Asked::Stop);
    }

    fn ask(&self, what: Asked) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if what > *asked {
            *asked = what;
            self.wake.notify_one();
        }
    }

    fn is_stopped(&self) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) == Asked::Stop
    }

    /// Runs until it is stopped. What fails is left out: the log goes on, and the next segment is another chance.
    pub(crate) fn run(&self, store: &Store) {
        loop {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            while *asked == Asked::Nothing {
                asked = self.wake.wait(asked).unwrap_or_else(PoisonError::into_inner);
            }
            if *asked == Asked::Stop {
                return;
            }
            let eases = mem::replace(&mut *asked, Asked::Nothing) == Asked::Ease;
            drop(asked);
            self.try_take(store, eases);
        }
    }

    /// Looks once, if it was asked to; answers whether it did.
    pub(crate) fn step(&self, store: &Store) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*asked, Asked::Look | Asked::Ease) {
            return false;
        }
        let eases = mem::replace(&mut *asked, Asked::Nothing) == Asked::Ease;
        drop(asked);
        self.try_take(store, eases);
        true
    }

    fn try_take(&self, store: &Store, eases: bool) {
        self.easing.fetch_add(eases.into(), Ordering::Release);
        let untaken = match self.take_for(store, eases) {
            Ok(()) | Err(Untaken::Closing) => None,
            Err(Untaken::Disk(error)) if is_full(&error) => {
                tracing::warn!("no snapshot was taken, the disk is full; the next start reads more of the log");
                Some("no snapshot was taken, the disk is full".to_owned())
            }
            Err(error) => {
                tracing::error!(%error, "no snapshot was taken; the next start reads more of the log");
                Some(format!("no snapshot was taken: {error}"))
            }
        };
        self.known().untaken = untaken;
        self.eased.fetch_add(eases.into(), Ordering::Release);
    }

    fn take_for(&self, store: &Store, eases: bool) -> Result<(), Untaken> {
        let (durable, unix_ms) = (store.lock().engine.durable(), store.clock.now().unix_ms);
        let is_closing = || self.is_stopped() || !matches!(store.lock().state, State::Open);
        let Some(preparer) = store.preparer.as_ref().filter(|_| eases) else {
            return self.take(durable, unix_ms, None, &is_closing).map(|_| ());
        };
        let ease = Some(preparer.ease_bytes());
        let removed = match self.take(durable, unix_ms, ease, &is_closing) {
            // That is what it was kept for.
            Err(Untaken::Disk(error)) if is_full(&error) && preparer.give_up() => {
                self.take(durable, unix_ms, ease, &is_closing)?
            }
            taken => taken?,
        };
        if removed {
            preparer.hurry();
        }
        Ok(())
    }

    /// Looks for one that is due when every record below a position is durable; answers whether segments went. On a full disk, which is
    /// to be eased of so many bytes, one is due whenever it covers more than the last.
    pub(super) fn take(
        &self,
        durable: u64,
        unix_ms: u64,
        ease: Option<u64>,
        is_closing: &dyn Fn() -> bool,
    ) -> Result<bool, Untaken> {
        let taken = self.take_due(durable, unix_ms, ease, is_closing);
        let has_gone = self.remove_leaving();
        taken.map(|()| has_gone)
    }

    /// Takes one, if one is due, and names what is to go then.
    fn take_due(
        &self,
        durable: u64,
        unix_ms: u64,
        ease: Option<u64>,
        is_closing: &dyn Fn() -> bool,
    ) -> Result<(), Untaken> {
        let Some(until) = self.due(durable, ease.is_some()) else { return Ok(()) };
        let disk = &**self.follower.disk();
        let (before, base, mut shadow) = match self.newest_whole()? {
            Some(Whole { found, snapshot, engine }) => (Some(found), Some(snapshot), engine),
            None => (None, None, Engine::new(self.seed)),
        };
        // Only what both snapshots cover may go: should this one be damaged, the one before it goes on from its own tail.
        let covered = base.as_ref().map_or(0, |base| base.position);
        let mut snapshot = self.follow(base.as_ref(), &mut shadow, until, is_closing)?;
        snapshot.made_ms = unix_ms;
        let log_bytes = self.follower.extent().bytes;
        let by_trees = ByTrees::judge(self.follower.reader(), &self.trees, &snapshot.kept, unix_ms);
        let lets_go = LetsGo {
            below: covered,
            needed: &shadow.places(),
            by_trees: &by_trees,
            log_bytes,
            ease: ease.unwrap_or(0),
        };
        let gone = self.retention.lets_go(&snapshot.kept, &lets_go, unix_ms);
        if ease.is_some() {
            // The one before that, whose room is needed: what the newest does not cover is in the log.
            self.remove_others(before.as_ref().map(|before| &*before.name), None)?;
        }
        snapshot.kept.retain(|kept| !gone.contains(&kept.number));
        let bytes_max = snapshot.file_bytes_max(shadow.dump_bytes_max());
        let written = snapshot.write(disk, |out| shadow.dump(out))?;
        debug_assert!(written.file_bytes() <= bytes_max, "{} of {bytes_max} bytes", written.file_bytes());
        drop(shadow);
        self.keep(&written, before)?;
        if ease.is_some() && !gone.is_empty() {
            tracing::warn!(segments = gone.len(), "the disk is full: settled messages go before their time");
        }
        // From now on every opening knows that they may be missing.
        self.known().leaving.extend(gone);
        Ok(())
    }

    /// Up to which segment one is to be taken, if one is due.
    fn due(&self, durable: u64, eases: bool) -> Option<u64> {
        let known = self.known();
        let last = known.newest.as_ref();
        let header = last.and_then(FoundSnapshot::valid);
        let due = if eases { 1 } else { self.every.max(last.map_or(0, |last| last.file_bytes)) };
        let sealed = self.follower.sealed(header.map_or(1, |header| header.position), durable);
        sealed.filter(|sealed| sealed.bytes >= due).map(|sealed| sealed.until)
    }

    /// Replays what lies between the last one and a segment.
    fn follow(
        &self,
        base: Option<&Snapshot>,
        shadow: &mut Engine,
        until: u64,
        is_closing: &dyn Fn() -> bool,
    ) -> Result<Snapshot, Untaken> {
        let (mut read, mut closes) = (0, false);
        let followed = self.follower.follow(base, until, &mut |view| {
            read += view.body.len();
            if read >= SNAPSHOT_PACE_BYTES {
                read = 0;
                thread::sleep(SNAPSHOT_PACE);
                closes = is_closing();
            }
            if closes { Err(Corrupt("the store closes".into())) } else { shadow.replay(&view) }
        });
        if closes { Err(Untaken::Closing) } else { Ok(followed?) }
    }
}

#[cfg(test)]
impl Taker {
    /// Removes a segment as if nobody needed it.
    pub(super) fn remove(&self, segment: u64) {
        self.follower.remove(segment).expect("it is there");
    }
}
