//! Publishes: dedup, match, bound, number, encode.

use std::ops::{ControlFlow, Range};
use std::sync::PoisonError;

use skep_core::{Kept, Level, Now, Outgoing, Write, check_expiry};
use skep_protocol::{Code, Error, MessageRef, Position, ProducerId, QueueName, Topic};

use super::dead::HUB;
use super::dedup::{Seen, Stored, told_by};
use super::entry::{Entry, Place};
use super::refusals::{is_before_window, no_queue, other_payload, queue_full, too_far, window_passed};
use super::submission::Results;
use super::{Engine, Pending};
use crate::journal::{QueueId, message_overhead};
use crate::limits::{MATCHES_MAX, PENDING_MAX, ROUTE_STEPS_MAX};
use crate::log::RECORD_HEADER_BYTES;

/// What is to become of one publish.
pub(super) enum Plan {
    Refused(Error),
    /// It was stored before at this position, and taken by so many queues.
    Duplicate(u64, u32),
    /// No queue matches, and none is required.
    Unmatched,
    /// These of the matched take it; so many are full.
    Store {
        queues: Range<usize>,
        skipped: u32,
    },
}

impl Plan {
    /// How many queues take it.
    pub(super) fn entries(&self) -> usize {
        if let Plan::Store { queues, .. } = self { queues.len() } else { 0 }
    }
}

impl Engine {
    /// Forgets what matched before: plans made until now are void.
    pub(super) fn begin_routes(&mut self) {
        self.matched.clear();
        self.route_steps = 0;
    }

    /// What is to become of a publish; nothing is staged yet. What was stored before is known
    /// again whatever is refused now: its sender may not know that it is safe.
    pub(super) fn plan(&mut self, write: &Write<'_>, outgoing: &Outgoing<'_>, now: Now, full: Option<&Error>) -> Plan {
        match self.seen(write, outgoing, now) {
            Err(error) => return Plan::Refused(error),
            Ok(Seen::At(position, taken)) => return Plan::Duplicate(position, taken),
            Ok(Seen::Other(position)) => return Plan::Refused(other_payload(outgoing, position)),
            Ok(Seen::New) => {}
        }
        if let Some(refusal) = outgoing.refusal {
            return Plan::Refused(refusal.clone());
        }
        if let Err(expired) = check_expiry(&outgoing.message, now) {
            return Plan::Refused(expired);
        }
        if let Some(full) = full {
            return Plan::Refused(full.clone());
        }
        let first = self.matched.len();
        if self.route(&outgoing.message).is_break() {
            return Plan::Refused(too_far(write.atomic));
        }
        let count = self.matched.len() - first;
        if count > MATCHES_MAX {
            let text = format!("{count} queues match; at most {MATCHES_MAX} take one message");
            return Plan::Refused(Error::new(Code::TooLarge, text));
        }
        match self.bounded(outgoing, first) {
            Err(error) => Plan::Refused(error),
            Ok(_) if count == 0 && outgoing.required && self.retains(&outgoing.message) => {
                Plan::Store { queues: first..first, skipped: 0 }
            }
            Ok(_) if count == 0 && outgoing.required => Plan::Refused(no_queue(outgoing)),
            Ok(_) if count == 0 => Plan::Unmatched,
            Ok(skipped) => {
                let queues = first..self.matched.len();
                // An atomic step is looked at as a whole; and a notice takes less than what is owed for it.
                let is_free = write.atomic || write.party == HUB;
                match self.has_memory(if is_free { 0 } else { queues.len() as u64 }) {
                    Err(error) => Plan::Refused(error),
                    Ok(()) => Plan::Store { queues, skipped },
                }
            }
        }
    }

    /// Whether a message is kept where no queue takes it. One that is to be delivered later on needs a queue all the same.
    fn retains(&self, message: &MessageRef<'_>) -> bool {
        self.trees.of(message) != 0 && message.not_before_ms().ok().flatten().is_none()
    }

    /// Adds the queues that want a message to the matched, once each, however many of their
    /// filters match; breaks off where the way to them is too far.
    fn route(&mut self, message: &MessageRef<'_>) -> ControlFlow<()> {
        let Engine { router, queues, matched, route_steps, routed, .. } = self;
        *routed += 1;
        let first = matched.len();
        let router = router.read().unwrap_or_else(PoisonError::into_inner);
        let mut step = |id: Option<&QueueId>| {
            if let Some(id) = id
                && let Some(queue) = queues.get_mut(id).filter(|queue| queue.routed != *routed)
            {
                queue.routed = *routed;
                matched.push(*id);
            }
            *route_steps += 1;
            if *route_steps <= ROUTE_STEPS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        message.to().try_for_each(|topic| router.visit(topic, &mut step))?;
        matched[first..].sort_unstable();
        ControlFlow::Continue(())
    }

    fn seen(&mut self, write: &Write<'_>, outgoing: &Outgoing<'_>, now: Now) -> Result<Seen, Error> {
        if let Some(producer) = &write.producer
            && let seen @ Seen::At(..) =
                self.producers.look(producer, write.party, outgoing.sequence, told_by(&outgoing.message))?
        {
            return Ok(seen);
        }
        if outgoing.by_id {
            let mark = self.ids.mark(write.party, &outgoing.message);
            let room = self.ids.has_room(now.unix_ms);
            return match self.ids.look(mark) {
                Seen::New if !room => Err(Error::new(Code::Busy, "the window of exactly-once ids is full just now")),
                Seen::New if is_before_window(&outgoing.message, now) => Err(window_passed(&outgoing.message)),
                seen => Ok(seen),
            };
        }
        Ok(Seen::New)
    }

    /// Takes full queues out of the matched from `first` on; answers how many. A full inbox that
    /// is addressed itself refuses the publish, and so do full queues if no other takes it.
    fn bounded(&mut self, outgoing: &Outgoing<'_>, first: usize) -> Result<u32, Error> {
        let bytes = outgoing.message.bytes().len();
        let matched = &self.matched[first..];
        let full = |queue: &QueueId| self.queues.get(queue).filter(|queue| !queue.has_room(bytes));
        let mut skipped = 0;
        for queue in matched.iter().filter_map(full) {
            skipped += 1;
            let addressed = Topic::agent_of(queue.name.as_str()).is_some()
                && outgoing.message.to().any(|topic| topic == queue.name.as_str());
            if addressed || matched.len() == 1 {
                return Err(queue_full(queue));
            }
        }
        if skipped == 0 {
            return Ok(0);
        }
        if skipped as usize == matched.len() {
            let text = format!("all {skipped} queues that match are full; try again when they have drained");
            return Err(Error::new(Code::QueueFull, text));
        }
        let mut all = self.matched.split_off(first);
        all.retain(|queue| self.queues.get(queue).is_some_and(|queue| queue.has_room(bytes)));
        self.matched.append(&mut all);
        Ok(skipped)
    }

    /// Bytes and records that a plan takes in the log.
    pub(super) fn cost(plan: &Plan, write: &Write<'_>, outgoing: &Outgoing<'_>) -> (usize, u32) {
        match plan {
            Plan::Store { queues, .. } => {
                let body = message_overhead(write.party, queues.len()) + outgoing.message.bytes().len();
                (RECORD_HEADER_BYTES + body, 1)
            }
            _ => (0, 0),
        }
    }

    /// Whether so many more entries of queues would keep everybody who publishes after them waiting.
    pub(super) fn check_crowd(&self, entries: usize) -> Result<(), Error> {
        if self.pending.is_empty() || self.pending.len() + entries <= PENDING_MAX {
            return Ok(());
        }
        Err(Error::new(Code::Busy, "too much waits to take effect just now; try again"))
    }

    /// Whether what a plan adds can be staged now.
    pub(super) fn check_room(&self, plan: &Plan, write: &Write<'_>, outgoing: &Outgoing<'_>) -> Result<(), Error> {
        let (bytes, records) = Self::cost(plan, write, outgoing);
        if records > 0 && !self.staging.has_room(bytes, records) {
            return Err(Error::new(Code::Busy, "the log has no room just now; try again"));
        }
        self.check_crowd(plan.entries())
    }

    /// Carries a plan out. It refuses nothing of itself: whoever calls it has looked whether there is room, before anything that
    /// belongs to it was done.
    pub(super) fn publish(
        &mut self,
        write: &Write<'_>,
        outgoing: &Outgoing<'_>,
        plan: Plan,
        now: Now,
        results: &mut Results,
    ) {
        match plan {
            Plan::Refused(error) => results.refused(error),
            Plan::Unmatched => results.kept(kept(None, None, 0, 0)),
            Plan::Duplicate(position, taken) => {
                let level = self.wait_again(position, &outgoing.message, results);
                results.kept(Kept {
                    duplicate: true,
                    by_id: outgoing.by_id,
                    ..kept(Some(position), Some(level), taken, 0)
                });
            }
            Plan::Store { queues, skipped } => {
                let matched = std::mem::take(&mut self.matched);
                let queues = &matched[queues];
                let producer = write.producer.map(|id| (id, outgoing.sequence));
                let level = self.levels.of(&outgoing.message);
                let position = self.store(level, producer, write.party, outgoing, queues, now);
                let taken = count(queues.len());
                if outgoing.waits {
                    // Nor is a position named that the next opening could give out again.
                    if level != Level::MEMORY || position >= self.reserved {
                        results.wait(position);
                    }
                    let waiting = self.addressed(&outgoing.message, queues);
                    results.kept(Kept {
                        waiting,
                        by_id: outgoing.by_id,
                        ..kept(Some(position), Some(level), taken, skipped)
                    });
                } else {
                    results.kept(kept(None, None, taken, skipped));
                }
                self.matched = matched;
            }
        }
    }

    /// What a duplicate waits for: nobody remembers what the first of them asked for, so it is this one's level that is reached.
    fn wait_again(&self, position: u64, message: &MessageRef<'_>, results: &mut Results) -> Level {
        if position < self.durable {
            return Level::FSYNC;
        }
        let level = self.levels.of(message);
        results.wait(position);
        if level == Level::FSYNC {
            results.wait_synced();
        }
        level
    }

    /// The one queue that took a message, else the one it is addressed to by its name, and how many
    /// wait there.
    fn addressed(&self, message: &MessageRef<'_>, queues: &[QueueId]) -> Option<(QueueName, u64)> {
        let mut taken = queues.iter().filter_map(|id| self.queues.get(id));
        let queue = match queues {
            [_] => taken.next()?,
            _ => {
                let (mut topics, more) = (message.to(), message.to().nth(1));
                let topic = topics.next().filter(|_| more.is_none())?;
                taken.find(|queue| queue.name.as_str() == topic)?
            }
        };
        Some((queue.name.clone(), queue.held))
    }

    fn store(
        &mut self,
        level: Level,
        producer: Option<(ProducerId, u64)>,
        party: &str,
        outgoing: &Outgoing<'_>,
        queues: &[QueueId],
        now: Now,
    ) -> u64 {
        let message = &outgoing.message;
        let staged = self.staging.append_message(level, producer, outgoing.by_id, party, queues, message);
        let place = Place::staged(staged.offset, staged.len);
        let entry = Entry { level, ..Entry::of(message, staged.position, place, now.unix_ms) };
        let key = self.key_of(message);
        // Both were checked when it was admitted.
        let tries = message.tries().ok().flatten();
        let not_before_ms = message.not_before_ms().ok().flatten().unwrap_or(0);
        for id in queues {
            if let Some(queue) = self.queues.get_mut(id) {
                queue.hold(&entry);
                tries.into_iter().for_each(|tries| queue.hold_tries(entry.position, tries));
                key.into_iter().for_each(|key| queue.hold_key(entry.position, key));
                self.pending
                    .push_back((staged.position, Pending::Show { queue: *id, entry, is_new: true, not_before_ms }));
            }
            self.weigh(*id);
        }
        let at = Stored { position: staged.position, queues: count(queues.len()) };
        if let Some((id, sequence)) = producer {
            self.producers.store(&id, party, sequence, told_by(message), at, now.unix_ms);
        }
        if outgoing.by_id {
            self.ids.store(self.ids.mark(party, message), at, now.unix_ms);
        }
        staged.position
    }
}

fn count(queues: usize) -> u32 {
    u32::try_from(queues).unwrap_or(u32::MAX)
}

fn kept(position: Option<u64>, level: Option<Level>, queues: u32, skipped: u32) -> Kept {
    Kept {
        position: position.map(Position::Number),
        durability: level.map(Level::durability),
        queues,
        skipped,
        duplicate: false,
        by_id: false,
        waiting: None,
    }
}
