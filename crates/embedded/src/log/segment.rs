//! A segment: one file of the log, and the header block that makes it part of the log.
//!
//! File name: ten decimal digits, then `.seg`; numbers begin at 1. The file is a header block of 4096 bytes, then batches, then
//! zeros. All integers are little-endian. The header block, fixed for ever (later versions keep its first 16 bytes):
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic, `skep.seg` |
//! | 8..12 | format version, `u32`, now 1 |
//! | 12..16 | checksum, `u32`: low half of `xxh3_64(bytes 16..4096, seed = format version)` |
//! | 16..32 | store id |
//! | 32..40 | segment number, `u64` |
//! | 40..48 | open count, `u64`: which opening of the store wrote it |
//! | 48..56 | first position, `u64` |
//! | 56..4096 | zero |
//!
//! The header is written only when every record below its first position is durable, and it supersedes whatever older segments
//! hold at or beyond that position. A file whose header block is zero is a *spare*: prepared, and not part of the log.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::key::{low_half, u32_at, u64_at};
use super::limits::{FILE_BYTES_MAX, SEGMENT_BYTES_FIRST, SEGMENT_BYTES_MAX};

/// Length of the header block; batches begin behind it.
pub const SEGMENT_HEADER_BYTES: usize = 4096;

/// The same, as a place in a file.
pub(crate) const DATA_OFFSET: u64 = SEGMENT_HEADER_BYTES as u64;

const MAGIC: &[u8; 8] = b"skep.seg";
pub(super) const VERSION: u32 = 1;

/// What ten digits can say. At a segment a second that is three hundred years.
pub(crate) const NUMBER_MAX: u64 = 9_999_999_999;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store it belongs to.
    pub store_id: [u8; 16],
    /// Its number, the same as in its file name.
    pub number: u64,
    /// Which opening of the store wrote it.
    pub open_count: u64,
    /// Everything at or beyond this position is here or in a later segment, whatever older segments hold.
    pub first_position: u64,
}

/// Why a header block is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentHeaderFault {
    /// It is zero: the file is a spare.
    Blank,
    /// Magic or checksum do not hold.
    Damaged,
    /// It holds, but was written in a format this program does not know.
    UnknownVersion(u32),
}

impl SegmentHeader {
    /// The block to write.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut block = [0; SEGMENT_HEADER_BYTES];
        block[0..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..32].copy_from_slice(&self.store_id);
        block[32..40].copy_from_slice(&self.number.to_le_bytes());
        block[40..48].copy_from_slice(&self.open_count.to_le_bytes());
        block[48..56].copy_from_slice(&self.first_position.to_le_bytes());
        let checksum = checksum(&block, VERSION);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads a block.
    ///
    /// # Errors
    /// See [`SegmentHeaderFault`].
    pub fn decode(block: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, SegmentHeaderFault> {
        if block.iter().all(|byte| *byte == 0) {
            return Err(SegmentHeaderFault::Blank);
        }
        let version = u32_at(block, 8);
        if &block[0..8] != MAGIC || u32_at(block, 12) != checksum(block, version) {
            return Err(SegmentHeaderFault::Damaged);
        }
        // Only now: a flipped bit in the version is damage, not a newer program.
        if version != VERSION {
            return Err(SegmentHeaderFault::UnknownVersion(version));
        }
        let mut store_id = [0; 16];
        store_id.copy_from_slice(&block[16..32]);
        Ok(Self {
            store_id,
            number: u64_at(block, 32),
            open_count: u64_at(block, 40),
            first_position: u64_at(block, 48),
        })
    }
}

fn checksum(block: &[u8; SEGMENT_HEADER_BYTES], version: u32) -> u32 {
    low_half(xxh3_64_with_seed(&block[16..], u64::from(version)))
}

/// The file name of a segment.
#[must_use]
pub fn file_name(number: u64) -> String {
    format!("{number:010}.seg")
}

/// The number in a file name, also when it is not written as [`file_name`] would; `None` for files that are no segments.
#[must_use]
pub fn segment_number(name: &str) -> Option<u64> {
    numbered(name, ".seg")
}

/// The number in a file name that ends so.
pub(super) fn numbered(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number))
}

/// How long segments are, in data bytes. A store uses the default; tests use short ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSizes {
    /// Of the first segment, and of the first after a crash that left no spare, which should open fast.
    pub first: u64,
    /// Where doubling ends. A batch that does not fit gets a segment sized for it all the same.
    pub max: u64,
}

impl Default for SegmentSizes {
    fn default() -> Self {
        Self { first: SEGMENT_BYTES_FIRST, max: SEGMENT_BYTES_MAX }
    }
}

impl SegmentSizes {
    /// Bytes at the end of every segment that only openings may take, so that a full disk is no reason not to open: enough for
    /// hundreds of them.
    pub(super) fn openings_room(self) -> u64 {
        self.first / 8
    }

    /// File length of the segment after one whose file is this long.
    pub(super) fn file_after(self, file_bytes: u64) -> u64 {
        let data = file_bytes.saturating_sub(DATA_OFFSET).saturating_mul(2);
        file_bytes_for(data.clamp(self.first, self.max))
    }
}

/// File length that holds so many data bytes, in whole pages.
pub(super) fn file_bytes_for(data: u64) -> u64 {
    DATA_OFFSET.saturating_add(data.min(FILE_BYTES_MAX - DATA_OFFSET)).next_multiple_of(DATA_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader =
        SegmentHeader { store_id: *b"0123456789abcdef", number: 7, open_count: 3, first_position: 0x0102_0304_0506 };

    #[test]
    fn the_header_block_has_the_golden_bytes() {
        let block = HEADER.encode();
        let golden = "736b65702e736567 01000000 2c25f37c 30313233343536373839616263646566 0700000000000000 0300000000000000 0605040302010000";
        assert_eq!(crate::log::tests::hex(&block[..56]), golden.replace(' ', ""));
        assert!(block[56..].iter().all(|byte| *byte == 0));
        assert_eq!(SegmentHeader::decode(&block), Ok(HEADER));
    }

    #[test]
    fn every_flipped_byte_of_a_header_block_is_damage() {
        for offset in 0..SEGMENT_HEADER_BYTES {
            let mut block = HEADER.encode();
            block[offset] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&block), Err(SegmentHeaderFault::Damaged), "at {offset}");
        }
    }

    #[test]
    fn a_zero_block_is_a_spare_and_a_newer_version_is_named() {
        assert_eq!(SegmentHeader::decode(&[0; SEGMENT_HEADER_BYTES]), Err(SegmentHeaderFault::Blank));
        let mut block = HEADER.encode();
        block[8] = 9;
        let checksum = checksum(&block, 9);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(SegmentHeaderFault::UnknownVersion(9)));
    }

    #[test]
    fn names_hold_ten_digits_and_sizes_double_to_their_end() {
        assert_eq!(file_name(12), "0000000012.seg");
        assert_eq!(segment_number("0000000012.seg"), Some(12));
        assert_eq!(segment_number("12.seg"), Some(12));
        assert_eq!(segment_number("+12.seg"), None);
        assert_eq!(segment_number("lock"), None);
        let sizes = SegmentSizes::default();
        let mut bytes = file_bytes_for(sizes.first);
        for expected in [2, 4, 8, 16, 32, 64, 64] {
            bytes = sizes.file_after(bytes);
            assert_eq!(bytes - DATA_OFFSET, expected << 20);
        }
    }
}
