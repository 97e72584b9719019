//! A full disk drains by itself, however long the backlog is: what is settled makes room for what settles, and then for more.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use skep_core::{Backend, Completion, Consumer, Mailbox, QueueCommand, Reply, Write};
use skep_embedded::disk::Disk;
use skep_embedded::log::SegmentSizes;
use skep_embedded::{EmbeddedOptions, Retention};
use skep_protocol::{Action, Code, Error, LeaseToken, Outcome, QueueName, QueueSpec, Settle};
use std::sync::Arc;

use crate::stepped::{Stepped, publish, sized};

/// Bytes of the shortest segment.
const SHORT: u64 = 64 * 1024;
/// Bytes of the whole disk.
const DISK: u64 = 26 * SHORT;

fn options() -> EmbeddedOptions {
    let mut options = EmbeddedOptions::default();
    options.sizes = SegmentSizes { first: SHORT, max: 4 * SHORT };
    options.snapshot_bytes = Some(8 * SHORT);
    options.retention = Retention { age: Duration::MAX, bytes: u64::MAX };
    options
}

fn hub() -> Stepped {
    let mut hub = Stepped::with_options(options(), |spec| QueueSpec { attempts_max: 0, ..spec });
    bound(&hub);
    hub.settle_down();
    hub
}

/// The disk has no more bytes than it has.
fn bound(hub: &Stepped) {
    let names = hub.disk.list().expect("names").into_iter();
    let used: usize = names.filter_map(|name| hub.disk.contents(&name)).map(|bytes| bytes.len()).sum();
    hub.disk.set_room(Some(DISK.checked_sub(used as u64).expect("it was never larger")));
}

/// Publishes until the disk is full; answers how many were stored.
fn fill(hub: &mut Stepped, bytes: usize) -> usize {
    let mut stored = 0;
    loop {
        let answer = publish(&hub.store, hub.clock, &[sized(bytes)]);
        hub.settle_down();
        let run = answer.try_recv().expect("a publish is answered").publishes.remove(0);
        match run.result {
            Ok(_) => stored += 1,
            Err(error) => {
                assert_eq!((error.code, error.outcome), (Code::DiskFull, Outcome::Refused), "{error}");
                return stored;
            }
        }
        assert!(stored < 100_000, "the disk has no end");
    }
}

fn settle(hub: &mut Stepped, leases: &[LeaseToken], action: &Action) -> Vec<Result<(), Error>> {
    let settles: Vec<Settle> = leases.iter().map(|lease| Settle { lease: *lease, action: action.clone() }).collect();
    let (answer, answered) = sync_channel(1);
    let write = Write { settles: &settles, publishes: &[], atomic: false, party: "worker", producer: None };
    hub.store.submit(write, hub.clock.now(), Reply::call(move |done: Completion| drop(answer.send(done))));
    hub.settle_down();
    answered.try_recv().expect("a settle is answered").settles
}

/// The leases of what is delivered, after whatever there is to do.
fn delivered(hub: &mut Stepped, mailbox: &Mailbox) -> Vec<LeaseToken> {
    for _ in 0..50 {
        let leases = mailbox.withdraw(|_| true);
        if !leases.is_empty() {
            return leases;
        }
        hub.settle_down();
        // A lease record that nobody waits for, a disk that is tried again.
        hub.pass(20);
    }
    Vec::new()
}

/// Acks everything, so many at a time; answers how many.
fn drain(hub: &mut Stepped, window: u32) -> usize {
    let (consumer, mailbox): (Box<dyn Consumer>, Arc<Mailbox>) = hub.consume(window);
    let mut acked = 0;
    loop {
        let leases = delivered(hub, &mailbox);
        if leases.is_empty() {
            drop(consumer);
            hub.settle_down();
            return acked;
        }
        for settled in settle(hub, &leases, &Action::Ack) {
            settled.expect("an ack is taken");
        }
        acked += leases.len();
        consumer.set_window(window, u64::MAX);
    }
}

fn depth(hub: &Stepped) -> u64 {
    hub.store.info(&QueueName::new("jobs").expect("a name")).expect("the queue").held()
}

#[test]
fn a_backlog_of_any_length_is_acked_and_then_the_disk_takes_more_without_help() {
    for (bytes, window) in [(10, 1), (10, 32), (200, 8), (3_000, 1)] {
        let mut hub = hub();
        for round in 0..4 {
            let stored = fill(&mut hub, bytes);
            println!("{bytes} bytes, {window} at a time, round {round}: {stored} stored");
            assert!(stored > 0, "round {round}: of {bytes} bytes none was stored");
            if round % 2 == 1 {
                hub = hub.killed();
                bound(&hub);
            }
            assert_eq!(drain(&mut hub, window), stored, "round {round}, {bytes} bytes, {window} at a time");
            assert_eq!(depth(&hub), 0);
            for _ in 0..10 {
                hub.pass(1_000);
                hub.settle_down();
            }
        }
        assert!(fill(&mut hub, bytes) > 0, "the disk is still full");
    }
}

/// Rejects until nothing is handed out any more, or that is refused.
fn use_up(hub: &mut Stepped) -> Box<dyn Consumer> {
    let (consumer, mailbox) = hub.consume(1);
    let reject = Action::Reject { reason: "x".repeat(2_000) };
    let rejected = (0..10_000).take_while(|_| {
        let leases = delivered(hub, &mailbox);
        let settled = settle(hub, &leases, &reject);
        hub.pass(2);
        consumer.set_window(1, u64::MAX);
        let refused = settled.iter().filter_map(|settled| settled.as_ref().err());
        refused.for_each(|error| assert_eq!(error.code, Code::DiskFull, "{error}"));
        !leases.is_empty() && settled.iter().all(Result::is_ok)
    });
    assert!((1..1_000).contains(&rejected.count()), "reasons fill the disk, and then nothing is handed out");
    consumer
}

/// A lease whose end waits for room is held still, and goes on if it is extended.
#[test]
fn a_lease_that_could_not_end_for_want_of_room_is_extended_and_acked() {
    // Behind the first segment none is prepared.
    let mut hub = Stepped::with_options(options(), |spec| QueueSpec { attempts_max: 0, ..spec });
    let _receipts = [hub.publish(100), hub.publish(100)];
    hub.write();
    let (_holder, mailbox) = hub.consume(2);
    let held = mailbox.withdraw(|_| true);
    let [one, other] = held[..] else { panic!("two are held: {held:?}") };
    let settle_now = |hub: &mut Stepped, lease, action: &Action| {
        let (answer, answered) = sync_channel(1);
        let settles = [Settle { lease, action: action.clone() }];
        let write = Write { settles: &settles, publishes: &[], atomic: false, party: "worker", producer: None };
        hub.store.submit(write, hub.clock.now(), Reply::call(move |done: Completion| drop(answer.send(done))));
        hub.write();
        answered.try_recv().is_ok_and(|done| done.settles == [Ok(())])
    };
    let told = Action::Extend { lease_ms: None, progress: Some("x".repeat(1_000)) };
    assert!((0..1_000).any(|_| !settle_now(&mut hub, one, &told)), "the segment has no end");
    hub.pass(QueueSpec::new(QueueName::new("jobs").expect("a name")).lease_ms + 1_000);
    hub.write();
    assert!(settle_now(&mut hub, one, &Action::Extend { lease_ms: None, progress: None }));
    hub.settle_down();
    assert_eq!(settle(&mut hub, &[one], &Action::Ack), [Ok(())]);
    let lost = settle(&mut hub, &[other], &Action::Ack).remove(0).expect_err("it ended once there was room");
    assert_eq!(lost.code, Code::LeaseLost, "{lost}");
}

/// Only a disk without room lets go of what is kept for looks.
#[test]
fn history_stays_while_no_segment_can_be_created_for_another_reason() {
    let mut hub = Stepped::with_options(options(), |spec| spec);
    for _ in 0..4 {
        for _ in 0..200 {
            let answer = hub.publish(2_000);
            hub.settle_down();
            answer.try_recv().expect("it is stored");
        }
        assert_eq!(drain(&mut hub, 64), 200);
    }
    let segments = |hub: &Stepped| {
        let names = hub.disk.list().expect("names").into_iter();
        names.filter(|name| name.ends_with(".seg")).collect::<Vec<_>>()
    };
    let before = segments(&hub);
    assert!(before.len() > 5 && before[0].ends_with("01.seg"), "{before:?}");
    hub.disk.set_out_of_files(true);
    let mut waiting: Vec<_> = (0..300).map(|_| hub.publish(2_000)).collect();
    for _ in 0..10 {
        hub.pass(1_000);
        hub.settle_down();
    }
    waiting.retain(|answer| answer.try_recv().is_err());
    assert!(waiting.is_empty(), "{} are not answered", waiting.len());
    hub.disk.set_out_of_files(false);
    for _ in 0..10 {
        hub.pass(1_000);
        hub.settle_down();
    }
    let after = segments(&hub);
    assert!(after.starts_with(&before), "{before:?} {after:?}");
}

/// Where others take what becomes free, nothing more can be had: what settles is refused with a reason, nobody waits for ever, a purge
/// is taken all the same, and with room again all goes on.
#[test]
fn what_settles_is_refused_when_nothing_is_left_and_a_purge_is_taken() {
    let mut hub = hub();
    let stored = fill(&mut hub, 200);
    hub.disk.fill();
    let (holder, held) = hub.consume(2);
    let held = delivered(&mut hub, &held);
    let consumer = use_up(&mut hub);
    // What is handed out can be acked still, and more than that is refused.
    let [one, other] = held[..] else { panic!("two are held: {held:?}") };
    let long = "x".repeat(60_000);
    for action in [Action::Nack { after_ms: None, reason: "again".into() }, Action::Reject { reason: long }] {
        let refused = settle(&mut hub, &[one], &action).remove(0).expect_err("there is no room for it");
        assert_eq!((refused.code, refused.outcome), (Code::DiskFull, Outcome::Refused), "{refused}");
    }
    assert_eq!(settle(&mut hub, &[one, other], &Action::Ack), [Ok(()), Ok(())]);
    let left = depth(&hub);
    assert!(left > 0 && left < stored as u64);
    drop((consumer, holder));
    let (store, now, name) = (hub.store.clone(), hub.clock.now(), QueueName::new("jobs").expect("a name"));
    let mut purged = 0;
    while depth(&hub) > 0 {
        let purge = QueueCommand::Purge(name.clone(), 10_000);
        let part = hub.drive(store.manage(purge, now)).expect("a purge is taken").count;
        assert!(part > 0, "{} are left", depth(&hub));
        purged += part;
        hub.settle_down();
    }
    assert_eq!(purged, left);
    hub.disk.set_room(Some(DISK));
    for _ in 0..10 {
        hub.pass(1_000);
        hub.settle_down();
    }
    assert!(fill(&mut hub, 200) > 0, "there is room, and it is still full");
}
