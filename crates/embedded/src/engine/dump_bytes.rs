//! How much room a snapshot of the state needs, known before it is written.

use super::Engine;
use super::dead::Notice;
use super::leb128::NUMBER_BYTES_MAX;
use super::packed::STEP_BYTES_MAX;
use super::queue::Queue;

/// A number.
const NUMBER: u64 = NUMBER_BYTES_MAX;
/// A seed, a hash, or a key by which messages are ordered.
const HASH: u64 = 8;
/// The key of a producer, or of an id.
const KEY: u64 = 16;
/// By what a message is told from another.
const FINGERPRINT: u64 = 4;
/// A queue's declaration but for its texts, and what says how much of everything follows.
const QUEUE: u64 = 1024;
/// How a message is tried again, in words: three numbers.
const TRIES: u64 = 128;

impl Queue {
    fn dump_bytes_max(&self) -> u64 {
        // Packed, a message takes no less than in a snapshot.
        let (packed, packed_bytes) = self.packed();
        let entries = packed_bytes + STEP_BYTES_MAX * (self.held - packed);
        let asides = self.asides().map_or(0, |asides| {
            let notes = (3 * NUMBER + 1) * asides.notes.len() as u64 + asides.notes_bytes;
            notes + 2 * NUMBER * asides.died.len() as u64 + (2 * NUMBER + TRIES) * asides.tries.len() as u64
        });
        let keys = self.keys().map_or(0, |keys| {
            // What it says of a message with a key: which, when it joined late, and that it is the first of it.
            let held = (NUMBER + HASH) + 3 * NUMBER + (HASH + 2 * NUMBER);
            held * keys.of.len() as u64 + (2 * NUMBER + HASH) * keys.dead.len() as u64
        });
        // A text in JSON may take twice its bytes.
        QUEUE + 2 * self.declared + entries + asides + keys
    }
}

impl Engine {
    /// What [`dump`](Self::dump) writes, at most. Counted from sizes, queue by queue and producer by producer, whatever they hold; what is
    /// under a lease counts as it will when the log has been read.
    pub(crate) fn dump_bytes_max(&self) -> u64 {
        let queues: u64 = self.queues.values().map(|queue| queue.dump_bytes_max()).sum();
        let progress = |progress: &Option<String>| progress.as_ref().map_or(0, String::len) as u64;
        let recovering = self.recovering.values().map(|held| progress(&held.progress));
        let leased = self.leases.values().map(|lease| progress(&lease.progress));
        // Beside the entries, which their queues count: the queue and a moment, or the queue and a text.
        let delayed = 2 * NUMBER * self.delayed.len() as u64;
        let taken: u64 = recovering.chain(leased).map(|progress| 2 * NUMBER + 1 + progress).sum();
        let settled = (4 * NUMBER + 1) * self.settled.order.len() as u64;
        let runs: usize = self.producers.known.values().map(|producer| producer.stored.runs().1.len()).sum();
        // Once with its sequences, and once with its fingerprints.
        let producers = (2 * KEY + 4 * NUMBER) * self.producers.known.len() as u64
            + FINGERPRINT * self.producers.fingerprints as u64
            + 4 * NUMBER * runs as u64
            + (KEY + 2 * NUMBER) * self.producers.uses.len() as u64;
        let ids = (KEY + HASH + 3 * NUMBER) * self.ids.order.len() as u64;
        let facts = 4 * NUMBER * self.facts.known.len() as u64 + self.facts.bytes as u64;
        let notice = |Notice { queue, reason, .. }: &Notice| 8 * NUMBER + (queue.as_str().len() + reason.len()) as u64;
        let owed: u64 = self.owed.values().map(notice).sum();
        // The seeds, and how many there are of each.
        let counts = 3 * HASH + 16 * NUMBER;
        counts + queues + delayed + taken + settled + producers + ids + facts + owed
    }
}
