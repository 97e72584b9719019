//! The index of a complete segment: for each stretch of it, of some 32 KiB, a filter that tells what its records may speak
//! of. So a trace reads the stretches that may concern it, and not the whole log.
//!
//! Derived from the segment and never evidence: it is not synced, its hash says whether it is whole, and what is missing,
//! damaged or of another segment is built anew from the log. A filter may say yes where the answer is no (about one in 120),
//! never the other way round.
//!
//! File name: the segment's number in ten digits, then `.idx`. Little-endian: magic 8, hash of all that follows 8, first
//! position of the segment 8, that of the next one 8, count of stretches 4; of each stretch: offset of its first batch 8,
//! first position 8, end 8, words of its filter 4 (the highest bit: it concerns everything); then the words, 8 bytes each.

use std::io;

use skep_protocol::{MessageRef, Topic};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::journal::{QueueId, Record};
use crate::limits::INDEX_BYTES_MAX;
use crate::log::{BatchAt, DATA_OFFSET, ReadError, Reader, RecordKind, RecordView, segment_number};

const MAGIC: &[u8; 8] = b"skepidx1";
const HEAD_BYTES: usize = 36;
const STRETCH_BYTES: usize = 28;
/// Bytes of batches that share a filter: what is read at least of a segment in which something is found.
const STRETCH: u64 = 32 * 1024;
/// Bits of a filter for each key, and how many of them a key sets: about one wrong yes in 120.
const BITS: usize = 10;
const PROBES: u64 = 7;
/// Set in the count of words: the stretch has records that concern messages which they do not name.
const BROAD: u32 = 1 << 31;

/// What a record may speak of, as filters know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    fn new(kind: u64, bytes: &[u8]) -> Self {
        Key(xxh3_64_with_seed(bytes, kind))
    }

    /// A message of this id.
    pub(super) fn id(id: &str) -> Self {
        Key::new(1, id.as_bytes())
    }

    /// A message of this conversation.
    pub(super) fn conversation(name: &str) -> Self {
        Key::new(2, name.as_bytes())
    }

    /// A message from this source or party; an agent goes by its id.
    pub(super) fn from(who: &str) -> Self {
        Key::new(3, who.strip_prefix("agent/").unwrap_or(who).as_bytes())
    }

    /// A message to this topic; an inbox goes by its agent.
    pub(super) fn to(topic: &str) -> Self {
        Key::new(4, Topic::agent_of(topic).unwrap_or(topic).as_bytes())
    }

    /// A message that this queue took.
    pub(super) fn taken(queue: QueueId) -> Self {
        Key::new(5, &queue.to_le_bytes())
    }

    /// A message that names this one as its cause.
    pub(super) fn cause(id: &str) -> Self {
        Key::new(6, id.as_bytes())
    }

    /// What happened to the message at this position.
    pub(super) fn at(position: u64) -> Self {
        Key::new(7, &position.to_le_bytes())
    }

    /// The declaration of this queue.
    pub(super) fn declared(queue: QueueId) -> Self {
        Key::new(8, &queue.to_le_bytes())
    }

    fn bits(self, words: usize) -> impl Iterator<Item = (usize, u64)> {
        let (first, step) = (self.0, self.0.rotate_left(32) | 1);
        let bits = (words as u64 * 64).max(1);
        (0..PROBES).map(move |n| {
            let bit = first.wrapping_add(n.wrapping_mul(step)) % bits;
            (usize::try_from(bit / 64).unwrap_or(usize::MAX), 1 << (bit % 64))
        })
    }
}

/// What a record speaks of goes to the keys; answers whether it concerns messages that it does not name.
fn keys_of(view: &RecordView<'_>, keys: &mut Vec<Key>) -> bool {
    let Ok(Some(record)) = Record::decode(view) else { return view.kind == RecordKind::Open };
    let position = match record {
        Record::Message(message) => {
            keys.extend(message.queues().map(Key::taken));
            keys.push(Key::from(message.party));
            let Ok(found) = MessageRef::parse(message.message) else { return false };
            keys.extend([Key::id(found.id()), Key::conversation(found.conversation()), Key::from(found.source())]);
            keys.extend(found.to().map(Key::to));
            keys.extend(found.causation().map(Key::cause));
            return false;
        }
        Record::Ack(lease)
        | Record::Nack { lease, .. }
        | Record::Dead { lease, .. }
        | Record::Drop { lease, .. }
        | Record::Lease { lease, .. }
        | Record::Return { lease, .. }
        | Record::Extend { lease, .. } => lease.position,
        Record::Redrive { position, .. } | Record::Told { position, .. } => position,
        Record::Declare { queue, .. } => {
            keys.push(Key::declared(queue));
            return false;
        }
        Record::Purge { .. } | Record::Undeclare { .. } => return true,
        Record::FactPut { .. } | Record::FactDelete { .. } => return false,
    };
    keys.push(Key::at(position));
    false
}

/// A stretch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Where its first batch begins.
    pub(super) offset: u64,
    /// Its positions.
    pub(super) first: u64,
    pub(super) end: u64,
    /// It concerns whatever is followed.
    pub(super) is_broad: bool,
    filter: Box<[u64]>,
}

impl Stretch {
    fn new(offset: u64, first: u64) -> Self {
        Stretch { offset, first, end: first, is_broad: false, filter: Box::default() }
    }

    fn finish(&mut self, keys: &mut Vec<Key>) {
        keys.sort_unstable_by_key(|key| key.0);
        keys.dedup();
        let mut filter = vec![0; (keys.len() * BITS).div_ceil(64)];
        for key in keys.drain(..) {
            for (word, bit) in key.bits(filter.len()) {
                filter.get_mut(word).into_iter().for_each(|word| *word |= bit);
            }
        }
        self.filter = filter.into();
    }

    /// Whether its records may speak of it.
    pub(super) fn has(&self, key: Key) -> bool {
        key.bits(self.filter.len()).all(|(word, bit)| self.filter.get(word).is_some_and(|word| word & bit != 0))
    }
}

/// The stretches of a complete segment, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) stretches: Vec<Stretch>,
}

/// A complete segment: its number, its first position and that of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Complete {
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) end: u64,
}

impl Complete {
    fn file_name(self) -> String {
        format!("{:010}.idx", self.number)
    }
}

impl Index {
    /// The index of a segment as its file has it, if that is there, whole, and of just this segment.
    pub(super) fn load(reader: &Reader, of: Complete) -> Option<Self> {
        let file = reader.disk().open(&of.file_name()).ok()?;
        let size = file.size().ok().filter(|size| *size <= INDEX_BYTES_MAX)?;
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        let filled = file.read_at(0, &mut bytes).ok()?;
        let (magic, rest) = bytes.get(..filled)?.split_at_checked(8)?;
        let (hash, body) = rest.split_first_chunk()?;
        let is_whole = magic == MAGIC && u64::from_le_bytes(*hash) == reader.derived_hash(body, of.number);
        if is_whole { Self::decode(body, of) } else { None }
    }

    /// The index of a segment, from its records.
    pub(super) fn build(reader: &Reader, of: Complete) -> Result<Self, ReadError> {
        let (mut stretches, mut keys) = (Vec::new(), Vec::new());
        let mut open: Option<Stretch> = None;
        let at = BatchAt { segment: of.number, offset: DATA_OFFSET };
        for batch in reader.scan_part(at, of.first, of.end) {
            let batch = batch?;
            let stretch = open.get_or_insert_with(|| Stretch::new(batch.at.offset, batch.header.position));
            for view in batch.records().flatten() {
                stretch.is_broad |= keys_of(&view, &mut keys);
            }
            stretch.end = batch.header.end();
            let bytes = batch.at.offset + batch.bytes.len() as u64 - stretch.offset;
            if bytes >= STRETCH
                && let Some(mut stretch) = open.take()
            {
                stretch.finish(&mut keys);
                stretches.push(stretch);
            }
        }
        if let Some(mut stretch) = open {
            stretch.finish(&mut keys);
            stretches.push(stretch);
        }
        Ok(Index { stretches })
    }

    /// Writes it beside its segment, and removes those whose segment is no more. A crash may leave half of it: then it is
    /// built again.
    pub(super) fn store(&self, reader: &Reader, of: Complete) -> io::Result<()> {
        let (disk, name) = (reader.disk(), of.file_name());
        let segments = reader.segments();
        for other in disk.list()? {
            let number = other.strip_suffix(".idx").and_then(|digits| segment_number(&format!("{digits}.seg")));
            let is_left_over = number.is_some_and(|number| !segments.iter().any(|(known, _)| *known == number));
            if is_left_over || other == name {
                disk.remove(&other)?;
            }
        }
        let body = self.encode(of);
        let hash = reader.derived_hash(&body, of.number);
        let bytes = [&MAGIC[..], &hash.to_le_bytes(), &body].concat();
        disk.create_zeroed(&name, bytes.len() as u64)?.write_at(0, &bytes)
    }

    fn encode(&self, of: Complete) -> Vec<u8> {
        let words: usize = self.stretches.iter().map(|stretch| stretch.filter.len()).sum();
        let mut out = Vec::with_capacity(HEAD_BYTES + STRETCH_BYTES * self.stretches.len() + 8 * words);
        out.extend_from_slice(&of.first.to_le_bytes());
        out.extend_from_slice(&of.end.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.stretches.len()).unwrap_or(u32::MAX).to_le_bytes());
        for stretch in &self.stretches {
            [stretch.offset, stretch.first, stretch.end].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
            let words = u32::try_from(stretch.filter.len()).unwrap_or(0) & !BROAD;
            out.extend_from_slice(&(words | (BROAD * u32::from(stretch.is_broad))).to_le_bytes());
        }
        let words = self.stretches.iter().flat_map(|stretch| &stretch.filter);
        words.for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        out
    }

    fn decode(body: &[u8], of: Complete) -> Option<Self> {
        let mut body = Body(body);
        let (first, end, count) = (body.u64()?, body.u64()?, body.u32()?);
        if (first, end) != (of.first, of.end) {
            return None;
        }
        let mut stretches = Vec::new();
        let mut sizes = Vec::new();
        for _ in 0..count {
            let (offset, first, end, words) = (body.u64()?, body.u64()?, body.u64()?, body.u32()?);
            stretches.push(Stretch { offset, first, end, is_broad: words & BROAD != 0, filter: Box::default() });
            sizes.push(words & !BROAD);
        }
        for (stretch, words) in stretches.iter_mut().zip(sizes) {
            stretch.filter = (0..words).map(|_| body.u64()).collect::<Option<_>>()?;
        }
        Some(Index { stretches })
    }
}

/// What is left of a file's bytes.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Complete = Complete { number: 1, first: 0, end: 900 };

    fn stretch(first: u64, count: u64) -> Stretch {
        let mut keys: Vec<Key> = (first..first + count).map(Key::at).collect();
        let mut stretch = Stretch { end: first + count, is_broad: first > 0, ..Stretch::new(4096, first) };
        stretch.finish(&mut keys);
        stretch
    }

    #[test]
    fn a_filter_never_denies_what_is_there_and_seldom_affirms_what_is_not() {
        let stretch = stretch(0, 900);
        assert!((0..900).all(|position| stretch.has(Key::at(position))));
        let wrong = (900..100_900).filter(|position| stretch.has(Key::at(*position))).count();
        assert!(wrong < 1_500, "{wrong} of 100000");
        assert!(!Stretch::new(0, 0).has(Key::at(1)), "of nothing nothing is said");
    }

    #[test]
    fn an_index_is_read_as_it_was_written_and_only_for_its_own_segment() {
        let index = Index { stretches: vec![stretch(0, 10), stretch(10, 890)] };
        let bytes = index.encode(OF);
        assert_eq!(Index::decode(&bytes, OF), Some(index));
        assert_eq!(Index::decode(&bytes, Complete { end: 901, ..OF }), None);
        for len in 0..bytes.len() {
            assert_eq!(bytes.get(..len).and_then(|cut| Index::decode(cut, OF)), None, "{len} of {}", bytes.len());
        }
    }

    #[test]
    fn an_agent_is_one_key_by_its_id_its_source_and_its_inbox() {
        assert_eq!(Key::from("agent/bob"), Key::from("bob"));
        assert_eq!(Key::to("agent.bob.inbox"), Key::to("bob"));
        assert_ne!(Key::from("bob"), Key::to("bob"));
    }
}
