//! Every crash at every moment: what was answered as durable is there, once, in order, and nothing else is.

use super::outside::Harm;
use super::*;
use crate::disk::Disk;
use crate::disk::recording::Image;

/// What the test knows to have happened, each with the moment in the trace.
#[derive(Default)]
struct History {
    /// Records, in order, with the moment before they were written.
    staged: Vec<(usize, u64, Vec<u8>)>,
    /// How many of them were answered as durable, and when.
    durable: Vec<(usize, usize)>,
    /// Open counts answered.
    opened: Vec<(usize, u64)>,
}

impl History {
    fn note_durable(&mut self, live: &Live, below: u64) {
        let count = self.staged.iter().filter(|(_, position, _)| *position < below).count();
        self.durable.push((live.disk.operations(), count));
    }

    fn open(&mut self, disk: &RecordingDisk) -> Live {
        // An opening whose sync fails is an opening that crashed.
        let live = loop {
            match Live::try_open(disk) {
                Err(OpenError::Io { .. }) => {}
                opened => break opened.expect("opens"),
            }
        };
        self.check_visited(&live.seen, usize::MAX);
        assert_eq!(live.seen.len(), self.staged.len(), "a restart without a power loss loses nothing");
        self.note_durable(&live, u64::MAX);
        self.opened.push((disk.operations(), live.open_count));
        live
    }

    fn write(&mut self, live: &mut Live, records: usize, bytes: usize, sync: bool) {
        let moment = live.disk.operations();
        for _ in 0..records {
            let body: Vec<u8> = (0..bytes).map(|index| (index + self.staged.len()) as u8).collect();
            let staged = live.stage(&body);
            self.staged.push((moment, staged.position, body));
        }
        match live.write(sync) {
            Ok(written) => self.note_durable(live, written.durable),
            // The roll failed, so the batch was not even written.
            Err(_) if live.writer.next_position() < live.buffer.position() => {
                self.staged.truncate(self.staged.len() - records)
            }
            Err(_) => {}
        }
    }

    /// The records visited are the first ones written, byte by byte, and none of those written after the moment.
    fn check_visited(&self, seen: &[Seen], moment: usize) {
        assert!(seen.len() <= self.staged.len(), "more records than were ever written");
        for (seen, (written, position, body)) in seen.iter().zip(&self.staged) {
            assert_eq!((seen.position, &seen.body), (*position, body), "another record than the one written here");
            assert!(*written < moment, "a record from the future");
        }
    }

    fn durable_at(&self, moment: usize) -> usize {
        self.durable.iter().filter(|(at, _)| *at <= moment).map(|(_, count)| *count).max().unwrap_or(0)
    }

    fn positions_used_at(&self, moment: usize) -> u64 {
        self.staged.iter().filter(|(at, ..)| *at < moment).map(|(_, position, _)| *position).max().unwrap_or(0)
    }

    fn open_count_at(&self, moment: usize) -> u64 {
        self.opened.iter().filter(|(at, _)| *at <= moment).map(|(_, count)| *count).max().unwrap_or(0)
    }
}

/// Several lives of a store on one disk, with all that a writer does; a failed sync ends one of them.
fn lives(disk: &RecordingDisk) -> History {
    let mut history = History::default();
    let mut live = history.open(disk);
    history.write(&mut live, 3, 20, true);
    history.write(&mut live, 2, 700, true);
    history.write(&mut live, 1, 5, false);
    history.write(&mut live, 2, 900, false);
    let durable = live.writer.sync().expect("syncs");
    history.note_durable(&live, durable);
    live.writer.spares().prepare().expect("there is room");
    history.write(&mut live, 2, 1200, true);
    history.write(&mut live, 1, 30, true);
    live.writer.prove(2_000, false).expect("proves");
    history.write(&mut live, 1, 9_000, true);
    history.write(&mut live, 2, 30, false);

    // Killed: what was written is in the page cache, and no more is known of it.
    let mut live = history.open(disk);
    history.write(&mut live, 1, 100, true);
    live.buffer.append_reserve(live.writer.position_limit() + limits::POSITION_BLOCK);
    live.write(false).expect("writes");
    history.write(&mut live, 1, 200, false);
    disk.fail_sync_after(0);
    history.write(&mut live, 1, 300, true);
    assert!(matches!(live.writer.sync(), Err(LogError::Poisoned { .. })));

    // Restarted after the failed sync, then closed in order, then opened once more.
    let mut live = history.open(disk);
    history.write(&mut live, 1, 40, true);
    live.writer.prove(3_000, true).expect("marks");
    let mut live = history.open(disk);
    assert!(live.report.clean_shutdown);
    history.write(&mut live, 1, 50, true);
    history.write(&mut live, 3, 900, false);
    history.write(&mut live, 3, 900, false);
    history.write(&mut live, 3, 900, true);

    // Nothing but the proof failed to be synced.
    disk.fail_sync_after(0);
    live.writer.prove(3_000, false).expect_err("the sync fails");
    let mut live = history.open(disk);
    history.write(&mut live, 1, 60, true);
    history
}

/// A life drawn by chance, in which syncs fail now and then.
fn random_lives(disk: &RecordingDisk, seed: u64) -> History {
    let mut history = History::default();
    let mut random = seed;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut live = history.open(disk);
    for _ in 0..30 {
        let done = match draw(12) {
            0..=5 => {
                let (records, bytes) = (1 + draw(3) as usize, [3, 40, 600, 1_500, 5_000][draw(5) as usize]);
                history.write(&mut live, records, bytes, draw(2) == 0);
                live.writer.usable()
            }
            6 => live.writer.sync().map(|_| ()),
            7 => live.writer.prove(1_000, draw(2) == 0).map(|_| ()),
            8 => live.writer.spares().prepare(),
            9 => {
                disk.fail_sync_after(draw(3));
                Ok(())
            }
            10 => {
                live.buffer.append_reserve(live.writer.position_limit() + 9);
                live.write(false).map(|_| ())
            }
            _ => Err(LogError::Refused("a restart for no reason".to_owned())),
        };
        if done.is_err() {
            live = history.open(disk);
        } else {
            history.note_durable(&live, live.writer.durable());
        }
    }
    history
}

fn images() -> impl Iterator<Item = Image> {
    let random = (0..4).map(|seed| Image::Random { seed });
    let torn = (0..3).map(|seed| Image::TornLast { seed });
    [Image::OnlySynced, Image::AllWritten].into_iter().chain(random).chain(torn)
}

/// Opens an image, checks the promises, writes on, and opens again. Returns how many old records were there.
fn recover(history: &History, image: &RecordingDisk, moment: usize) -> usize {
    let mut live = Live::open(image);
    history.check_visited(&live.seen, moment);
    assert!(live.seen.len() >= history.durable_at(moment), "a durable record is lost: {:?}", live.report);
    assert!(live.open_count > history.open_count_at(moment), "an open count is used twice");
    assert!(live.buffer.position() > history.positions_used_at(moment), "a position is used twice");
    for seen in &live.seen {
        let batch = live.reader.batch(seen.batch).expect("a visited batch can be read");
        assert_eq!(batch.bytes.slice(seen.offset as usize..).slice(..seen.body.len()), seen.body);
    }
    let mut expected = live.seen.clone();
    for body in [&b"after"[..], &[7; 3000], b"the crash"] {
        let position = live.stage(body).position;
        let written = live.write(true).expect("a recovered log writes");
        expected.push(Seen { position, body: body.to_vec(), batch: written.batch, offset: 72 });
    }
    let again = Live::open(&image.crash(image.operations(), Image::OnlySynced));
    let content = |seen: &[Seen]| seen.iter().map(|seen| (seen.position, seen.body.clone())).collect::<Vec<_>>();
    assert_eq!(content(&again.seen), content(&expected));
    assert!(again.open_count > live.open_count);
    live.seen.len()
}

#[test]
fn crash_at_every_prefix_of_the_trace_keeps_every_synced_record() {
    let disk = RecordingDisk::new();
    let history = lives(&disk);
    let mut states = 0;
    for moment in 0..=disk.operations() {
        for image in images() {
            println!("after {moment} of {} operations, {image:?}", disk.operations());
            recover(&history, &disk.crash(moment, image), moment);
            states += 1;
        }
    }
    println!("{states} crash states");
}

#[test]
fn a_second_crash_at_every_prefix_of_the_recovery_keeps_every_synced_record() {
    let disk = RecordingDisk::new();
    let history = lives(&disk);
    let mut states = 0;
    for moment in 0..=disk.operations() {
        for first in [Image::OnlySynced, Image::AllWritten, Image::Random { seed: 9 }, Image::TornLast { seed: 9 }] {
            let image = disk.crash(moment, first);
            let found = Live::open(&image).seen.len();
            let recovery = image.operations();
            for second_moment in 0..=recovery {
                for second in
                    [Image::OnlySynced, Image::AllWritten, Image::Random { seed: 5 }, Image::TornLast { seed: 5 }]
                {
                    println!(
                        "after {moment} operations, {first:?}, then after {second_moment} of {recovery}, {second:?}"
                    );
                    let kept = recover(&history, &image.crash(second_moment, second), moment);
                    assert!(kept == found || second_moment < recovery, "what an opening showed is durable");
                    states += 1;
                }
            }
        }
    }
    println!("{states} crash states");
}

/// Opens what a crash left of a full disk, again after one crash in the midst of that, and checks the promises. Answers in how
/// many states a store was there.
fn recover_full(history: &History, image: &RecordingDisk, moment: usize, second: Image) -> usize {
    image.fill();
    let found = match Live::try_open(image) {
        Err(OpenError::DiskFull { .. }) if history.open_count_at(moment) == 0 => return 0,
        opened => opened.expect("a full disk is no reason not to open").seen.len(),
    };
    assert!(found >= history.durable_at(moment), "a durable record is lost");
    let mut states = 1;
    for second_moment in 0..=image.operations() {
        println!("then after {second_moment} of {} operations, {second:?}", image.operations());
        let again = image.crash(second_moment, second);
        again.fill();
        let mut live = match Live::try_open(&again) {
            Err(OpenError::DiskFull { .. }) if history.open_count_at(moment) == 0 => continue,
            opened => opened.expect("a full disk is no reason not to open"),
        };
        history.check_visited(&live.seen, moment);
        assert!(live.seen.len() >= history.durable_at(moment), "a durable record is lost: {:?}", live.report);
        assert!(live.open_count > history.open_count_at(moment), "an open count is used twice");
        live.writer.prove(1_000, false).expect("a proof needs no room");
        again.set_room(None);
        let kept = recover(history, &again, moment);
        assert!(kept == found || second_moment < image.operations(), "what an opening showed is durable");
        states += 1;
    }
    states
}

#[test]
fn a_full_disk_opens_after_a_crash_at_every_prefix_of_the_trace_and_of_its_recovery() {
    let disk = RecordingDisk::new();
    let history = lives(&disk);
    let (mut opened, mut states) = (0, 0);
    for moment in 0..=disk.operations() {
        for first in [Image::OnlySynced, Image::AllWritten, Image::Random { seed: 9 }, Image::TornLast { seed: 9 }] {
            for second in [Image::OnlySynced, Image::AllWritten, Image::Random { seed: 5 }] {
                println!("after {moment} of {} operations, {first:?}", disk.operations());
                let found = recover_full(&history, &disk.crash(moment, first), moment, second);
                opened += usize::from(found > 0);
                states += found;
            }
        }
    }
    println!("{states} crash states");
    assert!(opened > 500, "only {opened}");
}

#[test]
fn crashes_in_lives_drawn_by_chance_keep_every_synced_record() {
    let mut states = 0;
    for seed in 0..12 {
        let disk = RecordingDisk::new();
        let history = random_lives(&disk, seed);
        for moment in 0..=disk.operations() {
            for first in [Image::OnlySynced, Image::AllWritten, Image::Random { seed }, Image::TornLast { seed }] {
                println!("seed {seed}, after {moment} operations, {first:?}");
                let image = disk.crash(moment, first);
                recover(&history, &disk.crash(moment, first), moment);
                let found = Live::open(&image).seen.len();
                let second_moment = (moment * 7 + seed as usize) % (image.operations() + 1);
                println!("then after {second_moment} of {} operations", image.operations());
                let second = image.crash(second_moment, Image::Random { seed: seed + moment as u64 });
                let kept = recover(&history, &second, moment);
                assert!(kept == found || second_moment < image.operations());
                states += 2;
            }
        }
    }
    println!("{states} crash states");
}

/// The newest segment with a valid header.
fn newest_in_use(disk: &RecordingDisk) -> Option<String> {
    let in_use = |name: &String| {
        let block = disk.contents(name)?;
        SegmentHeader::decode(block.first_chunk()?).ok()
    };
    disk.list().expect("lists").into_iter().filter(|name| in_use(name).is_some()).max()
}

#[test]
fn a_newest_segment_harmed_after_a_crash_at_any_moment_is_noticed_or_held_nothing_acknowledged() {
    let disk = RecordingDisk::new();
    let history = lives(&disk);
    let (mut noticed_by_mark, mut states) = (0, 0);
    for moment in 0..=disk.operations() {
        for image in [Image::OnlySynced, Image::AllWritten, Image::Random { seed: 3 }, Image::TornLast { seed: 3 }] {
            for harm in Harm::ALL {
                println!("after {moment} operations, {image:?}, {harm:?}");
                let image = disk.crash(moment, image);
                let Some(name) = newest_in_use(&image) else { continue };
                harm.befall(&image, &name);
                states += 1;
                let opened = try_open(&image);
                if let Ok((Opened { mode: Mode::ReadWrite(_), open_count, report, .. }, seen)) = &opened {
                    let kept = history.durable_at(moment);
                    assert!(seen.len() >= kept, "{name} held what was acknowledged, and nobody notices: {report:?}");
                    assert!(*open_count > history.open_count_at(moment), "an open count is used twice");
                    continue;
                }
                assert_eq!(image.operations(), 0, "what is noticed is left as it is");
                let proof = opened.ok().and_then(|(opened, _)| opened.report.corruption).map(|found| found.proof);
                noticed_by_mark += usize::from(matches!(proof, Some(Proof::Mark { .. })));
            }
        }
    }
    println!("{states} crash states, each harmed");
    assert!(noticed_by_mark > 100, "only {noticed_by_mark}");
}

#[test]
fn every_synced_write_survives_an_immediate_power_loss() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let mut written: Vec<Vec<u8>> = Vec::new();
    for index in 0..10 {
        written.push(vec![index; 100]);
        live.put(&[index; 100]);
        let after = Live::open(&disk.crash(disk.operations(), Image::OnlySynced));
        assert_eq!(bodies(&after.seen), written);
    }
}

#[test]
fn a_store_that_crashes_again_and_again_does_not_grow() {
    let disk = RecordingDisk::new();
    Live::open(&disk).put(b"kept");
    let names = |disk: &RecordingDisk| disk.list().expect("lists").len();
    for _ in 0..20 {
        let live = Live::open(&disk);
        assert_eq!(bodies(&live.seen), [b"kept"]);
    }
    assert!(names(&disk) <= 3, "{} files", names(&disk));
}

/// Else the mark would not know the segment in which something was answered that is not to be synced.
#[test]
fn the_first_batch_of_a_segment_is_synced_whatever_was_asked() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let first = live.put(&[1; 100]).batch.segment;
    let mut weak = 0;
    loop {
        live.stage(&[2; 900]);
        let written = live.write(false).expect("writes");
        if written.batch.segment > first {
            assert_eq!(written.durable, written.end);
            break;
        }
        assert_eq!(written.durable, written.first - weak);
        weak += 1;
    }
    assert!(weak > 1, "several were written and not synced");
}
