//! The atomic step of settles and publishes: all of it, or nothing.

use std::future::poll_fn;
use std::sync::Arc;

use skep_core::{Hub, SessionEvent};
use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_protocol::{Action, Code, Delivery, LeaseToken, Message, QueueSpec, Settle, SettleBatch, Settled, Settlement};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Peer, message};

use crate::faults::{held, hub_on};

/// Two jobs under a lease, and a place for results.
async fn two_jobs(hub: &Arc<Hub>, results: impl FnOnce(QueueSpec) -> QueueSpec) -> (Peer, [Delivery; 2]) {
    let mut peer = Peer::attach(hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    declare(&mut peer, "results", results).await;
    for text in ["one", "two"] {
        peer.publish(message("jobs").text(text)).await.expect("a receipt");
    }
    peer.consume("jobs", 2).await;
    let jobs = [peer.delivery().await, peer.delivery().await];
    (peer, jobs)
}

fn ack(lease: LeaseToken) -> Settle {
    Settle { lease, action: Action::Ack }
}

fn results(count: usize, payload: &str) -> Vec<Message> {
    (0..count).map(|_| message("results").text(payload).finish().expect("a message")).collect()
}

fn is_refused(settled: &Settled, code: Code) {
    assert!(!settled.results.is_empty());
    for result in &settled.results {
        assert!(matches!(result, Settlement::Error(error) if error.code == code), "{code}: {settled:?}");
    }
}

async fn count(peer: &mut Peer, queue: &str) -> usize {
    held(peer, queue).await.len()
}

/// The bounds of a queue hold for all that one step brings together.
#[tokio::test]
async fn a_step_that_fills_a_queue_over_its_bounds_is_refused_whole() {
    for (payload, fits, spec) in [("x", 2, (2, u64::MAX)), ("x".repeat(40_000).as_str(), 2, (u64::MAX, 100_000))] {
        let (_store, hub) = hub_on(&RecordingDisk::new()).await;
        let bounds = |found: QueueSpec| QueueSpec {
            messages_max: found.messages_max.min(spec.0),
            bytes_max: found.bytes_max.min(spec.1),
            ..found
        };
        let (mut peer, jobs) = two_jobs(&hub, bounds).await;
        let acks: Vec<Settle> = jobs.iter().map(|job| ack(job.lease)).collect();
        let refused = peer.settle_all(acks.clone(), results(fits + 1, payload)).await;
        is_refused(&refused, Code::QueueFull);
        assert_eq!((count(&mut peer, "results").await, count(&mut peer, "jobs").await), (0, 2), "nothing was done");
        let done = peer.settle_all(acks, results(fits, payload)).await;
        assert_eq!(done.results, [Settlement::Ok(()), Settlement::Ok(())], "the leases stand, and this fits");
        assert_eq!((count(&mut peer, "results").await, count(&mut peer, "jobs").await), (fits, 0));
    }
}

/// One lease guards one settle: a step that names it twice, alike or not, means two things at once.
#[tokio::test]
async fn a_step_that_names_a_lease_twice_is_refused_whole() {
    let (_store, hub) = hub_on(&RecordingDisk::new()).await;
    let (mut peer, [one, two]) = two_jobs(&hub, |spec| spec).await;
    let nack = Settle { lease: one.lease, action: Action::Nack { after_ms: None, reason: "no".into() } };
    for twice in [vec![ack(one.lease), ack(one.lease)], vec![nack, ack(two.lease), ack(one.lease)]] {
        for messages in [results(1, "x"), Vec::new()] {
            let settled = step(&hub, &mut peer, twice.clone(), messages).await;
            is_refused(&settled, Code::InvalidFrame);
            assert_eq!((count(&mut peer, "results").await, count(&mut peer, "jobs").await), (0, 2));
        }
    }
    peer.settle(one.lease, Action::Ack).await.expect("the lease stands");
    peer.settle(two.lease, Action::Ack).await.expect("this one, too");
}

/// One lease that is lost refuses the step with all its others, with and without publishes.
#[tokio::test]
async fn a_step_with_one_lost_lease_settles_none() {
    let (_store, hub) = hub_on(&RecordingDisk::new()).await;
    let (mut peer, [one, two]) = two_jobs(&hub, |spec| spec).await;
    // It is delivered again, under another lease.
    peer.settle(two.lease, Action::Return).await.expect("returned");
    for messages in [results(2, "x"), Vec::new()] {
        for stale in [two.lease, LeaseToken([7; 16])] {
            let settles = vec![ack(one.lease), ack(stale)];
            is_refused(&step(&hub, &mut peer, settles, messages.clone()).await, Code::LeaseLost);
            assert_eq!((count(&mut peer, "results").await, count(&mut peer, "jobs").await), (0, 2));
        }
    }
    peer.settle(one.lease, Action::Ack).await.expect("its lease stands");
}

/// A power loss at any moment, whatever of the unsynced bytes reached the disk, leaves all of a
/// step or nothing of it.
#[tokio::test]
async fn after_a_power_loss_a_step_is_whole_or_was_never_made() {
    let disk = RecordingDisk::new();
    let (store, hub) = hub_on(&disk).await;
    let (mut peer, jobs) = two_jobs(&hub, |spec| spec).await;
    let before = disk.operations();
    let payload = "x".repeat(3_000);
    let done = peer.settle_all(jobs.iter().map(|job| ack(job.lease)).collect(), results(3, &payload)).await;
    assert_eq!(done.results.len(), 2);
    let answered = disk.operations();
    drop((peer, hub, store));
    let (mut whole, mut never) = (0, 0);
    for at in before..=disk.operations() {
        let random = (0..20).map(|seed| Image::Random { seed });
        let torn = (0..20).map(|seed| Image::TornLast { seed });
        for image in [Image::OnlySynced, Image::AllWritten].into_iter().chain(random).chain(torn) {
            let (_store, hub) = hub_on(&disk.crash(at, image)).await;
            let mut peer = Peer::attach(&hub, None);
            match (count(&mut peer, "jobs").await, count(&mut peer, "results").await) {
                (0, 3) => whole += 1,
                (2, 0) if at < answered => never += 1,
                (jobs, results) => panic!("{jobs} jobs and {results} results at {at} of {answered}, {image:?}"),
            }
        }
    }
    println!("{} crash states", whole + never);
    assert!(whole > 0 && never > 0, "{whole} whole, {never} never made");
}

/// A step, also one without publishes.
async fn step(hub: &Hub, peer: &mut Peer, settles: Vec<Settle>, messages: Vec<Message>) -> Settled {
    if !messages.is_empty() {
        return peer.settle_all(settles, messages).await;
    }
    peer.session().settle(&SettleBatch { tag: u64::MAX, settles, atomic: true, publish: None }, hub.now());
    let mut events = Vec::new();
    loop {
        poll_fn(|cx| peer.session().poll_events(cx, hub.now(), &mut events)).await;
        let settled = events.drain(..).find_map(|event| match event {
            SessionEvent::Settled(settled) => Some(settled),
            _ => None,
        });
        if let Some(settled) = settled {
            return settled;
        }
    }
}
