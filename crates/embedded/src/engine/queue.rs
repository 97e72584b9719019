//! One durable queue in memory: what is ready, by priority, and what it is bounded by.

use std::collections::BTreeSet;

use foldhash::HashMap;
use skep_protocol::{Ended, MessageRef, Priority, QueueInfo, QueueName, QueueSpec};

use super::line::Line;
use super::timers::Handle;
use crate::log::BatchAt;

/// One take in so many is the message that has waited longest, whatever its priority.
const FAIR_TAKE: u32 = 16;

/// Where a message record's body lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) batch: BatchAt,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// One message in one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) place: Place,
    pub(crate) attempts: u32,
    pub(crate) priority: Priority,
    /// From this moment on it is not delivered, by the clock on the wall; [`NEVER`] where nobody said so.
    pub(crate) expires_ms: u64,
}

/// The expiry of what does not expire.
pub(crate) const NEVER: u64 = u64::MAX;

impl Entry {
    /// The entry of a message that nobody has tried. Its expiry was checked when it was admitted.
    pub(crate) fn of(message: &MessageRef<'_>, position: u64, place: Place) -> Self {
        let expires_ms = message.expires_ms().ok().flatten().unwrap_or(NEVER);
        Entry { position, place, attempts: 0, priority: message.priority(), expires_ms }
    }

    /// What it counts against the bounds, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.place.len)
    }
}

/// A durable queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) spec: QueueSpec,
    /// Ready messages by priority.
    ready: [Line; Priority::ALL.len()],
    takes: u32,
    /// Messages held: staged, ready, leased, delayed.
    pub(crate) held: u64,
    pub(crate) held_bytes: u64,
    pub(crate) leased: u64,
    pub(crate) delayed: u64,
    /// How the last attempt on a message ended, of those that were tried.
    pub(crate) notes: HashMap<u64, Ended>,
    /// When those of its messages expire that wait here, or did before they were leased.
    expiring: BTreeSet<(u64, u64)>,
    /// When it is looked at for what expired.
    pub(super) alarm: Option<(u64, Handle)>,
    /// Its consumers, and which is next in turn.
    pub(crate) consumers: Vec<u64>,
    pub(crate) turn: usize,
    /// The number of the last message that was routed here.
    pub(crate) routed: u64,
}

impl Queue {
    pub(crate) fn new(spec: QueueSpec) -> Self {
        Queue {
            name: spec.name.clone(),
            spec,
            ready: Default::default(),
            takes: 0,
            held: 0,
            held_bytes: 0,
            leased: 0,
            delayed: 0,
            notes: HashMap::default(),
            expiring: BTreeSet::new(),
            alarm: None,
            consumers: Vec::new(),
            turn: 0,
            routed: 0,
        }
    }

    /// Whether one more message of so many bytes is within its bounds.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.held < self.spec.messages_max && self.held_bytes + bytes as u64 <= self.spec.bytes_max
    }

    /// Whether it holds more than its bounds, and more than one message.
    pub(crate) fn is_over(&self) -> bool {
        self.held > 1 && (self.held > self.spec.messages_max || self.held_bytes > self.spec.bytes_max)
    }

    /// A message is held from now on, ready or not.
    pub(crate) fn hold(&mut self, entry: &Entry) {
        self.held += 1;
        self.held_bytes += entry.bytes();
    }

    /// And no more.
    pub(crate) fn release(&mut self, entry: &Entry) {
        self.held -= 1;
        self.held_bytes -= entry.bytes();
        self.notes.remove(&entry.position);
        if entry.expires_ms != NEVER {
            self.expiring.remove(&(entry.expires_ms, entry.position));
        }
    }

    /// A message that waits here may expire. A dead letter does not: it is dead.
    pub(super) fn note_expiry(&mut self, entry: &Entry) {
        if entry.expires_ms != NEVER && !self.name.is_dead() {
            self.expiring.insert((entry.expires_ms, entry.position));
        }
    }

    /// When the next message may expire.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.expiring.first().map(|(at_ms, _)| *at_ms)
    }

    /// Whether one may have.
    pub(super) fn has_expired(&self, unix_ms: u64) -> bool {
        self.next_expiry().is_some_and(|at_ms| at_ms <= unix_ms)
    }

    /// The position of the first to expire, which is then forgotten until it waits here again.
    pub(super) fn take_expired(&mut self) -> Option<u64> {
        self.expiring.pop_first().map(|(_, position)| position)
    }

    /// Makes a message ready; in order of position, however late it comes.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.note_expiry(&entry);
        self.ready[usize::from(entry.priority.number())].put(entry);
    }

    /// The message that is to be delivered next.
    pub(crate) fn next(&mut self) -> Option<&Entry> {
        self.class().and_then(|class| self.ready[class].first())
    }

    /// Takes it.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        let class = self.class()?;
        self.takes = self.takes.wrapping_add(1);
        self.ready[class].take()
    }

    /// Strict by priority, but for one take in 16.
    fn class(&mut self) -> Option<usize> {
        if self.takes % FAIR_TAKE == FAIR_TAKE - 1 {
            return self.oldest();
        }
        self.ready.iter().position(|class| class.len() > 0)
    }

    /// The priority of the message that has waited longest.
    fn oldest(&mut self) -> Option<usize> {
        let classes = self.ready.iter_mut().enumerate();
        classes.filter_map(|(class, line)| Some((line.first()?.position, class))).min().map(|(_, class)| class)
    }

    /// Takes the message that has waited longest, whatever its priority.
    pub(crate) fn take_oldest(&mut self) -> Option<Entry> {
        self.oldest().and_then(|class| self.ready[class].take())
    }

    /// Takes the ready message at a position, if it is there.
    pub(crate) fn take_at(&mut self, position: u64) -> Option<Entry> {
        self.ready.iter_mut().find_map(|class| class.take_at(position))
    }

    /// Whether the message at a position is ready.
    pub(crate) fn has_ready(&self, position: u64) -> bool {
        self.ready.iter().any(|class| class.from(position, 1).any(|entry| entry.position == position))
    }

    /// All ready messages, in no order.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Entry> {
        self.ready.iter().flat_map(Line::iter)
    }

    /// Ready messages from a position on, in no order: of each priority at least the oldest, so many.
    pub(crate) fn ready_from(&self, position: u64, limit: usize) -> impl Iterator<Item = &Entry> {
        self.ready.iter().flat_map(move |class| class.from(position, limit))
    }

    pub(crate) fn ready_count(&self) -> u64 {
        self.ready.iter().map(|class| class.len() as u64).sum()
    }

    /// What it holds, as it is shown; the dead letters are counted elsewhere.
    pub(crate) fn info(&self) -> QueueInfo {
        QueueInfo {
            spec: self.spec.clone(),
            ready: self.ready_count(),
            leased: self.leased,
            delayed: self.delayed,
            bytes: self.held_bytes,
            consumers: self.consumers.len() as u64,
            dead: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(position: u64, priority: Priority) -> Entry {
        let place = Place { batch: BatchAt { segment: 1, offset: 0 }, offset: 0, len: 1 };
        Entry { position, place, attempts: 0, priority, expires_ms: NEVER }
    }

    fn queue() -> Queue {
        Queue::new(QueueSpec::new(QueueName::new("jobs").unwrap()))
    }

    #[test]
    fn higher_priorities_go_first_and_none_starves() {
        let mut queue = queue();
        (0..100).for_each(|n| queue.put(entry(100 + n, Priority::Critical)));
        queue.put(entry(1, Priority::Bulk));
        let order: Vec<u64> = std::iter::from_fn(|| queue.take()).map(|entry| entry.position).collect();
        assert_eq!(order.iter().position(|p| *p == 1), Some(15));
        assert_eq!(order[..15], (100..115).collect::<Vec<_>>());
        assert_eq!(order.len(), 101);
    }

    #[test]
    fn a_message_that_comes_back_takes_its_old_place() {
        let mut queue = queue();
        [1, 2, 4].into_iter().for_each(|n| queue.put(entry(n, Priority::Normal)));
        queue.put(entry(3, Priority::Normal));
        assert_eq!(queue.take_at(2).map(|entry| entry.position), Some(2));
        assert_eq!(queue.take_at(2), None);
        let order: Vec<u64> = std::iter::from_fn(|| queue.take()).map(|entry| entry.position).collect();
        assert_eq!(order, [1, 3, 4]);
    }

    #[test]
    fn the_oldest_of_all_priorities_is_taken_and_no_turn_is_counted() {
        let mut queue = queue();
        let messages = [(5, Priority::Critical), (3, Priority::Normal), (9, Priority::Normal), (4, Priority::Bulk)];
        messages.into_iter().for_each(|(position, priority)| queue.put(entry(position, priority)));
        assert_eq!(queue.take_oldest().map(|entry| entry.position), Some(3));
        assert_eq!(queue.take_oldest().map(|entry| entry.position), Some(4));
        assert_eq!(queue.takes, 0);
    }
}
