//! Files that are missing, foreign, copied, or written by a newer program.

use super::*;
use crate::disk::recording::Image;

/// A log of three segments with one record each.
fn three_segments() -> RecordingDisk {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    for byte in 1..=3 {
        assert_eq!(live.put(&vec![byte; 3_000 * usize::from(byte)]).batch.segment, u64::from(byte));
    }
    disk.crash(disk.operations(), Image::OnlySynced)
}

fn error_of(disk: &RecordingDisk) -> OpenError {
    let error = try_open(disk).map(|(opened, _)| opened.report).expect_err("cannot be opened");
    assert_eq!(disk.operations(), 0, "nothing on disk changes");
    error
}

#[test]
fn a_missing_segment_is_named() {
    let disk = three_segments();
    disk.lose("0000000002.seg");
    let error = error_of(&disk);
    assert!(
        matches!(&error, OpenError::MissingSegment { file, from: 3, until: 4 } if file == "0000000002.seg"),
        "{error}"
    );
    let disk = three_segments();
    disk.lose("0000000001.seg");
    let error = error_of(&disk);
    assert!(
        matches!(&error, OpenError::MissingSegment { file, from: 1, until: 3 } if file == "0000000001.seg"),
        "{error}"
    );
}

#[test]
fn segments_below_a_snapshot_may_be_gone_and_positions_are_still_never_reused() {
    let disk = three_segments();
    let before = Live::open(&disk.crash(0, Image::AllWritten)).buffer.position();
    let mut covered = 0;
    let follower = try_open(&disk.crash(disk.operations(), Image::AllWritten)).expect("opens").0.follower;
    let snapshot = follower.follow(None, 2, &mut |_| {
        covered += 1;
        Ok(())
    });
    let snapshot = Snapshot { kept: Vec::new(), ..snapshot.expect("reads") };
    assert_eq!((snapshot.position, covered), (3, 1));
    disk.lose("0000000001.seg");
    let mut seen = Vec::new();
    let base = Base { snapshot: &snapshot, is_newest: true, needed: None };
    let opened = open_from(Arc::new(disk), with(1_000), Some(base), &mut |record| {
        seen.push(record.position);
        Ok(())
    });
    let opened = opened.expect("opens");
    assert_eq!((seen, opened.report.first_position), (vec![3, 4], 3));
    assert!(opened.next_position >= before && opened.open_count == 2);
}

#[test]
fn what_a_repair_gave_up_before_a_snapshot_and_what_the_tail_continues_are_known_behind_it() {
    let disk = three_segments();
    let follower = try_open(&disk.crash(disk.operations(), Image::AllWritten)).expect("opens").0.follower;
    let snapshot = follower.follow(None, 2, &mut |_| Ok(())).expect("reads");
    let snapshot = Snapshot { given_up: std::iter::once(1..2).collect(), ..snapshot };
    let open = |snapshot: &Snapshot| {
        let (mut lost, base) = (Vec::new(), Base { snapshot, is_newest: true, needed: None });
        let disk = Arc::new(disk.crash(disk.operations(), Image::AllWritten));
        let opened = open_from(disk, with(1_000), Some(base), &mut |record| {
            lost.push(record.lost_until);
            Ok(())
        });
        (opened.expect("opens"), lost)
    };
    let (opened, lost) = open(&snapshot);
    assert_eq!((opened.report.given_up.len(), lost), (1, vec![2, 2]));
    // Another history than the one that the tail goes on with.
    let (opened, lost) = open(&Snapshot { chain: 1, ..snapshot });
    assert_eq!((opened.report.corruption.map(|found| found.fault), lost.len()), (Some(Fault::Chain), 0));
}

#[test]
fn a_foreign_segment_is_named() {
    let disk = three_segments();
    let header = SegmentHeader { store_id: [8; 16], number: 3, open_count: 1, first_position: 4 };
    disk.tamper("0000000003.seg", 0, &header.encode());
    let error = error_of(&disk);
    assert!(matches!(&error, OpenError::ForeignSegment { file, .. } if file == "0000000003.seg"), "{error}");
}

#[test]
fn a_copied_segment_is_named() {
    let disk = three_segments();
    let copy = disk.contents("0000000002.seg").expect("there");
    disk.tamper("0000000004.seg", 0, &copy);
    let error = error_of(&disk);
    assert!(matches!(&error, OpenError::WrongNumber { file, number: 2 } if file == "0000000004.seg"), "{error}");
    let disk = three_segments();
    disk.tamper("2.seg", 0, &copy);
    assert!(matches!(error_of(&disk), OpenError::DuplicateSegment { .. }));
    disk.lose("0000000002.seg");
    assert!(matches!(error_of(&disk), OpenError::WrongNumber { number: 2, .. }));
}

#[test]
fn an_unknown_version_is_named() {
    let disk = three_segments();
    let mut block = disk.contents("0000000002.seg").expect("there");
    block.truncate(SEGMENT_HEADER_BYTES);
    block[8] = 2;
    let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&block[16..], 2) as u32;
    block[12..16].copy_from_slice(&checksum.to_le_bytes());
    disk.tamper("0000000002.seg", 0, &block);
    let error = error_of(&disk);
    assert!(
        matches!(&error, OpenError::UnknownVersion { file, version: 2, known: 1 } if file == "0000000002.seg"),
        "{error}"
    );
}

/// Replaces the last batch of a fresh log by one whose hashes hold and whose bytes are as given.
fn with_last_batch(change: impl FnOnce(&mut BatchHeader, &mut Vec<u8>)) -> RecordingDisk {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let at = live.put(b"body").batch;
    let batch = live.reader.batch(at).expect("readable");
    let (mut header, mut body) = (batch.header, batch.bytes[BATCH_HEADER_BYTES..].to_vec());
    change(&mut header, &mut body);
    let key = StoreKey::new(STORE);
    header.body_hash = key.body_hash(&body, header.position);
    let image = disk.crash(disk.operations(), Image::AllWritten);
    let mut bytes = header.encode(key).to_vec();
    bytes.extend(body);
    image.tamper("0000000001.seg", at.offset, &bytes);
    image
}

#[test]
fn an_unknown_record_kind_is_named_and_not_cut() {
    let error = error_of(&with_last_batch(|_, body| body[4] = 99));
    assert!(
        matches!(error, OpenError::UnknownRecord { position: 2, fault: RecordFault::UnknownKind(99), .. }),
        "{error}"
    );
    assert!(error.to_string().contains("record kind 99"), "{error}");
}

#[test]
fn records_that_make_no_sense_under_a_good_hash_are_refused_and_not_cut() {
    for (change, expected) in [
        ((|body: &mut Vec<u8>| body[0] = 200) as fn(&mut Vec<u8>), RecordFault::Length),
        (|body| body[0] = 3, RecordFault::Length),
        (|body| body[6] = 1, RecordFault::Reserved),
        (|body| body[0] = 4, RecordFault::Count),
        (|body| body[4] = RecordKind::Open as u8, RecordFault::Length),
    ] {
        let error = error_of(&with_last_batch(|_, body| change(body)));
        assert!(matches!(error, OpenError::UnknownRecord { fault, .. } if fault == expected), "{error}");
    }
}

#[test]
fn unknown_batch_flags_are_refused_and_not_cut() {
    let disk = with_last_batch(|_, _| ());
    let bytes = disk.contents("0000000001.seg").expect("there");
    let at = SEGMENT_HEADER_BYTES + 96;
    let mut header = bytes[at..at + BATCH_HEADER_BYTES].to_vec();
    header[28] = 4;
    let checksum = StoreKey::new(STORE).header_checksum(&header[8..]);
    header[4..8].copy_from_slice(&checksum.to_le_bytes());
    disk.tamper("0000000001.seg", at as u64, &header);
    assert!(matches!(error_of(&disk), OpenError::UnknownFlags { offset: 4192, .. }));
}

#[test]
fn a_record_the_visitor_refuses_is_named_and_nothing_changes() {
    let disk = three_segments();
    let result = open(Arc::new(disk.clone()), with(1_000), &mut |record| match record.position {
        4 => Err(Corrupt("no such queue".to_owned())),
        _ => Ok(()),
    });
    let error = result.map(|opened| opened.report).expect_err("refused");
    assert!(matches!(&error, OpenError::Rejected { file, position: 4, .. } if file == "0000000003.seg"), "{error}");
    assert_eq!(disk.operations(), 0);
}

#[test]
fn an_opening_that_never_finished_leaves_an_empty_disk() {
    let disk = RecordingDisk::new();
    Live::open(&disk);
    // Create, Zero, Sync, SyncFolder, of the mark and of the segment, Write, Sync: the header is not written yet.
    let live = Live::open(&disk.crash(10, Image::AllWritten));
    assert_eq!((live.open_count, live.buffer.position()), (1, 2));
}

#[test]
fn files_that_are_no_segments_are_left_alone() {
    let disk = three_segments();
    disk.tamper("lock", 0, b"1234");
    disk.tamper("notes.seg", 0, b"1234");
    assert_eq!(Live::open(&disk).seen.len(), 3);
    assert_eq!(disk.contents("notes.seg").as_deref(), Some(&b"1234"[..]));
}

#[test]
fn log_time_never_decreases_and_goes_on_from_the_highest_seen() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.stage(b"late");
    let late = live.writer.write(&mut live.buffer, 9_000, true).expect("writes");
    live.buffer.restart(late.end);
    let early = live.put(b"early");
    assert_eq!(live.reader.batch(early.batch).expect("readable").header.time_ms, 9_000);
    let (opened, _) = try_open(&disk).expect("opens");
    assert_eq!(opened.time_ms, 9_000);
}

#[test]
fn a_clean_restart_adds_no_segment() {
    let disk = RecordingDisk::new();
    for life in 1..=5 {
        let mut live = Live::open(&disk);
        assert_eq!((live.open_count, live.report.copied_bytes), (life, 0));
        live.put(b"once a life");
        live.writer.prove(2_000, true).expect("marks");
    }
    assert_eq!(Live::open(&disk).report.segments, 1);
}

#[test]
fn a_batch_of_another_position_or_of_an_earlier_opening_is_not_taken() {
    let changes: [(fn(&mut BatchHeader), _); 3] = [
        (|header| header.position += 5, Fault::Position),
        (|header| header.position -= 1, Fault::Position),
        (|header| header.open_count -= 1, Fault::OpenCount),
    ];
    for (change, expected) in changes {
        let live = Live::open(&with_last_batch(|header, _| change(header)));
        assert_eq!(live.report.torn.map(|torn| torn.fault), Some(expected));
        assert!(live.seen.is_empty());
    }
}
