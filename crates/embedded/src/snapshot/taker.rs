//! The thread that takes snapshots.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Retention;
use super::base::load;
use super::by_trees::ByTrees;
use crate::disk::is_full;
use crate::engine::Engine;
use crate::limits::{SNAPSHOT_PACE, SNAPSHOT_PACE_BYTES};
use crate::log::{Corrupt, Follower, FoundSnapshot, OpenError, Snapshot, snapshot_name, snapshots};
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
}

/// A snapshot that is whole, with what is in it.
struct Whole {
    found: FoundSnapshot,
    snapshot: Snapshot,
    engine: Engine,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Look,
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
        Taker { follower, every, retention, trees, seed, known, asked, wake }
    }

    /// The position of the newest snapshot, and when it was made.
    pub(crate) fn newest(&self) -> Option<(u64, u64)> {
        let newest = self.known().newest.as_ref().and_then(FoundSnapshot::valid);
        newest.map(|header| (header.position, header.made_ms))
    }

    /// What a person should know of the snapshots.
    pub(crate) fn trouble(&self) -> Option<String> {
        let known = self.known();
        let trouble = [known.damaged.clone(), known.untaken.clone()];
        trouble.into_iter().flatten().reduce(|one, other| format!("{one}; {other}"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment may have been left behind.
    pub(crate) fn look(&self) {
        self.ask(Asked::Look);
    }

    pub(crate) fn stop(&self) {
        self.ask(Asked::Stop);
    }

    fn ask(&self, what: Asked) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if *asked != Asked::Stop {
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
            *asked = Asked::Nothing;
            drop(asked);
            self.try_take(store);
        }
    }

    /// Looks once, if it was asked to; answers whether it did.
    pub(crate) fn step(&self, store: &Store) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if *asked != Asked::Look {
            return false;
        }
        *asked = Asked::Nothing;
        drop(asked);
        self.try_take(store);
        true
    }

    fn try_take(&self, store: &Store) {
        let untaken = match self.take_for(store) {
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
    }

    fn take_for(&self, store: &Store) -> Result<(), Untaken> {
        let (durable, unix_ms) = (store.lock().engine.durable(), store.clock.now().unix_ms);
        let is_closing = || self.is_stopped() || !matches!(store.lock().state, State::Open);
        self.take(durable, unix_ms, &is_closing)
    }

    /// Takes one, if one is due, when every record below a position is durable.
    pub(super) fn take(&self, durable: u64, unix_ms: u64, is_closing: &dyn Fn() -> bool) -> Result<(), Untaken> {
        let last = self.known().newest.clone();
        let from = last.as_ref().and_then(FoundSnapshot::valid).map_or(1, |header| header.position);
        let due = self.every.max(last.as_ref().map_or(0, |last| last.file_bytes));
        let Some(sealed) = self.follower.sealed(from, durable).filter(|sealed| sealed.bytes >= due) else {
            return Ok(());
        };
        let disk = &**self.follower.disk();
        let (before, base, mut shadow) = match self.newest_whole()? {
            Some(Whole { found, snapshot, engine }) => (Some(found), Some(snapshot), engine),
            None => (None, None, Engine::new(self.seed)),
        };
        let mut snapshot = self.follow(base.as_ref(), &mut shadow, sealed.until, is_closing)?;
        snapshot.made_ms = unix_ms;
        // Only what both snapshots cover may go: should this one be damaged, the one before it goes on from its own tail.
        let covered = base.map_or(0, |base| base.position);
        let log_bytes = self.follower.extent().bytes;
        let by_trees = ByTrees::judge(self.follower.reader(), &self.trees, &snapshot.kept, unix_ms);
        let needed = shadow.places();
        let gone = self.retention.lets_go(&snapshot.kept, covered, &needed, &by_trees, log_bytes, unix_ms);
        snapshot.kept.retain(|kept| !gone.contains(&kept.number));
        shadow.dump(&mut snapshot.state);
        drop(shadow);
        snapshot.write(disk)?;
        self.keep(snapshot, before)?;
        // From now on every opening knows that they may be missing.
        gone.into_iter().try_for_each(|segment| self.follower.remove(segment)).map_err(Untaken::Disk)
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

    /// The newest that can be read. One that cannot is passed over, as an opening would: the one before goes on from its own tail.
    fn newest_whole(&self) -> Result<Option<Whole>, Untaken> {
        let disk = &**self.follower.disk();
        let mut damaged = Vec::new();
        for found in snapshots(disk)?.into_iter().filter(|found| found.header.is_some()) {
            match load(disk, &found, self.seed)? {
                Ok((snapshot, engine)) => return Ok(Some(Whole { found, snapshot, engine })),
                Err(Corrupt(why)) => {
                    let text = format!("snapshot {} was found damaged ({why})", found.name);
                    tracing::error!("{text}; another is taken in its place, look at the disk");
                    self.known().damaged = Some(text.clone());
                    damaged.push(text);
                }
            }
        }
        if self.follower.is_whole() { Ok(None) } else { Err(Untaken::Base(damaged.join(", "))) }
    }

    /// Of the snapshots stay the one that was written just now, if it can be read, and the one before it, which was read for it. All
    /// others are older, or damaged.
    fn keep(&self, written: Snapshot, before: Option<FoundSnapshot>) -> Result<(), Untaken> {
        let disk = &**self.follower.disk();
        let name = snapshot_name(written.segment);
        let found = snapshots(disk)?;
        let Some(newest) = found.iter().find(|found| found.name == name) else {
            return Err(Untaken::Changed(name, Corrupt("it is not there".into())));
        };
        match newest.read(disk)? {
            Ok(read) if read == written => {}
            Ok(_) => return Err(Untaken::Changed(name, Corrupt("it differs".into()))),
            Err(corrupt) => return Err(Untaken::Changed(name, corrupt)),
        }
        self.known().newest = Some(newest.clone());
        let stays = |found: &FoundSnapshot| {
            found.name == name || before.as_ref().is_some_and(|before| before.name == found.name)
        };
        for found in found.iter().filter(|found| !stays(found)) {
            disk.remove(&found.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Taker {
    /// Removes a segment as if nobody needed it.
    pub(super) fn remove(&self, segment: u64) {
        self.follower.remove(segment).expect("it is there");
    }
}
