//! How messages stand in queues just now, for a trace.

use foldhash::HashMap;
use skep_core::Now;
use skep_protocol::{Ended, Holder, QueueName};

use super::Engine;
use super::entry::Entry;
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
}

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
    pub(crate) fn stands(&self, wanted: &[(QueueId, u64)], now: Now) -> Vec<Option<Stand>> {
        let mut leased: HashMap<(QueueId, u64), Option<(Entry, Holder)>> =
            wanted.iter().map(|key| (*key, None)).collect();
        for lease in self.leases.values() {
            if let Some(found) = leased.get_mut(&(lease.queue, lease.entry.position)) {
                *found = Some((lease.entry, lease.holder(now)));
            }
        }
        let stand = |key: &(QueueId, u64)| {
            let queue = self.queues.get(&key.0)?;
            let previous = queue.ended(key.1).cloned();
            if let Some((entry, holder)) = leased.get(key).cloned().flatten() {
                return Some(Stand { attempts: entry.attempts, previous, holder: Some(holder), due_ms: None });
            }
            if let Some(waiting) = self.delayed.get(key) {
                let due_ms = Some(waiting.until_ms);
                return Some(Stand { attempts: waiting.entry.attempts, previous, holder: None, due_ms });
            }
            let entry = queue.ready_from(key.1, 1).find(|entry| entry.position == key.1)?;
            Some(Stand { attempts: entry.attempts, previous, holder: None, due_ms: None })
        };
        wanted.iter().map(stand).collect()
    }
}
