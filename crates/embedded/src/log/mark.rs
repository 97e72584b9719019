//! The mark: how far the log reached, kept beside the segments, because no segment can say that it was there itself.
//!
//! The file `mark` in the log's folder is two slots of 4096 bytes, written in turns, so that a write cut short leaves the other one
//! valid. A slot is 80 bytes, then zeros. All integers are little-endian (later versions keep its first 16 bytes):
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic, `skep.mrk` |
//! | 8..12 | format version, `u32`, now 1 |
//! | 12..16 | checksum, `u32`: low half of `xxh3_64(bytes 16..80, seed = format version)` |
//! | 16..32 | store id |
//! | 32..40 | turn, `u64`: rises by one with every write; even turns are in the first slot |
//! | 40..48 | number of the newest segment in use, `u64` |
//! | 48..56 | length of its file, `u64` |
//! | 56..64 | its first position, `u64` |
//! | 64..72 | durable, `u64`: every record below this position was durable when the slot was written |
//! | 72..76 | flags, `u32`: bit 0 the store was closed in order |
//! | 76..80 | zero |
//!
//! A slot names a segment only once that segment's header and all of the log before the durable position are synced, and is
//! itself synced before anybody hears that a record of that segment is durable. So there is no crash after which the mark claims
//! what is not on disk, and no acknowledged record in a segment that the mark does not know. What it claims stays true while the
//! log grows, so an older slot is as true as the newer one, and so is one left behind by a program that knows no mark.

use std::io;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::error::OpenError;
use super::key::{low_half, u32_at, u64_at};
use crate::disk::{Disk, DiskFile};

/// The name of the file.
pub(super) const MARK_FILE: &str = "mark";

const SLOT_BYTES: usize = 80;
/// Slots lie in pages of their own, so that writing one never touches the other.
const SLOT_STRIDE: u64 = 4096;
const FILE_BYTES: u64 = 2 * SLOT_STRIDE;

const MAGIC: &[u8; 8] = b"skep.mrk";
const VERSION: u32 = 1;
const FLAG_CLEAN: u32 = 1;

/// How far the log reached at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) store_id: [u8; 16],
    /// The newest segment in use, the length of its file and its first position.
    pub(super) segment: u64,
    pub(super) file_bytes: u64,
    pub(super) first: u64,
    /// Every record below this was durable.
    pub(super) durable: u64,
    /// Whether the store was closed in order.
    pub(super) clean: bool,
}

/// What was found when the log was opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FoundMark {
    pub(super) exists: bool,
    turn: u64,
    /// What the newest valid slot says; `None` when there is no mark, or none was ever finished.
    pub(super) reached: Option<Reached>,
}

/// The file, ready to be written.
pub(super) struct MarkFile {
    file: Arc<dyn DiskFile>,
    turn: u64,
    segment: Option<u64>,
}

enum Slot {
    Blank,
    Damaged,
    UnknownVersion(u32),
    Valid(u64, Reached),
}

impl FoundMark {
    /// A mark of which nothing is valid, to be written anew.
    pub(super) fn unreadable() -> Self {
        Self { exists: true, ..Self::default() }
    }

    /// Reads the mark, and changes nothing.
    pub(super) fn take(disk: &dyn Disk) -> Result<Self, OpenError> {
        let file = match disk.open(MARK_FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(OpenError::io("opening", MARK_FILE)(error)),
        };
        let (mut found, mut damaged) = (Self { exists: true, ..Self::default() }, 0);
        for offset in [0, SLOT_STRIDE] {
            let mut bytes = [0; SLOT_BYTES];
            file.read_at(offset, &mut bytes).map_err(OpenError::io("reading", MARK_FILE))?;
            match Reached::decode(&bytes) {
                // The very first write, cut short, leaves one slot damaged and the other blank.
                Slot::Blank => {}
                Slot::Damaged => damaged += 1,
                Slot::UnknownVersion(version) => {
                    return Err(OpenError::UnknownVersion { file: MARK_FILE.to_owned(), version, known: VERSION });
                }
                Slot::Valid(turn, reached) if found.reached.is_none() || turn > found.turn => {
                    found = Self { turn, reached: Some(reached), ..found };
                }
                Slot::Valid(..) => {}
            }
        }
        if damaged == 2 { Err(OpenError::DamagedMark { file: MARK_FILE.to_owned() }) } else { Ok(found) }
    }
}

impl MarkFile {
    /// Opens the file, or creates it.
    pub(super) fn ready(disk: &dyn Disk, found: FoundMark) -> Result<Self, OpenError> {
        let file = match found.exists {
            true => disk.open(MARK_FILE).map_err(OpenError::io("opening", MARK_FILE))?,
            false => disk.create_zeroed(MARK_FILE, FILE_BYTES).map_err(OpenError::creating(MARK_FILE, FILE_BYTES))?,
        };
        Ok(Self { file, turn: found.turn, segment: None })
    }

    /// Whether this file was told of the segment since it was opened.
    pub(super) fn names(&self, segment: u64) -> bool {
        self.segment == Some(segment)
    }

    /// Writes the slot whose turn it is, and syncs it.
    pub(super) fn write(&mut self, reached: &Reached) -> io::Result<()> {
        self.turn += 1;
        self.file.write_at(self.turn % 2 * SLOT_STRIDE, &reached.encode(self.turn))?;
        self.file.sync_data()?;
        self.segment = Some(reached.segment);
        Ok(())
    }
}

impl Reached {
    fn encode(&self, turn: u64) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store_id);
        bytes[32..40].copy_from_slice(&turn.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.segment.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.first.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.durable.to_le_bytes());
        let flags = if self.clean { FLAG_CLEAN } else { 0 };
        bytes[72..76].copy_from_slice(&flags.to_le_bytes());
        let checksum = checksum(&bytes, VERSION);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SLOT_BYTES]) -> Slot {
        if bytes.iter().all(|byte| *byte == 0) {
            return Slot::Blank;
        }
        let version = u32_at(bytes, 8);
        if &bytes[0..8] != MAGIC || u32_at(bytes, 12) != checksum(bytes, version) {
            return Slot::Damaged;
        }
        if version != VERSION {
            return Slot::UnknownVersion(version);
        }
        let mut store_id = [0; 16];
        store_id.copy_from_slice(&bytes[16..32]);
        let reached = Self {
            store_id,
            segment: u64_at(bytes, 40),
            file_bytes: u64_at(bytes, 48),
            first: u64_at(bytes, 56),
            durable: u64_at(bytes, 64),
            clean: u32_at(bytes, 72) & FLAG_CLEAN != 0,
        };
        Slot::Valid(u64_at(bytes, 32), reached)
    }
}

fn checksum(bytes: &[u8; SLOT_BYTES], version: u32) -> u32 {
    low_half(xxh3_64_with_seed(&bytes[16..], u64::from(version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::recording::{Image, RecordingDisk};
    use crate::log::tests::hex;

    const REACHED: Reached = Reached {
        store_id: *b"0123456789abcdef",
        segment: 7,
        file_bytes: 8192,
        first: 0x0102_0304_0506,
        durable: 0x0102_0304_0607,
        clean: true,
    };

    /// A mark that was written so often, each time with one more durable position.
    fn written(times: u64) -> RecordingDisk {
        let disk = RecordingDisk::new();
        let mut mark = MarkFile::ready(&disk, FoundMark::default()).expect("there is room");
        for durable in 1..=times {
            mark.write(&Reached { durable, ..REACHED }).expect("writes");
        }
        disk
    }

    fn durable_in(disk: &RecordingDisk) -> Option<u64> {
        FoundMark::take(disk).expect("readable").reached.map(|reached| reached.durable)
    }

    #[test]
    fn a_slot_has_the_golden_bytes() {
        let golden = "736b65702e6d726b 01000000 3fa81dc4 30313233343536373839616263646566 0300000000000000 0700000000000000 \
                      0020000000000000 0605040302010000 0706040302010000 01000000 00000000";
        assert_eq!(hex(&REACHED.encode(3)), golden.replace(' ', ""));
        assert!(matches!(Reached::decode(&REACHED.encode(3)), Slot::Valid(3, REACHED)));
    }

    #[test]
    fn every_flipped_byte_of_a_slot_is_damage_and_the_older_slot_counts() {
        let disk = written(4);
        for offset in 0..SLOT_BYTES {
            let image = disk.crash(disk.operations(), Image::OnlySynced);
            let bytes = image.contents(MARK_FILE).expect("there");
            image.tamper(MARK_FILE, offset as u64, &[bytes[offset] ^ 0x10]);
            assert_eq!(durable_in(&image), Some(3), "at {offset}");
        }
    }

    #[test]
    fn a_write_cut_short_at_any_moment_leaves_the_mark_before_it() {
        let disk = written(5);
        for moment in 0..=disk.operations() {
            for image in (0..20).flat_map(|seed| [Image::TornLast { seed }, Image::Random { seed }]) {
                let synced = durable_in(&disk.crash(moment, Image::OnlySynced)).unwrap_or(0);
                let found = durable_in(&disk.crash(moment, image)).unwrap_or(0);
                assert!((synced..=synced + 1).contains(&found), "{found} after {synced}, {moment}, {image:?}");
            }
        }
    }

    #[test]
    fn a_mark_goes_on_in_the_slot_that_is_not_the_newest() {
        let disk = written(2);
        let mut mark = MarkFile::ready(&disk, FoundMark::take(&disk).expect("readable")).expect("opens");
        assert!(!mark.names(REACHED.segment));
        mark.write(&Reached { durable: 9, ..REACHED }).expect("writes");
        assert!(mark.names(REACHED.segment));
        assert_eq!(durable_in(&disk), Some(9));
        disk.tamper(MARK_FILE, SLOT_STRIDE, &[0xff]);
        assert_eq!(durable_in(&disk), Some(2));
    }

    #[test]
    fn a_mark_of_which_nothing_is_valid_is_named_and_one_never_finished_is_none() {
        let disk = written(2);
        disk.tamper(MARK_FILE, 0, &[0xff]);
        disk.tamper(MARK_FILE, SLOT_STRIDE, &[0xff]);
        let error = FoundMark::take(&disk).expect_err("damaged");
        assert!(matches!(error, OpenError::DamagedMark { .. }), "{error}");
        let disk = written(1);
        disk.tamper(MARK_FILE, SLOT_STRIDE, &[0xff]);
        assert_eq!(durable_in(&disk), None);
    }
}
