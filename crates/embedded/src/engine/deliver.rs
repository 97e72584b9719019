//! From ready to in flight, and what time does to leases.

use std::sync::Arc;

use foldhash::HashMap;
use skep_core::Now;
use skep_protocol::{Consumers, Holder, LeaseToken};

use super::consumer::ConsumerId;
use super::entry::Entry;
use super::lapse::Lapse;
use super::timers::{Handle, Timer};
use super::{Claim, Due, Effects, Engine};
use crate::journal::{By, LeaseOf, QueueId, Record, Token};
use crate::limits::DECLARE_BYTES;

/// More bytes than the records take of a message that is handed out, or that dies in place of it with the declaration of its dead
/// letters.
pub(super) const HANDED_BYTES: usize = DECLARE_BYTES + 2 * 1024;

/// A message handed to a consumer.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) queue: QueueId,
    /// Its `attempts` count this one.
    pub(super) entry: Entry,
    consumer: ConsumerId,
    /// A lease outlives its consumer where it is bound to its deadline.
    party: Arc<str>,
    /// Its delivery was put into the consumer's mailbox.
    pub(super) is_handed_over: bool,
    /// On the monotonic clock. It counts from when its delivery was put into the mailbox.
    pub(super) deadline_ms: u64,
    /// None while its message is being read.
    pub(super) timer: Option<Handle>,
    pub(super) progress: Option<String>,
}

impl Lease {
    /// Who has it, and until when by the clock on the wall.
    pub(super) fn holder(&self, now: Now) -> Holder {
        let until_ms = now.unix_ms.saturating_add(self.deadline_ms.saturating_sub(now.mono_ms));
        Holder { party: self.party.to_string(), until_ms }
    }
}

impl Engine {
    /// Hands out what the windows of a queue's consumers allow.
    pub(super) fn dispatch(&mut self, id: QueueId, now: Now, fx: &mut Effects) {
        self.trim(id);
        if !self.expire(id, now) {
            // The rest of them first: what expired is not handed out.
            self.weigh(id);
            return self.tell_senders(fx);
        }
        self.hand_out(id, now, fx);
        self.weigh(id);
        self.tell_senders(fx);
    }

    fn hand_out(&mut self, id: QueueId, now: Now, fx: &mut Effects) {
        while let Some(consumer) = self.next_consumer(id) {
            if !self.has_room_for(Claim::Handing, HANDED_BYTES, 2) {
                return self.hand_out_later(id);
            }
            let Some(queue) = self.queues.get_mut(&id) else { return };
            let Some(mut entry) = queue.take() else { return };
            entry.attempts += 1;
            let max = queue.attempts_max(entry.position);
            if max > 0 && entry.attempts > max {
                // Only a crash leads here: the last attempt ended with the hub.
                let ended = queue.ended(entry.position);
                let reason = ended.map_or("hub_restarted", |ended| &ended.reason).to_owned();
                let progress = ended.and_then(|ended| ended.progress.clone());
                entry.attempts -= 1;
                let lease =
                    LeaseOf { queue: id, position: entry.position, token: Token::default(), attempt: entry.attempts };
                self.bury(&lease, entry, progress, &reason, By::Hub);
                continue;
            }
            self.lease(id, entry, consumer, now, fx);
        }
    }

    /// Hands out from every queue that the write at hand has touched.
    pub(crate) fn dispatch_touched(&mut self, now: Now, fx: &mut Effects) {
        while let Some(queue) = self.touched.pop() {
            self.dispatch(queue, now, fx);
        }
        self.tell_senders(fx);
    }

    /// The consumer whose turn it is and whose window has room; none when nothing is ready.
    fn next_consumer(&mut self, id: QueueId) -> Option<u64> {
        let queue = self.queues.get_mut(&id)?;
        let bytes = queue.next()?.bytes();
        if queue.spec.consumers != Consumers::Shared {
            return self.only_consumer(id, bytes);
        }
        let count = queue.consumers.len();
        for step in 0..count {
            let at = (queue.turn + step) % count;
            let consumer = *queue.consumers.get(at)?;
            if self.consumers.get(&consumer).is_some_and(|state| state.has_room(bytes)) {
                queue.turn = (at + 1) % count;
                return Some(consumer);
            }
        }
        None
    }

    /// The first of a queue's consumers, where it alone gets messages: once nobody else is at work on one.
    fn only_consumer(&self, id: QueueId, bytes: u64) -> Option<u64> {
        let queue = self.queues.get(&id)?;
        let first = *queue.consumers.first()?;
        let state = self.consumers.get(&first)?;
        (state.has_room(bytes) && state.leases.len() as u64 == queue.leased).then_some(first)
    }

    fn lease(&mut self, id: QueueId, entry: Entry, consumer: u64, now: Now, fx: &mut Effects) {
        let (Some(queue), Some(state)) = (self.queues.get_mut(&id), self.consumers.get_mut(&consumer)) else { return };
        let token = Token { open: self.open, count: self.next_lease };
        self.next_lease += 1;
        queue.leased += 1;
        state.leases.insert(token.count);
        state.held_bytes += entry.bytes();
        let deadline_ms = now.mono_ms.saturating_add(queue.spec.lease_ms);
        let lease = Lease {
            queue: id,
            entry,
            consumer,
            party: Arc::clone(&state.party),
            is_handed_over: false,
            deadline_ms,
            timer: None,
            progress: None,
        };
        self.staging.append_at(entry.level, &Record::Lease { lease: lease.of(token), party: &state.party });
        fx.due.push(Due {
            consumer,
            outlet: state.outlet.clone(),
            queue: queue.name.clone(),
            position: entry.position,
            place: entry.place,
            attempt: entry.attempts,
            token,
            lease: token.sealed(self.secret),
            lease_ms: queue.spec.lease_ms,
            previous: queue.ended(entry.position).cloned(),
        });
        self.leases.insert(token.count, lease);
    }

    /// A lease is no more; what becomes of its message, the caller says.
    pub(super) fn end_lease(&mut self, count: u64) -> Option<Lease> {
        let lease = self.leases.remove(&count)?;
        lease.timer.into_iter().for_each(|timer| self.timers.clear(timer, Timer::Lease(count)));
        if let Some(consumer) = self.consumers.get_mut(&lease.consumer) {
            consumer.leases.remove(&count);
            consumer.held_bytes -= lease.entry.bytes();
        }
        if let Some(queue) = self.queues.get_mut(&lease.queue) {
            queue.leased -= 1;
        }
        Some(lease)
    }

    /// Whether a lease is still to be handed over.
    pub(crate) fn is_leased(&self, token: Token) -> bool {
        self.leases.contains_key(&token.count)
    }

    /// The delivery of a lease goes into its mailbox now; answers false when the lease has ended. From now on its time runs:
    /// what the hub itself takes to read the message is not the consumer's.
    pub(crate) fn hand_over(&mut self, token: Token, lease_ms: u64, now: Now) -> bool {
        self.begin_lease(token, lease_ms, now);
        self.leases.get_mut(&token.count).map(|lease| lease.is_handed_over = true).is_some()
    }

    /// The time of a lease runs, although its message cannot be handed over: it is tried again when the lease has ended.
    pub(crate) fn begin_lease(&mut self, token: Token, lease_ms: u64, now: Now) {
        if let Some(lease) = self.leases.get_mut(&token.count).filter(|lease| lease.timer.is_none()) {
            lease.deadline_ms = now.mono_ms.saturating_add(lease_ms);
            lease.timer = Some(self.timers.set(lease.deadline_ms, Timer::Lease(token.count)));
        }
    }

    /// A delivery reached nobody: its consumer is going. Its message returns, uncharged, and
    /// nothing more is handed to that consumer.
    pub(crate) fn take_back(&mut self, token: Token) {
        let Some(lease) = self.leases.get(&token.count) else { return };
        if let Some(consumer) = self.consumers.get_mut(&lease.consumer) {
            consumer.pause();
        }
        let queue = self.lapse(token.count, Lapse::NotTaken);
        self.touched.extend(queue);
    }

    /// Does what time asks for.
    pub(crate) fn tick(&mut self, now: Now, fx: &mut Effects) {
        // The newest first: what goes back to the front of a queue then costs little.
        let due = self.timers.take(now.mono_ms);
        self.withdraw(due.iter().filter_map(|timer| if let Timer::Lease(count) = timer { Some(*count) } else { None }));
        for timer in due.into_iter().rev().chain(self.calendar.take(now.unix_ms)) {
            match timer {
                Timer::Lease(count) => self.run_out(count),
                Timer::Notice(at) => self.notices.push(at),
                Timer::Expiry(queue) => self.look_for_expired(queue),
                Timer::Delayed(queue, position) => self.come_due(queue, position),
                Timer::Facts => self.end_facts(now),
            }
        }
        self.dispatch_touched(now, fx);
    }

    fn run_out(&mut self, count: u64) {
        let was_taken = self.leases.get(&count).is_some_and(|lease| lease.is_handed_over);
        let queue = self.lapse(count, if was_taken { Lapse::Expired } else { Lapse::NotTaken });
        self.touched.extend(queue);
    }

    /// These leases end: what of their deliveries still lies in a mailbox is taken out of it, so
    /// that nobody sees it and no mailbox holds more than its window. Whoever did not take it gets nothing more until
    /// it looks into its mailbox, which says its window again.
    pub(super) fn withdraw(&mut self, ending: impl Iterator<Item = u64>) {
        let mut handed_over: HashMap<ConsumerId, Vec<(LeaseToken, u64)>> = HashMap::default();
        for count in ending {
            if let Some(lease) = self.leases.get(&count).filter(|lease| lease.is_handed_over) {
                let token = Token { open: self.open, count }.sealed(self.secret);
                handed_over.entry(lease.consumer).or_default().push((token, count));
            }
        }
        for (consumer, mut ending) in handed_over {
            let Some(consumer) = self.consumers.get_mut(&consumer) else { continue };
            ending.sort_unstable();
            let of = |token: &LeaseToken| ending.binary_search_by(|(known, _)| known.cmp(token)).ok();
            let untaken = consumer.outlet.mailbox.withdraw(|token| of(token).is_some());
            consumer.is_idle |= !untaken.is_empty();
            for untaken in untaken {
                let count = of(&untaken).and_then(|at| ending.get(at)).map(|(_, count)| *count);
                if let Some(lease) = count.and_then(|count| self.leases.get_mut(&count)) {
                    lease.is_handed_over = false;
                }
            }
        }
    }
}
