//! The thread that takes snapshots.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::Retention;
use super::base::load;
use crate::disk::is_full;
use crate::engine::Engine;
use crate::limits::{SNAPSHOT_PACE, SNAPSHOT_PACE_BYTES};
use crate::log::{Corrupt, Follower, FoundSnapshot, OpenError, Snapshot, snapshots};
use crate::store::{State, Store};

/// Snapshots that are kept: should the newest be damaged, the one before it is there.
const KEPT: usize = 2;

/// Takes snapshots of what the writer has left behind.
pub(crate) struct Taker {
    follower: Follower,
    /// Bytes of segments behind the last one after which one is due; as many as the last one has itself, if that is more.
    every: u64,
    retention: Retention,
    seed: u64,
    /// The newest one.
    newest: Mutex<Option<FoundSnapshot>>,
    asked: Mutex<Asked>,
    wake: Condvar,
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
    #[error("the snapshot before it, {0}")]
    Base(Corrupt),
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
        seed: u64,
    ) -> Self {
        let every = every.unwrap_or_else(|| retention.snapshot_bytes());
        // One may be due since before the store was opened.
        let (asked, wake) = (Mutex::new(Asked::Look), Condvar::new());
        Taker { follower, every, retention, seed, newest: Mutex::new(newest), asked, wake }
    }

    /// The position of the newest snapshot, and when it was made.
    pub(crate) fn newest(&self) -> Option<(u64, u64)> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().and_then(FoundSnapshot::valid).map(|header| (header.position, header.made_ms))
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
        match self.take_for(store) {
            Ok(()) | Err(Untaken::Closing) => {}
            Err(Untaken::Disk(error)) if is_full(&error) => {
                tracing::warn!("no snapshot was taken, the disk is full; the next start reads more of the log");
            }
            Err(error) => tracing::error!(%error, "no snapshot was taken; the next start reads more of the log"),
        }
    }

    fn take_for(&self, store: &Store) -> Result<(), Untaken> {
        let (durable, unix_ms) = (store.lock().engine.durable(), store.clock.now().unix_ms);
        let is_closing = || self.is_stopped() || !matches!(store.lock().state, State::Open);
        self.take(durable, unix_ms, &is_closing)
    }

    /// Takes one, if one is due, when every record below a position is durable.
    pub(super) fn take(&self, durable: u64, unix_ms: u64, is_closing: &dyn Fn() -> bool) -> Result<(), Untaken> {
        let last = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let from = last.as_ref().and_then(FoundSnapshot::valid).map_or(1, |header| header.position);
        let due = self.every.max(last.as_ref().map_or(0, |last| last.file_bytes));
        let Some(sealed) = self.follower.sealed(from, durable).filter(|sealed| sealed.bytes >= due) else {
            return Ok(());
        };
        let disk = &**self.follower.disk();
        let (base, mut shadow) = match &last {
            None => (None, Engine::new(self.seed)),
            Some(last) => {
                let (base, shadow) = load(disk, last, self.seed)?.map_err(Untaken::Base)?;
                (Some(base), shadow)
            }
        };
        let mut snapshot = self.follow(base.as_ref(), &mut shadow, sealed.until, is_closing)?;
        snapshot.made_ms = unix_ms;
        // Only what both snapshots cover may go: should this one be damaged, the one before it goes on from its own tail.
        let covered = base.map_or(0, |base| base.position);
        let log_bytes = self.follower.extent().bytes;
        let gone = self.retention.lets_go(&snapshot.kept, covered, &shadow.places(), log_bytes, unix_ms);
        snapshot.kept.retain(|kept| !gone.contains(&kept.number));
        shadow.dump(&mut snapshot.state);
        drop(shadow);
        snapshot.write(disk)?;
        self.prune()?;
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

    /// Only the newest stay.
    fn prune(&self) -> Result<(), Untaken> {
        let disk = &**self.follower.disk();
        let found = snapshots(disk)?;
        let mut valid = found.iter().filter(|found| found.valid().is_some());
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = valid.next().cloned();
        let Some(oldest) = valid.nth(KEPT - 2) else { return Ok(()) };
        for found in found.iter().filter(|found| found.number < oldest.number) {
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
