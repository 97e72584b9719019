//! Publishes: dedup, match, bound, number, encode.

use skep_core::{Completion, Kept, Now, Outgoing, Run, Write};
use skep_protocol::{Code, Durability, Error, MessageRef, Position, ProducerId, QueueName, Topic};

use super::dedup::Seen;
use super::queue::{Entry, Place};
use super::{Engine, Pending};
use crate::journal::{QueueId, message_overhead};
use crate::limits::MATCHES_MAX;
use crate::log::{BatchAt, RECORD_HEADER_BYTES};

/// What is to become of one publish.
pub(super) enum Plan {
    Refused(Error),
    Duplicate(u64),
    /// No queue matches, and none is required.
    Unmatched,
    /// These take it; so many are full.
    Store {
        queues: Vec<QueueId>,
        skipped: u32,
    },
}

/// Results, gathered into runs of which the same can be said; and the position on whose
/// durability the answer waits.
#[derive(Default)]
pub(super) struct Results {
    pub(super) completion: Completion,
    pub(super) at: Option<u64>,
}

impl Engine {
    /// Each item for itself.
    pub(super) fn each(&mut self, write: &Write<'_>, now: Now) -> (Completion, Option<u64>) {
        let mut results = Results::default();
        for settle in write.settles {
            let result = self.settle(settle, now);
            results.settled(result);
        }
        for outgoing in write.publishes {
            let plan = self.plan(write, outgoing, now);
            self.publish(write, outgoing, plan, now, &mut results);
        }
        (results.completion, results.at)
    }

    /// What is to become of a publish; nothing is staged yet.
    pub(super) fn plan(&mut self, write: &Write<'_>, outgoing: &Outgoing<'_>, now: Now) -> Plan {
        match self.seen(write, outgoing, now) {
            Err(error) => return Plan::Refused(error),
            Ok(Seen::At(position)) => return Plan::Duplicate(position),
            Ok(Seen::New) => {}
        }
        self.matched.clear();
        outgoing.message.to().for_each(|topic| self.queues_for(topic));
        self.matched.sort_unstable();
        self.matched.dedup();
        if self.matched.len() > MATCHES_MAX {
            let text = format!("{} queues match; at most {MATCHES_MAX} take one message", self.matched.len());
            return Plan::Refused(Error::new(Code::TooLarge, text));
        }
        match self.bounded(outgoing) {
            Err(error) => Plan::Refused(error),
            Ok(_) if self.matched.is_empty() && outgoing.required => Plan::Refused(no_queue(outgoing)),
            Ok(_) if self.matched.is_empty() => Plan::Unmatched,
            Ok(skipped) => Plan::Store { queues: self.matched.clone(), skipped },
        }
    }

    fn seen(&mut self, write: &Write<'_>, outgoing: &Outgoing<'_>, now: Now) -> Result<Seen, Error> {
        if let Some(producer) = &write.producer
            && let Seen::At(position) = self.producers.look(producer, write.party, outgoing.sequence)?
        {
            return Ok(Seen::At(position));
        }
        if outgoing.by_id {
            let hash = self.ids.hash(write.party, &outgoing.message);
            let room = self.ids.has_room(now.unix_ms);
            return match self.ids.look(hash) {
                Seen::New if !room => Err(Error::new(Code::Busy, "the window of exactly-once ids is full just now")),
                seen => Ok(seen),
            };
        }
        Ok(Seen::New)
    }

    /// Takes full queues out of `matched`; answers how many. A full inbox that is addressed
    /// itself refuses the publish, and so do full queues if no other takes it.
    fn bounded(&mut self, outgoing: &Outgoing<'_>) -> Result<u32, Error> {
        let bytes = outgoing.message.bytes().len();
        let full = |queue: &QueueId| self.queues.get(queue).filter(|queue| !queue.has_room(bytes));
        let mut skipped = 0;
        for queue in self.matched.iter().filter_map(full) {
            skipped += 1;
            let addressed = Topic::agent_of(queue.name.as_str()).is_some()
                && outgoing.message.to().any(|topic| topic == queue.name.as_str());
            if addressed || self.matched.len() == 1 {
                return Err(queue_full(queue));
            }
        }
        if skipped > 0 && skipped as usize == self.matched.len() {
            let text = format!("all {skipped} queues that match are full; try again when they have drained");
            return Err(Error::new(Code::QueueFull, text));
        }
        let queues = &self.queues;
        self.matched.retain(|queue| queues.get(queue).is_some_and(|queue| queue.has_room(bytes)));
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

    /// Carries a plan out.
    pub(super) fn publish(
        &mut self,
        write: &Write<'_>,
        outgoing: &Outgoing<'_>,
        plan: Plan,
        now: Now,
        results: &mut Results,
    ) {
        let (bytes, records) = Self::cost(&plan, write, outgoing);
        match plan {
            Plan::Refused(error) => results.refused(error),
            Plan::Unmatched => results.kept(kept(None, 0, 0)),
            Plan::Duplicate(position) => {
                results.wait(position);
                results.kept(Kept { duplicate: true, ..kept(Some(position), 1, 0) });
            }
            Plan::Store { .. } if !self.staging.has_room(bytes, records) => {
                results.refused(Error::new(Code::Busy, "the log has no room just now; try again"));
            }
            Plan::Store { queues, skipped } => {
                let producer = write.producer.map(|id| (id, outgoing.sequence));
                let position = self.store(producer, write.party, outgoing, &queues, now);
                let waiting = self.addressed(&outgoing.message, &queues);
                results.wait(position);
                let taken = u32::try_from(queues.len()).unwrap_or(u32::MAX);
                results.kept(Kept { waiting, ..kept(Some(position), taken, skipped) });
            }
        }
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
        producer: Option<(ProducerId, u64)>,
        party: &str,
        outgoing: &Outgoing<'_>,
        queues: &[QueueId],
        now: Now,
    ) -> u64 {
        let message = &outgoing.message;
        let staged = self.staging.append_message(producer, outgoing.by_id, party, queues, message);
        let batch = BatchAt { segment: 0, offset: 0 };
        let place = Place { batch, offset: staged.offset, len: staged.len };
        let entry = Entry { position: staged.position, place, attempts: 0, priority: message.priority() };
        for id in queues {
            if let Some(queue) = self.queues.get_mut(id) {
                queue.hold(&entry);
                self.pending.push_back((staged.position, Pending::Show { queue: *id, entry, is_new: true }));
            }
        }
        if let Some((id, sequence)) = producer {
            self.producers.store(&id, party, sequence, staged.position);
        }
        if outgoing.by_id {
            self.ids.store(self.ids.hash(party, message), staged.position, now.unix_ms);
        }
        staged.position
    }
}

impl Results {
    /// The answer waits for this record, too.
    pub(super) fn wait(&mut self, at: u64) {
        self.at = self.at.max(Some(at));
    }

    pub(super) fn settled(&mut self, result: Result<u64, Error>) {
        if let Ok(at) = result {
            self.wait(at);
        }
        self.completion.settles.push(result.map(|_| ()));
    }

    pub(super) fn refused(&mut self, error: Error) {
        match self.completion.publishes.last_mut() {
            Some(Run { count, result: Err(last) }) if *last == error => *count += 1,
            _ => self.completion.publishes.push(Run { count: 1, result: Err(error) }),
        }
    }

    fn kept(&mut self, kept: Kept) {
        if let Some(Run { count, result: Ok(last) }) = self.completion.publishes.last_mut() {
            let next = match last.position {
                Some(Position::Number(first)) => Some(Position::Number(first + u64::from(*count))),
                other => other,
            };
            let same_queue = last.waiting.as_ref().map(|(name, _)| name) == kept.waiting.as_ref().map(|(name, _)| name);
            let same = (kept.queues, kept.skipped, kept.duplicate) == (last.queues, last.skipped, last.duplicate);
            if kept.position == next && same_queue && same {
                *count += 1;
                last.waiting = kept.waiting;
                return;
            }
        }
        self.completion.publishes.push(Run { count: 1, result: Ok(kept) });
    }
}

fn kept(position: Option<u64>, queues: u32, skipped: u32) -> Kept {
    Kept {
        position: position.map(Position::Number),
        durability: position.map(|_| Durability::Fsync),
        queues,
        skipped,
        duplicate: false,
        waiting: None,
    }
}

fn no_queue(outgoing: &Outgoing<'_>) -> Error {
    let to = outgoing.message.to().collect::<Vec<_>>().join(", ");
    let text = format!("no durable queue takes {to}, and at_least_once was asked for; add one: skep queue add {to}");
    Error::new(Code::NoQueue, text)
}

pub(super) fn queue_full(queue: &super::queue::Queue) -> Error {
    let text = format!(
        "queue {} is full: it holds {} messages and {} bytes of at most {} and {}",
        queue.name, queue.held, queue.held_bytes, queue.spec.messages_max, queue.spec.bytes_max
    );
    Error::new(Code::QueueFull, text)
}
