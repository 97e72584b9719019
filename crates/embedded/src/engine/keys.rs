//! Order by key: of the messages of one queue that have the same `partitionkey`, one at a time is on its way.
//!
//! The oldest of a key is its head: it is ready, leased, or held back after a nack, and the others wait until it has left. One that died
//! parks its key: nothing of it goes on until the dead letter comes back, is dropped or expires. Keys are 64-bit hashes; two that share
//! one are ordered together. A queue without messages that have a key has no such table.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;

use super::entry::Entry;

/// A key, hashed with the seed of the engine: a snapshot keeps both.
pub(super) type Key = u64;

/// Where a message stands among those of its key: by when it joined them, as the position that came next then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) joined: u64,
    /// Of several that joined between the same two positions; what was never delayed comes behind them.
    pub(super) due_ms: u64,
    pub(super) position: u64,
}

/// A dead letter that had a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Died {
    pub(super) key: Key,
    pub(super) expires_ms: u64,
}

/// What a message waits for that is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitsFor {
    /// The one of its key that is on its way, which stands here.
    Head(u64),
    /// The dead letters of its key.
    Dead(Key),
}

/// The messages of one key.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The one that is on its way, and that the others wait for.
    pub(super) head: Option<u64>,
    pub(super) waiting: BTreeMap<Rank, Entry>,
    /// Those that join when they are due.
    pub(super) later: BTreeSet<(u64, u64)>,
    /// Its dead letters that may come back.
    pub(super) dead: u64,
}

impl Chain {
    /// Where the first of it stands that is not delayed.
    pub(super) fn first(&self) -> Option<u64> {
        self.head.or_else(|| self.waiting.values().next().map(|entry| entry.position))
    }

    fn is_empty(&self) -> bool {
        self.head.is_none() && self.waiting.is_empty() && self.later.is_empty() && self.dead == 0
    }
}

/// The keys of one queue.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Whether a dead letter parks its key.
    pub(super) parks: bool,
    /// The keys of the messages that the queue holds, by position.
    pub(super) of: BTreeMap<u64, Key>,
    /// Of those that were delayed and came due, when they joined their key.
    pub(super) late: HashMap<u64, Rank>,
    /// Dead letters that had a key: those of this queue, or, if it is one of dead letters, those in it.
    pub(super) dead: BTreeMap<u64, Died>,
    pub(super) chains: HashMap<Key, Chain>,
    pub(super) waiting: u64,
    pub(super) parked: u64,
    pub(super) parked_keys: u64,
}

impl Keys {
    pub(super) fn new(parks: bool) -> Self {
        Keys { parks, ..Keys::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty() && self.dead.is_empty()
    }

    /// A key as a snapshot has it: its head, and those that wait for it. Answers whether the queue holds all of them under that key.
    pub(super) fn restore(&mut self, key: Key, head: Option<u64>, waiting: BTreeMap<Rank, Entry>) -> bool {
        let positions = head.into_iter().chain(waiting.values().map(|entry| entry.position));
        let is_whole = positions.into_iter().all(|position| self.key_of(position) == Some(key));
        self.change(key, |chain| (chain.head, chain.waiting) = (head, waiting));
        is_whole
    }

    /// The queue holds a message with a key.
    pub(super) fn hold(&mut self, position: u64, key: Key) {
        self.of.insert(position, key);
    }

    pub(super) fn key_of(&self, position: u64) -> Option<Key> {
        self.of.get(&position).copied()
    }

    /// What a message waits for because of its key; none if it waits for nothing.
    pub(super) fn waits_for(&self, position: u64) -> Option<WaitsFor> {
        let key = self.key_of(position)?;
        let chain = self.chains.get(&key)?;
        match chain.head {
            Some(head) => (head != position).then_some(WaitsFor::Head(head)),
            None => (self.parks && chain.dead > 0).then_some(WaitsFor::Dead(key)),
        }
    }

    /// A message is due, or comes back; answers the one that is ready by that, if any. One that was delayed
    /// says when it came due, and joins behind those that were taken before that position.
    pub(super) fn put(&mut self, entry: Entry, came_due: Option<(u64, u64)>) -> Option<Entry> {
        let Some(key) = self.key_of(entry.position) else { return Some(entry) };
        if self.chains.get(&key).is_some_and(|chain| chain.head == Some(entry.position)) {
            return Some(entry);
        }
        if let Some((due_ms, joined)) = came_due {
            self.late.insert(entry.position, Rank { joined, due_ms, position: entry.position });
        }
        let returns = self.dead.remove(&entry.position).is_some();
        let (rank, parks) = (self.rank(entry.position), self.parks);
        self.change(key, |chain| {
            chain.dead -= u64::from(returns);
            chain.waiting.insert(rank, entry);
            advance(chain, parks)
        })
    }

    /// Puts the head of a key, which was ready, back among those that wait.
    fn demote(&mut self, key: Key, entry: Entry) {
        let rank = self.rank(entry.position);
        self.change(key, |chain| {
            chain.head = None;
            chain.waiting.insert(rank, entry);
        });
    }

    /// A message is leased, as the log says: it is the head of its key. Answers which other was, and is ready.
    pub(super) fn begin(&mut self, position: u64, take: impl FnOnce(u64) -> Option<Entry>) {
        let Some(key) = self.key_of(position) else { return };
        let before = self.chains.get(&key).and_then(|chain| chain.head).filter(|head| *head != position);
        if let Some(entry) = before.and_then(take) {
            self.demote(key, entry);
        }
        self.change(key, |chain| chain.head = Some(position));
    }

    /// Takes a message that waits for its turn.
    pub(super) fn take(&mut self, position: u64) -> Option<Entry> {
        let (key, rank) = (self.key_of(position)?, self.rank(position));
        self.change(key, |chain| chain.waiting.remove(&rank))
    }

    /// A message is no more in its queue; answers the one that is ready by that, if any.
    pub(super) fn leave(&mut self, position: u64) -> Option<Entry> {
        let key = self.of.remove(&position)?;
        self.late.remove(&position);
        let parks = self.parks;
        self.change(key, |chain| {
            if chain.head == Some(position) {
                chain.head = None;
            }
            advance(chain, parks)
        })
    }

    /// A message joins its key at a moment, unless it is the head, held back.
    pub(super) fn delay(&mut self, position: u64, until_ms: u64) {
        let Some(key) = self.key_of(position) else { return };
        self.change(key, |chain| {
            if chain.head != Some(position) {
                chain.later.insert((until_ms, position));
            }
        });
    }

    /// It waits no more for that moment.
    pub(super) fn end_delay(&mut self, position: u64, until_ms: u64) {
        let Some(key) = self.key_of(position) else { return };
        self.change(key, |chain| chain.later.remove(&(until_ms, position)));
    }

    /// Those that join a key until a moment, or any key, in the order in which they do.
    pub(super) fn due(&self, key: Option<Key>, unix_ms: u64) -> Vec<u64> {
        let until = |chain: &Chain| chain.later.range(..=(unix_ms, u64::MAX)).copied().collect::<Vec<_>>();
        let mut due = match key {
            Some(key) => self.chains.get(&key).map(until).unwrap_or_default(),
            None => self.chains.values().flat_map(until).collect(),
        };
        due.sort_unstable();
        due.into_iter().map(|(_, position)| position).collect()
    }

    /// A dead letter that had a key: it may come back. In the queue that it came from it parks its key.
    pub(super) fn bury(&mut self, position: u64, key: Key, expires_ms: u64, is_origin: bool) {
        if self.dead.insert(position, Died { key, expires_ms }).is_none() && is_origin {
            self.change(key, |chain| chain.dead += 1);
        }
    }

    /// The key of a dead letter in this queue, which leaves it.
    pub(super) fn exhume(&mut self, position: u64) -> Option<Key> {
        self.dead.remove(&position).map(|died| died.key)
    }

    /// A dead letter of this queue comes back no more; answers the message that is ready by that, if any.
    /// And when it would have expired.
    pub(super) fn give_up(&mut self, position: u64) -> Option<(u64, Option<Entry>)> {
        let Died { key, expires_ms } = self.dead.remove(&position)?;
        let parks = self.parks;
        let next = self.change(key, |chain| {
            chain.dead -= 1;
            advance(chain, parks)
        });
        Some((expires_ms, next))
    }

    /// The dead letters that had a key: where they stand, their keys, when they expire.
    pub(super) fn dead(&self) -> impl Iterator<Item = (u64, Key, u64)> {
        self.dead.iter().map(|(position, died)| (*position, died.key, died.expires_ms))
    }

    /// Whether a dead letter parks its key from now on. Heads are asked for that are ready, and
    /// nobody has ever been at work on; answers those that are ready by that.
    pub(super) fn set_parks(&mut self, parks: bool, mut take: impl FnMut(u64) -> Option<Entry>) -> Vec<Entry> {
        if self.parks == parks {
            return Vec::new();
        }
        let dead: BTreeSet<Key> = self.dead.values().map(|died| died.key).collect();
        // What is counted as parked is counted by the old rule until here, and by the new one from here on.
        dead.iter().for_each(|key| self.count(*key, false));
        self.parks = parks;
        dead.iter().for_each(|key| self.count(*key, true));
        let mut ready = Vec::new();
        for key in dead {
            let head = self.chains.get(&key).and_then(|chain| chain.head);
            match head.filter(|_| parks).and_then(&mut take) {
                Some(entry) => self.demote(key, entry),
                None => ready.extend(self.change(key, |chain| advance(chain, parks))),
            }
        }
        ready
    }

    /// All that wait for their turn, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chains.values().flat_map(|chain| chain.waiting.values())
    }

    /// Those from a position on, oldest first.
    pub(super) fn from(&self, position: u64) -> impl Iterator<Item = &Entry> {
        let waiting = |(position, key): (&u64, &Key)| self.chains.get(key)?.waiting.get(&self.rank(*position));
        self.of.range(position..).filter_map(waiting)
    }

    /// Messages that wait for their turn and whose key goes on.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Keys that are parked, and the messages that wait for that.
    pub(super) fn parked(&self) -> (u64, u64) {
        (self.parked_keys, self.parked)
    }

    pub(super) fn rank(&self, position: u64) -> Rank {
        let rank = self.late.get(&position).copied();
        rank.unwrap_or(Rank { joined: position, due_ms: u64::MAX, position })
    }

    /// Changes a key, and what is counted of it.
    fn change<T>(&mut self, key: Key, change: impl FnOnce(&mut Chain) -> T) -> T {
        self.count(key, false);
        let chain = self.chains.entry(key).or_default();
        let changed = change(chain);
        if chain.is_empty() {
            self.chains.remove(&key);
        }
        self.count(key, true);
        changed
    }

    fn count(&mut self, key: Key, more: bool) {
        let Some(chain) = self.chains.get(&key) else { return };
        let counted = |of: &mut u64, count: u64| *of = if more { *of + count } else { *of - count };
        let waiting = chain.waiting.len() as u64;
        if self.parks && chain.dead > 0 {
            counted(&mut self.parked_keys, 1);
            counted(&mut self.parked, waiting);
        } else {
            counted(&mut self.waiting, waiting);
        }
    }

    /// Every key as a line: where its messages stand, in their order.
    #[cfg(test)]
    pub(super) fn describe(&self) -> Vec<String> {
        let line = |(key, chain): (&Key, &Chain)| {
            let order: Vec<u64> = chain.head.into_iter().chain(chain.waiting.values().map(|e| e.position)).collect();
            format!("key {key:x} dead {} head {:?} order {order:?} later {:?}", chain.dead, chain.head, chain.later)
        };
        let counts = format!("keys: parked {:?} waiting {}", self.parked(), self.waiting);
        self.chains.iter().map(line).chain([counts, format!("dead with keys {:?}", self.dead)]).collect()
    }
}

/// The next of a key goes on its way, if it may.
fn advance(chain: &mut Chain, parks: bool) -> Option<Entry> {
    if chain.head.is_some() || parks && chain.dead > 0 {
        return None;
    }
    let (_, entry) = chain.waiting.pop_first()?;
    chain.head = Some(entry.position);
    Some(entry)
}
