//! What the index takes in memory, as the allocator counts it, and as the engine estimates it; and in a snapshot.

use std::io::{self, Write};

use allocation_counter::measure;
use skep_core::{Outgoing, QueueCommand};
use skep_protocol::{Ended, Filter, Message, QueueSpec};

use super::bench::{Bench, name};
use crate::engine::Engine;
use crate::log::SNAPSHOT_VERSION;
use crate::log::limits::SNAPSHOT_BUFFER_BYTES;

/// Messages of one write.
const WRITE: usize = 1_000;

/// What making something has left allocated, and by how much the estimate grew, in bytes for each of so many.
struct Taken {
    counted: f64,
    estimated: f64,
}

fn taken(bench: &mut Bench, count: usize, make: impl FnOnce(&mut Bench)) -> Taken {
    let (before, _) = bench.engine.memory();
    let counted = measure(|| {
        make(bench);
        bench.forget_batches();
    });
    let estimated = bench.engine.memory().0 as f64 - before as f64;
    Taken { counted: counted.bytes_current as f64 / count as f64, estimated: estimated / count as f64 }
}

impl Taken {
    fn check(&self, what: &str, bytes_max: f64) {
        let Taken { counted, estimated } = self;
        println!("{what}: {counted:.1} bytes, estimated as {estimated:.1}");
        assert!(*counted <= bytes_max, "{what} takes {counted:.1} bytes, and is to take at most {bytes_max}");
        let off = estimated / counted;
        assert!((0.9..=1.25).contains(&off), "{what} takes {counted:.1} bytes, estimated as {estimated:.1}");
    }
}

fn spec(queue: usize) -> QueueSpec {
    QueueSpec { messages_max: u64::from(u32::MAX), ..QueueSpec::new(name(&format!("q{queue:05}"))) }
}

/// What was used until here leaves its room behind, so that it is not counted with what comes.
fn warm(bench: &mut Bench, to: &str) {
    publish(bench, to, 10 * WRITE);
    bench.command(&QueueCommand::Purge(name(to), u32::MAX));
}

fn publish(bench: &mut Bench, to: &str, count: usize) {
    for _ in 0..count / WRITE {
        let message = bench.message(to);
        let writes: Vec<Outgoing<'_>> = (0..WRITE).map(|_| Outgoing::new(&message)).collect();
        bench.write(&[], &writes, "agent/alice", None);
        bench.flush();
        bench.forget_batches();
    }
}

#[test]
fn a_million_messages_in_one_queue_take_8_bytes_each() {
    let mut bench = Bench::new();
    bench.declare(spec(0));
    warm(&mut bench, "q00000");
    let taken = taken(&mut bench, 1_000_000, |bench| publish(bench, "q00000", 1_000_000));
    taken.check("a message of a million", 8.0);
}

#[test]
fn messages_that_came_one_by_one_take_10_bytes_each_in_a_long_line() {
    let mut bench = Bench::new();
    bench.declare(spec(0));
    warm(&mut bench, "q00000");
    let taken = taken(&mut bench, 20_000, |bench| (0..20_000).for_each(|_| bench.publish("q00000")));
    taken.check("a message in a batch of its own", 10.0);
}

/// How many queues.
const QUEUES: usize = 10_000;

#[test]
fn a_hundred_messages_in_each_of_ten_thousand_queues_take_32_bytes_each() {
    let mut bench = Bench::new();
    let all = Filter::new("all").expect("a filter");
    (0..QUEUES).for_each(|n| bench.declare(QueueSpec { filters: vec![all.clone()], ..spec(n) }));
    bench.forget_batches();
    let taken = taken(&mut bench, 100 * QUEUES, |bench| {
        for _ in 0..100 {
            bench.publish("all");
            bench.forget_batches();
        }
    });
    taken.check("a message of a hundred in each of many queues", 32.0);
}

#[test]
fn a_queue_that_nobody_has_used_takes_512_bytes_with_its_name_and_its_filter() {
    let mut bench = Bench::new();
    let taken = taken(&mut bench, QUEUES, |bench| (0..QUEUES).for_each(|n| bench.declare(spec(n))));
    taken.check("a new queue", 512.0);
}

#[test]
fn a_queue_that_has_drained_takes_512_bytes_beside_its_filter() {
    let mut bench = Bench::new();
    bench.declare(spec(QUEUES));
    warm(&mut bench, "q10000");
    // As many queues at a time as messages were published at a time.
    let topic = |n: usize| format!("all.{}", n / WRITE);
    let filter = |n: usize| vec![Filter::new(&topic(n)).expect("a filter")];
    let taken = taken(&mut bench, QUEUES, |bench| {
        (0..QUEUES).for_each(|n| bench.declare(QueueSpec { filters: filter(n), ..spec(n) }));
        (0..10 * QUEUES).step_by(WRITE).for_each(|n| bench.publish(&topic(n % QUEUES)));
        (0..QUEUES).for_each(|n| bench.command(&QueueCommand::Purge(spec(n).name, u32::MAX)));
    });
    taken.check("a queue that has drained", 512.0);
}

/// A bench with so many messages that came in long batches, or one by one.
fn waiting(count: usize, one_by_one: bool) -> Bench {
    let mut bench = Bench::new();
    bench.declare(spec(0));
    match one_by_one {
        true => (0..count).for_each(|_| bench.publish("q00000")),
        false => publish(&mut bench, "q00000", count),
    }
    bench
}

#[test]
fn a_message_of_a_long_queue_takes_5_bytes_in_a_snapshot_and_8_where_it_came_alone() {
    for (count, one_by_one, bytes_max) in [(1_000_000, false, 5.0), (20_000, true, 8.0)] {
        let bench = waiting(count, one_by_one);
        let (mut dumped, most) = (Vec::new(), bench.engine.dump_bytes_max());
        bench.engine.dump(&mut dumped).expect("there is memory");
        let bytes = dumped.len() as f64 / count as f64;
        println!("a message of {count}: {bytes:.2} bytes, {:.2} at most", most as f64 / count as f64);
        assert!(bytes <= bytes_max, "a message takes {bytes:.2} bytes");
        assert!(dumped.len() as u64 <= most && most <= 3 * dumped.len() as u64, "{} of {most}", dumped.len());
    }
}

#[test]
fn a_snapshot_of_a_million_messages_takes_one_buffer_of_memory_to_write_and_less_to_read() {
    let bench = waiting(1_000_000, false);
    let mut dumped = Vec::with_capacity(64 << 20);
    let writing = measure(|| bench.engine.dump(&mut dumped).expect("there is memory"));
    let room = dumped.capacity();
    let mut loaded = None;
    let reading =
        measure(|| loaded = Some(Engine::load(&mut &dumped[..], SNAPSHOT_VERSION, 1 << 40, 1).expect("it was dumped")));
    let beside = reading.bytes_max as i64 - reading.bytes_current;
    println!("{} bytes: {} to write, {beside} to read", dumped.len(), writing.bytes_max);
    assert!(dumped.len() > 3 * SNAPSHOT_BUFFER_BYTES && room == 64 << 20);
    assert!(writing.bytes_max <= SNAPSHOT_BUFFER_BYTES as u64 * 5 / 4, "{} to write", writing.bytes_max);
    assert!(beside <= SNAPSHOT_BUFFER_BYTES as i64, "{beside} to read");
    assert_eq!(loaded.map(|loaded| loaded.places()), Some(bench.engine.places()));
}

#[test]
fn what_is_known_of_messages_beside_their_places_takes_no_memory_to_write() {
    const MANY: usize = 100_000;
    let mut bench = Bench::new();
    bench.declare(spec(0));
    for n in (0..MANY).step_by(WRITE) {
        let messages: Vec<Message> =
            (n..n + WRITE).map(|n| bench.keyed("q00000", &format!("key {n}"), None, None)).collect();
        let writes: Vec<Outgoing<'_>> = messages.iter().map(Outgoing::new).collect();
        bench.write(&[], &writes, "agent/alice", None);
        bench.flush();
        bench.forget_batches();
    }
    let queue = bench.engine.queues.values_mut().next().expect("a queue");
    for position in queue.ready().map(|entry| entry.position).collect::<Vec<_>>() {
        queue.note(position, Ended { reason: "no".into(), progress: None });
        queue.hold_died(position, 1_000);
    }
    let mut dumped = Vec::with_capacity(64 << 20);
    let writing = measure(|| bench.engine.dump(&mut dumped).expect("there is memory"));
    assert!(dumped.len() > 20 * MANY && dumped.len() as u64 <= bench.engine.dump_bytes_max());
    assert!(writing.bytes_max <= SNAPSHOT_BUFFER_BYTES as u64 * 5 / 4, "{} to write", writing.bytes_max);
}

/// Takes nothing.
struct Full {
    asked: usize,
}

impl Write for Full {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        self.asked += 1;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_is_not_tried_again() {
    let (bench, mut full) = (waiting(600_000, false), Full { asked: 0 });
    let error = bench.engine.dump(&mut full).expect_err("there is no room");
    assert_eq!((error.kind(), full.asked), (io::ErrorKind::StorageFull, 1));
}
