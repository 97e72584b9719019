//! A batch: the unit that is written, synced, verified and lost as a whole.
//!
//! A header of 64 bytes, then the body (records), then zeros up to the next multiple of 8, where the next batch begins. All
//! integers are little-endian. The header, fixed for ever:
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic, `SKPB` |
//! | 4..8 | checksum, `u32`: low half of `xxh3_64(bytes 8..64, seed = key)`; checked before any other field is believed |
//! | 8..12 | body length, `u32` |
//! | 12..16 | record count, `u32` |
//! | 16..24 | position, `u64`: of the first record; of an empty batch, the next to come |
//! | 24..28 | open count, `u32` |
//! | 28..32 | flags, `u32`: bit 0 clean shutdown, bit 1 empty (it proves what is before it) |
//! | 32..40 | known durable, `u64`: every record below it was durable when this header was written |
//! | 40..48 | body hash, `u64`: `xxh3_64(body, seed = key ^ position)` |
//! | 48..56 | body hash of the batch before, `u64`; 0 in the first batch of a store |
//! | 56..64 | log time, `u64`, unix milliseconds, never decreasing |
//!
//! `key = xxh3_64(store id)`.

use super::key::{StoreKey, u32_at, u64_at};
use super::limits::WRITE_BYTES_MAX;

/// Length of the header.
pub const BATCH_HEADER_BYTES: usize = 64;

/// Batches begin at multiples of this.
pub(crate) const BATCH_ALIGNMENT: u64 = 8;

/// The first four bytes, as the integer they are.
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"SKPB");

/// The store was closed in order, and nothing follows.
const FLAG_CLEAN: u32 = 1;

/// No records: written to prove what is before it.
const FLAG_EMPTY: u32 = 2;

/// What a batch says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Length of the records.
    pub body_bytes: u32,
    /// How many they are.
    pub records: u32,
    /// Position of the first one, or the next to come when there is none.
    pub position: u64,
    /// Which opening of the store wrote it.
    pub open_count: u32,
    /// Whether the store was closed in order with this batch.
    pub clean: bool,
    /// Every record below this was durable when the header was written.
    pub known_durable: u64,
    /// Hash of the records.
    pub body_hash: u64,
    /// Hash of the records of the batch before.
    pub previous_hash: u64,
    /// Unix milliseconds; never decreases along the log.
    pub time_ms: u64,
}

/// Why bytes are not the batch that belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A snapshot that cannot be read, and what it stood for is gone.
    #[error("no snapshot can be read, and the segments before it were removed")]
    Snapshot,
    /// Zeros, or the end of the file.
    #[error("nothing is written there")]
    Blank,
    /// The bytes do not begin like a batch.
    #[error("no batch begins there")]
    Magic,
    /// The header was changed, or belongs to another store.
    #[error("the batch header does not match its checksum")]
    HeaderChecksum,
    /// Flags that only a newer program can have written.
    #[error("the batch has unknown flags")]
    Flags,
    /// The batch would reach beyond the file or beyond what is ever written.
    #[error("the batch is longer than its file")]
    Length,
    /// The records were changed.
    #[error("the records do not match their hash")]
    BodyHash,
    /// The bytes between this batch and the next are not zero.
    #[error("the bytes after the records are not zero")]
    Padding,
    /// It does not continue the batch before: stale, lost or misplaced.
    #[error("the batch does not continue the one before it")]
    Chain,
    /// Its position is not the next one.
    #[error("the batch does not begin at the next position")]
    Position,
    /// It was written by an earlier opening than the batch before.
    #[error("the batch was written by an earlier opening than the one before it")]
    OpenCount,
    /// The segment's own header block.
    #[error("the segment's header block does not match its checksum")]
    SegmentHeader,
    /// The whole segment.
    #[error("the file is missing")]
    Missing,
    /// The end of the segment's file, written or not.
    #[error("the file is shorter than it was")]
    Short,
}

impl BatchHeader {
    /// Position after the last record. Never beyond `u64::MAX`, whatever the fields say.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.position.saturating_add(u64::from(self.records))
    }

    /// Whether a repair wrote this to say that the positions from there up to its own are lost: it is empty, and leaves a gap.
    /// Otherwise only an opening leaves one, and its first batch is never empty.
    #[must_use]
    pub fn closes_loss(&self, before: u64) -> bool {
        self.records == 0 && self.position > before
    }

    /// Length of header and records.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.body_bytes as usize
    }

    /// Length up to where the next batch begins.
    #[must_use]
    pub fn padded_bytes(&self) -> usize {
        padded(self.batch_bytes())
    }

    /// The bytes to write.
    #[must_use]
    pub fn encode(&self, key: StoreKey) -> [u8; BATCH_HEADER_BYTES] {
        let empty = if self.records == 0 { FLAG_EMPTY } else { 0 };
        let flags = if self.clean { empty | FLAG_CLEAN } else { empty };
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.open_count.to_le_bytes());
        bytes[28..32].copy_from_slice(&flags.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.known_durable.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.body_hash.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.previous_hash.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.time_ms.to_le_bytes());
        let checksum = key.header_checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// `Blank`, `Magic`, `HeaderChecksum`, `Flags` or `Length`; the records are not looked at.
    pub fn decode(bytes: &[u8; BATCH_HEADER_BYTES], key: StoreKey) -> Result<Self, Fault> {
        if u32_at(bytes, 0) != MAGIC {
            return Err(if bytes.iter().all(|byte| *byte == 0) { Fault::Blank } else { Fault::Magic });
        }
        if u32_at(bytes, 4) != key.header_checksum(&bytes[8..]) {
            return Err(Fault::HeaderChecksum);
        }
        let flags = u32_at(bytes, 28);
        let header = Self {
            body_bytes: u32_at(bytes, 8),
            records: u32_at(bytes, 12),
            position: u64_at(bytes, 16),
            open_count: u32_at(bytes, 24),
            clean: flags & FLAG_CLEAN != 0,
            known_durable: u64_at(bytes, 32),
            body_hash: u64_at(bytes, 40),
            previous_hash: u64_at(bytes, 48),
            time_ms: u64_at(bytes, 56),
        };
        if flags & !(FLAG_CLEAN | FLAG_EMPTY) != 0 {
            return Err(Fault::Flags);
        }
        if header.batch_bytes() > WRITE_BYTES_MAX {
            return Err(Fault::Length);
        }
        Ok(header)
    }

    /// Checks what follows the header: records, then zeros.
    pub(super) fn verify_body(&self, padded_body: &[u8], key: StoreKey) -> Result<(), Fault> {
        let (body, padding) = padded_body.split_at_checked(self.body_bytes as usize).ok_or(Fault::Length)?;
        if key.body_hash(body, self.position) != self.body_hash {
            return Err(Fault::BodyHash);
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Fault::Padding);
        }
        Ok(())
    }
}

/// A length rounded up to where the next batch may begin.
pub(super) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(BATCH_ALIGNMENT as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::tests::hex;

    fn key() -> StoreKey {
        StoreKey::new(*b"0123456789abcdef")
    }

    const HEADER: BatchHeader = BatchHeader {
        body_bytes: 24,
        records: 2,
        position: 0x1122,
        open_count: 5,
        clean: false,
        known_durable: 0x1120,
        body_hash: 0x0807_0605_0403_0201,
        previous_hash: 0x1817_1615_1413_1211,
        time_ms: 1_700_000_000_000,
    };

    #[test]
    fn the_batch_header_has_the_golden_bytes() {
        let golden = "534b5042 f3e38cbd 18000000 02000000 2211000000000000 05000000 00000000 2011000000000000 \
                      0102030405060708 1112131415161718 0068e5cf8b010000";
        assert_eq!(hex(&HEADER.encode(key())), golden.replace(' ', ""));
        let mark = BatchHeader { body_bytes: 0, records: 0, clean: true, ..HEADER };
        assert_eq!(hex(&mark.encode(key())[28..32]), "03000000");
    }

    #[test]
    fn the_body_hash_of_nothing_differs_by_position_and_by_store() {
        assert_eq!(key().body_hash(b"", 1), 8_724_312_497_301_016_486);
        assert_ne!(key().body_hash(b"", 1), key().body_hash(b"", 2));
        assert_ne!(key().body_hash(b"", 1), StoreKey::new([0; 16]).body_hash(b"", 1));
    }

    #[test]
    fn a_header_of_another_store_is_not_a_header() {
        let bytes = HEADER.encode(StoreKey::new([9; 16]));
        assert_eq!(BatchHeader::decode(&bytes, key()), Err(Fault::HeaderChecksum));
    }

    #[test]
    fn every_flipped_byte_of_a_header_is_seen() {
        for offset in 0..BATCH_HEADER_BYTES {
            let mut bytes = HEADER.encode(key());
            bytes[offset] ^= 1;
            assert!(BatchHeader::decode(&bytes, key()).is_err(), "at {offset}");
        }
    }

    proptest! {
        #[test]
        fn a_header_round_trips(
            (body_bytes, records, position, open_count) in (0..60_000_000_u32, 0..9_000_u32, any::<u64>(), any::<u32>()),
            (clean, known_durable, body_hash, previous_hash, time_ms) in any::<(bool, u64, u64, u64, u64)>(),
        ) {
            let header = BatchHeader { body_bytes, records, position, open_count, clean, known_durable, body_hash, previous_hash, time_ms };
            prop_assert_eq!(BatchHeader::decode(&header.encode(key()), key()), Ok(header));
            prop_assert!(header.end() >= header.position);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<[u8; 32]>(), magic in any::<bool>()) {
            let mut header = [0; BATCH_HEADER_BYTES];
            header[..32].copy_from_slice(&bytes);
            if magic {
                header[..4].copy_from_slice(b"SKPB");
            }
            prop_assert!(BatchHeader::decode(&header, key()).is_err());
        }
    }
}
