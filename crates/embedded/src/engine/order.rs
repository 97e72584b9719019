//! What of the order by key concerns more than one queue, or the clock: a queue and its dead letters, and replay.

use skep_core::Now;
use skep_protocol::{MessageRef, QueueName};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Engine;
use super::entry::Entry;
use super::keys::Key;
use crate::journal::QueueId;

/// The attribute that asks for order by key.
const PARTITION_KEY: &str = "partitionkey";

impl Engine {
    /// The key of a message, if it has one.
    pub(super) fn key_of(&self, message: &MessageRef<'_>) -> Option<Key> {
        message.text_attribute(PARTITION_KEY).map(|key| xxh3_64_with_seed(key.as_bytes(), self.seed))
    }

    /// A message leaves its queue and does not come back. If it was a dead letter, its key goes on.
    pub(super) fn release(&mut self, id: QueueId, entry: &Entry) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if queue.release(entry).is_some() {
            let name = queue.name.clone();
            self.give_up(&name, entry.position);
        }
        self.weigh(id);
    }

    /// A dead letter of this queue of dead letters is gone: the queue that it came from does not wait for it.
    pub(super) fn give_up(&mut self, dead: &QueueName, position: u64) {
        let Some(origin) = dead.origin().and_then(|origin| self.names.get(&origin).copied()) else { return };
        if let Some(queue) = self.queues.get_mut(&origin) {
            queue.give_up(position);
            self.touched.push(origin);
        }
    }

    /// Messages that were delayed join those of a key, or of any, if they came due until a moment. It is for replay: time writes no record, and
    /// what was taken later comes behind them.
    pub(super) fn join_due(&mut self, id: QueueId, key: Option<Key>, unix_ms: u64, next: u64) {
        let keys = self.queues.get(&id).and_then(|queue| queue.keys());
        let due = keys.map(|keys| keys.due(key, unix_ms)).unwrap_or_default();
        due.into_iter().for_each(|position| self.join(id, position, next));
    }

    /// The log is read: what time has done to the keys of a queue since is done.
    pub(super) fn settle_keys(&mut self, id: QueueId, next: u64, now: Now) {
        self.join_due(id, None, now.unix_ms, next);
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let dead = queue.keys().into_iter().flat_map(|keys| keys.dead());
        let expired = dead.filter(|(.., expires_ms)| *expires_ms <= now.unix_ms).map(|(position, ..)| position);
        let expired: Vec<u64> = expired.collect();
        if !queue.name.is_dead() {
            expired.into_iter().for_each(|position| queue.give_up(position));
        }
    }
}
