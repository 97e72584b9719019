//! The shell around the engine: its one lock, and the deliveries that leave it.
//!
//! Under the lock nothing reads the disk or waits, and no session is woken. Deliveries whose batch is
//! in memory go straight into mailboxes; the others go through the reading thread, and then
//! all that follow them to the same consumer do, too, so that none overtakes another.

use std::sync::{Arc, PoisonError};
use std::thread;

use bytes::Bytes;
use skep_core::{Clock, Entry, Now, Reply, Write};
use skep_protocol::{Code, Delivery, Error, Message, Position};

use crate::cache::Cache;
use crate::cold::{Cold, ColdLines};
use crate::commit::Preparer;
use crate::engine::entry::Place;
use crate::engine::{Due, Effects, Engine, Left, Shortage, Submission};
use crate::journal::MessageRecord;
use crate::limits::{COPY_BYTES_MAX, GIVE_WAY};
use crate::log::{BatchAt, ReadError, Reader};
use crate::sync::{Condvar, Mutex, MutexGuard, is_poisoned};
use crate::unstaged::Unstaged;

/// What the threads of a store share.
pub(crate) struct Store {
    shared: Mutex<Shared>,
    /// The writer sleeps on it.
    pub(crate) to_write: Condvar,
    /// The reading thread sleeps on it.
    pub(crate) to_read: Condvar,
    pub(crate) clock: Clock,
    pub(crate) reader: Reader,
    /// None where nothing is written.
    pub(crate) preparer: Option<Arc<Preparer>>,
}

/// What the lock guards.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) cache: Cache,
    pub(crate) state: State,
    /// What is refused while the disk has no room.
    pub(crate) short: Shortage,
    /// The writer is to begin the next segment: a snapshot is to cover this one.
    pub(crate) rolls: bool,
    /// What waits until it is known whether it has.
    pub(crate) unstaged: Unstaged,
    /// The writer sleeps until this moment, or for ever (`u64::MAX`); none while it is awake.
    pub(crate) sleeps_until_ms: Option<u64>,
    /// It knows of records that nobody waits for, and will write them when it wakes.
    pub(crate) knows_staged: bool,
    pub(crate) cold: ColdLines,
}

/// Whether the store serves.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// It does.
    Open,
    /// It finishes what was accepted, and takes nothing new; because something that is needed was found damaged, if that is why.
    Closing(Option<Error>),
    /// It takes nothing any more, and why.
    Stopped(Error),
}

impl Store {
    pub(crate) fn new(
        engine: Engine,
        clock: Clock,
        reader: Reader,
        preparer: Option<Arc<Preparer>>,
        state: State,
    ) -> Self {
        let shared = Shared {
            engine,
            cache: Cache::default(),
            state,
            short: Shortage::default(),
            rolls: false,
            unstaged: Unstaged::default(),
            sleeps_until_ms: None,
            knows_staged: false,
            cold: ColdLines::default(),
        };
        let (to_write, to_read) = (Condvar::new(), Condvar::new());
        Store { shared: Mutex::new(shared), to_write, to_read, clock, reader, preparer }
    }

    /// Whether somebody panicked under the lock.
    pub(crate) fn is_poisoned(&self) -> bool {
        is_poisoned(&self.shared)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_poisoned() && !matches!(shared.state, State::Stopped(_)) {
            // Somebody panicked halfway through a change: nothing staged since can be trusted.
            shared.stop(Error::new(Code::StoreFailed, "the engine failed; restart the hub, nothing durable is lost"));
        }
        shared
    }

    /// Whether files that are derived from the log may be written: not where nothing is, nor on a full disk.
    pub(crate) fn may_derive(&self) -> bool {
        let shared = self.lock();
        shared.refusal().is_none() && shared.short.growth.is_none()
    }

    /// Takes nothing new; the threads finish what was accepted and end.
    pub(crate) fn begin_close(&self) {
        let mut shared = self.lock();
        shared.close(None);
        drop(shared);
        self.let_in();
        self.to_write.notify_all();
        self.stop_reading();
    }

    /// Something that is still needed was durable and cannot be read any more. What was accepted is finished, and nothing new is
    /// taken: whoever looks is told what it is, and the next opening looks there, too.
    pub(crate) fn damaged(&self, position: u64, at: BatchAt, error: &ReadError) {
        if let Err(error) = self.reader.suspect(at) {
            tracing::warn!(%error, "it cannot be noted where damage was found");
        }
        let mut shared = self.lock();
        let what = match error {
            ReadError::Damaged { file, offset, fault } => format!("{file} at byte {offset}: {fault}"),
            ReadError::Missing { file } => format!("{file} is missing"),
            error @ ReadError::Io { .. } => error.to_string(),
        };
        let text = format!(
            "position {position} was durable, is not settled and cannot be read: {what}. Nothing new is taken. Stop the hub and see \
             all of it with `skep verify`; restore the file from a copy, or see with `skep repair` what it would cost to go on without"
        );
        tracing::error!("{text}");
        shared.close(Some(Error::new(Code::ReadOnly, text)));
        drop(shared);
        self.let_in();
        self.to_write.notify_all();
        self.stop_reading();
    }

    /// Takes nothing any more, at once; the threads end.
    pub(crate) fn fail(&self, why: Error) {
        self.lock().stop(why);
        self.to_write.notify_all();
        self.stop_reading();
    }

    /// Runs a step of the engine, sees its effects through, and wakes whom they concern.
    ///
    /// # Errors
    /// When the store takes nothing any more.
    pub(crate) fn step<T>(&self, step: impl FnOnce(&mut Engine, &mut Effects) -> T) -> Result<T, Error> {
        let mut shared = self.lock();
        if let State::Stopped(error) = &shared.state {
            return Err(error.clone());
        }
        let mut fx = Effects::default();
        let result = step(&mut shared.engine, &mut fx);
        self.settle_effects(shared, &mut fx);
        Ok(result)
    }

    /// Takes a write, slice by slice: in between, others have the lock. What has no room in the log waits behind those before it.
    pub(crate) fn submit(&self, write: &Write<'_>, now: Now, reply: Reply) {
        let mut left = Some(Submission::new(write, now, reply));
        let mut begun = false;
        while let Some(submission) = left {
            let mut shared = self.lock();
            let mut fx = Effects::default();
            match shared.refusal() {
                // What was taken before may be durable or not: the reply, dropped, says just that.
                Some(_) if begun && matches!(shared.state, State::Stopped(_)) => return,
                Some(error) if !begun => {
                    drop(shared);
                    submission.refuse(&error, &mut fx.wakes);
                    return fx.wakes.wake();
                }
                _ => {}
            }
            let Shared { engine, short, unstaged, .. } = &mut *shared;
            left = match engine.submit(submission, short, !unstaged.is_empty(), &mut fx) {
                Left::Nothing => None,
                Left::More(left) => Some(left),
                Left::Waits(rest, need) => {
                    unstaged.keep(write, rest, need, &mut fx.wakes);
                    self.ask_for_room(&mut shared);
                    None
                }
            };
            self.settle_effects(shared, &mut fx);
            begun = true;
            if left.is_some() {
                thread::sleep(GIVE_WAY);
            }
        }
    }

    /// Hands on what a step brought, then releases the lock and wakes.
    pub(crate) fn settle_effects(&self, mut shared: MutexGuard<'_, Shared>, fx: &mut Effects) {
        let now = self.clock.now();
        let to_read = shared.apply(now, fx);
        let to_write = shared.is_wanted(now);
        if to_write {
            shared.sleeps_until_ms = None;
        }
        drop(shared);
        if to_write {
            self.to_write.notify_one();
        }
        if to_read {
            self.to_read.notify_one();
        }
        fx.wakes.wake();
    }
}

impl Shared {
    /// Why nothing new is taken any more, if so.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match &self.state {
            State::Open => None,
            State::Closing(Some(error)) => Some(error.clone()),
            State::Closing(None) => Some(Error::new(Code::ShuttingDown, "the hub is closing")),
            State::Stopped(error) => Some(error.clone()),
        }
    }

    /// Puts deliveries into mailboxes, or in line for the reading thread; answers whether it has
    /// work. What nobody takes any more goes back, and perhaps to somebody else.
    pub(crate) fn apply(&mut self, now: Now, fx: &mut Effects) -> bool {
        self.engine.dispatch_touched(now, fx);
        while !fx.due.is_empty() {
            for due in std::mem::take(&mut fx.due) {
                let overtakes = self.cold.holds(due.consumer);
                match self.cache.get(due.place.batch()).cloned() {
                    Some(batch) if !overtakes => self.hand_over(due, &batch, now, fx),
                    _ => self.cold.push(Cold::Due(due)),
                }
            }
            self.engine.dispatch_touched(now, fx);
        }
        fx.notices.drain(..).for_each(|(at, place)| self.cold.push(Cold::Notice(at, place)));
        !self.cold.is_empty()
    }

    /// Puts a delivery into its mailbox.
    pub(crate) fn hand_over(&mut self, due: Due, batch: &Bytes, now: Now, fx: &mut Effects) {
        let Some(message) = message(batch, &due.place) else {
            self.engine.begin_lease(due.token, due.lease_ms, now);
            return tracing::error!(position = due.position, "a stored message is not readable as one");
        };
        // While it was read, its consumer may have gone, or its queue.
        if !self.engine.hand_over(due.token, due.lease_ms, now) {
            return;
        }
        let delivery = Delivery {
            subscription: due.outlet.subscription,
            queue: due.queue,
            position: Position::Number(due.position),
            attempt: due.attempt,
            lease: due.lease,
            lease_ms: due.lease_ms,
            previous: due.previous,
            message,
        };
        if due.outlet.mailbox.push(Entry::Delivery(delivery)) {
            fx.wakes.add(&due.outlet.mailbox);
        } else {
            self.engine.take_back(due.token);
        }
    }

    /// Whether the writer sleeps and should not: something is to be written, or time asks for
    /// something earlier than it knew.
    fn is_wanted(&self, now: Now) -> bool {
        let Some(until) = self.sleeps_until_ms else { return false };
        self.engine.is_due()
            || self.rolls
            || (self.engine.has_staged() && !self.knows_staged)
            || self.engine.next_tick(now).is_some_and(|at| at < until)
    }

    /// Takes nothing new. The first reason stays.
    fn close(&mut self, why: Option<Error>) {
        if matches!(self.state, State::Open) {
            self.state = State::Closing(why);
        }
    }

    /// Takes nothing any more; everybody who waits is answered `unknown`. The first reason stays.
    pub(crate) fn stop(&mut self, error: Error) {
        if !matches!(self.state, State::Stopped(_)) {
            self.state = State::Stopped(error);
        }
        if let State::Stopped(error) = &self.state {
            self.unstaged.refuse(error);
        }
        self.engine.abandon();
    }
}

/// The message record at a place of a batch. A place knows no flags: what they say, nobody asks here.
pub(crate) fn record<'a>(batch: &'a Bytes, place: &Place) -> Option<MessageRecord<'a>> {
    let body = batch.get(place.offset as usize..)?.get(..place.len as usize)?;
    MessageRecord::decode(0, body).ok()
}

/// The message at a place of a batch; a small one in memory of its own.
pub(crate) fn message(batch: &Bytes, place: &Place) -> Option<Message> {
    let record = record(batch, place)?;
    let bytes = if record.message.len() <= COPY_BYTES_MAX {
        Bytes::copy_from_slice(record.message)
    } else {
        batch.slice_ref(record.message)
    };
    Message::parse(bytes).ok()
}
