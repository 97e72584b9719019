//! The writing thread: takes what is staged, writes it, syncs it once if anything in it asks for that, lets it take effect.
//!
//! While one batch is on its way to disk the next one fills, so batches grow with load and
//! nobody waits to fill one.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use skep_core::Now;
use skep_protocol::{Code, Error};

use crate::engine::{Effects, Engine};
use crate::limits::IDLE_PROOF_MS;
use crate::log::{LogBuffer, LogError, Writer, Written};
use crate::snapshot::Taker;
use crate::store::{Shared, State, Store};
use crate::sync::MutexGuard;

#[cfg(skep_loom)]
pub mod models;
mod preparer;
pub(crate) mod steps;

pub(crate) use self::preparer::Preparer;
use self::preparer::refusal;

/// Effects that are let out under one hold of the lock.
const ADVANCE_MAX: usize = 256;
/// How long to wait before a disk without room, or a process without file descriptors, is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// The writing thread's own state.
pub(crate) struct Committer {
    store: Arc<Store>,
    writer: Writer,
    preparer: Arc<Preparer>,
    taker: Arc<Taker>,
    /// When the last batch was synced that nothing proves durable yet, on the monotonic clock.
    unproven_since_ms: Option<u64>,
    /// When what was written is to be synced at the latest, on the monotonic clock.
    sync_at_ms: Option<u64>,
    /// Since when it knows of records that no sync was asked for.
    staged_since_ms: Option<u64>,
    /// Writes wait for room in the log.
    others_wait: bool,
    /// The next segment was prepared when it was last looked.
    had_spare: bool,
}

/// What the writer is to do next.
enum Next {
    /// And whether it is to be synced.
    Write(LogBuffer, bool),
    Sync,
    Prove,
    Close,
    Stop,
}

/// What the writer found.
enum Choice<'a> {
    Do(Next),
    /// Nothing is to be done before this moment, if there is one. Under the lock it was seen.
    Sleep(MutexGuard<'a, Shared>, Option<u64>),
}

impl Committer {
    pub(crate) fn new(store: Arc<Store>, writer: Writer, preparer: Arc<Preparer>, taker: Arc<Taker>) -> Self {
        Committer {
            store,
            writer,
            preparer,
            taker,
            unproven_since_ms: None,
            sync_at_ms: None,
            staged_since_ms: None,
            others_wait: false,
            had_spare: false,
        }
    }

    /// Runs until the store closes or the log fails.
    pub(crate) fn run(mut self) {
        loop {
            let result = match self.next() {
                Next::Write(buffer, sync) => self.write(buffer, sync),
                Next::Sync => self.sync(),
                Next::Prove => self.prove(false),
                Next::Stop => return self.end(engine_failed()),
                Next::Close => {
                    let why = self.last_word();
                    return self.end(why);
                }
            };
            if let Err(error) = result {
                tracing::error!(%error, "the log has stopped");
                return self.end(failed(&error));
            }
        }
    }

    /// Sleeps until there is something to do.
    fn next(&mut self) -> Next {
        let store = self.store.clone();
        let mut shared = store.lock();
        loop {
            let until;
            (shared, until) = match self.choose(&store, shared) {
                Choice::Do(next) => return next,
                Choice::Sleep(shared, until) => (shared, until),
            };
            shared.sleeps_until_ms = Some(until.unwrap_or(u64::MAX));
            shared = sleep(&store, shared, until);
            shared.sleeps_until_ms = None;
        }
    }

    /// Does what time asks for, and says what is to be done next.
    fn choose<'a>(&mut self, store: &'a Store, mut shared: MutexGuard<'a, Shared>) -> Choice<'a> {
        loop {
            // What was staged when somebody panicked, or after the store stopped, must not reach the disk.
            if store.is_poisoned() || matches!(shared.state, State::Stopped(_)) {
                return Choice::Do(Next::Stop);
            }
            let now = store.clock.now();
            if shared.engine.next_tick(now).is_some_and(|at| at <= now.mono_ms) {
                let mut fx = Effects::default();
                shared.engine.tick(now, &mut fx);
                store.settle_effects(shared, &mut fx);
                shared = store.lock();
                continue;
            }
            let closing = !matches!(shared.state, State::Open);
            if shared.rolls
                && !closing
                && !shared.engine.has_staged()
                && mem::take(&mut shared.rolls)
                && self.writer.spare_ready()
            {
                self.writer.roll();
                shared.engine.roll();
                if let Some(buffer) = shared.engine.staging().take() {
                    return Choice::Do(self.taken(&mut shared.engine, buffer, true, now));
                }
            }
            // Leases wait for no sync of their own, but not for ever: a restart must know of them.
            let flush_at =
                shared.engine.has_staged().then(|| *self.staged_since_ms.get_or_insert(now.mono_ms) + IDLE_PROOF_MS);
            let flush = flush_at.is_some_and(|at| at <= now.mono_ms);
            // Not only when nothing else is to be done: who is busy syncs in time, too.
            let sync = shared.engine.wants_sync() || self.sync_at_ms.is_some_and(|at| at <= now.mono_ms);
            if (shared.engine.is_due() || closing || flush)
                // Buffers reserve positions themselves.
                && let Some(buffer) = shared.engine.staging().take()
            {
                return Choice::Do(self.taken(&mut shared.engine, buffer, sync, now));
            }
            if sync {
                return Choice::Do(Next::Sync);
            }
            if closing {
                if shared.short.growth.is_none() && shared.engine.return_leases() {
                    continue;
                }
                return Choice::Do(Next::Close);
            }
            let proof_at = self.unproven_since_ms.map(|since| since + IDLE_PROOF_MS);
            if proof_at.is_some_and(|at| at <= now.mono_ms) {
                return Choice::Do(Next::Prove);
            }
            shared.knows_staged = flush_at.is_some();
            let until = [shared.engine.next_tick(now), proof_at, flush_at, self.sync_at_ms].into_iter().flatten().min();
            return Choice::Sleep(shared, until);
        }
    }

    /// A buffer was taken: what it asks for is known while nothing more can be staged.
    fn taken(&mut self, engine: &mut Engine, buffer: LogBuffer, sync: bool, now: Now) -> Next {
        self.staged_since_ms = None;
        let within = engine.staging().sync_within_ms().map(|ms| now.mono_ms.saturating_add(ms));
        self.sync_at_ms = self.sync_at_ms.into_iter().chain(within).min();
        let sync = sync || engine.staging().asks_sync(&buffer);
        Next::Write(buffer, sync)
    }

    fn write(&mut self, mut buffer: LogBuffer, sync: bool) -> Result<(), LogError> {
        let written = loop {
            match self.try_write(&mut buffer, sync) {
                Ok(written) => break written,
                Err(short) if short.is_shortage() && self.is_short(&short)? => self.wait_for_room(),
                Err(error) => return Err(error),
            }
        };
        self.keep(written, buffer);
        while self.advance(written) {}
        self.is_written(written);
        Ok(())
    }

    fn try_write(&mut self, buffer: &mut LogBuffer, sync: bool) -> Result<Written, LogError> {
        let written = self.writer.write(buffer, self.store.clock.now().unix_ms, sync)?;
        self.look_ahead();
        Ok(written)
    }

    /// A batch was written, and perhaps synced with all before it.
    fn is_written(&mut self, written: Written) {
        if written.durable >= written.end {
            self.is_synced();
        }
        if mem::take(&mut self.others_wait) {
            self.store.let_in();
        }
    }

    /// Everything written so far is synced now, and nothing proves it yet.
    fn is_synced(&mut self) {
        self.sync_at_ms = None;
        self.unproven_since_ms = Some(self.store.clock.now().mono_ms);
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let durable = self.writer.sync()?;
        self.is_synced();
        let mut fx = Effects::default();
        let mut shared = self.store.lock();
        shared.engine.synced(durable, &mut fx);
        self.store.settle_effects(shared, &mut fx);
        Ok(())
    }

    /// What was written stays in memory for a while, and the next is staged where it was.
    fn keep(&mut self, written: Written, buffer: LogBuffer) {
        let batch = Bytes::copy_from_slice(buffer.bytes());
        let store = self.store.clone();
        let mut shared = store.lock();
        shared.cache.insert(written.batch, batch);
        shared.engine.staging().give_back(buffer);
        self.tell_room(shared);
    }

    /// Says how much room the log has now.
    fn tell_room(&mut self, mut shared: MutexGuard<'_, Shared>) {
        shared.engine.written(self.writer.room());
        self.others_wait = !shared.unstaged.is_empty();
        // What waited for room may be handed out now.
        self.store.settle_effects(shared, &mut Effects::default());
    }

    /// Lets some of what is durable take effect; answers whether there is more.
    fn advance(&self, written: Written) -> bool {
        let mut shared = self.store.lock();
        let mut fx = Effects::default();
        let more = shared.engine.advance(written, self.store.clock.now(), ADVANCE_MAX, &mut fx);
        self.store.settle_effects(shared, &mut fx);
        more
    }

    fn prove(&mut self, clean: bool) -> Result<(), LogError> {
        self.unproven_since_ms = None;
        match self.writer.prove(self.store.clock.now().unix_ms, clean) {
            // A proof is a help for recovery; without room it is left out.
            Err(error) if !error.is_shortage() => return Err(error),
            _ => {}
        }
        let store = self.store.clone();
        self.tell_room(store.lock());
        self.look_ahead();
        Ok(())
    }

    /// The next segment is prepared while this one is written.
    fn look_ahead(&mut self) {
        let had_spare = mem::replace(&mut self.had_spare, self.writer.spare_ready());
        // Where there was no room, it is tried again after a while; or at once when what there was is begun.
        if !self.had_spare && (had_spare || !self.preparer.is_short()) {
            self.preparer.hurry();
        }
    }

    /// Proves all of it durable, the last thing before the end; answers what whoever comes is told from then on.
    fn last_word(&mut self) -> Error {
        match self.prove(true) {
            Ok(()) => match &self.store.lock().state {
                State::Closing(Some(damaged)) => damaged.clone(),
                _ => Error::new(Code::ShuttingDown, "the hub is closed"),
            },
            Err(error) => failed(&error),
        }
    }

    /// A batch has no room in the log. Answers whether it is to be tried again, as it is unless the store closes: what has
    /// no room by then stays unwritten, and whoever waits for it is told.
    fn is_short(&mut self, error: &LogError) -> Result<bool, LogError> {
        // What was answered at a weaker level is not to wait for room with this.
        self.sync()?;
        let mut shared = self.store.lock();
        shared.short.growth = Some(refusal(error));
        Ok(matches!(shared.state, State::Open))
    }

    /// Waits until a full disk, or a full table of open files, is to be tried again, or the store closes.
    fn wait_for_room(&self) {
        let shared = self.store.lock();
        if matches!(shared.state, State::Open) {
            let waited = self.store.to_write.wait_timeout(shared, FULL_RETRY);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn end(self, why: Error) {
        self.store.lock().stop(why);
    }
}

impl Drop for Committer {
    /// Without it nothing is written any more, also when it panicked: whoever waits is answered,
    /// and the other threads end.
    fn drop(&mut self) {
        self.store.lock().stop(Error::new(Code::StoreFailed, "the writing thread ended; restart the hub"));
        self.store.stop_reading();
        self.preparer.stop();
        self.taker.stop();
    }
}

fn sleep<'a>(store: &'a Store, shared: MutexGuard<'a, Shared>, until_ms: Option<u64>) -> MutexGuard<'a, Shared> {
    match until_ms {
        None => store.to_write.wait(shared).unwrap_or_else(PoisonError::into_inner),
        Some(at) => {
            // A millisecond more: the clock counts whole ones, and must have passed it.
            let wait = store.clock.until(at) + Duration::from_millis(1);
            store.to_write.wait_timeout(shared, wait).unwrap_or_else(PoisonError::into_inner).0
        }
    }
}

fn engine_failed() -> Error {
    Error::new(Code::StoreFailed, "the engine failed; restart the hub")
}

fn failed(error: &LogError) -> Error {
    Error::new(Code::StoreFailed, error.to_string())
}

#[cfg(test)]
mod tests {
    use skep_core::Clock;

    use super::*;
    use crate::disk::recording::RecordingDisk;
    use crate::engine::Engine;
    use crate::journal::Record;
    use crate::log::limits::POSITION_BLOCK;
    use crate::log::{Mode, OpenWith, open};

    #[test]
    fn a_burst_of_more_records_than_positions_are_reserved_is_written() {
        let opened = open(Arc::new(RecordingDisk::new()), OpenWith::new([1; 16], 1), &mut |_| Ok(())).expect("opens");
        let Mode::ReadWrite(mut writer) = opened.mode else { panic!("a new store is sound") };
        let mut engine = Engine::new(1);
        engine.recovered(opened.next_position, opened.open_count, 1, Clock::new().now());
        // Nothing is written meanwhile: a million leases that end at once are staged in one step.
        for _ in 0..5 * POSITION_BLOCK / 4 {
            engine.staging().append(&Record::Undeclare { queue: 1 });
        }
        while let Some(mut buffer) = engine.staging().take() {
            let (end, reserved) = (buffer.position(), writer.position_limit());
            assert!(end <= reserved, "positions up to {end} were staged, durably reserved are those below {reserved}");
            writer.write(&mut buffer, 1, true).expect("a healthy log writes");
            engine.staging().give_back(buffer);
        }
        assert!(writer.durable() > opened.next_position + POSITION_BLOCK);
    }
}
