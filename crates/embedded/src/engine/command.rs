//! Queues are declared, deleted, purged, redriven; and looked at.

use std::ops::Bound;
use std::sync::PoisonError;

use skep_core::limits::LIST_BYTES_MAX;
use skep_core::{Now, QueueCommand, unknown_queue};
use skep_protocol::{Code, Consumers, Ended, Error, Holder, Position, QueueInfo, QueueName, QueueSpec};

use super::entry::Entry;
use super::queue::Queue;
use super::timers::Timer;
use super::{Claim, Effects, Engine, Need, Pending};
use crate::journal::{QueueId, Record};
use crate::limits::{DECLARE_BYTES, QUEUES_MAX, REDRIVE_MAX};

/// Positions of a purge that go into one record.
const PURGE_RUNS_MAX: usize = 4096;

/// As many messages are dropped at once however little room is left in the log.
const PURGED_MIN: u64 = 64;
/// Bytes of a run in such a record.
const RUN_BYTES: usize = 16;
/// More bytes than it, or the deletion of a queue, takes besides.
const PURGE_BYTES: usize = 64;
/// More bytes than the record of a message that is moved back takes.
const REDRIVE_BYTES: usize = 32;

/// A message that a queue holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) entry: Entry,
    /// How the last attempt on it ended.
    pub(crate) previous: Option<Ended>,
    /// Who has it.
    pub(crate) holder: Option<Holder>,
    /// Until when it waits, if it is delayed.
    pub(crate) due_ms: Option<u64>,
    /// When it died, if it is a dead letter.
    pub(crate) died_ms: Option<u64>,
}

impl Engine {
    /// Runs a command; answers how much it changed. It holds once everything staged is durable.
    pub(crate) fn command(&mut self, command: &QueueCommand, now: Now, fx: &mut Effects) -> Result<u64, Error> {
        if !self.staging.has_room(256 * 1024, 1) {
            return Err(Error::new(Code::Busy, "the log has no room just now; try again"));
        }
        match command {
            QueueCommand::Declare(spec) => self.declare(spec, now, fx),
            QueueCommand::Delete(name, force) => self.delete(name, *force),
            QueueCommand::Purge(name, limit) => self.purge(name, *limit),
            QueueCommand::Redrive(name, limit) => self.redrive(name, *limit, now),
            QueueCommand::RedriveAt(name, positions) => self.redrive_at(name, positions, now),
            QueueCommand::PurgeAt(name, positions) => self.purge_at(name, positions),
        }
    }

    /// What a command takes in the log at most.
    pub(crate) fn log_room(&self, command: &QueueCommand) -> Need {
        let moved = match command {
            // In JSON each byte of a filter may be six.
            QueueCommand::Declare(spec) => {
                let filters = spec.filters.iter().map(|filter| 6 * filter.as_str().len() + 8).sum::<usize>();
                return Need { claim: Claim::Growth, bytes: filters + DECLARE_BYTES, records: 1 };
            }
            QueueCommand::Redrive(name, limit) => self.info(name).map_or(0, |info| info.dead.min(u64::from(*limit))),
            QueueCommand::RedriveAt(_, positions) => positions.len() as u64,
            QueueCommand::Delete(..) => return clearing(1),
            QueueCommand::Purge(name, limit) => {
                return clearing(self.info(name).map_or(0, |info| info.held().min(u64::from(*limit)).min(PURGED_MIN)));
            }
            QueueCommand::PurgeAt(_, positions) => return clearing(positions.len() as u64),
        };
        let moved = moved.min(REDRIVE_MAX as u64) as u32;
        Need { claim: Claim::Growth, bytes: moved as usize * REDRIVE_BYTES, records: moved }
    }

    /// What a queue holds.
    pub(crate) fn info(&self, name: &QueueName) -> Option<QueueInfo> {
        let queue = self.queues.get(self.names.get(name)?)?;
        let dead = name.dead().and_then(|dead| self.queues.get(self.names.get(&dead)?));
        let active = self.first_consumer(queue).filter(|_| queue.spec.consumers != Consumers::Shared);
        Some(QueueInfo { dead: dead.map_or(0, |dead| dead.held), active: active.map(str::to_owned), ..queue.info() })
    }

    /// What queues hold, by name, those behind one: a page of them, and behind which to go on.
    pub(crate) fn infos(&self, after: Option<&QueueName>, limit: usize) -> (Vec<QueueInfo>, Option<QueueName>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = self.names.range::<QueueName, _>((from, Bound::Unbounded)).map(|(name, _)| name).peekable();
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some(name) = names.next() {
            let Some(info) = self.info(name) else { continue };
            bytes += info.bytes();
            page.push(info);
            if page.len() >= limit || bytes >= LIST_BYTES_MAX {
                return (page, names.peek().map(|_| name.clone()));
            }
        }
        (page, None)
    }

    /// The messages a queue holds from a position on, leased and delayed ones included, oldest
    /// first.
    pub(crate) fn held(&self, name: &QueueName, from: u64, limit: usize, now: Now) -> Result<Vec<Held>, Error> {
        let id = self.names.get(name).ok_or_else(|| unknown_queue(name))?;
        let queue = self.queues.get(id).ok_or_else(|| unknown_queue(name))?;
        let leased = self.leases.values().filter(|lease| lease.queue == *id && lease.entry.position >= from);
        let leased = leased.map(|lease| (lease.entry, Some(lease.holder(now)), None));
        let delayed = self.delayed.range((*id, from)..=(*id, u64::MAX)).take(limit);
        let delayed = delayed.map(|(_, waiting)| (waiting.entry, None, Some(waiting.until_ms)));
        let ready = queue.ready_from(from, limit).map(|entry| (entry, None, None));
        let mut entries: Vec<(Entry, Option<Holder>, Option<u64>)> = ready.chain(leased).chain(delayed).collect();
        entries.sort_unstable_by_key(|(entry, ..)| entry.position);
        entries.truncate(limit);
        let held = |(entry, holder, due_ms): (Entry, Option<Holder>, Option<u64>)| Held {
            entry,
            previous: queue.ended(entry.position).cloned(),
            holder,
            due_ms,
            died_ms: queue.died(entry.position),
        };
        Ok(entries.into_iter().map(held).collect())
    }

    fn declare(&mut self, spec: &QueueSpec, now: Now, fx: &mut Effects) -> Result<u64, Error> {
        let Some(id) = self.names.get(&spec.name).copied() else {
            if self.queues.len() >= QUEUES_MAX {
                return Err(Error::new(Code::Busy, format!("there are {QUEUES_MAX} queues, and more are not taken")));
            }
            self.declare_new(spec.clone());
            return Ok(1);
        };
        if self.queues.get(&id).is_some_and(|queue| queue.spec == *spec) {
            return Ok(0);
        }
        self.staging.append(&Record::Declare { queue: id, spec: spec.clone() });
        self.set_spec(id, spec.clone());
        self.dispatch(id, now, fx);
        Ok(1)
    }

    /// Declares a queue that is not there yet.
    pub(super) fn declare_new(&mut self, spec: QueueSpec) -> QueueId {
        let id = self.next_queue;
        self.staging.append(&Record::Declare { queue: id, spec: spec.clone() });
        self.set_spec(id, spec);
        // What it inherits of dead letters may have expired.
        self.touched.push(id);
        id
    }

    /// A queue has this declaration from now on.
    pub(super) fn set_spec(&mut self, id: QueueId, spec: QueueSpec) {
        self.next_queue = self.next_queue.max(id + 1);
        self.names.insert(spec.name.clone(), id);
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        let old = self.queues.get(&id).map(|queue| queue.spec.filters.clone()).unwrap_or_default();
        for filter in &old {
            router.remove(filter, |known| *known == id);
        }
        spec.filters.iter().for_each(|filter| router.insert(filter, id));
        drop(router);
        if let Some(queue) = self.queues.get_mut(&id) {
            return queue.set_spec(spec);
        }
        let dead = spec.name.dead().and_then(|dead| self.names.get(&dead));
        let mut queue = Queue::new(spec);
        dead.and_then(|dead| self.queues.get(dead)).into_iter().for_each(|dead| queue.inherit(dead));
        self.queues.insert(id, Box::new(queue));
        self.weigh(id);
    }

    fn delete(&mut self, name: &QueueName, force: bool) -> Result<u64, Error> {
        let id = *self.names.get(name).ok_or_else(|| unknown_queue(name))?;
        let Some(queue) = self.queues.get(&id) else { return Err(unknown_queue(name)) };
        if !force && (queue.held > 0 || !queue.consumers.is_empty()) {
            let text = format!(
                "queue {name} holds {} messages and has {} consumers; to delete it with them, use force",
                queue.held,
                queue.consumers.len()
            );
            return Err(Error::new(Code::InUse, text));
        }
        let consumers = queue.consumers.clone();
        let at = self.staging.append(&Record::Undeclare { queue: id });
        let ended = Error::new(Code::UnknownQueue, format!("queue {name} was deleted"));
        for consumer in consumers.iter().filter_map(|id| self.consumers.get(id)) {
            // Its leases end here; what it has not taken yet it never sees.
            consumer.outlet.mailbox.withdraw_all(consumer.outlet.subscription);
            self.pending.push_back((at, Pending::End(consumer.outlet.clone(), ended.clone())));
        }
        self.forget(id);
        Ok(1)
    }

    /// A queue is no more, and nothing in it.
    pub(super) fn forget(&mut self, id: QueueId) {
        self.end_delays(id);
        let Some(queue) = self.queues.remove(&id) else { return };
        self.weight -= queue.weight;
        self.names.remove(&queue.name);
        queue.dead_with_keys().into_iter().for_each(|position| self.give_up(&queue.name, position));
        if let Some((_, alarm)) = queue.alarm {
            self.calendar.clear(alarm, Timer::Expiry(id));
        }
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        for filter in &queue.spec.filters {
            router.remove(filter, |known| *known == id);
        }
        drop(router);
        let leases: Vec<u64> =
            self.leases.iter().filter(|(_, lease)| lease.queue == id).map(|(count, _)| *count).collect();
        leases.into_iter().for_each(|count| self.lapse_deleted(count));
        self.consumers.retain(|_, consumer| consumer.queue != id);
    }

    fn purge(&mut self, name: &QueueName, limit: u32) -> Result<u64, Error> {
        let id = *self.names.get(name).ok_or_else(|| unknown_queue(name))?;
        let Some(queue) = self.queues.get(&id) else { return Err(unknown_queue(name)) };
        // However little room there is: another part follows.
        let limit =
            if self.has_room(&clearing(limit.into())) { limit.into() } else { u64::from(limit).min(PURGED_MIN) };
        let limit = limit as usize;
        let ready = queue.ready_from(0, limit).map(|entry| entry.position);
        let delayed = self.delayed.range((id, 0)..=(id, u64::MAX)).map(|((_, at), _)| *at).take(limit);
        let mut positions: Vec<u64> = ready.chain(delayed).collect();
        positions.sort_unstable();
        positions.truncate(limit);
        Ok(self.purge_these(id, positions))
    }

    /// Drops what stands here and is not leased.
    fn purge_at(&mut self, name: &QueueName, positions: &[Position]) -> Result<u64, Error> {
        let id = *self.names.get(name).ok_or_else(|| unknown_queue(name))?;
        Ok(self.purge_these(id, numbers(positions)))
    }

    fn purge_these(&mut self, id: QueueId, positions: Vec<u64>) -> u64 {
        let mut entries = Vec::new();
        for position in positions {
            let ready = self.queues.get_mut(&id).and_then(|queue| queue.take_at(position));
            entries.extend(ready.or_else(|| self.end_delay(id, position)));
        }
        // Where a head of a key goes, the next one is ready.
        self.touched.push(id);
        self.drop_entries(id, &entries)
    }

    /// What was taken out of a queue is held no more; answers how many.
    fn drop_entries(&mut self, id: QueueId, entries: &[Entry]) -> u64 {
        entries.iter().for_each(|entry| self.release(id, entry));
        let mut positions: Vec<u64> = entries.iter().map(|entry| entry.position).collect();
        positions.sort_unstable();
        for part in runs(&positions).chunks(PURGE_RUNS_MAX) {
            let bytes: Vec<u8> =
                part.iter().flat_map(|(first, count)| [first.to_le_bytes(), count.to_le_bytes()]).flatten().collect();
            self.staging.append(&Record::Purge { queue: id, runs: &bytes });
        }
        positions.len() as u64
    }

    /// Moves dead letters back, oldest first, as if they had never been tried. What expired stays: it
    /// would only come back.
    fn redrive(&mut self, name: &QueueName, limit: u32, now: Now) -> Result<u64, Error> {
        let to = *self.names.get(name).ok_or_else(|| unknown_queue(name))?;
        let Some(dead) = name.dead().and_then(|dead| self.names.get(&dead).copied()) else { return Ok(0) };
        let Some(queue) = self.queues.get_mut(&dead) else { return Ok(0) };
        let mut positions: Vec<u64> =
            queue.ready().filter(|entry| entry.expires_ms > now.unix_ms).map(|entry| entry.position).collect();
        positions.sort_unstable();
        positions.truncate(usize::try_from(limit).unwrap_or(usize::MAX).min(REDRIVE_MAX));
        Ok(self.move_back(dead, to, &positions, now))
    }

    /// The same of those that stand here.
    fn redrive_at(&mut self, name: &QueueName, positions: &[Position], now: Now) -> Result<u64, Error> {
        let to = *self.names.get(name).ok_or_else(|| unknown_queue(name))?;
        let Some(dead) = name.dead().and_then(|dead| self.names.get(&dead).copied()) else { return Ok(0) };
        Ok(self.move_back(dead, to, &numbers(positions), now))
    }

    fn move_back(&mut self, dead: QueueId, to: QueueId, positions: &[u64], now: Now) -> u64 {
        let mut count = 0;
        for position in positions {
            let Some(queue) = self.queues.get_mut(&dead) else { return count };
            let Some(entry) = queue.take_at(*position) else { continue };
            if entry.expires_ms <= now.unix_ms {
                queue.put(entry);
                self.weigh(dead);
                continue;
            }
            let at = self.staging.append(&Record::Redrive { dead, to, position: *position });
            self.revive(dead, to, entry);
            let entry = Entry { attempts: 0, ..entry };
            self.pending.push_back((at, Pending::Show { queue: to, entry, is_new: false, not_before_ms: 0 }));
            count += 1;
        }
        count
    }

    /// A dead letter is held by its queue again. Its key is parked until it is there.
    pub(super) fn revive(&mut self, dead: QueueId, to: QueueId, entry: Entry) {
        let tries = self.queues.get(&dead).and_then(|queue| queue.tries(entry.position));
        let key = self.queues.get_mut(&dead).and_then(|queue| queue.release(&entry));
        if let Some(queue) = self.queues.get_mut(&to) {
            queue.hold(&entry);
            tries.into_iter().for_each(|tries| queue.hold_tries(entry.position, tries));
            key.into_iter().for_each(|key| queue.hold_key(entry.position, key));
        }
        self.weigh(dead);
        self.weigh(to);
    }
}

/// What the dropping of so many messages takes in the log, each a run of its own.
fn clearing(messages: u64) -> Need {
    let messages = usize::try_from(messages).unwrap_or(usize::MAX);
    let records = messages.div_ceil(PURGE_RUNS_MAX);
    let bytes = messages.saturating_mul(RUN_BYTES) + records * PURGE_BYTES;
    Need { claim: Claim::Clearing, bytes, records: u32::try_from(records).unwrap_or(u32::MAX) }
}

/// Positions of this backend, in order, each once.
fn numbers(positions: &[Position]) -> Vec<u64> {
    let mut numbers: Vec<u64> = positions.iter().filter_map(|position| position.number()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Sorted positions as runs of first and count.
fn runs(positions: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for position in positions {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == *position => *count += 1,
            _ => runs.push((*position, 1)),
        }
    }
    runs
}
