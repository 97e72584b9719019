//! What is missing or damaged behind a snapshot.

use super::*;

#[test]
fn a_covered_segment_that_is_missing_is_told_of_and_the_store_opens_when_nothing_unsettled_lies_in_it() {
    let disk = RecordingDisk::new();
    let (life, history) = lives(&disk, ALL);
    let covered = file_name(4);
    assert!(life.names(".seg").contains(&covered));
    drop(life);
    disk.lose(&covered);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let looked = checked(&shared, with(), &mut |_| {}).expect("looks");
    let (report, _) = looked.found.expect("a start goes on");
    assert_eq!((report.corruption, report.history.len()), (None, 1));
    let life = Life::open(&disk, ALL);
    assert_eq!(life.found, history.held);
    let [missing] = life.report.history.as_slice() else { panic!("{}", life.report) };
    assert_eq!((&missing.file, missing.fault), (&covered, Fault::Missing));
    assert!(life.report.to_string().contains(&covered), "{}", life.report);
    // A look goes on behind it.
    let last = life.writer.durable();
    assert!(life.reader.scan(0, last).all(|batch| batch.is_ok_and(|batch| batch.at.segment != 4)));
}

#[test]
fn a_covered_segment_that_is_missing_with_something_unsettled_in_it_opens_read_only_and_names_it() {
    for retention in [ALL, NONE] {
        let disk = RecordingDisk::new();
        let (life, history) = lives(&disk, retention);
        drop(life);
        disk.lose(&file_name(1));
        let before = disk.operations();
        let Recovered { opened, .. } = recovered(&disk).expect("opens");
        assert!(matches!(opened.mode, Mode::ReadOnly));
        assert_eq!(disk.operations(), before, "nothing is changed");
        let first = *history.held.first().expect("held");
        let lost = opened.report.corruption.expect("it says what");
        assert_eq!((lost.file, lost.fault, lost.positions), (file_name(1), Fault::Missing, first..first + 1));
        assert_eq!((lost.unsettled, history.held.len() > 1), (Some(1), true));
    }
}

#[test]
fn a_covered_segment_that_lost_its_header_block_is_read_all_the_same() {
    let disk = RecordingDisk::new();
    let (life, history) = lives(&disk, NONE);
    drop(life);
    disk.tamper(&file_name(1), 0, &[0xff; 64]);
    let life = Life::open(&disk, NONE);
    assert_eq!(life.found, history.held);
    assert_eq!(life.report.history.first().map(|damage| damage.fault), Some(Fault::SegmentHeader));
}

/// Where the first message lies, which is unsettled.
fn first_place(disk: &RecordingDisk) -> BatchAt {
    let Recovered { engine, .. } = recovered(&disk.crash(disk.operations(), Image::AllWritten)).expect("opens");
    engine.needed().min_by_key(|needed| needed.position).expect("held").place.batch()
}

#[test]
fn damage_in_what_a_snapshot_covers_is_found_by_a_look_and_by_an_opening_that_was_told_where_to_look() {
    let disk = RecordingDisk::new();
    let (life, history) = lives(&disk, NONE);
    drop(life);
    let (file, at) = (file_name(1), first_place(&disk));
    disk.tamper(&file, at.offset + 100, &[0xff; 4]);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (report, _) = checked(&shared, with(), &mut |_| {}).expect("looks").found.expect("reads");
    let [found] = report.history.as_slice() else { panic!("{report}") };
    assert!(found.file == file && matches!(found.proof, Proof::Snapshot(_)), "{found}");

    let Recovered { engine, opened, .. } = recovered(&disk).expect("opens");
    assert!(matches!(opened.mode, Mode::ReadWrite(_)));
    let held = engine.held(&jobs(), 0, usize::MAX, NOW).expect("a queue");
    assert_eq!(held.into_iter().map(|held| held.entry.position).collect::<BTreeSet<_>>(), history.held);
    opened.reader.suspect(at).expect("there is room");

    let Recovered { opened, .. } = recovered(&disk).expect("opens");
    assert!(matches!(opened.mode, Mode::ReadOnly));
    let (lost, first) = (opened.report.corruption.expect("it says what"), *history.held.first().expect("held"));
    assert_eq!((lost.file, lost.bytes.start, lost.positions), (file, at.offset, first..first + 1));
    assert_eq!((lost.fault, lost.unsettled), (Fault::BodyHash, Some(1)));
}

#[test]
fn giving_up_that_crashes_at_any_moment_is_finished_by_the_next() {
    let whole = RecordingDisk::new();
    let (life, history) = lives(&whole, NONE);
    drop(life);
    let disk = whole.crash(whole.operations(), Image::AllWritten);
    disk.lose(&file_name(1));
    let mut left = history.held.clone();
    left.pop_first();
    let give_up = |disk: &RecordingDisk| {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        give_up(&shared, 2_000)
    };
    give_up(&disk).expect("gives up");
    let mut unfinished = 0;
    for moment in 0..=disk.operations() {
        for image in [Image::OnlySynced, Image::AllWritten, Image::TornLast { seed: 3 }] {
            println!("after {moment} of {} operations, {image:?}", disk.operations());
            let image = disk.crash(moment, image);
            let is_lost =
                recovered(&image.crash(0, Image::AllWritten)).expect("opens").opened.report.corruption.is_some();
            unfinished += usize::from(is_lost);
            give_up(&image).expect("gives up what is left");
            assert_eq!(Life::open(&image, NONE).found, left);
        }
    }
    assert!(unfinished > 3, "{unfinished}");
}

#[test]
fn a_suspect_that_can_be_read_again_is_forgotten() {
    let disk = RecordingDisk::new();
    let (life, history) = lives(&disk, NONE);
    life.reader.suspect(first_place(&disk)).expect("there is room");
    drop(life);
    assert!(disk.contents("suspects").is_some());
    assert_eq!(Life::open(&disk, NONE).found, history.held);
    assert!(disk.contents("suspects").is_none());
}
