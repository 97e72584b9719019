//! What was durable and is damaged is reported and left alone; what was not is cut.

use super::*;
use crate::disk::recording::Image;

const FIRST: &str = "0000000001.seg";

/// A small log whose last record is proven, and the length of its first segment that is used.
fn proven_log(clean: bool) -> (RecordingDisk, usize, usize) {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    for body in [&b"one"[..], b"two", b"three"] {
        live.put(body);
    }
    let mark = live.writer.prove(2_000, clean).expect("proves");
    let mark = mark.batch.offset as usize;
    (disk, mark, mark + BATCH_HEADER_BYTES)
}

fn flipped(disk: &RecordingDisk, name: &str, offset: usize) -> RecordingDisk {
    let image = disk.crash(disk.operations(), Image::AllWritten);
    let bytes = image.contents(name).expect("the file is there");
    image.tamper(name, offset as u64, &[bytes[offset] ^ 0x40]);
    image
}

#[test]
fn a_flip_of_any_byte_before_the_proof_is_reported_and_changes_nothing() {
    let (disk, mark, _) = proven_log(false);
    for offset in 0..mark {
        let image = flipped(&disk, FIRST, offset);
        if offset < SEGMENT_HEADER_BYTES {
            let (corruption, seen) = corruption_of(&image);
            assert_eq!((corruption.file.as_str(), corruption.bytes, seen.len()), (FIRST, 0..4096, 0), "at {offset}");
            image.lose("mark");
            let error = try_open(&image).expect_err("the only header is damaged, and no mark knows the store");
            assert!(matches!(&error, OpenError::DamagedHeader { file } if file == FIRST), "at {offset}: {error}");
        } else {
            let (corruption, seen) = corruption_of(&image);
            assert_eq!(corruption.file, FIRST);
            assert!(corruption.bytes.contains(&(offset as u64)), "{offset} is not in {corruption:?}");
            let lost = corruption.positions.clone();
            assert_eq!(lost.end, lost.start + 1, "one batch of one record is damaged: {corruption:?}");
            assert!(seen.iter().all(|record| record.position < lost.start));
            assert_eq!(seen.len() as u64, lost.start.saturating_sub(2), "all before it is visited");
        }
        assert_eq!(image.operations(), 0, "nothing on disk changes");
    }
}

#[test]
fn a_flip_in_the_proof_itself_loses_no_record_and_is_reported() {
    let (disk, mark, end) = proven_log(true);
    for offset in mark..end {
        let live = Live::open(&flipped(&disk, FIRST, offset));
        assert_eq!(bodies(&live.seen), [&b"one"[..], b"two", b"three"]);
        let torn = live.report.torn.expect("the damaged proof is reported");
        assert_eq!((torn.file.as_str(), torn.offset, torn.position), (FIRST, mark as u64, 5));
    }
}

#[test]
fn a_flip_in_the_last_batch_after_a_clean_shutdown_is_reported() {
    let (disk, mark, _) = proven_log(true);
    let (corruption, seen) = corruption_of(&flipped(&disk, FIRST, mark - 4));
    assert_eq!((corruption.fault, corruption.positions.clone()), (Fault::BodyHash, 4..5));
    assert_eq!(bodies(&seen), [&b"one"[..], b"two"]);
    let proof = Proof::Header { file: FIRST.to_owned(), offset: mark as u64, known_durable: 5 };
    assert_eq!(corruption.proof, proof);
    assert!(corruption.to_string().contains("0000000001.seg: bytes 4352..4432, positions 4..5"), "{corruption}");
}

#[test]
fn a_lost_write_before_a_proof_is_reported() {
    let (disk, mark, _) = proven_log(false);
    let image = disk.crash(disk.operations(), Image::AllWritten);
    image.tamper(FIRST, mark as u64 - 80, &[0; 80]);
    let (corruption, _) = corruption_of(&image);
    assert_eq!((corruption.fault, corruption.positions), (Fault::Blank, 4..5));
}

#[test]
fn damage_in_an_older_segment_is_reported_and_the_newer_ones_are_left_alone() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let first_end = live.put(&[1; 3_000]);
    let second = live.put(&[2; 3_000]);
    let third = live.put(&[3; 6_000]);
    assert_eq!((first_end.batch.segment, second.batch.segment, third.batch.segment), (1, 2, 3));
    let (corruption, seen) = corruption_of(&flipped(&disk, "0000000002.seg", second.batch.offset as usize + 100));
    assert_eq!((corruption.file.as_str(), corruption.positions), ("0000000002.seg", 3..4));
    assert!(matches!(corruption.proof, Proof::NextSegment { first_position: 4, .. }));
    assert_eq!(bodies(&seen), [[1; 3_000]]);
    // A header between two others, and the last one whose records are proven.
    let (corruption, seen) = corruption_of(&flipped(&disk, "0000000002.seg", 50));
    assert_eq!((corruption.fault, corruption.bytes, corruption.positions), (Fault::SegmentHeader, 0..4096, 3..4));
    assert_eq!(seen.len(), 1);
    live.writer.prove(2_000, false).expect("proves");
    let (corruption, seen) = corruption_of(&flipped(&disk, "0000000003.seg", 50));
    assert_eq!((corruption.file.as_str(), corruption.positions), ("0000000003.seg", 4..5));
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_torn_tail_is_cut_reported_once_and_written_over() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(b"kept");
    let lost = {
        live.stage(&[9; 600]);
        live.write(false).expect("writes")
    };
    let image = disk.crash(disk.operations(), Image::AllWritten);
    image.tamper(FIRST, lost.batch.offset + 300, &[0; 40]);
    let mut live = Live::open(&image);
    let torn = live.report.torn.clone().expect("reported");
    assert_eq!((torn.file.as_str(), torn.offset, torn.position), (FIRST, lost.batch.offset, lost.first));
    assert_eq!((torn.bytes, torn.fault), (64 + 8 + 600, Fault::BodyHash));
    assert_eq!(bodies(&live.seen), [b"kept"]);
    let old = image.contents(FIRST).unwrap_or_default();
    assert!(old.iter().skip(lost.batch.offset as usize).all(|byte| *byte == 0), "it is zeroed");
    live.put(b"new");
    let live = Live::open(&image);
    assert_eq!((bodies(&live.seen), live.report.torn), (vec![&b"kept"[..], b"new"], None));
}

#[test]
fn a_later_valid_batch_alone_proves_nothing() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(b"kept");
    let lost = {
        live.stage(b"lost");
        live.write(false).expect("writes")
    };
    live.stage(b"valid, and later");
    live.write(false).expect("writes");
    let image = flipped(&disk, FIRST, lost.batch.offset as usize + 70);
    let live = Live::open(&image);
    assert_eq!(bodies(&live.seen), [b"kept"]);
    assert_eq!(live.report.torn.map(|torn| torn.position), Some(lost.first));
}

#[test]
fn stale_bytes_of_a_previous_life_of_a_segment_are_not_taken_for_batches() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let first = live.put(&[1; 1_000]);
    live.put(&[2; 1_000]);
    let second = live.put(&[3; 3_000]);
    assert_eq!(second.batch.segment, 2);
    let old = disk.contents(FIRST).expect("there");
    let batch = old.get(first.batch.offset as usize..).expect("there");
    let image = disk.crash(disk.operations(), Image::AllWritten);
    let end = second.batch.offset + 64 + 8 + 3_000;
    image.tamper("0000000002.seg", end, &batch[..2_300]);
    let live = Live::open(&image);
    assert_eq!(live.seen.len(), 3);
    assert_eq!(live.report.torn.map(|torn| (torn.offset, torn.fault)), Some((end, Fault::Chain)));
}

#[test]
fn a_log_shorter_than_its_snapshot_is_reported() {
    let (disk, mark, _) = proven_log(true);
    let image = disk.crash(disk.operations(), Image::AllWritten);
    image.tamper(FIRST, mark as u64 - 80, &[0; 200]);
    image.lose("mark");
    let with = OpenWith { snapshot: 5, ..with(1_000) };
    let opened = open(Arc::new(image.clone()), with, &mut |_| Ok(())).expect("opens");
    let corruption = opened.report.corruption.expect("reported");
    assert_eq!((corruption.positions, corruption.proof), (4..5, Proof::Snapshot(5)));
    assert_eq!(image.operations(), 0);
}

#[test]
fn a_proof_covers_what_was_written_without_a_sync() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.stage(b"unsynced");
    let written = live.write(false).expect("writes");
    assert_eq!(written.durable, written.first);
    let proof = live.writer.prove(2_000, false).expect("proves");
    assert_eq!(proof.durable, written.end);
    let (corruption, _) = corruption_of(&flipped(&disk, FIRST, written.batch.offset as usize + 72));
    assert_eq!(corruption.positions, written.first..written.end);
}

#[test]
fn a_segment_of_proofs_alone_is_not_missed_once_it_is_superseded() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(&[1; 3_700]);
    while live.writer.prove(2_000, false).expect("proves").batch.segment == 1 {}
    let large = live.put(&[2; 20_000]);
    assert_eq!(large.batch.segment, 3);
    live.writer.prove(2_000, true).expect("proves");
    let live = Live::open(&disk);
    assert_eq!(bodies(&live.seen), [&[1; 3_700][..], &[2; 20_000]]);
    assert_eq!(Live::open(&disk).seen.len(), 2, "and again after the segment was removed");
}

/// Two segments: the first holds a proven record and one that the second holds too, because a crash made it move.
fn moved_log() -> (RecordingDisk, Seen) {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(b"proven");
    live.writer.prove(2_000, false).expect("proves");
    live.put(b"moved");
    let live = Live::open(&disk);
    assert_eq!(bodies(&live.seen), [&b"proven"[..], b"moved"]);
    let moved = live.seen[1].clone();
    assert_eq!(moved.batch.segment, 2);
    (disk.crash(disk.operations(), Image::OnlySynced), moved)
}

#[test]
fn what_a_later_segment_supersedes_is_not_visited_even_when_that_segment_is_damaged() {
    let (disk, _) = moved_log();
    let mut block = disk.contents("0000000002.seg").expect("there");
    let at = SEGMENT_HEADER_BYTES;
    let header = block[at..].first_chunk().expect("a header");
    let header = BatchHeader::decode(header, StoreKey::new(STORE)).expect("a header");
    let header = BatchHeader { previous_hash: header.previous_hash ^ 1, ..header };
    block[at..at + BATCH_HEADER_BYTES].copy_from_slice(&header.encode(StoreKey::new(STORE)));
    disk.tamper("0000000002.seg", 0, &block);
    let (corruption, seen) = corruption_of(&disk);
    assert_eq!(bodies(&seen), [b"proven"]);
    assert_eq!((corruption.file.as_str(), corruption.fault), (FIRST, Fault::Chain));
}

#[test]
fn damage_before_a_gap_of_numbers_is_located_where_it_is() {
    let (disk, _) = moved_log();
    let mut live = Live::open(&disk);
    live.put(b"third segment");
    assert_eq!(live.report.segments, 2);
    let names = crate::disk::Disk::list(&disk).expect("lists");
    assert_eq!(names, [FIRST, "0000000003.seg", "mark"], "the second held nothing that was proven");
    let (corruption, _) = corruption_of(&flipped(&disk, FIRST, 4096 + 96 + 72));
    assert_eq!((corruption.file.as_str(), corruption.positions), (FIRST, 2..3));
}
