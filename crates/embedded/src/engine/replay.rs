//! The state, rebuilt from the log: every record takes effect as it did then. Records are
//! facts, so nothing is decided again.

use skep_core::Now;
use skep_protocol::{Ended, MessageRef};

use super::Engine;
use super::dead::{Notice, comes_back};
use super::dedup::{Stored, told_by};
use super::entry::{Entry, Place};
use super::settled::Kind;
use super::timers::Timer;
use crate::journal::{LeaseOf, MessageRecord, QueueId, Record, Token, runs};
use crate::log::{BatchAt, Corrupt, RecordView};

/// A message that was leased when its last record was written.
#[derive(Debug)]
pub(super) struct Recovering {
    pub(super) entry: Entry,
    pub(super) progress: Option<String>,
}

impl Engine {
    /// Lets a record take effect.
    ///
    /// # Errors
    /// When it contradicts those before it.
    pub(crate) fn replay(&mut self, view: &RecordView<'_>) -> Result<(), Corrupt> {
        let Some(record) = Record::decode(view)? else { return Ok(()) };
        if view.lost_until > 0 {
            self.bridge(&record);
            if self.names_what_is_lost(&record, view.lost_until) {
                return Ok(());
            }
        }
        self.replay_record(view, record)
    }

    fn replay_record(&mut self, view: &RecordView<'_>, record: Record<'_>) -> Result<(), Corrupt> {
        match record {
            Record::Message(record) => self.replay_message(view, &record)?,
            Record::Lease { lease, .. } => self.replay_lease(&lease)?,
            Record::Extend { lease, progress, .. } => self.replay_progress(&lease, progress),
            Record::Ack(lease) => {
                let entry = self.pull(&lease)?;
                self.release(lease.queue, &entry);
                self.remember(lease.token, Some(Kind::Ack), view);
            }
            Record::Nack { lease, not_before_ms, reason } => {
                self.note_replayed(&lease, reason);
                let entry = self.pull(&lease)?;
                self.delay(lease.queue, entry, not_before_ms);
                self.remember(lease.token, Some(Kind::Nack), view);
            }
            Record::Return { lease, charged, reason } => {
                if charged {
                    self.note_replayed(&lease, reason);
                }
                let entry = self.pull(&lease)?;
                let attempts = if charged { lease.attempt } else { lease.attempt.saturating_sub(1) };
                self.queue(lease.queue)?.put(Entry { attempts, ..entry });
                self.remember(lease.token, (!charged && reason.is_empty()).then_some(Kind::Return), view);
            }
            Record::Dead { lease, to, by, owed, reason } => {
                let owed = owed.then_some(view.position);
                self.replay_dead(&lease, to, owed, reason, comes_back(by, reason))?;
                self.queue(to)?.hold_died(lease.position, view.time_ms);
                self.remember(lease.token, Kind::behind(by), view);
            }
            Record::Drop { lease, by, .. } => {
                let entry = self.pull(&lease)?;
                self.release(lease.queue, &entry);
                self.remember(lease.token, Kind::behind(by), view);
            }
            Record::Told { dead, .. } => drop(self.owed.remove(&dead)),
            Record::Declare { queue: QueueId::MAX, .. } => {
                return Err(Corrupt("no queue has the last number".to_owned()));
            }
            Record::Declare { queue, spec } => self.set_spec(queue, spec),
            Record::Undeclare { queue } => self.replay_undeclare(queue),
            Record::FactPut { revision, key, value, until_ms } => self.facts.put(key, revision, value, until_ms),
            Record::FactDelete { key } => drop(self.facts.delete(key)),
            Record::Purge { queue, runs: bytes } => self.replay_purge(view, queue, bytes)?,
            Record::Redrive { dead, to, position } => {
                let entry = self.pull_at(dead, position)?;
                self.revive(dead, to, entry);
                let key = self.queue(to)?.keys().and_then(|keys| keys.key_of(position));
                key.into_iter().for_each(|key| self.join_due(to, Some(key), view.time_ms, view.position));
                self.queue(to)?.put(Entry { attempts: 0, ..entry });
            }
        }
        Ok(())
    }

    /// The log is read: leases that nothing ended are ready again, and the attempt counts; the
    /// engine goes on at a position, in the given opening of the store with that secret.
    pub(crate) fn recovered(&mut self, position: u64, open: u64, secret: u64, now: Now) {
        (self.open, self.secret) = (open, secret);
        (self.durable, self.reached) = (position, position);
        self.staging.begin(position);
        for ((queue, _), held) in std::mem::take(&mut self.recovering) {
            self.restart(queue, held);
        }
        let queues: Vec<QueueId> = self.queues.keys().copied().collect();
        for id in queues {
            self.settle_keys(id, position, now);
            self.watch(id, 0);
            self.weigh(id);
        }
        self.touched.clear();
        self.look_for_ended(0);
        for at in self.owed.keys() {
            self.timers.set(now.mono_ms, Timer::Notice(*at));
        }
    }

    /// A restart ended a lease: its message is ready again, charged.
    fn restart(&mut self, queue: QueueId, held: Recovering) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            let reason = "hub_restarted".to_owned();
            queue.note(held.entry.position, Ended { reason, progress: held.progress });
            queue.put(held.entry);
        }
    }

    fn replay_message(&mut self, view: &RecordView<'_>, record: &MessageRecord<'_>) -> Result<(), Corrupt> {
        let message = MessageRef::parse(record.message).map_err(|error| Corrupt(error.text))?;
        let place = Place::new(view.batch, view.offset, view.len).ok_or_else(|| beyond(view.batch))?;
        let entry = Entry::of(&message, view.position, place, view.time_ms);
        let tries = message.tries().ok().flatten();
        let not_before_ms = message.not_before_ms().ok().flatten();
        let key = self.key_of(&message);
        for id in record.queues() {
            self.queue(id)?.hold(&entry);
            tries
                .into_iter()
                .try_for_each(|tries| self.queue(id).map(|queue| queue.hold_tries(view.position, tries)))?;
            if let Some(key) = key {
                self.join_due(id, Some(key), view.time_ms, view.position);
                self.queue(id)?.hold_key(view.position, key);
            }
            let queue = self.queue(id)?;
            match not_before_ms {
                // Its moment may have come since: time makes ready without a record.
                Some(until_ms) if key.is_none() || until_ms > view.time_ms => self.delay(id, entry, until_ms),
                _ => queue.put(entry),
            }
        }
        let queues = u32::try_from(record.queues().count()).unwrap_or(u32::MAX);
        let at = Stored { position: view.position, queues };
        if let Some((id, sequence)) = record.producer {
            self.producers.store(&id, record.party, sequence, told_by(&message), at, view.time_ms);
        }
        if record.by_id {
            self.ids.forget_old(view.time_ms);
            self.ids.store(self.ids.mark(record.party, &message), at, view.time_ms);
        }
        Ok(())
    }

    fn replay_lease(&mut self, lease: &LeaseOf) -> Result<(), Corrupt> {
        // Nothing ended the lease before: the hub did, when it was restarted in between.
        if let Some(held) = self.recovering.remove(&(lease.queue, lease.position)) {
            self.restart(lease.queue, held);
        }
        let mut entry = self.pull(lease)?;
        entry.attempts = lease.attempt;
        self.queue(lease.queue)?.begin(lease.position);
        self.recovering.insert((lease.queue, lease.position), Recovering { entry, progress: None });
        Ok(())
    }

    /// A message died; a notice is owed for it under this position, if one is.
    fn replay_dead(
        &mut self,
        lease: &LeaseOf,
        to: QueueId,
        owed: Option<u64>,
        reason: &str,
        comes_back: bool,
    ) -> Result<(), Corrupt> {
        let progress = self.progress(lease);
        let entry = self.pull(lease)?;
        let queue = self.queue(lease.queue)?;
        let notice = Notice::of(queue, &entry, reason);
        self.owed.extend(owed.map(|at| (at, notice)));
        self.queue(to)?;
        self.die(lease.queue, to, &entry, Ended { reason: reason.to_owned(), progress }, comes_back);
        self.queue(to)?.put(entry);
        Ok(())
    }

    fn replay_progress(&mut self, lease: &LeaseOf, progress: &str) {
        let held = self.recovering.get_mut(&(lease.queue, lease.position));
        if let Some(held) = held.filter(|_| !progress.is_empty()) {
            held.progress = Some(progress.to_owned());
        }
    }

    pub(super) fn replay_undeclare(&mut self, queue: QueueId) {
        self.recovering.retain(|(of, _), _| *of != queue);
        self.forget(queue);
    }

    fn replay_purge(&mut self, view: &RecordView<'_>, queue: QueueId, bytes: &[u8]) -> Result<(), Corrupt> {
        for (first, count) in runs(bytes) {
            for position in first..first.saturating_add(count) {
                if position < view.lost_until && !self.brings(queue, position) {
                    continue;
                }
                let entry = self.pull_at(queue, position)?;
                self.release(queue, &entry);
            }
        }
        Ok(())
    }

    /// Takes a message from wherever it is: leased, delayed or ready.
    fn pull(&mut self, lease: &LeaseOf) -> Result<Entry, Corrupt> {
        self.pull_at(lease.queue, lease.position)
    }

    /// Time, and a restart, make messages ready without a record: in replay one that was ready then
    /// may still count as delayed or leased.
    pub(super) fn pull_at(&mut self, queue: QueueId, position: u64) -> Result<Entry, Corrupt> {
        let key = (queue, position);
        if let Some(held) = self.recovering.remove(&key) {
            return Ok(held.entry);
        }
        if let Some(entry) = self.end_delay(queue, position) {
            return Ok(entry);
        }
        self.queue(queue)?.take_at(position).ok_or_else(|| missing(position))
    }

    fn note_replayed(&mut self, lease: &LeaseOf, reason: &str) {
        let progress = self.progress(lease);
        if let Some(queue) = self.queues.get_mut(&lease.queue) {
            queue.note(lease.position, Ended { reason: reason.to_owned(), progress });
        }
    }

    /// What was last heard of a message: under its lease, or before a restart.
    fn progress(&self, lease: &LeaseOf) -> Option<String> {
        match self.recovering.get(&(lease.queue, lease.position)) {
            Some(held) => held.progress.clone(),
            None => self.queues.get(&lease.queue)?.ended(lease.position)?.progress.clone(),
        }
    }

    fn remember(&mut self, token: Token, kind: Option<Kind>, view: &RecordView<'_>) {
        if let Some(kind) = kind.filter(|_| token != Token::default()) {
            self.settled.remember(token, kind, view.position, view.time_ms);
        }
    }

    fn queue(&mut self, id: QueueId) -> Result<&mut super::queue::Queue, Corrupt> {
        let queue = self.queues.get_mut(&id).map(|queue| &mut **queue);
        queue.ok_or_else(|| Corrupt(format!("queue {id} was never declared, or deleted before")))
    }
}

/// Nothing is written where this batch is said to lie.
pub(super) fn beyond(batch: BatchAt) -> Corrupt {
    let BatchAt { segment, offset } = batch;
    Corrupt(format!("no batch lies at {offset} of segment {segment}: no segment has such a number, or a file so long"))
}

fn missing(position: u64) -> Corrupt {
    Corrupt(format!("no message at position {position} is held by its queue"))
}
