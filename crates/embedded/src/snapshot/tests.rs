//! Snapshots and removals over a disk that remembers: at whatever moment it stops, nothing acknowledged is lost.

mod behind;
mod damaged;
mod written;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use skep_core::Now;
use skep_protocol::{Message, MessageId, QueueName, QueueSpec, Topic};

use super::base::{checked, recover};
use super::taker::Untaken;
use super::{Recovered, Retention, Taker};
use crate::disk::Disk;
use crate::disk::is_full;
use crate::disk::recording::{Call, Image, RecordingDisk};
use crate::engine::Engine;
use crate::journal::{LeaseOf, Record, Token, encode_message, message_flags};
use crate::log::{
    BatchAt, Fault, LogBuffer, Mode, OpenError, OpenWith, Proof, Reader, RecordKind, Report, SegmentSizes, Writer,
    file_name, open_from, segment_number, snapshots,
};
use crate::offline::unsettled::give_up;

const NOW: Now = Now { mono_ms: 1, unix_ms: 1_000 };
const QUEUE: u32 = 1;
const ALL: Retention = Retention { age: Duration::MAX, bytes: u64::MAX };
const NONE: Retention = Retention { age: Duration::MAX, bytes: 0 };

fn jobs() -> QueueName {
    QueueName::new("jobs").expect("a name")
}

fn with() -> OpenWith {
    OpenWith { sizes: SegmentSizes { first: 4096, max: 8192 }, ..OpenWith::new([7; 16], 1_000) }
}

/// A store without threads.
struct Life {
    disk: RecordingDisk,
    writer: Writer,
    buffer: LogBuffer,
    taker: Taker,
    reader: Reader,
    report: Report,
    /// What it held when it was opened.
    found: BTreeSet<u64>,
}

fn recovered(disk: &RecordingDisk) -> Result<Recovered, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    recover(&disk, with(), 3)
}

/// The positions in the queue, each of which can be read.
fn held(engine: &Engine, reader: &Reader) -> BTreeSet<u64> {
    let held = engine.held(&jobs(), 0, usize::MAX, NOW).unwrap_or_default();
    let position = |held: crate::engine::Held| {
        let batch = reader.batch(held.entry.place.batch()).expect("what is held can be read");
        assert!(crate::store::message(&batch.bytes, &held.entry.place).is_some(), "{held:?}");
        held.entry.position
    };
    held.into_iter().map(position).collect()
}

impl Life {
    fn open(disk: &RecordingDisk, retention: Retention) -> Self {
        Self::open_on(disk, Arc::new(disk.clone()), retention)
    }

    /// The same, by another way to the disk.
    fn open_on(disk: &RecordingDisk, by: Arc<dyn Disk>, retention: Retention) -> Self {
        let Recovered { engine, opened, newest } = recover(&by, with(), 3).expect("opens");
        let Mode::ReadWrite(writer) = opened.mode else { panic!("read-only: {}", opened.report) };
        let found = held(&engine, &opened.reader);
        let (disk, buffer) = (disk.clone(), LogBuffer::new(opened.next_position));
        let taker = Taker::new(opened.follower, newest, Some(1), retention, Arc::default(), 3);
        Life { disk, writer: *writer, buffer, taker, reader: opened.reader, report: opened.report, found }
    }

    fn stage(&mut self, record: &Record<'_>) -> u64 {
        self.buffer.append(record.kind(), record.flags(), |out| record.encode(out)).position
    }

    fn declare(&mut self) {
        self.stage(&Record::Declare { queue: QUEUE, spec: QueueSpec::new(jobs()) });
    }

    fn publish(&mut self) -> u64 {
        let (id, to) = (MessageId::new("m").expect("an id"), Topic::new("jobs").expect("a topic"));
        let message = Message::build(&id, "test", "note").to(&to).payload("x/y", vec![1; 300]).finish().expect("one");
        let flags = message_flags(false, false);
        let put = |out: &mut Vec<u8>| encode_message(out, None, "agent/a", &[QUEUE], &message.view());
        self.buffer.append(RecordKind::Message, flags, put).position
    }

    fn ack(&mut self, position: u64) {
        let lease = LeaseOf { queue: QUEUE, position, token: Token::default(), attempt: 1 };
        self.stage(&Record::Ack(lease));
    }

    fn sync(&mut self) {
        let written = self.writer.write(&mut self.buffer, 1_000, true).expect("writes");
        self.buffer.restart(written.end);
    }

    fn take(&self) -> Result<(), Untaken> {
        self.taker.take(self.writer.durable(), 1_000, None, &|| false).map(|_| ())
    }

    fn names(&self, suffix: &str) -> Vec<String> {
        let mut names = self.disk.list().expect("lists");
        names.retain(|name| name.ends_with(suffix));
        names.sort();
        names
    }
}

/// What was done, and when it was durable.
#[derive(Default)]
struct History {
    /// What the queue holds after each step, and the number of operations after which that is durable.
    steps: Vec<(usize, BTreeSet<u64>)>,
    held: BTreeSet<u64>,
}

impl History {
    fn note(&mut self, disk: &RecordingDisk) {
        self.steps.push((disk.operations(), self.held.clone()));
    }

    /// What is found is what was held after some step, and no earlier one than the last that was durable.
    fn check(&self, found: &BTreeSet<u64>, moment: usize) {
        let durable = self.steps.iter().rposition(|(at, _)| *at <= moment).unwrap_or(0);
        let known = self.steps.get(durable..).unwrap_or_default();
        assert!(known.iter().any(|(_, held)| held == found), "found {found:?}, expected {:?}", known.first());
    }
}

/// Lives in which all but the first message are settled a while after they came, and snapshots are taken as segments fill.
fn lives(disk: &RecordingDisk, retention: Retention) -> (Life, History) {
    let mut history = History::default();
    history.note(disk);
    let mut life = Life::open(disk, retention);
    life.declare();
    life.sync();
    history.note(disk);
    for step in 0..36 {
        if step % 12 == 11 {
            life = Life::open(disk, retention);
        }
        if history.held.len() > 4 {
            let position = *history.held.iter().nth(1).expect("there are four");
            life.ack(position);
            history.held.remove(&position);
        }
        for _ in 0..2 - usize::from(history.held.len() > 4) {
            history.held.insert(life.publish());
        }
        life.sync();
        history.note(disk);
        life.take().expect("taken");
    }
    (life, history)
}

#[test]
fn a_crash_at_any_moment_of_snapshots_and_removals_loses_nothing() {
    let disk = RecordingDisk::new();
    let (life, history) = lives(&disk, NONE);
    assert_eq!(life.names(".snap").len(), 2);
    let segments = life.names(".seg");
    assert_eq!(segments.first().map(String::as_str), Some("0000000001.seg"), "the first message is unsettled");
    assert!(segments.len() <= 6 && !segments.contains(&file_name(3)), "{segments:?}");
    let mut from_snapshots = 0;
    for moment in 0..=disk.operations() {
        for image in [Image::OnlySynced, Image::AllWritten, Image::Random { seed: 3 }, Image::TornLast { seed: 3 }] {
            println!("after {moment} of {} operations, {image:?}", disk.operations());
            let image = disk.crash(moment, image);
            let mut life = Life::open(&image, NONE);
            history.check(&life.found, moment);
            assert!(life.report.snapshots_damaged.is_empty(), "{}", life.report);
            from_snapshots += usize::from(life.report.snapshot.is_some());
            let mut expected = life.found.clone();
            if life.names(".snap").is_empty() {
                life.declare();
            }
            for _ in 0..3 {
                expected.insert(life.publish());
                life.sync();
                life.take().expect("taken");
            }
            assert_eq!(Life::open(&image.crash(image.operations(), Image::OnlySynced), NONE).found, expected);
        }
    }
    assert!(from_snapshots > 100, "{from_snapshots}");
}

fn dumped(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.dump(&mut bytes).expect("there is memory");
    bytes
}

#[test]
fn an_opening_from_a_snapshot_holds_what_a_whole_replay_holds_and_reads_less() {
    let disk = RecordingDisk::new();
    let (life, _) = lives(&disk, ALL);
    drop(life);
    let (one, other) = (disk.crash(usize::MAX, Image::AllWritten), disk.crash(usize::MAX, Image::AllWritten));
    let from_snapshot = recovered(&one).expect("opens");
    let mut whole = Engine::new(3);
    let opened = open_from(Arc::new(other), with(), None, &mut |view| whole.replay(&view)).expect("opens");
    assert_eq!(dumped(&from_snapshot.engine), dumped(&whole));
    let (part, all) = (&from_snapshot.opened, &opened);
    assert_eq!((part.next_position, part.open_count), (all.next_position, all.open_count));
    assert!(part.report.records * 3 < all.report.records, "{} / {}", part.report, all.report);
}

#[test]
fn on_a_full_disk_no_snapshot_is_taken_nothing_is_left_of_it_and_the_log_goes_on() {
    let disk = RecordingDisk::new();
    let mut life = Life::open(&disk, NONE);
    life.declare();
    life.sync();
    let mut expected = BTreeSet::new();
    while life.names(".seg").len() < 3 {
        expected.insert(life.publish());
        life.sync();
    }
    life.writer.spares().prepare().expect("there is room");
    // The header block fits, the body does not.
    for room in [0, 4_096, 4_200] {
        disk.set_room(Some(room));
        let error = life.take().expect_err("there is no room");
        assert!(matches!(&error, Untaken::Disk(error) if is_full(error)), "{error}");
        assert_eq!(life.names(".snap"), [""; 0]);
        assert!(life.writer.spare_ready());
        expected.insert(life.publish());
        life.sync();
    }
    disk.set_room(None);
    life.take().expect("there is room again");
    assert_eq!(life.names(".snap").len(), 1);
    assert_eq!(Life::open(&disk, NONE).found, expected);
}

#[test]
fn an_unfinished_snapshot_is_removed_by_the_next_opening() {
    let disk = RecordingDisk::new();
    let (_, history) = lives(&disk, NONE);
    disk.create_zeroed("0000000099.snap", 4_096).expect("there is room");
    let life = Life::open(&disk, NONE);
    assert_eq!(life.found, history.held);
    assert!(!life.names(".snap").contains(&"0000000099.snap".to_owned()));
}

#[test]
fn a_look_goes_on_across_segments_that_are_gone() {
    let disk = RecordingDisk::new();
    let (life, history) = lives(&disk, NONE);
    let last = life.writer.durable();
    let positions = |from| -> Vec<u64> {
        life.reader.scan(from, last).map(|batch| batch.expect("verified").header.position).collect()
    };
    let all = positions(0);
    assert!(all.windows(2).any(|pair| pair[1] > pair[0] + 20), "segments are gone between: {all:?}");
    let first = *history.held.first().expect("held");
    assert!(all.iter().any(|position| *position <= first));
    // From within the gap: the first that is there again.
    let gap = all.windows(2).find(|pair| pair[1] > pair[0] + 20).expect("a gap");
    assert_eq!(positions(gap[0] + 10).first(), Some(&gap[1]));
    // One that is removed while a look stands in it.
    let mut scan = life.reader.scan(0, last);
    let begun = scan.next().expect("a batch").expect("verified");
    assert_eq!(begun.at.segment, 1);
    life.taker.remove(1);
    assert!(scan.all(|batch| batch.is_ok()), "what is left is read");
}

#[test]
fn a_segment_that_cannot_be_removed_is_told_of_and_goes_at_the_next_look() {
    let disk = RecordingDisk::new();
    let (mut life, _) = lives(&disk, NONE);
    let strays = |life: &Life| {
        let numbers = life.names(".seg").into_iter().filter_map(|name| segment_number(&name));
        numbers.filter(|number| !life.reader.holds(*number)).count()
    };
    while life.taker.trouble().is_none() {
        let position = life.publish();
        life.sync();
        life.ack(position);
        life.sync();
        // The first to go is an old snapshot.
        disk.fail_after(Call::Remove, 1);
        life.take().expect("taken");
    }
    assert_eq!(strays(&life), 1);
    disk.fail_no_more();
    life.take().expect("a look");
    assert_eq!((strays(&life), life.taker.trouble()), (0, None));
}
