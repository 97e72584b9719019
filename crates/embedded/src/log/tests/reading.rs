//! Reading back what was written, while it is written.

use super::*;
use crate::disk::real::RealDisk;

/// A log of several segments and lives, and the positions and bodies in it.
fn filled(disk: &RecordingDisk) -> (Live, Vec<(u64, Vec<u8>)>) {
    let mut written = Vec::new();
    for life in 0..3_u8 {
        let mut live = Live::open(disk);
        for batch in 0..6_u8 {
            for record in 0..3_u8 {
                let body = vec![life * 100 + batch * 10 + record; 300];
                written.push((live.stage(&body).position, body));
            }
            live.write(true).expect("writes");
        }
        if life == 1 {
            live.writer.prove(0, true).expect("marks");
        }
        if life == 2 {
            return (live, written);
        }
    }
    unreachable!("the third life returns")
}

fn scanned(live: &Live, from: u64, until: u64) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    for batch in live.reader.scan(from, until) {
        let batch = batch.expect("verified");
        for record in batch.records() {
            let record = record.expect("own records");
            if record.kind == RecordKind::Message {
                records.push((record.position, record.body.to_vec()));
            }
        }
    }
    records
}

#[test]
fn a_scan_finds_every_record_once_and_in_order() {
    let disk = RecordingDisk::new();
    let (live, written) = filled(&disk);
    assert_eq!(scanned(&live, 0, live.writer.durable()), written);
}

#[test]
fn a_scan_begins_and_ends_with_the_batches_that_hold_its_bounds() {
    let disk = RecordingDisk::new();
    let (live, written) = filled(&disk);
    for (index, (position, _)) in written.iter().enumerate() {
        let batch = index / 3 * 3;
        assert_eq!(scanned(&live, *position, position + 1), written[batch..batch + 3], "from {position}");
        assert_eq!(scanned(&live, *position, live.writer.durable()), written[batch..], "from {position}");
    }
    assert!(scanned(&live, live.writer.durable(), live.writer.durable()).is_empty());
}

#[test]
fn a_changed_byte_is_seen_by_the_reader() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let at = live.put(b"body").batch;
    disk.tamper("0000000001.seg", at.offset + 73, b"x");
    let error = live.reader.batch(at).expect_err("changed");
    assert!(matches!(error, ReadError::Damaged { fault: Fault::BodyHash, .. }), "{error}");
    let last = live.reader.scan(0, live.writer.durable()).last();
    assert!(matches!(last, Some(Err(ReadError::Damaged { .. }))));
    let missing = live.reader.batch(BatchAt { segment: 9, offset: 4096 }).expect_err("not there");
    assert!(matches!(missing, ReadError::Missing { .. }), "{missing}");
}

#[test]
fn a_reader_keeps_few_files_open() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let places: Vec<_> = (0..limits::OPEN_FILES_MAX + 20).map(|_| live.put(&[1; 7_000]).batch).collect();
    for _ in 0..2 {
        for at in &places {
            live.reader.batch(*at).expect("readable");
            assert!(live.reader.open_files() <= limits::OPEN_FILES_MAX);
        }
    }
}

#[test]
fn a_log_in_a_real_folder_is_there_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        let disk = Arc::new(RealDisk::new(folder.path().join("log")).expect("a folder"));
        let mut seen = Vec::new();
        let opened = open(disk, OpenWith::new(STORE, 5), &mut |record| {
            seen.push((record.position, record.body.to_vec()));
            Ok(())
        });
        let Opened { mode: Mode::ReadWrite(writer), reader, next_position, .. } = opened.expect("opens") else {
            panic!("read-only")
        };
        (writer, reader, next_position, seen)
    };
    let mut expected = Vec::new();
    for _ in 0..3 {
        let (mut writer, reader, next, seen) = open();
        assert_eq!(seen, expected);
        writer.spares().prepare().expect("there is room");
        let mut buffer = LogBuffer::new(next);
        for size in [10, 300_000, 900_000] {
            let body = vec![3; size];
            let staged = buffer.append(RecordKind::Message, 0, |bytes| bytes.extend_from_slice(&body));
            let written = writer.write(&mut buffer, 6, true).expect("writes");
            buffer.restart(written.end);
            assert_eq!(reader.batch(written.batch).expect("readable").header.position, staged.position);
            expected.push((staged.position, body));
        }
    }
    assert_eq!(open().3, expected);
}
