//! What the index takes in memory, and its bound: an estimate from counts and sizes, that is kept up as queues change.
//!
//! Of a queue it is counted what it holds, not what was allocated; of messages that wait, and of queues, that is within a quarter of what
//! an allocator counts. Beyond the bound nothing that adds messages is taken; what settles them, or moves them, is.

use skep_protocol::{Code, Error, Filter, QueueSpec};

use super::Engine;
use super::asides::Asides;
use super::delay::Waiting;
use super::deliver::Lease;
use super::entry::Entry;
use super::facts::Known;
use super::queue::Queue;
use crate::journal::QueueId;

/// A message in a line, with the room that is made beside it.
pub(super) const ENTRY_BYTES: u64 = size_of::<Entry>() as u64 + 8;
/// A message under a lease, besides: in a table that may be half empty, with its timer and its place among its consumer's.
const LEASE_BYTES: u64 = 2 * (size_of::<Lease>() as u64 + 8) + 128;
/// A message that waits for a moment, besides: in a tree whose nodes may be half empty, with its timer.
const DELAY_BYTES: u64 = 2 * (size_of::<Waiting>() as u64 + 16) + 64;
/// When a message expires, in such a tree.
const EXPIRY_BYTES: u64 = 2 * 16;
/// How an attempt ended, in a tree whose nodes may be half empty; its texts come besides.
const NOTE_BYTES: u64 = 2 * 64;
/// When a message died, or how it is tried again, in such a tree.
const NUMBER_BYTES: u64 = 2 * 48;
/// A message with a key, and its key: in trees and tables.
const KEY_BYTES: u64 = 256;
/// A queue in all tables that name it, and with a line, but for its texts.
const QUEUE_BYTES: u64 = size_of::<Queue>() as u64 + 120;
/// A filter of a queue, in its declaration and in the router, but for its text, which stands in both.
const FILTER_BYTES: u64 = 128;
/// A token of a filter with wildcards: a branch of the router.
const BRANCH_BYTES: u64 = 256;
/// A producer and the sequences of it that are known.
const PRODUCER_BYTES: u64 = 512;
/// A fingerprint of a message, in a ring that may be half empty.
const FINGERPRINT_BYTES: u64 = 6;
/// An id of an exactly-once message.
const ID_BYTES: u64 = 128;
/// A settle that is remembered.
const SETTLED_BYTES: u64 = 128;
/// A fact beside its key and value, which stand in two trees.
const FACT_BYTES: u64 = 2 * size_of::<Known>() as u64 + 128;
/// A notice that is owed.
const NOTICE_BYTES: u64 = 512;
/// An entry or an answer that waits to be durable.
const PENDING_BYTES: u64 = 256;

/// What a declaration takes, and the router for it.
pub(super) fn declared(spec: &QueueSpec) -> u64 {
    let filter = |filter: &Filter| {
        let branches = if filter.is_literal() { 0 } else { filter.as_str().split('.').count() as u64 };
        FILTER_BYTES + BRANCH_BYTES * branches + 2 * filter.as_str().len() as u64
    };
    spec.name.as_str().len() as u64 + spec.filters.iter().map(filter).sum::<u64>()
}

impl Queue {
    /// What it takes, with all it holds.
    fn weight(&self) -> u64 {
        let (packed, packed_bytes) = self.packed();
        let keyed = self.keys().map_or(0, |keys| keys.of.len() + keys.dead.len()) as u64;
        QUEUE_BYTES
            + self.declared
            + ENTRY_BYTES * (self.held - packed)
            + packed_bytes
            + LEASE_BYTES * self.leased
            + DELAY_BYTES * self.delayed
            + self.asides().map_or(0, Asides::weight)
            + KEY_BYTES * keyed
    }
}

impl Asides {
    fn weight(&self) -> u64 {
        EXPIRY_BYTES * self.expiring.len() as u64
            + NOTE_BYTES * self.notes.len() as u64
            + self.notes_bytes
            + NUMBER_BYTES * (self.died.len() + self.tries.len()) as u64
    }
}

impl Engine {
    /// Bounds what the index may take.
    pub(crate) fn set_memory_max(&mut self, bytes: u64) {
        self.memory_max = bytes;
    }

    /// What the index takes, and what it may take, in bytes.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let rest = PRODUCER_BYTES * self.producers.known.len() as u64
            + FINGERPRINT_BYTES * self.producers.fingerprints as u64
            + ID_BYTES * self.ids.order.len() as u64
            + SETTLED_BYTES * self.settled.order.len() as u64
            + FACT_BYTES * self.facts.known.len() as u64
            + 2 * self.facts.bytes as u64
            + NOTICE_BYTES * self.owed.len() as u64
            + PENDING_BYTES * self.pending.len() as u64;
        (self.weight + rest, self.memory_max)
    }

    /// A queue has changed, or is no more: what all of them take is counted anew.
    pub(super) fn weigh(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id) {
            let weight = queue.weight();
            self.weight = self.weight + weight - queue.weight;
            queue.weight = weight;
        }
    }

    /// Whether so many more messages in queues are within the bound.
    pub(super) fn has_memory(&self, entries: u64) -> Result<(), Error> {
        let (used, max) = self.memory();
        if entries == 0 || used + entries * ENTRY_BYTES <= max {
            return Ok(());
        }
        let text = format!(
            "the hub's index has {used} of at most {max} bytes of memory, and {entries} more entries are too many; let \
             consumers drain what waits, purge queues (skep queue), or start the hub with a larger memory_bytes"
        );
        Err(Error::new(Code::Busy, text))
    }

    /// What all queues take, counted one by one.
    #[cfg(test)]
    pub(super) fn weighed(&self) -> u64 {
        self.queues.values().map(|queue| queue.weight()).sum()
    }
}
