//! What was seen before: sequences of producers, and ids of exactly-once messages.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt};
use skep_core::{Look, Recent, fingerprint, other_message};
use skep_protocol::limits::PRODUCER_WINDOW;
use skep_protocol::{Code, Error, MessageRef, ProducerId};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::limits::{DEDUP_IDS_MAX, DEDUP_MS, FINGERPRINTS_MAX, PRODUCER_IDLE_MS, PRODUCERS_MAX};

/// Whether a sequence was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Never.
    New,
    /// At this position, and taken by so many queues.
    At(u64, u32),
    /// At this position, with another payload.
    Other(u64),
}

/// The producers and where their last sequences were stored.
#[derive(Debug)]
pub(crate) struct Producers {
    pub(super) seed: u64,
    /// By producer and party, as one, hashed so that nobody can name an id of their own that stands
    /// for another's: nobody's numbers count for another.
    pub(super) known: HashMap<u128, Producer>,
    /// Uses, oldest first. Of each producer the last one counts; the others are left over, and
    /// swept when they are more than half.
    pub(super) uses: VecDeque<Use>,
    pub(super) uses_count: u64,
    /// How many fingerprints all of them have.
    pub(super) fingerprints: usize,
    /// Whose last use has this number, or one before it, has none.
    pub(super) bare: u64,
}

#[derive(Debug, Default)]
pub(super) struct Producer {
    /// By sequence; positions grow with it by one in a run.
    pub(super) stored: Recent<Stored>,
    /// The number of its last use.
    pub(super) used: u64,
}

/// Where a message was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) position: u64,
    /// How many queues took it.
    pub(super) queues: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) number: u64,
    pub(super) key: u128,
    pub(super) unix_ms: u64,
}

impl Producers {
    pub(crate) fn new(seed: u64) -> Self {
        let (known, uses) = (HashMap::default(), VecDeque::new());
        Producers { seed, known, uses, uses_count: 0, fingerprints: 0, bare: 0 }
    }

    /// Looks a sequence up.
    ///
    /// # Errors
    /// `conflict` when it was that of another message, `dedup_window_passed` when it is so old that it may have been forgotten.
    pub(crate) fn look(&self, id: &ProducerId, party: &str, sequence: u64, told_by: u32) -> Result<Seen, Error> {
        let Some(producer) = self.known.get(&self.key(id, party)) else { return Ok(Seen::New) };
        match producer.stored.look(sequence, told_by) {
            Look::New => Ok(Seen::New),
            Look::Known(first, by) => Ok(Seen::At(first.position + by, first.queues)),
            Look::Other(first, by) => {
                Err(other_message(sequence, &format!("which is stored at position {}", first.position + by)))
            }
            Look::Passed { highest } => Err(Error::new(
                Code::DedupWindowPassed,
                format!(
                    "sequence {sequence} lies {PRODUCER_WINDOW} or more behind {highest}, the newest of its producer"
                ),
            )),
        }
    }

    /// Remembers that a message was stored under a sequence, and where.
    pub(super) fn store(
        &mut self,
        id: &ProducerId,
        party: &str,
        sequence: u64,
        told_by: u32,
        at: Stored,
        unix_ms: u64,
    ) {
        let Producer { stored, .. } = self.use_now(self.key(id, party), unix_ms);
        let joins = |first: &Stored, by| Stored { position: first.position + by, ..*first } == at;
        let before = stored.fingerprints().len();
        stored.remember(sequence, told_by, &at, joins);
        let after = stored.fingerprints().len();
        self.fingerprints = self.fingerprints + after - before;
        self.forget_fingerprints();
    }

    /// Those of a producer that has none yet, as they were; false when it cannot have had them.
    pub(super) fn set_fingerprints(&mut self, key: u128, told_by: VecDeque<u32>) -> bool {
        self.fingerprints += told_by.len();
        let producer = self.known.get_mut(&key).filter(|producer| producer.stored.fingerprints().len() == 0);
        producer.is_some_and(|producer| producer.stored.set_fingerprints(told_by))
    }

    /// Where there are too many fingerprints, those of whoever was unused for longest go.
    fn forget_fingerprints(&mut self) {
        let Producers { known, uses, fingerprints, bare, .. } = self;
        while *fingerprints > FINGERPRINTS_MAX {
            let Some(oldest) = uses.get(uses.partition_point(|of| of.number <= *bare)) else { return };
            *bare = oldest.number;
            if let Some(producer) = known.get_mut(&oldest.key).filter(|producer| producer.used == oldest.number) {
                *fingerprints -= producer.stored.fingerprints().len();
                producer.stored.forget_fingerprints();
            }
        }
    }

    /// The producer, used now. Who was unused for too long is forgotten, and for longest where
    /// there are too many.
    fn use_now(&mut self, key: u128, unix_ms: u64) -> &mut Producer {
        match self.uses.back_mut() {
            // Who comes again and again takes no more room.
            Some(last) if last.key == key => last.unix_ms = unix_ms,
            _ => {
                self.uses_count += 1;
                self.uses.push_back(Use { number: self.uses_count, key, unix_ms });
                self.known.entry(key).or_default().used = self.uses_count;
                self.forget_unused(unix_ms);
            }
        }
        self.known.entry(key).or_default()
    }

    fn forget_unused(&mut self, unix_ms: u64) {
        let Producers { known, uses, fingerprints, .. } = self;
        let is_last = |known: &HashMap<u128, Producer>, of: &Use| {
            known.get(&of.key).is_some_and(|producer| producer.used == of.number)
        };
        while let Some(oldest) = uses.front() {
            if is_last(known, oldest) {
                if known.len() <= PRODUCERS_MAX && oldest.unix_ms + PRODUCER_IDLE_MS >= unix_ms {
                    break;
                }
                let forgotten = known.remove(&oldest.key);
                *fingerprints -= forgotten.map_or(0, |producer| producer.stored.fingerprints().len());
            }
            uses.pop_front();
        }
        // So each use is swept over twice at most, on average.
        if uses.len() > 2 * known.len() {
            uses.retain(|of| is_last(known, of));
        }
    }

    fn key(&self, id: &ProducerId, party: &str) -> u128 {
        let mut hash = Xxh3::with_seed(self.seed);
        hash.update(&id.0);
        hash.update(party.as_bytes());
        hash.digest128()
    }

    /// What is remembered.
    #[cfg(test)]
    pub(super) fn describe(&self) -> Vec<String> {
        self.known.iter().map(|(key, producer)| format!("producer {key} {producer:?}")).collect()
    }
}

/// By what a message is told from another under its sequence: its id. Snapshots keep it, so it is the same in every process; whoever
/// finds another id for it harms nobody but themselves.
pub(super) fn told_by(message: &MessageRef<'_>) -> u32 {
    fingerprint(xxh3_64(message.id().as_bytes()))
}

/// By what an exactly-once message is recognised, and told from another under its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The hash of (party, source, id).
    id: IdHash,
    /// The hash of its payload.
    payload: u64,
}

/// As bytes, so that a table of them has no gaps.
pub(super) type IdHash = [u8; 16];

/// What is known of an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) position: u64,
    /// The hash of its payload.
    pub(super) payload: u64,
    /// How many queues took it.
    pub(super) queues: u32,
}

/// Ids of exactly-once messages, for a window of time.
#[derive(Debug)]
pub(crate) struct Ids {
    pub(super) seed: u64,
    pub(super) known: HashMap<IdHash, Id>,
    /// Oldest first: when, which, and its position.
    pub(super) order: VecDeque<(u64, IdHash, u64)>,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Ids { seed, known: HashMap::new(), order: VecDeque::new() }
    }

    /// By what a message is recognised.
    pub(crate) fn mark(&self, party: &str, message: &MessageRef<'_>) -> Mark {
        let mut hash = Xxh3::with_seed(self.seed);
        for part in [party, message.source(), message.id()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let payload = xxh3_64_with_seed(message.payload().unwrap_or_default(), self.seed);
        Mark { id: hash.digest128().to_le_bytes(), payload }
    }

    /// Where an id was stored.
    pub(crate) fn look(&self, mark: Mark) -> Seen {
        match self.known.get(&mark.id) {
            None => Seen::New,
            Some(known) if known.payload == mark.payload => Seen::At(known.position, known.queues),
            Some(known) => Seen::Other(known.position),
        }
    }

    /// Whether one more can be remembered; forgets what is older than the window.
    pub(crate) fn has_room(&mut self, unix_ms: u64) -> bool {
        self.forget_old(unix_ms);
        self.known.len() < DEDUP_IDS_MAX
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget_old(&mut self, unix_ms: u64) {
        while self.order.front().is_some_and(|(at, ..)| at + DEDUP_MS < unix_ms) {
            // It may have been stored again since: then it is that one which is known.
            if let Some((_, hash, position)) = self.order.pop_front()
                && self.known.get(&hash).is_some_and(|known| known.position == position)
            {
                self.known.remove(&hash);
            }
        }
    }

    /// Remembers an id.
    pub(super) fn store(&mut self, mark: Mark, at: Stored, unix_ms: u64) {
        // A clock that was set back: what was stored in its future was stored until now.
        for (at, ..) in self.order.iter_mut().rev().take_while(|(at, ..)| *at > unix_ms) {
            *at = unix_ms;
        }
        let Stored { position, queues } = at;
        self.known.insert(mark.id, Id { position, payload: mark.payload, queues });
        self.order.push_back((unix_ms, mark.id, position));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// What is remembered at a moment.
    #[cfg(test)]
    pub(super) fn describe(&self, unix_ms: u64) -> Vec<String> {
        let young = self.order.iter().filter(|(at, ..)| at + DEDUP_MS >= unix_ms);
        young.map(|(at, hash, _)| format!("id {hash:x?} at {at}: {:?}", self.known[hash])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ProducerId = ProducerId([1; 16]);
    /// A message's fingerprint, and another's.
    const A: u32 = 7;
    const B: u32 = 8;

    fn at(position: u64) -> Stored {
        Stored { position, queues: 1 }
    }

    #[test]
    fn a_sequence_is_recognised_for_4096_sequences_and_then_refused() {
        let mut producers = Producers::new(1);
        (1..=10_000).for_each(|n| producers.store(&ID, "a", n, A, at(500 + n), 0));
        assert_eq!(producers.look(&ID, "a", 10_000, A), Ok(Seen::At(10_500, 1)));
        assert_eq!(producers.look(&ID, "a", 10_001, A), Ok(Seen::New));
        assert_eq!(producers.look(&ProducerId([2; 16]), "a", 1, A), Ok(Seen::New));
        assert_eq!(producers.look(&ID, "b", 10_000, A), Ok(Seen::New), "another party's number");
        let mut gaps = Producers::new(1);
        (1..=10_000).filter(|n| n % 3 != 0).for_each(|n| gaps.store(&ID, "a", n, A, at(500 + n), 0));
        assert_eq!(gaps.look(&ID, "a", 9_999, A), Ok(Seen::New), "it was refused before, so it is new");
        assert_eq!(gaps.look(&ID, "a", 9_998, A), Ok(Seen::At(10_498, 1)));
        assert_eq!(gaps.look(&ID, "a", 5_903, A).unwrap_err().code, Code::DedupWindowPassed);
    }

    #[test]
    fn beyond_the_bound_the_fingerprints_of_the_producer_unused_for_longest_are_forgotten() {
        let mut producers = Producers::new(1);
        let max = FINGERPRINTS_MAX as u64 / PRODUCER_WINDOW;
        // Of the first to the last of a window, as many as fill it.
        let fill = |producers: &mut Producers, n: u64| {
            [1, PRODUCER_WINDOW]
                .into_iter()
                .for_each(|sequence| producers.store(&producer(n), "a", sequence, A, at(n), 0));
        };
        let told = |producers: &Producers, n| producers.look(&producer(n), "a", PRODUCER_WINDOW, B).is_err();
        let known =
            |producers: &Producers, n| producers.look(&producer(n), "a", PRODUCER_WINDOW, A) == Ok(Seen::At(n, 1));
        (0..max).for_each(|n| fill(&mut producers, n));
        assert!(producers.fingerprints == FINGERPRINTS_MAX && (0..max).all(|n| told(&producers, n)));
        producers.store(&producer(0), "a", PRODUCER_WINDOW + 1, A, at(0), 0);
        (max..max + 10).for_each(|n| fill(&mut producers, n));
        assert!(told(&producers, 0) && (11..max + 10).all(|n| told(&producers, n)));
        assert!((1..11).all(|n| !told(&producers, n)));
        assert!((1..max + 10).all(|n| known(&producers, n)), "by its number it is known as before");
        assert_eq!(producers.fingerprints, FINGERPRINTS_MAX);
        // Who comes again is told from then on.
        producers.store(&producer(1), "a", PRODUCER_WINDOW + 1, A, at(1), 0);
        assert!(producers.look(&producer(1), "a", PRODUCER_WINDOW + 1, B).is_err());
    }

    #[test]
    fn a_producer_that_is_forgotten_leaves_no_fingerprints() {
        let mut producers = Producers::new(1);
        (1..=3).for_each(|n| producers.store(&producer(1), "a", n, A, at(n), 0));
        producers.store(&producer(2), "a", 1, A, at(9), PRODUCER_IDLE_MS + 1);
        assert_eq!((producers.known.len(), producers.fingerprints), (1, 1));
    }

    fn mark(id: u128) -> Mark {
        Mark { id: id.to_le_bytes(), payload: 1 }
    }

    fn producer(n: u64) -> ProducerId {
        ProducerId(u128::from(n).to_be_bytes())
    }

    #[test]
    fn beyond_the_bound_the_producer_unused_for_longest_is_forgotten() {
        let mut producers = Producers::new(1);
        let max = PRODUCERS_MAX as u64;
        (0..max).for_each(|n| producers.store(&producer(n), "a", 1, A, at(n), 0));
        // The first half is used again, in turn.
        (2..8).for_each(|round| (0..max / 2).for_each(|n| producers.store(&producer(n), "a", round, A, at(n), 0)));
        assert!(producers.uses.len() <= 2 * PRODUCERS_MAX, "{} uses", producers.uses.len());
        (max..max + max / 2).for_each(|n| producers.store(&producer(n), "a", 1, A, at(n), 0));
        let known = |n| producers.look(&producer(n), "a", 1, A) != Ok(Seen::New);
        assert!((0..max / 2).all(known), "used of late");
        assert!(!(max / 2..max).any(known), "unused for longest");
        assert!((max..max + max / 2).all(known), "the newest");
    }

    #[test]
    fn a_producer_unused_for_a_week_is_forgotten_and_one_that_comes_again_is_not() {
        let mut producers = Producers::new(1);
        let [idle, busy, other] = [1, 2, 3].map(producer);
        producers.store(&idle, "a", 1, A, at(10), 0);
        producers.store(&busy, "a", 1, A, at(20), 0);
        producers.store(&busy, "a", 2, A, at(21), PRODUCER_IDLE_MS);
        producers.store(&other, "a", 1, A, at(30), PRODUCER_IDLE_MS);
        assert_eq!(producers.look(&idle, "a", 1, A), Ok(Seen::At(10, 1)), "a week to the millisecond");
        producers.store(&busy, "a", 3, A, at(22), PRODUCER_IDLE_MS + 1);
        assert_eq!(producers.look(&idle, "a", 1, A), Ok(Seen::New));
        assert_eq!(producers.look(&busy, "a", 1, A), Ok(Seen::At(20, 1)));
        assert_eq!((producers.known.len(), producers.uses.len()), (2, 2));
    }

    #[test]
    fn an_id_that_was_stored_again_is_remembered_from_then_on() {
        let mut ids = Ids::new(1);
        ids.store(mark(7), at(3), 1_000);
        ids.store(mark(7), at(9), 1_001 + DEDUP_MS);
        assert!(ids.has_room(1_002 + DEDUP_MS));
        assert_eq!(ids.look(mark(7)), Seen::At(9, 1));
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_keeps_no_id_for_longer() {
        let mut ids = Ids::new(1);
        ids.store(mark(7), at(3), 1_000_000_000);
        ids.store(mark(8), at(4), 1_000);
        assert!(ids.has_room(1_001 + DEDUP_MS));
        assert_eq!((ids.look(mark(7)), ids.look(mark(8))), (Seen::New, Seen::New));
    }

    #[test]
    fn no_producer_id_can_be_computed_that_stands_for_anothers() {
        let (mine, theirs) = ("agent/eve", "agent/bob");
        let flip = xxhash_rust::xxh3::xxh3_128(mine.as_bytes()) ^ xxhash_rust::xxh3::xxh3_128(theirs.as_bytes());
        let forged = ProducerId((u128::from_be_bytes(ID.0) ^ flip).to_be_bytes());
        let mut producers = Producers::new(5);
        producers.store(&forged, mine, 1, A, at(500), 0);
        assert_eq!(producers.look(&ID, theirs, 1, A), Ok(Seen::New));
        assert_ne!(producers.key(&ID, mine), Producers::new(6).key(&ID, mine), "the seed is the store's own");
    }

    #[test]
    fn an_id_is_remembered_for_the_window_and_not_longer() {
        let mut ids = Ids::new(1);
        ids.store(mark(7), at(3), 1_000);
        assert!(ids.has_room(1_000 + DEDUP_MS));
        assert_eq!(ids.look(mark(7)), Seen::At(3, 1));
        assert!(ids.has_room(1_001 + DEDUP_MS));
        assert_eq!(ids.look(mark(7)), Seen::New);
    }

    #[test]
    fn an_id_with_another_payload_is_told_from_a_duplicate() {
        let mut ids = Ids::new(1);
        ids.store(mark(7), at(3), 1_000);
        assert_eq!(ids.look(Mark { payload: 2, ..mark(7) }), Seen::Other(3));
        assert_eq!(ids.look(mark(7)), Seen::At(3, 1));
    }
}
