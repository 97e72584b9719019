//! How messages stand in queues just now, for a trace.

use std::collections::BTreeSet;

use foldhash::HashMap;
use skep_core::Now;
use skep_protocol::{Behind, Ended, Holder, Position, QueueName};

use super::Engine;
use super::entry::Entry;
use super::keys::{Key, WaitsFor};
use crate::journal::QueueId;

/// How a message stands in a queue that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    /// Deliveries so far.
    pub(crate) attempts: u32,
    /// How the last attempt ended; of a dead letter, why it died.
    pub(crate) previous: Option<Ended>,
    /// Who has it.
    pub(crate) holder: Option<Holder>,
    /// It waits for this moment, in unix milliseconds.
    pub(crate) due_ms: Option<u64>,
    /// Which one of its key it waits for.
    pub(crate) behind: Option<Behind>,
}

/// A message in a queue.
type At = (QueueId, u64);

impl Engine {
    /// The queue of that name, if there is one.
    pub(crate) fn queue_id(&self, name: &QueueName) -> Option<QueueId> {
        self.names.get(name).copied()
    }

    /// The name of a queue, if there still is one.
    pub(crate) fn queue_name(&self, id: QueueId) -> Option<&QueueName> {
        self.queues.get(&id).map(|queue| &queue.name)
    }

    /// How messages stand in queues that hold them, one by one; none where one is not held, or not
    /// shown yet. Leases are looked through once.
    pub(crate) fn stands(&self, wanted: &[At], now: Now) -> Vec<Option<Stand>> {
        let mut leased: HashMap<At, Option<(Entry, Holder)>> = wanted.iter().map(|key| (*key, None)).collect();
        for lease in self.leases.values() {
            if let Some(found) = leased.get_mut(&(lease.queue, lease.entry.position)) {
                *found = Some((lease.entry, lease.holder(now)));
            }
        }
        let mut behind = self.behind(wanted, now);
        let mut stand = |key: &At| {
            let queue = self.queues.get(&key.0)?;
            let alone =
                Stand { attempts: 0, previous: queue.ended(key.1).cloned(), holder: None, due_ms: None, behind: None };
            if let Some((entry, holder)) = leased.get(key).cloned().flatten() {
                return Some(Stand { attempts: entry.attempts, holder: Some(holder), ..alone });
            }
            if let Some(waiting) = self.delayed.get(key) {
                return Some(Stand { attempts: waiting.entry.attempts, due_ms: Some(waiting.until_ms), ..alone });
            }
            let entry = queue.ready_from(key.1, 1).find(|entry| entry.position == key.1)?;
            Some(Stand { attempts: entry.attempts, behind: behind.remove(key), ..alone })
        };
        wanted.iter().map(&mut stand).collect()
    }

    /// Of messages, those that wait for another one of their key, with that one: the one on its way, else the oldest dead
    /// letter that parks the key. Leases and dead letters are looked through once, and only if there are such messages.
    pub(crate) fn behind(&self, wanted: &[At], now: Now) -> HashMap<At, Behind> {
        let mut heads: HashMap<At, Option<Holder>> = HashMap::default();
        let mut parked: HashMap<(QueueId, Key), Option<u64>> = HashMap::default();
        for (queue, position) in wanted {
            match self.queues.get(queue).and_then(|queue| queue.keys()?.waits_for(*position)) {
                Some(WaitsFor::Head(head)) => drop(heads.insert((*queue, head), None)),
                Some(WaitsFor::Dead(key)) => drop(parked.insert((*queue, key), None)),
                None => {}
            }
        }
        if !heads.is_empty() {
            for lease in self.leases.values() {
                heads.entry((lease.queue, lease.entry.position)).and_modify(|holder| *holder = Some(lease.holder(now)));
            }
        }
        let queues: BTreeSet<QueueId> = parked.keys().map(|(queue, _)| *queue).collect();
        for (queue, keys) in queues.into_iter().filter_map(|queue| Some((queue, self.queues.get(&queue)?.keys()?))) {
            for (position, key, _) in keys.dead() {
                parked.entry((queue, key)).and_modify(|first| *first = first.or(Some(position)));
            }
        }
        let behind = |at: &At| {
            let found = match self.queues.get(&at.0)?.keys()?.waits_for(at.1)? {
                WaitsFor::Head(head) => (head, false, heads.get(&(at.0, head)).cloned().flatten()),
                WaitsFor::Dead(key) => (parked.get(&(at.0, key)).copied().flatten()?, true, None),
            };
            let (position, dead, holder) = found;
            Some((*at, Behind { position: Position::Number(position), dead, holder }))
        };
        wanted.iter().filter_map(behind).collect()
    }
}
