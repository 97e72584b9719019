//! Disks that fail or are full, and callers that break the rules.

use super::*;
use crate::disk::Disk;
use crate::disk::recording::{Call, Image, Operation};

#[test]
fn a_failed_sync_stops_the_log_for_ever_and_is_never_retried() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.stage(b"unknown");
    disk.fail_sync_after(0);
    let error = live.write(true).expect_err("the sync fails");
    assert!(matches!(error, LogError::Io { doing: "syncing", .. }), "{error}");
    let operations = disk.operations();
    for error in [live.write(true).err(), live.writer.prove(0, true).err(), live.writer.sync().err()] {
        let error = error.expect("stopped");
        assert!(matches!(&error, LogError::Poisoned { first } if first.contains("0000000001.seg")), "{error}");
    }
    assert_eq!(disk.operations(), operations, "a stopped log touches nothing");
}

#[test]
fn a_record_whose_sync_failed_is_durable_once_a_restart_has_shown_it() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.stage(b"unknown");
    disk.fail_sync_after(0);
    live.write(true).expect_err("the sync fails");
    assert_eq!(bodies(&Live::open(&disk).seen), [b"unknown"], "the page cache still has it");
    let image = disk.crash(disk.operations(), Image::OnlySynced);
    assert_eq!(bodies(&Live::open(&image).seen), [b"unknown"]);
}

#[test]
fn a_segment_whose_header_failed_to_be_synced_is_not_continued() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(&[1; 3_700]);
    while live.writer.prove(0, false).expect("proves").batch.offset + 128 <= 8_192 {}
    live.writer.spares().prepare().expect("there is room");
    disk.fail_sync_after(0);
    live.writer.prove(0, false).expect_err("the first sync of the second segment fails");
    Live::open(&disk).put(b"acknowledged");
    let live = Live::open(&disk.crash(disk.operations(), Image::OnlySynced));
    assert_eq!(bodies(&live.seen), [&[1; 3_700][..], b"acknowledged"]);
}

#[test]
fn a_full_disk_is_typed_and_leaves_log_and_buffer_usable() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    disk.set_room(Some(0));
    live.put(&[1; 3_000]);
    live.stage(&[2; 3_000]);
    let staged = live.buffer.bytes().to_vec();
    let operations = disk.operations();
    let error = live.write(true).expect_err("there is no room for a segment");
    assert!(matches!(&error, LogError::DiskFull { file, bytes: 12_288 } if file == "0000000002.seg"), "{error}");
    assert_eq!((live.buffer.bytes(), disk.operations()), (&staged[..], operations));
    disk.set_room(None);
    live.write(true).expect("there is room again");
    assert_eq!(Live::open(&disk).seen.len(), 2);
}

#[test]
fn a_roll_without_file_descriptors_is_typed_and_leaves_log_and_buffer_usable() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(&[1; 3_000]);
    live.stage(&[2; 3_000]);
    let staged = live.buffer.bytes().to_vec();
    let operations = disk.operations();
    disk.set_out_of_files(true);
    for error in [live.write(true).err(), live.writer.spares().prepare().err()] {
        let error = error.expect("no file can be created");
        assert!(matches!(&error, LogError::OutOfFiles { file } if file == "0000000002.seg"), "{error}");
        let text = error.to_string();
        assert!(error.is_shortage() && text.contains("open files") && text.contains("`ulimit -n`"), "{text}");
    }
    assert_eq!((live.buffer.bytes(), disk.operations()), (&staged[..], operations));
    disk.set_out_of_files(false);
    live.write(true).expect("there are files again");
    assert_eq!(Live::open(&disk).seen.len(), 2);
}

#[test]
fn a_full_disk_still_takes_what_fits_into_the_spare() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.writer.spares().prepare().expect("there is room");
    assert!(live.writer.spare_ready());
    disk.set_room(Some(0));
    live.put(&[1; 3_000]);
    let written = live.put(&[2; 3_000]);
    assert_eq!(written.batch.segment, 2);
    assert!(!live.writer.spare_ready());
    assert!(matches!(live.writer.spares().prepare(), Err(LogError::DiskFull { .. })));
    live.put(b"ack");
    live.writer.prove(0, true).expect("the clean mark needs no room");
}

#[test]
fn a_spare_whose_growth_failed_is_created_anew() {
    for call in [Call::Write, Call::Sync] {
        let disk = RecordingDisk::new();
        let mut live = Live::open(&disk);
        let spares = live.writer.spares();
        spares.prepare().expect("there is room");
        let room = spares.room();
        disk.fail_after(call, 0);
        let error = spares.prepare_for(room).expect_err("the disk fails");
        assert!(matches!(&error, LogError::Io { file, .. } if file == "0000000002.seg"), "{error}");
        assert!(!live.writer.spare_ready() && disk.contents("0000000002.seg").is_none(), "nobody trusts it");
        spares.prepare_for(room).expect("the disk is well again");
        assert!(spares.room() >= 2 * room);
        live.put(&[1; 3_000]);
        assert_eq!(live.put(&[2; 3_000]).batch.segment, 2);
        assert_eq!(Live::open(&disk).seen.len(), 2);
    }
}

#[test]
fn a_full_disk_opens_after_a_crash_by_giving_up_the_spare() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.writer.spares().prepare().expect("there is room");
    live.put(b"kept");
    disk.set_room(Some(0));
    assert_eq!(bodies(&Live::open(&disk).seen), [b"kept"]);
}

#[test]
fn an_opening_that_finds_no_room_is_typed_and_can_be_repeated() {
    let disk = RecordingDisk::new();
    Live::open(&disk).put(b"kept");
    disk.set_room(Some(0));
    let operations = disk.operations();
    let error = try_open(&disk).map(|(opened, _)| opened.report).expect_err("no room for the tail");
    assert!(matches!(&error, OpenError::DiskFull { file, bytes: 8_192 } if file == "0000000002.seg"), "{error}");
    assert_eq!(disk.operations(), operations);
    disk.set_room(Some(8_192));
    assert_eq!(bodies(&Live::open(&disk).seen), [b"kept"]);
}

#[test]
fn a_full_disk_opens_again_and_again_without_a_spare() {
    let disk = RecordingDisk::new();
    Live::open(&disk).put(b"kept");
    disk.fill();
    for nth in 0..10 {
        let mut live = Live::open(&disk);
        assert_eq!(live.seen.len(), 1 + nth);
        live.put(b"ack");
    }
    assert_eq!(segments(&disk), ["0000000001.seg"]);
    let synced = Live::open(&disk.crash(disk.operations(), Image::OnlySynced));
    assert_eq!(synced.seen.len(), 11);
}

#[test]
fn what_only_the_page_cache_held_is_durable_once_a_full_disk_has_opened() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.stage(b"unknown");
    disk.fail_sync_after(0);
    live.write(true).expect_err("the sync fails");
    disk.fill();
    assert_eq!(bodies(&Live::open(&disk).seen), [b"unknown"]);
    assert_eq!(bodies(&Live::open(&disk.crash(disk.operations(), Image::OnlySynced)).seen), [b"unknown"]);
}

#[test]
fn what_is_written_leaves_room_for_openings_at_the_end_of_the_last_segment() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    disk.fill();
    let written = loop {
        live.stage(b"ack");
        if let Err(error) = live.write(true) {
            assert!(matches!(error, LogError::DiskFull { .. }), "{error}");
            break live.writer.next_position();
        }
    };
    drop(live);
    for _ in 0..3 {
        let live = Live::open(&disk);
        assert_eq!(live.seen.last().map(|seen| seen.position + 1), Some(written));
    }
    disk.set_room(None);
    Live::open(&disk).put(b"again");
}

#[test]
fn a_spare_that_is_found_is_taken_over_and_no_other_file_is_made() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(b"kept");
    live.writer.prove(1_000, true).expect("marks");
    live.writer.spares().prepare().expect("there is room");
    disk.fill();
    let mut live = Live::open(&disk);
    assert!(live.writer.spare_ready(), "after an orderly end it is the spare again");
    live.put(b"more");
    assert_eq!(bodies(&Live::open(&disk).seen), [&b"kept"[..], b"more"], "and after a crash the fresh segment");
    assert_eq!(segments(&disk), ["0000000001.seg", "0000000002.seg"]);
}

#[test]
fn a_spare_in_which_a_roll_was_broken_off_is_emptied_before_it_is_taken_over() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(b"kept");
    live.writer.spares().prepare().expect("there is room");
    drop(live);
    let spare = "0000000002.seg";
    let length = disk.contents(spare).expect("it is there").len();
    disk.tamper(spare, 0, &[0x55; 700]);
    disk.tamper(spare, length as u64 - 9, &[0x55; 9]);
    disk.fill();
    let live = Live::open(&disk);
    assert_eq!(bodies(&live.seen), [b"kept"]);
    let (contents, used) = (disk.contents(spare).expect("in use"), usize::from(u8::MAX) + 4096);
    assert!(contents[used..].iter().all(|byte| *byte == 0), "nothing of before is left");
}

#[test]
fn an_opening_without_file_descriptors_says_so_and_what_to_do() {
    let disk = RecordingDisk::new();
    Live::open(&disk).put(b"kept");
    disk.set_out_of_files(true);
    let error = try_open(&disk).map(|(opened, _)| opened.report).expect_err("no file can be opened");
    assert!(matches!(&error, OpenError::OutOfFiles { .. }), "{error}");
    assert!(error.to_string().contains("open files") && error.to_string().contains("`ulimit -n`"), "{error}");
}

fn segments(disk: &RecordingDisk) -> Vec<String> {
    disk.list().expect("lists").into_iter().filter(|name| segment_number(name).is_some()).collect()
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_sized_for_it() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.writer.spares().prepare().expect("there is room");
    let written = live.put(&[5; 50_000]);
    assert_eq!(written.batch.segment, 2);
    let after = live.put(&[6; 8_000]);
    assert_eq!(after.batch.segment, 3);
    let live = Live::open(&disk.crash(disk.operations(), Image::OnlySynced));
    assert_eq!(bodies(&live.seen), [&[5; 50_000][..], &[6; 8_000]]);
}

#[test]
fn a_batch_that_breaks_a_rule_is_refused_and_nothing_is_written() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let operations = disk.operations();
    let refused = |live: &mut Live| {
        let error = live.writer.write(&mut live.buffer, 0, true).expect_err("refused");
        assert!(matches!(error, LogError::Refused(_)), "{error}");
    };
    refused(&mut live);
    live.buffer.restart(77);
    live.stage(b"out of order");
    refused(&mut live);
    assert_eq!(disk.operations(), operations);
    live.buffer.restart(live.writer.next_position());
    live.put(b"in order");
}

#[test]
fn positions_beyond_the_synced_reservation_are_refused_and_a_reserve_record_is_always_synced() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let limit = live.writer.position_limit();
    assert_eq!(limit, 1 + limits::POSITION_BLOCK);
    let until = limit + limits::POSITION_BLOCK;
    live.buffer.append_reserve(until);
    let written = live.write(false).expect("writes");
    assert_eq!((live.writer.position_limit(), written.durable), (until, written.end));
    assert_eq!(Live::open(&disk.crash(disk.operations(), Image::OnlySynced)).buffer.position(), until + 1);
}

#[test]
fn a_writer_at_the_end_of_its_reservation_refuses() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let limit = live.writer.position_limit();
    while live.writer.next_position() + 8_000 < limit {
        for _ in 0..8_000 {
            live.stage(b"");
        }
        live.write(false).expect("below the limit");
    }
    while live.buffer.position() <= limit {
        live.stage(b"");
    }
    let error = live.write(true).expect_err("beyond the limit");
    assert!(matches!(&error, LogError::Refused(reason) if reason.contains("reserve")), "{error}");
}

#[test]
fn the_fresh_segment_is_synced_before_its_header_is_written() {
    let disk = RecordingDisk::new();
    Live::open(&disk).put(b"tail");
    let before = disk.operations();
    Live::open(&disk);
    let trace = disk.trace();
    let header = trace.iter().skip(before).position(|op| matches!(op, Operation::Write { offset: 0, .. }));
    let header = before + header.expect("a fresh segment is written");
    assert!(matches!(trace[header - 1], Operation::Sync { .. }), "{:?}", trace[header - 1]);
    assert!(matches!(trace[header + 1], Operation::Sync { .. }), "{:?}", trace[header + 1]);
}
