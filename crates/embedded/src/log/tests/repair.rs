//! A repair keeps whatever can be read, gives up what cannot, uses nothing twice, and stands a crash at any moment.

use std::io;
use std::ops::Range;

use super::outside::Harm;
use super::*;
use crate::disk::recording::Image;
use crate::disk::{Disk, DiskFile};

/// What was written to a log, all of it durable: positions and bodies.
type Written = Vec<(u64, Vec<u8>)>;

/// What was visited: positions and bodies, and below which position records may be missing.
type Visited = Vec<(u64, Vec<u8>, u64)>;

/// A folder within a disk, so that one trace tells the order of what happens in both.
struct Folder(RecordingDisk);

impl Folder {
    fn name(name: &str) -> String {
        format!("lost/{name}")
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.0.list()?;
        Ok(names.iter().filter_map(|name| name.strip_prefix("lost/")).map(str::to_owned).collect())
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.0.create_zeroed(&Self::name(name), bytes)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(&Self::name(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(&Self::name(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_names()
    }
}

/// Three lives in many segments; the last record is proven.
fn lives() -> (RecordingDisk, Written) {
    let disk = RecordingDisk::new();
    let mut written = Vec::new();
    for life in 0..3_u8 {
        let mut live = Live::open(&disk);
        for index in 0..11_u8 {
            for record in 0..2 {
                let body = vec![
                    life * 80 + index * 7 + record + 1;
                    [30, 700, 200, 1_200, 30, 3_000, 40, 50, 60, 70, 80][usize::from(index)]
                ];
                let staged = live.stage(&body);
                written.push((staged.position, body));
            }
            live.write(true).expect("writes");
        }
        // One closed in order, one killed, one still open.
        if life != 1 {
            live.writer.prove(2_000, life == 0).expect("proves");
        }
    }
    (disk.crash(disk.operations(), Image::AllWritten), written)
}

fn segments(disk: &RecordingDisk) -> Vec<String> {
    let mut names = disk.list().expect("lists");
    names.retain(|name| segment_number(name).is_some());
    names.sort();
    names
}

/// Whether a log opens for writing, asked without opening it.
fn is_sound(disk: &RecordingDisk) -> bool {
    let found = check(Arc::new(disk.clone()), with(1_000), &mut |_| Ok(()));
    found.is_ok_and(|(report, _)| report.corruption.is_none())
}

fn planned(disk: &RecordingDisk) -> Result<(Plan, Visited), OpenError> {
    let (mut seen, before) = (Vec::new(), disk.operations());
    let plan = plan(Arc::new(disk.clone()), with(1_000), &mut |record| {
        seen.push((record.position, record.body.to_vec(), record.lost_until));
        Ok(())
    })?;
    assert_eq!(disk.operations(), before, "a plan changes nothing");
    Ok((plan, seen))
}

/// Repairs, and checks all that must hold whatever was damaged. Answers what was lost.
fn repaired(disk: &RecordingDisk, written: &Written) -> Vec<Loss> {
    let (plan, foreseen) = planned(disk).expect("a plan");
    let (losses, torn) = (plan.losses.clone(), plan.torn.clone());
    assert!(!losses.is_empty(), "something is wrong, so something is lost");
    plan.carry_out(&Folder(disk.clone()), "words").expect("repairs");
    assert!(is_sound(disk), "a repaired log is sound");
    let names = segments(disk);
    let mut seen = Vec::new();
    let opened = open(Arc::new(disk.clone()), with(1_000), &mut |record| {
        seen.push((record.position, record.body.to_vec(), record.lost_until));
        Ok(())
    });
    let opened = opened.expect("opens");
    assert!(matches!(opened.mode, Mode::ReadWrite(_)), "{names:?} {:?}", opened.report);
    assert_eq!(seen, foreseen, "what was foreseen is visited");
    let lost: Vec<Range<u64>> =
        losses.iter().map(|loss| loss.positions.clone()).filter(|lost| !lost.is_empty()).collect();
    assert_eq!(opened.report.given_up, lost, "every later opening knows of it");
    let is_lost = |position: &u64| lost.iter().any(|lost| lost.contains(position));
    let tail = torn.map_or(u64::MAX, |torn| torn.position);
    let kept: Written = written.iter().filter(|(at, _)| !is_lost(at) && *at < tail).cloned().collect();
    let found: Written = seen.into_iter().map(|(at, body, _)| (at, body)).collect();
    assert_eq!(found, kept, "all that is not lost is there, once, in order");
    let used = written.iter().map(|(at, _)| *at).max().unwrap_or(0);
    assert!(opened.next_position > used && opened.next_position > lost.iter().map(|lost| lost.end).max().unwrap_or(0));
    assert!(opened.open_count > 3, "an open count is used twice");
    losses
}

fn copy_of(disk: &RecordingDisk) -> RecordingDisk {
    disk.crash(disk.operations(), Image::AllWritten)
}

#[test]
fn a_flip_of_any_byte_costs_at_most_its_batch() {
    let (disk, written) = lives();
    let mut repairs = 0;
    for name in segments(&disk) {
        let bytes = disk.contents(&name).expect("there");
        for offset in (0..bytes.len()).step_by(61).chain(SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + 64) {
            let image = copy_of(&disk);
            image.tamper(&name, offset as u64, &[bytes[offset] ^ 0x40]);
            if is_sound(&image) {
                continue;
            }
            repairs += 1;
            let losses = repaired(&image, &written);
            let lost = losses.iter().map(|loss| &loss.positions);
            let records = written.iter().filter(|(at, _)| lost.clone().any(|lost| lost.contains(at))).count();
            assert!(records <= 2, "{name} at {offset}: {losses:?}");
        }
    }
    assert!(repairs > 200, "only {repairs}");
}

#[test]
fn whatever_befalls_one_or_two_segments_the_others_keep_their_records() {
    let (disk, written) = lives();
    let names = segments(&disk);
    let mut repairs = 0;
    for (index, name) in names.iter().enumerate() {
        for harm in Harm::ALL {
            for second in names.iter().skip(index) {
                for other in Harm::ALL {
                    let image = copy_of(&disk);
                    harm.befall(&image, name);
                    if second != name {
                        other.befall(&image, second);
                    }
                    println!("{name} {harm:?}, {second} {other:?}");
                    if !is_sound(&image) {
                        repairs += 1;
                        repaired(&image, &written);
                    }
                }
            }
        }
    }
    assert!(repairs > 100, "only {repairs}");
}

#[test]
fn a_header_block_alone_costs_no_record() {
    let (disk, written) = lives();
    for name in segments(&disk) {
        let image = copy_of(&disk);
        image.tamper(&name, 100, b"x");
        let losses = repaired(&image, &written);
        assert!(losses.iter().all(|loss| loss.positions.is_empty()), "{name}: {losses:?}");
    }
}

#[test]
fn the_only_header_block_is_made_up_for_when_its_id_can_still_be_read() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let position = live.stage(b"kept").position;
    live.write(true).expect("writes");
    live.writer.prove(2_000, false).expect("proves");
    disk.lose("mark");
    let image = copy_of(&disk);
    image.tamper("0000000001.seg", 60, b"x");
    let (plan, _) = planned(&image).expect("a plan");
    assert_eq!(plan.store_id(), STORE);
    plan.carry_out(&Folder(image.clone()), "").expect("repairs");
    let live = Live::open(&image);
    assert_eq!((live.seen[0].position, bodies(&live.seen)), (position, vec![&b"kept"[..]]));
    disk.tamper("0000000001.seg", 20, b"x");
    let error = planned(&disk).map(|_| ()).expect_err("nobody knows the store");
    assert!(matches!(&error, OpenError::UnknownStore { file } if file == "0000000001.seg"), "{error}");
}

#[test]
fn a_mark_of_which_nothing_is_left_costs_no_record_and_no_position_is_used_again() {
    let (disk, written) = lives();
    disk.tamper("mark", 0, &[0xff; 8192]);
    assert!(matches!(try_open(&disk), Err(OpenError::DamagedMark { .. })));
    let losses = repaired(&disk, &written);
    assert_eq!((losses.len(), losses[0].durable_until), (1, losses[0].positions.start));
}

#[test]
fn what_is_lost_is_told_exactly() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    live.put(b"one");
    let second = live.put(b"two");
    let third = live.put(b"three");
    live.put(b"four");
    live.writer.prove(2_000, false).expect("proves");
    disk.tamper("0000000001.seg", second.batch.offset + 73, b"x");
    let (plan, _) = planned(&disk).expect("a plan");
    let (bytes, positions) = (second.batch.offset..third.batch.offset, second.first..third.first);
    let piece = Piece { file: "0000000001.seg".to_owned(), bytes, fault: Fault::BodyHash };
    let durable_until = positions.end;
    let loss = Loss { pieces: vec![piece], positions, durable_until, batches: 1, records: 1 };
    assert_eq!(plan.losses, [loss]);
    assert_eq!((plan.before.records, plan.behind.records, plan.behind.batches), (2, 2, 3));
    assert_eq!(plan.touched(), ["0000000001.seg", "mark"]);
}

#[test]
fn a_segment_that_a_repair_wrote_is_missed_when_it_is_gone_before_the_next_start() {
    let (disk, _) = lives();
    disk.tamper(&segments(&disk)[1], 4_300, b"x");
    planned(&disk).expect("a plan").0.carry_out(&Folder(disk.clone()), "").expect("repairs");
    for harm in Harm::ALL {
        let image = copy_of(&disk);
        let newest = segments(&image).pop().expect("one");
        harm.befall(&image, &newest);
        assert!(!is_sound(&image), "{newest} {harm:?}");
    }
}

#[test]
fn openings_that_are_lost_are_counted_all_the_same() {
    let (disk, written) = lives();
    segments(&disk).iter().skip(1).for_each(|name| disk.lose(name));
    repaired(&disk, &written);
}

#[test]
fn as_many_positions_are_given_up_as_a_lost_file_can_have_held() {
    let (disk, written) = lives();
    let newest = segments(&disk).pop().expect("one");
    let bytes = disk.contents(&newest).expect("there").len() as u64;
    disk.lose(&newest);
    let losses = repaired(&disk, &written);
    assert_eq!(losses[0].positions.end - losses[0].durable_until, bytes / 8);
}

#[test]
fn no_position_is_used_again_when_the_reservation_itself_is_lost() {
    let disk = RecordingDisk::new();
    Live::open(&disk).writer.prove(2_000, true).expect("proves");
    let mut live = Live::open(&disk);
    let opening = live.buffer.position() - 1;
    live.put(b"kept");
    live.writer.prove(2_000, false).expect("proves");
    let torn = live.stage(b"torn").position;
    let at = live.write(false).expect("writes").batch;
    let name = file_name(at.segment);
    let bytes = disk.contents(&name).expect("there");
    let at_opening = bytes.windows(8).position(|part| part == (opening + limits::POSITION_BLOCK).to_le_bytes());
    disk.tamper(&name, at_opening.expect("the reservation is in it") as u64, b"x");
    disk.tamper(&name, at.offset + 73, b"x");
    planned(&disk).expect("a plan").0.carry_out(&Folder(disk.clone()), "").expect("repairs");
    let live = Live::open(&disk);
    assert_eq!(bodies(&live.seen), [b"kept"]);
    // The opening itself took one.
    assert!(live.buffer.position() > torn + 1, "position {torn} was used before");
}

#[test]
fn records_behind_a_loss_are_visited_knowing_of_it() {
    let (disk, _) = lives();
    let names = segments(&disk);
    disk.lose(&names[1]);
    let (_, seen) = planned(&disk).expect("a plan");
    let until = seen.last().expect("records").2;
    assert!(until > 0 && seen.iter().all(|(at, _, lost)| *lost == if *at < until { 0 } else { until }));
}

#[test]
fn a_log_is_repaired_again_and_again() {
    let (disk, mut written) = lives();
    for _ in 0..4 {
        let names = segments(&disk);
        let name = &names[names.len() / 2];
        let middle = disk.contents(name).expect("there").len() as u64 / 2;
        let old = disk.contents(name).expect("there")[middle as usize];
        disk.tamper(name, middle, &[old ^ 0x40]);
        if is_sound(&disk) {
            continue;
        }
        let (plan, seen) = planned(&disk).expect("a plan");
        plan.carry_out(&Folder(RecordingDisk::new()), "").expect("repairs");
        written.retain(|(at, _)| seen.iter().any(|(seen, ..)| seen == at));
        let mut live = Live::open(&disk);
        let found: Written = live.seen.iter().map(|seen| (seen.position, seen.body.clone())).collect();
        assert_eq!(found, written);
        let body = vec![9; 2_000];
        written.push((live.stage(&body).position, body));
        live.write(true).expect("writes");
        live.writer.prove(2_000, false).expect("proves");
    }
    assert!(!Live::open(&disk).report.given_up.is_empty());
}

#[test]
fn a_full_disk_stops_a_repair_at_any_moment_with_nothing_changed() {
    let (disk, written) = lives();
    let name = &segments(&disk)[1];
    disk.tamper(name, 4_300, b"x");
    let before = everything(&disk);
    let mut refused = 0;
    for room in (0..).step_by(3_000) {
        let image = copy_of(&disk);
        image.set_room(Some(room));
        let (plan, _) = planned(&image).expect("a plan");
        match plan.carry_out(&Folder(image.clone()), "words") {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, OpenError::DiskFull { .. }), "{error}"),
        }
        refused += 1;
        assert_eq!(everything(&image), before, "neither the log nor half a copy");
        image.set_room(None);
        repaired(&image, &written);
    }
    assert!(refused > 10, "only {refused}");
}

fn everything(disk: &RecordingDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list().expect("lists");
    names.into_iter().map(|name| (name.clone(), disk.contents(&name).expect("there"))).collect()
}

/// What can be wrong in ways that differ for a repair.
fn damages() -> Vec<(RecordingDisk, Written)> {
    let (disk, written) = lives();
    let names = segments(&disk);
    let mut damaged = Vec::new();
    let mut add = |harm: &dyn Fn(&RecordingDisk)| {
        let image = copy_of(&disk);
        harm(&image);
        damaged.push((image, written.clone()));
    };
    add(&|image| image.tamper(&names[0], 4_200, b"x"));
    add(&|image| image.tamper(&names[1], 4_300, b"x"));
    add(&|image| image.tamper(&names[2], 30, b"x"));
    add(&|image| image.lose(&names[1]));
    add(&|image| image.lose(names.last().expect("one")));
    add(&|image| image.shorten(names.last().expect("one"), 4_096));
    add(&|image| image.tamper("mark", 0, &[0xff; 8192]));
    add(&|image| image.tamper(names.last().expect("one"), 4_200, b"x"));
    damaged
}

#[test]
fn a_repair_that_crashes_at_any_moment_is_finished_by_the_next() {
    let mut states = 0;
    for (index, (disk, written)) in damages().into_iter().enumerate() {
        assert!(!is_sound(&disk), "damage {index}");
        let original = everything(&disk);
        let (plan, foreseen) = planned(&disk).expect("a plan");
        let touched = plan.touched();
        let lost: Vec<Range<u64>> = plan.losses.iter().map(|loss| loss.positions.clone()).collect();
        plan.carry_out(&Folder(disk.clone()), "words").expect("repairs");
        for moment in 0..=disk.operations() {
            for image in [
                Image::OnlySynced,
                Image::AllWritten,
                Image::Random { seed: 5 },
                Image::TornLast { seed: 5 },
                Image::TornLast { seed: 8 },
            ] {
                println!("damage {index}, after {moment} of {} operations, {image:?}", disk.operations());
                let image = disk.crash(moment, image);
                states += 1;
                let as_it_was = original.iter().all(|(name, bytes)| image.contents(name).as_ref() == Some(bytes));
                for name in touched.iter().filter(|_| !as_it_was) {
                    let kept = original.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone());
                    assert_eq!(
                        image.contents(&Folder::name(name)),
                        kept,
                        "{name} was not copied before anything changed"
                    );
                }
                for left in Folder(image.clone()).list().expect("lists") {
                    image.lose(&Folder::name(&left));
                }
                if !is_sound(&image) {
                    let again = planned(&image).expect("a plan").1;
                    let content = |seen: &[(u64, Vec<u8>, u64)]| {
                        seen.iter().map(|(at, body, _)| (*at, body.clone())).collect::<Vec<_>>()
                    };
                    assert_eq!(content(&again), content(&foreseen), "it means something else now");
                    planned(&image).expect("a plan").0.carry_out(&Folder(image.clone()), "words").expect("repairs");
                }
                let live = Live::open(&image);
                let kept: Written =
                    written.iter().filter(|(at, _)| !lost.iter().any(|lost| lost.contains(at))).cloned().collect();
                let found: Written = live.seen.iter().map(|seen| (seen.position, seen.body.clone())).collect();
                assert_eq!(found, kept);
                assert!(live.buffer.position() > written.iter().map(|(at, _)| *at).max().unwrap_or(0));
            }
        }
    }
    println!("{states} crash states");
    assert!(states > 1_000, "only {states}");
}

#[test]
fn a_folder_that_holds_what_is_not_its_own_is_refused_as_it_is() {
    let (disk, _) = lives();
    let names = segments(&disk);
    let bytes = disk.contents(&names[1]).expect("there");
    for (name, content) in [("0000000077.seg", bytes.clone()), ("77.seg", bytes.clone()), ("2.seg", bytes)] {
        let image = copy_of(&disk);
        image.tamper(name, 0, &content);
        let error = planned(&image).map(|_| ()).expect_err("refused");
        assert!(
            matches!(&error, OpenError::WrongNumber { .. } | OpenError::DuplicateSegment { .. }),
            "{name}: {error}"
        );
    }
    let other = RecordingDisk::new();
    let with = OpenWith { new_store_id: [8; 16], ..with(1_000) };
    open(Arc::new(other.clone()), with, &mut |_| Ok(())).expect("opens");
    disk.tamper("mark", 0, &other.contents("mark").expect("there"));
    let error = planned(&disk).map(|_| ()).expect_err("refused");
    assert!(matches!(&error, OpenError::ForeignSegment { file, .. } if file == "mark"), "{error}");
}

#[test]
fn what_was_cut_from_the_log_does_not_come_back() {
    let disk = RecordingDisk::new();
    let mut live = Live::open(&disk);
    let proven = live.put(b"proven");
    live.writer.prove(2_000, false).expect("proves");
    live.put(b"kept");
    live.stage(b"torn");
    let torn = live.write(false).expect("writes");
    live.stage(b"behind it");
    live.write(false).expect("writes");
    let image = copy_of(&disk);
    image.tamper("0000000001.seg", torn.batch.offset + 72, b"x");
    let old = image.contents("0000000001.seg").expect("there");
    let mut live = Live::open(&image);
    assert_eq!(bodies(&live.seen), [&b"proven"[..], b"kept"]);
    live.put(b"new");
    live.writer.prove(2_000, false).expect("proves");
    // As if the opening had crashed before it cut; then the fresh segment lost its header, or the old one a record.
    let name = segments(&image).pop().expect("one");
    for (file, offset, expected) in [
        (name.as_str(), 60, &[&b"proven"[..], b"kept", b"new"][..]),
        ("0000000001.seg", proven.batch.offset + 73, &[b"kept", b"new"]),
    ] {
        let image = copy_of(&image);
        image.tamper("0000000001.seg", 0, &old);
        image.tamper(file, offset, &[b'x'; 40]);
        let (plan, seen) = planned(&image).expect("a plan");
        assert_eq!(seen.iter().map(|(_, body, _)| &body[..]).collect::<Vec<_>>(), expected);
        plan.carry_out(&Folder(image.clone()), "").expect("repairs");
        assert_eq!(bodies(&Live::open(&image).seen), expected);
    }
}
