//! Snapshots that are damaged: another one, or the whole log, goes in their place.

use super::*;

/// Damages a snapshot: the newest, or the one before it.
fn damage(disk: &RecordingDisk, nth: usize, offset: u64) -> String {
    let found = snapshots(disk).expect("lists").into_iter().nth(nth).expect("there are two");
    let byte = disk.contents(&found.name).expect("there")[offset as usize];
    disk.tamper(&found.name, offset, &[byte ^ 1]);
    found.name
}

#[test]
fn a_damaged_newest_snapshot_is_passed_over_and_named() {
    for (retention, offset) in [(ALL, 40), (ALL, 4_100), (NONE, 40), (NONE, 4_100)] {
        let disk = RecordingDisk::new();
        let (_, history) = lives(&disk, retention);
        let name = damage(&disk, 0, offset);
        let life = Life::open(&disk, retention);
        assert_eq!(life.found, history.held);
        assert!(life.report.snapshot.is_some() && life.report.to_string().contains(&name), "{}", life.report);
    }
}

#[test]
fn what_only_the_newest_snapshot_covers_stays_until_there_is_another() {
    let disk = RecordingDisk::new();
    let (mut life, history) = lives(&disk, NONE);
    let newest = |life: &Life| life.names(".seg").last().and_then(|name| segment_number(name)).expect("a segment");
    let until = newest(&life) + 3;
    // Segments in which nothing is needed.
    while newest(&life) < until {
        let position = life.publish();
        life.sync();
        life.ack(position);
        life.sync();
        life.take().expect("taken");
    }
    damage(&disk, 0, 4_100);
    let life = Life::open(&disk, NONE);
    assert!(life.report.snapshot.is_some() && !life.report.snapshots_damaged.is_empty(), "{}", life.report);
    assert_eq!(life.found, history.held);
}

#[test]
fn of_a_newest_snapshot_that_lost_its_header_nothing_is_missed() {
    let disk = RecordingDisk::new();
    let (mut life, history) = lives(&disk, ALL);
    let lies_in = |life: &Life| life.names(".seg").len();
    // Kept by the older one and let go by the newer: nothing of it is needed.
    let before = lies_in(&life);
    drop(life);
    life = Life::open(&disk, NONE);
    while lies_in(&life) >= before {
        let position = life.publish();
        life.sync();
        life.ack(position);
        life.sync();
        life.take().expect("taken");
    }
    let name = life.names(".snap").pop().expect("the newest");
    drop(life);
    disk.tamper(&name, 0, &[0; 4_096]);
    let life = Life::open(&disk, NONE);
    assert!(life.report.snapshot.is_some(), "{}", life.report);
    assert_eq!(life.found, history.held);
}

#[test]
fn with_both_snapshots_damaged_a_whole_log_is_read() {
    let disk = RecordingDisk::new();
    let (_, history) = lives(&disk, ALL);
    let names = [damage(&disk, 0, 4_100), damage(&disk, 1, 4_100)];
    let life = Life::open(&disk, ALL);
    assert_eq!((life.report.snapshot, &life.found), (None, &history.held));
    assert!(names.iter().all(|name| life.report.to_string().contains(name)), "{}", life.report);
}

#[test]
fn with_both_snapshots_damaged_and_segments_gone_the_store_opens_read_only_and_says_why() {
    let disk = RecordingDisk::new();
    let (_, _) = lives(&disk, NONE);
    let names = [damage(&disk, 0, 4_100), damage(&disk, 1, 4_100)];
    let before = disk.operations();
    let Recovered { opened, .. } = recovered(&disk).expect("opens");
    assert!(matches!(opened.mode, Mode::ReadOnly));
    assert_eq!(disk.operations(), before, "nothing is changed");
    let corruption = opened.report.corruption.as_ref().expect("it says why");
    assert_eq!((&corruption.file, corruption.fault), (&names[0], Fault::Snapshot));
    assert!(names.iter().all(|name| opened.report.to_string().contains(name)), "{}", opened.report);
}

/// Publishes and settles until another snapshot was taken.
fn until_another_is_taken(life: &mut Life) {
    let newest = |life: &Life| life.taker.newest();
    let before = newest(life);
    while newest(life) == before {
        let position = life.publish();
        life.sync();
        life.ack(position);
        life.sync();
        life.take().expect("taken");
    }
}

#[test]
fn a_snapshot_that_is_damaged_while_the_hub_runs_is_told_of_and_another_is_taken() {
    for offset in [40, 4_100] {
        let disk = RecordingDisk::new();
        let (mut life, history) = lives(&disk, NONE);
        let name = damage(&disk, 0, offset);
        assert_eq!(life.taker.trouble(), None);
        until_another_is_taken(&mut life);
        let trouble = life.taker.trouble().expect("it is told");
        assert!(trouble.contains(&name), "{trouble}");
        until_another_is_taken(&mut life);
        let read = |found: crate::log::FoundSnapshot| found.verify(&disk).expect("the disk is well").is_ok();
        assert_eq!(snapshots(&disk).expect("lists").into_iter().map(read).collect::<Vec<_>>(), [true, true]);
        drop(life);
        assert_eq!(Life::open(&disk, NONE).found, history.held);
    }
}

#[test]
fn a_damaged_snapshot_is_none_of_the_two_that_are_kept() {
    let disk = RecordingDisk::new();
    let (life, history) = lives(&disk, NONE);
    drop(life);
    damage(&disk, 0, 4_100);
    let mut life = Life::open(&disk, NONE);
    until_another_is_taken(&mut life);
    drop(life);
    // Now the newest is damaged, too: the one before the first damaged one is still there.
    damage(&disk, 0, 4_100);
    let life = Life::open(&disk, NONE);
    assert!(life.report.snapshot.is_some(), "{}", life.report);
    assert_eq!(life.found, history.held);
}

#[test]
fn with_no_whole_snapshot_and_segments_gone_none_is_taken_and_that_is_told() {
    let disk = RecordingDisk::new();
    let (mut life, _) = lives(&disk, NONE);
    let names = [damage(&disk, 0, 4_100), damage(&disk, 1, 4_100)];
    let untaken = loop {
        let position = life.publish();
        life.sync();
        life.ack(position);
        life.sync();
        if let Err(untaken) = life.take() {
            break untaken.to_string();
        }
    };
    assert!(names.iter().all(|name| untaken.contains(name)), "{untaken}");
}
