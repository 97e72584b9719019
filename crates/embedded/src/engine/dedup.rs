//! What was seen before: sequences of producers, and ids of exactly-once messages.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt};
use skep_protocol::limits::PRODUCER_WINDOW;
use skep_protocol::{Code, Error, MessageRef, ProducerId};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::limits::{DEDUP_IDS_MAX, DEDUP_MS, PRODUCERS_MAX};

/// Whether a sequence was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Never.
    New,
    /// At this position.
    At(u64),
}

/// The producers and where their last sequences were stored.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    /// By producer and party, as one: nobody's numbers count for another.
    known: HashMap<u128, Producer>,
    uses: u64,
}

#[derive(Debug, Default)]
struct Producer {
    /// Stored sequences as runs, oldest first; sequences and positions of a run both grow by one.
    runs: VecDeque<SequenceRun>,
    highest: u64,
    used: u64,
}

#[derive(Clone, Copy, Debug)]
struct SequenceRun {
    sequence: u64,
    position: u64,
    count: u64,
}

impl Producers {
    /// Looks a sequence up.
    ///
    /// # Errors
    /// `dedup_window_passed` when it is so old that it may have been forgotten.
    pub(crate) fn look(&self, id: &ProducerId, party: &str, sequence: u64) -> Result<Seen, Error> {
        let Some(producer) = self.known.get(&key(id, party)) else { return Ok(Seen::New) };
        if sequence > producer.highest {
            return Ok(Seen::New);
        }
        let found = producer.runs.iter().rev().find(|run| (run.sequence..run.sequence + run.count).contains(&sequence));
        match found {
            Some(run) => Ok(Seen::At(run.position + (sequence - run.sequence))),
            None if sequence + PRODUCER_WINDOW <= producer.highest => Err(Error::new(
                Code::DedupWindowPassed,
                format!(
                    "sequence {sequence} lies {PRODUCER_WINDOW} or more behind {}, the newest of its producer",
                    producer.highest
                ),
            )),
            None => Ok(Seen::New),
        }
    }

    /// Remembers that a sequence was stored.
    pub(crate) fn store(&mut self, id: &ProducerId, party: &str, sequence: u64, position: u64) {
        let key = key(id, party);
        if self.known.len() >= PRODUCERS_MAX && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, producer)| producer.used).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.uses += 1;
        let producer = self.known.entry(key).or_default();
        producer.used = self.uses;
        producer.highest = producer.highest.max(sequence);
        match producer.runs.back_mut() {
            Some(run) if run.sequence + run.count == sequence && run.position + run.count == position => run.count += 1,
            _ => producer.runs.push_back(SequenceRun { sequence, position, count: 1 }),
        }
        let oldest = producer.highest.saturating_sub(PRODUCER_WINDOW);
        while producer.runs.front().is_some_and(|run| run.sequence + run.count <= oldest) {
            producer.runs.pop_front();
        }
    }
}

fn key(id: &ProducerId, party: &str) -> u128 {
    u128::from_be_bytes(id.0) ^ xxh3_128(party.as_bytes())
}

/// Ids of exactly-once messages, for a window of time.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    known: HashMap<u128, u64>,
    /// Oldest first: when, and which.
    order: VecDeque<(u64, u128)>,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Ids { seed, known: HashMap::new(), order: VecDeque::new() }
    }

    /// The 128-bit hash of (party, source, id).
    pub(crate) fn hash(&self, party: &str, message: &MessageRef<'_>) -> u128 {
        let mut hash = Xxh3::with_seed(self.seed);
        for part in [party, message.source(), message.id()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.digest128()
    }

    /// Where an id was stored.
    pub(crate) fn look(&self, hash: u128) -> Seen {
        self.known.get(&hash).map_or(Seen::New, |position| Seen::At(*position))
    }

    /// Whether one more can be remembered; forgets what is older than the window.
    pub(crate) fn has_room(&mut self, unix_ms: u64) -> bool {
        while self.order.front().is_some_and(|(at, _)| at + DEDUP_MS < unix_ms) {
            if let Some((_, hash)) = self.order.pop_front() {
                self.known.remove(&hash);
            }
        }
        self.known.len() < DEDUP_IDS_MAX
    }

    /// Remembers an id.
    pub(crate) fn store(&mut self, hash: u128, position: u64, unix_ms: u64) {
        self.known.insert(hash, position);
        self.order.push_back((unix_ms, hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ProducerId = ProducerId([1; 16]);

    #[test]
    fn a_sequence_is_recognised_for_4096_sequences_and_then_refused() {
        let mut producers = Producers::default();
        (1..=10_000).for_each(|n| producers.store(&ID, "a", n, 500 + n));
        assert_eq!(producers.look(&ID, "a", 10_000), Ok(Seen::At(10_500)));
        assert_eq!(producers.look(&ID, "a", 10_001), Ok(Seen::New));
        assert_eq!(producers.look(&ProducerId([2; 16]), "a", 1), Ok(Seen::New));
        assert_eq!(producers.look(&ID, "b", 10_000), Ok(Seen::New), "another party's number");
        let mut gaps = Producers::default();
        (1..=10_000).filter(|n| n % 3 != 0).for_each(|n| gaps.store(&ID, "a", n, 500 + n));
        assert_eq!(gaps.look(&ID, "a", 9_999), Ok(Seen::New), "it was refused before, so it is new");
        assert_eq!(gaps.look(&ID, "a", 9_998), Ok(Seen::At(10_498)));
        assert_eq!(gaps.look(&ID, "a", 5_903).unwrap_err().code, Code::DedupWindowPassed);
    }

    #[test]
    fn an_id_is_remembered_for_the_window_and_not_longer() {
        let mut ids = Ids::new(1);
        ids.store(7, 3, 1_000);
        assert!(ids.has_room(1_000 + DEDUP_MS));
        assert_eq!(ids.look(7), Seen::At(3));
        assert!(ids.has_room(1_001 + DEDUP_MS));
        assert_eq!(ids.look(7), Seen::New);
    }
}
