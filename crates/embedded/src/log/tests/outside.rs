//! What somebody does to the newest segment from outside is noticed by the mark, and by nothing else.

use super::*;
use crate::disk::recording::Image;

const FIRST: &str = "0000000001.seg";
const SECOND: &str = "0000000002.seg";

/// What can be done to a file: it is deleted, emptied, cut in two, or overwritten by zeros, its header block or all of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Harm {
    Deleted,
    Emptied,
    Halved,
    HeaderBlanked,
    Blanked,
}

impl Harm {
    pub(super) const ALL: [Self; 5] = [Self::Deleted, Self::Emptied, Self::Halved, Self::HeaderBlanked, Self::Blanked];

    pub(super) fn befall(self, disk: &RecordingDisk, name: &str) {
        let bytes = disk.contents(name).expect("the file is there");
        match self {
            Self::Deleted => disk.lose(name),
            Self::Emptied => disk.shorten(name, 0),
            Self::Halved => disk.shorten(name, bytes.len() as u64 / 2),
            Self::HeaderBlanked => disk.tamper(name, 0, &[0; SEGMENT_HEADER_BYTES]),
            Self::Blanked => disk.tamper(name, 0, &vec![0; bytes.len()]),
        }
    }
}

/// A log of two segments: the first holds position 2, the second positions 3 and 4, of which only 3 was durable when the mark was
/// written.
fn two_segments() -> RecordingDisk {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(&[1; 3_000]);
    assert_eq!(live.put(&[2; 3_000]).batch.segment, 2);
    live.put(b"acknowledged");
    disk.crash(disk.operations(), Image::OnlySynced)
}

#[test]
fn whatever_befalls_the_newest_segment_is_corruption_that_names_file_and_range() {
    let file_bytes = 12_288;
    for (harm, bytes, fault) in [
        (Harm::Deleted, 0..file_bytes, Fault::Missing),
        (Harm::Emptied, 0..file_bytes, Fault::Short),
        (Harm::Halved, file_bytes / 2..file_bytes, Fault::Short),
        (Harm::HeaderBlanked, 0..4096, Fault::SegmentHeader),
        (Harm::Blanked, 0..4096, Fault::SegmentHeader),
    ] {
        let disk = two_segments();
        harm.befall(&disk, SECOND);
        let (corruption, seen) = corruption_of(&disk);
        assert_eq!((corruption.file.as_str(), corruption.bytes.clone(), corruption.fault), (SECOND, bytes, fault));
        assert_eq!(bodies(&seen), [[1; 3_000]], "{harm:?}: what is left can be read");
        // With the header blank, batches behind it still prove more than the mark knows.
        let proven_by_itself = matches!(harm, Harm::HeaderBlanked);
        assert_eq!(matches!(corruption.proof, Proof::Mark { durable: 4, clean: false }), !proven_by_itself, "{harm:?}");
        assert_eq!(corruption.positions, 3..4, "{harm:?}");
    }
}

#[test]
fn a_store_whose_only_segment_is_gone_is_no_new_store() {
    for harm in Harm::ALL {
        let disk = RecordingDisk::new();
        Live::open(&disk).put(b"acknowledged");
        harm.befall(&disk, FIRST);
        let (corruption, seen) = corruption_of(&disk);
        assert_eq!((corruption.file.as_str(), corruption.positions, seen.len()), (FIRST, 1..2, 0), "{harm:?}");
        let (opened, _) = try_open(&disk).expect("opens");
        let said = opened.report.to_string();
        assert!(said.contains(FIRST) && said.contains("the file mark") && opened.store_id == STORE, "{said}");
    }
}

#[test]
fn records_blanked_together_with_their_proof_after_a_clean_close_are_corruption() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(b"kept");
    let lost = live.put(b"lost");
    live.writer.prove(2_000, true).expect("marks");
    let from = lost.batch.offset;
    disk.tamper(FIRST, from, &vec![0; 8_192 - from as usize]);
    let (corruption, seen) = corruption_of(&disk);
    assert_eq!((corruption.file.as_str(), corruption.bytes.start, corruption.positions), (FIRST, from, 3..4));
    assert_eq!(corruption.proof, Proof::Mark { durable: 4, clean: true });
    assert_eq!(bodies(&seen), [b"kept"]);
}

#[test]
fn damage_before_a_newest_segment_that_is_gone_is_named_first() {
    let disk = two_segments();
    disk.lose(SECOND);
    disk.tamper(FIRST, 4_300, b"x");
    let (corruption, seen) = corruption_of(&disk);
    assert_eq!((corruption.file.as_str(), corruption.fault), (FIRST, Fault::BodyHash));
    assert_eq!((corruption.positions, seen.len()), (2..3, 0));
}

#[test]
fn a_log_without_a_mark_is_accepted_and_gets_one() {
    let disk = two_segments();
    disk.lose("mark");
    assert_eq!(Live::open(&disk).seen.len(), 3);
    disk.lose("0000000003.seg");
    let (corruption, _) = corruption_of(&disk);
    assert_eq!((corruption.file.as_str(), corruption.fault), ("0000000003.seg", Fault::Missing));
}

#[test]
fn a_mark_that_was_not_kept_up_raises_no_alarm() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let old = disk.contents("mark").expect("there");
    live.put(&[1; 3_000]);
    assert_eq!(live.put(&[2; 3_000]).batch.segment, 2);
    disk.tamper("mark", 0, &old);
    assert_eq!(Live::open(&disk).seen.len(), 2);
}

#[test]
fn a_mark_of_another_store_is_named() {
    let (disk, other) = (two_segments(), RecordingDisk::new());
    let with = OpenWith { new_store_id: [8; 16], ..with(1_000) };
    open(Arc::new(other.clone()), with, &mut |_| Ok(())).expect("opens");
    disk.tamper("mark", 0, &other.contents("mark").expect("there"));
    let error = try_open(&disk).map(|(opened, _)| opened.report).expect_err("foreign");
    assert!(matches!(&error, OpenError::ForeignSegment { file, .. } if file == "mark"), "{error}");
    assert_eq!(disk.operations(), 0);
}

#[test]
fn a_mark_that_cannot_be_synced_stops_the_log_before_anything_is_acknowledged() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.writer.spares().prepare().expect("there is room");
    live.put(&[1; 3_000]);
    live.stage(&[2; 3_000]);
    // The sync of the new segment, then that of the mark.
    disk.fail_sync_after(1);
    let error = live.write(true).expect_err("the mark is not durable");
    assert!(matches!(&error, LogError::Io { file, .. } if file == "mark"), "{error}");
    assert_eq!(live.writer.durable(), 3);
    assert!(matches!(live.writer.sync(), Err(LogError::Poisoned { first }) if first.contains("mark")));
    assert_eq!(Live::open(&disk).seen.len(), 2, "a restart finds what was written");
}
