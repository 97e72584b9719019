//! Bursts on a disk that fills: what was taken is stored, what has no room is refused, nobody waits for ever, and acks have their room.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::task::{Context, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use skep_core::{Backend, Clock, Completion, Facts, Outgoing, QueueCommand, Reply, Write};
use skep_embedded::Embedded;
use skep_embedded::disk::recording::{Call, RecordingDisk};
use skep_protocol::{Action, Code, Error, Guarantee, Message, Outcome, QueueName, QueueSpec};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Peer, message};

use crate::faults::hub_on;
use crate::stepped::{Stepped, publish, sized};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many were stored; all others were certainly refused for want of room.
fn stored(completion: &Completion) -> usize {
    let mut stored = 0;
    for run in &completion.publishes {
        match &run.result {
            Ok(_) => stored += run.count as usize,
            Err(error) => assert_eq!((error.code, error.outcome), (Code::DiskFull, Outcome::Refused), "{error}"),
        }
    }
    stored
}

/// Of what waits, how many are answered now, and what of them was stored.
fn answers(waiting: &mut Vec<Receiver<Completion>>) -> (usize, usize) {
    let (before, mut kept) = (waiting.len(), 0);
    waiting.retain(|answer| match answer.try_recv() {
        Ok(completion) => {
            kept += stored(&completion);
            false
        }
        Err(TryRecvError::Empty) => true,
        Err(TryRecvError::Disconnected) => panic!("nobody will answer"),
    });
    (before - waiting.len(), kept)
}

#[test]
fn what_has_no_prepared_room_waits_unstaged_and_is_stored_when_a_segment_is_prepared() {
    let mut hub = Stepped::new();
    let mut waiting: Vec<_> = (0..20).map(|_| hub.publish(100_000)).collect();
    hub.write();
    let (answered, kept) = answers(&mut waiting);
    assert!((3..=8).contains(&answered) && kept == answered, "{answered} answered, {kept} stored");
    for _ in 0..20 {
        hub.steps.prepare();
        hub.write();
    }
    let more = answers(&mut waiting);
    assert_eq!((more, waiting.len()), ((20 - answered, 20 - answered), 0));
    hub.drain(20);
}

/// The shortage is found after the burst: what was staged is written, the others are refused, and every ack is taken.
#[test]
fn a_burst_before_the_shortage_is_known_is_stored_or_refused_and_acks_are_taken() {
    for bytes in [100, 3_000, 50_000, 140_000, 300_000] {
        let mut hub = Stepped::new();
        hub.disk.fill();
        let mut waiting: Vec<_> = (0..2_000_000 / bytes.max(5_000)).map(|_| hub.publish(bytes)).collect();
        hub.steps.prepare();
        hub.write();
        let burst = waiting.len();
        let (answered, kept) = answers(&mut waiting);
        assert_eq!(answered, burst, "of {bytes} bytes each");
        assert!(kept > 0, "of {bytes} bytes each");
        assert_eq!(stored(&hub.publish(10).try_recv().expect("it is refused at once")), 0);
        hub.drain(kept);
        hub.disk.set_room(None);
        hub.steps.prepare();
        let after = hub.publish(bytes);
        hub.write();
        assert_eq!(stored(&after.try_recv().expect("an answer")), 1, "there is room again");
    }
}

#[test]
fn a_message_larger_than_the_spare_waits_for_a_larger_one_or_is_refused_alone() {
    for is_full in [false, true] {
        let mut hub = Stepped::new();
        hub.steps.prepare();
        if is_full {
            hub.disk.fill();
        }
        let large = hub.publish(1_000_000);
        hub.write();
        assert!(large.try_recv().is_err(), "it would leave too little room for acks");
        hub.steps.prepare();
        hub.write();
        let kept = usize::from(!is_full);
        assert_eq!(stored(&large.try_recv().expect("an answer")), kept);
        let small = hub.publish(1_000);
        hub.write();
        assert_eq!(stored(&small.try_recv().expect("an answer")), 1, "for all else there is room");
        hub.drain(kept + 1);
    }
}

#[test]
fn facts_and_queues_wait_for_room_too_and_what_nobody_waits_for_is_answered_at_once() {
    for is_full in [false, true] {
        let mut hub = Stepped::new();
        if is_full {
            hub.disk.fill();
        }
        let waiting = (0..20).map(|_| hub.publish(100_000)).collect::<Vec<_>>();
        let (store, now) = (hub.store.clone(), hub.clock.now());
        let value = vec![7; 200_000];
        let mut put = pin!(store.put("some.fact", &value, None, None, now));
        assert!(put.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let spec = QueueSpec::new(QueueName::new("more").expect("a name"));
        let mut declared = pin!(store.manage(QueueCommand::Declare(spec), now));
        assert!(declared.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let message = message("jobs").guarantee(Guarantee::BestEffort).finish().expect("a message");
        let (answer, answered) = sync_channel(1);
        let publishes = [Outgoing { waits: false, ..Outgoing::new(&message) }];
        let write = Write { settles: &[], publishes: &publishes, atomic: false, party: "test", producer: None };
        hub.store.submit(write, now, Reply::call(move |done: Completion| drop(answer.send(done))));
        let run = answered.try_recv().expect("at once").publishes.remove(0);
        // It is small, and fits still.
        assert!(run.result.is_ok_and(|kept| kept.queues == 1));
        hub.write();
        assert!(put.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "nobody knows yet");
        for _ in 0..20 {
            hub.steps.prepare();
            hub.write();
        }
        let code = |error: Error| (error.code, error.outcome);
        let (put, declared) = (hub.drive(put).map_err(code), hub.drive(declared).map_err(code));
        let refused = Err((Code::DiskFull, Outcome::Refused));
        assert_eq!(put.map(drop), if is_full { refused } else { Ok(()) });
        assert_eq!(declared.map(drop), if is_full { refused } else { Ok(()) });
        drop(waiting);
    }
}

/// It may take more of the log than is left for acks.
#[test]
fn dead_letters_are_not_moved_back_while_the_disk_is_full() {
    let mut hub = Stepped::new();
    let _receipt = hub.publish(1_000);
    hub.write();
    let (consumer, mailbox) = hub.consume(1);
    let leases = mailbox.withdraw(|_| true);
    hub.settle(leases, &Action::Reject { reason: "never".into() });
    drop(consumer);
    let redrive = |hub: &mut Stepped| {
        let (store, now) = (hub.store.clone(), hub.clock.now());
        let name = QueueName::new("jobs").expect("a name");
        hub.drive(store.manage(QueueCommand::Redrive(name, u32::MAX), now))
    };
    hub.disk.fill();
    hub.steps.prepare();
    let refused = redrive(&mut hub).expect_err("the disk is full");
    assert_eq!((refused.code, refused.outcome), (Code::DiskFull, Outcome::Refused));
    hub.disk.set_room(None);
    hub.steps.prepare();
    assert_eq!(redrive(&mut hub).expect("there is room").count, 1);
    hub.drain(1);
}

/// What is wrong with the disk is said; it is not taken for full.
#[test]
fn while_no_segment_can_be_created_publishes_are_refused_and_acks_are_taken() {
    let mut hub = Stepped::new();
    let mut waiting: Vec<_> = (0..20).map(|_| hub.publish(100_000)).collect();
    hub.write();
    let (_, kept) = answers(&mut waiting);
    hub.disk.fail_after(Call::Create, 0);
    hub.steps.prepare();
    assert!(!waiting.is_empty());
    for answer in waiting {
        let run = answer.try_recv().expect("an answer").publishes.remove(0);
        let error = run.result.expect_err("there is no room prepared");
        assert_eq!((error.code, error.outcome), (Code::StoreFailed, Outcome::Refused), "{error}");
        assert!(error.text.contains("creating 0000000002.seg") && error.text.contains("check the disk"), "{error}");
        assert!(error.text.contains("acks are taken") && !error.text.contains("has stopped"), "{error}");
    }
    hub.drain(kept);
    hub.steps.prepare();
    let after = hub.publish(100_000);
    hub.write();
    assert_eq!(stored(&after.try_recv().expect("an answer")), 1, "it is tried again");
}

/// Splitmix64.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Somebody publishes as fast as it can, writes of one to eight messages of all sizes.
fn publisher(store: Arc<Embedded>, clock: Clock, mut seed: u64) -> JoinHandle<Vec<Receiver<Completion>>> {
    thread::spawn(move || {
        let write = |seed: &mut u64| {
            let messages: Vec<Message> =
                (0..=next(seed) % 8).map(|_| sized(usize::try_from(1 << (next(seed) % 17)).expect("small"))).collect();
            publish(&store, clock, &messages)
        };
        (0..120).map(|_| write(&mut seed)).collect()
    })
}

#[tokio::test]
async fn bursts_of_any_size_on_a_filling_disk_are_answered_and_what_they_left_is_acked() {
    for seed in 0..12 {
        let disk = RecordingDisk::new();
        let (store, hub) = hub_on(&disk).await;
        let mut peer = Peer::attach(&hub, None);
        declare(&mut peer, "jobs", |spec| spec).await;
        peer.consume("jobs", 16).await;
        let mut chance = seed;
        disk.set_room(Some(next(&mut chance) % (4 << 20)));
        let clock = Clock::new();
        let threads: Vec<_> = (0..3).map(|_| publisher(store.clone(), clock, next(&mut chance))).collect();
        let mut acked = 0;
        while !threads.iter().all(JoinHandle::is_finished) {
            acked += ack_one(&mut peer, 5).await;
        }
        let mut kept = 0;
        for answer in threads.into_iter().flat_map(|thread| thread.join().expect("it published")) {
            match answer.recv_timeout(PATIENCE) {
                Ok(completion) => kept += stored(&completion),
                Err(RecvTimeoutError::Timeout) => panic!("seed {seed}: no answer"),
                Err(RecvTimeoutError::Disconnected) => panic!("seed {seed}: nobody will answer"),
            }
        }
        while acked < kept {
            assert_eq!(ack_one(&mut peer, 20_000).await, 1, "seed {seed}: {acked} of {kept} acked");
            acked += 1;
        }
    }
}

/// Acks the next message, if one comes within so long; answers how many.
async fn ack_one(peer: &mut Peer, ms: u64) -> usize {
    let Some(delivery) = peer.delivery_within(ms).await else { return 0 };
    peer.settle(delivery.lease, Action::Ack).await.expect("an ack is taken");
    1
}
