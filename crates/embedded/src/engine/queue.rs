//! One durable queue in memory: what is ready, by priority, and what it is bounded by.

use std::collections::VecDeque;

use foldhash::HashMap;
use skep_protocol::{Ended, Priority, QueueInfo, QueueName, QueueSpec};

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
}

impl Entry {
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
    /// Ready messages by priority, each in order of position.
    ready: [VecDeque<Entry>; Priority::ALL.len()],
    takes: u32,
    /// Messages held: staged, ready, leased, delayed.
    pub(crate) held: u64,
    pub(crate) held_bytes: u64,
    pub(crate) leased: u64,
    pub(crate) delayed: u64,
    /// How the last attempt on a message ended, of those that were tried.
    pub(crate) notes: HashMap<u64, Ended>,
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
    }

    /// Makes a message ready; in order of position, however late it comes.
    pub(crate) fn put(&mut self, entry: Entry) {
        let class = &mut self.ready[usize::from(entry.priority.number())];
        if class.front().is_some_and(|first| first.position > entry.position) {
            return class.push_front(entry);
        }
        match class.back() {
            Some(last) if last.position > entry.position => {
                let at = class.partition_point(|known| known.position < entry.position);
                class.insert(at, entry);
            }
            _ => class.push_back(entry),
        }
    }

    /// The message that is to be delivered next.
    pub(crate) fn next(&self) -> Option<&Entry> {
        self.class().and_then(|class| self.ready[class].front())
    }

    /// Takes it.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        let class = self.class()?;
        self.takes = self.takes.wrapping_add(1);
        self.ready[class].pop_front()
    }

    /// Strict by priority, but for one take in 16.
    fn class(&self) -> Option<usize> {
        let mut waiting = (0..self.ready.len()).filter_map(|class| Some((self.ready[class].front()?.position, class)));
        if self.takes % FAIR_TAKE == FAIR_TAKE - 1 {
            waiting.min().map(|(_, class)| class)
        } else {
            waiting.next().map(|(_, class)| class)
        }
    }

    /// Takes the ready message that has waited longest.
    pub(crate) fn take_oldest(&mut self) -> Option<Entry> {
        let classes = self.ready.iter_mut().filter(|class| !class.is_empty());
        classes.min_by_key(|class| class.front().map(|entry| entry.position))?.pop_front()
    }

    /// Takes the ready message at a position, if it is there.
    pub(crate) fn take_at(&mut self, position: u64) -> Option<Entry> {
        self.ready.iter_mut().find_map(|class| {
            let at = class.binary_search_by_key(&position, |entry| entry.position).ok()?;
            class.remove(at)
        })
    }

    /// Whether the message at a position is ready.
    pub(crate) fn has_ready(&self, position: u64) -> bool {
        self.ready.iter().any(|class| class.binary_search_by_key(&position, |entry| entry.position).is_ok())
    }

    /// All ready messages, by priority.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Entry> {
        self.ready.iter().flatten()
    }

    /// Ready messages from a position on, of each priority at most so many, the oldest.
    pub(crate) fn ready_from(&self, position: u64, limit: usize) -> impl Iterator<Item = &Entry> {
        self.ready.iter().flat_map(move |class| {
            let first = class.partition_point(|entry| entry.position < position);
            class.range(first..).take(limit)
        })
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
        Entry { position, place, attempts: 0, priority }
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
        let order: Vec<u64> = queue.ready().map(|entry| entry.position).collect();
        assert_eq!(order, [1, 2, 3, 4]);
        assert_eq!(queue.take_at(2).map(|entry| entry.position), Some(2));
        assert_eq!(queue.take_at(2), None);
    }
}
