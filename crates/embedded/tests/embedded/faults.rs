//! What a crash, a failing disk and a flipped bit do to a whole store.
//!
//! The disk is the recording one: it keeps the trace of every write and sync, and can show
//! what a crash at any point could have left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::{Clock, Facts, Guards, Hub, HubOptions};
use skep_embedded::Embedded;
use skep_embedded::disk::Disk;
use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_protocol::{
    Action, Ask, Code, Command, Error, Guarantee, Page, Position, QueueName, QueueSpec, Settle, Settlement,
};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Anyone, Peer, message};
use tokio::time::timeout;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The name of the oldest segment.
pub(crate) fn first_segment(disk: &RecordingDisk) -> String {
    disk.list().expect("names").into_iter().find(|name| name.ends_with(".seg")).expect("a segment")
}

pub(crate) async fn hub_on(disk: &RecordingDisk) -> (Arc<Embedded>, Arc<Hub>) {
    hub_on_any(Arc::new(disk.clone())).await
}

pub(crate) async fn hub_on_any(disk: Arc<dyn Disk>) -> (Arc<Embedded>, Arc<Hub>) {
    let store = Embedded::open_on(disk, Clock::new()).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(options, Clock::new(), store.clone(), store.clone(), Arc::new(Anyone)).await.expect("a hub");
    (store, hub)
}

/// What is held in a queue: payload by position.
pub(crate) async fn held(peer: &mut Peer, queue: &str) -> BTreeMap<Position, String> {
    let queue = QueueName::new(queue).expect("a name");
    match peer.look(Ask::Peek { queue, limit: 1000, from: None }).await {
        Ok(Page::Messages { messages, .. }) => messages
            .into_iter()
            .map(|stored| (stored.position, String::from_utf8(stored.message.payload().to_vec()).expect("text")))
            .collect(),
        Ok(other) => panic!("{other:?}"),
        Err(error) if error.code == Code::UnknownQueue => BTreeMap::new(),
        Err(error) => panic!("{error}"),
    }
}

/// What was answered, and how long the trace of the disk was by then.
struct Answered {
    operations: usize,
    position: Position,
    text: String,
    acked_at: Option<usize>,
}

/// Publishes forty messages and acks every second one.
async fn life(disk: &RecordingDisk) -> (usize, Vec<Answered>) {
    let (store, hub) = hub_on(disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    let declared = disk.operations();
    peer.consume("jobs", 1).await;
    let mut answered = Vec::new();
    for n in 0..40 {
        let text = format!("message {n}");
        let receipt = peer.publish(message("jobs").text(&text)).await.expect("a receipt");
        let position = receipt.position.expect("stored");
        answered.push(Answered { operations: disk.operations(), position, text, acked_at: None });
        if n % 2 == 0 {
            let delivery = peer.delivery().await;
            let of = answered.iter().position(|a| a.position == delivery.position).expect("it was answered");
            peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
            answered[of].acked_at = Some(disk.operations());
        }
    }
    drop((peer, hub, store));
    (declared, answered)
}

/// Every message whose receipt was given is there after a crash at any later moment, whatever of
/// the unsynced bytes reached the disk; what was acked is not; nothing else is; and no position is
/// given out twice. Fails when the writer does not sync before it answers.
#[tokio::test]
async fn a_receipt_survives_a_power_loss_at_any_later_moment() {
    let disk = RecordingDisk::new();
    let (declared, answered) = life(&disk).await;
    let end = disk.operations();
    let mut states = 0;
    for at in (declared..=end).step_by(3) {
        for image in
            [Image::OnlySynced, Image::AllWritten, Image::Random { seed: at as u64 }, Image::TornLast { seed: 7 }]
        {
            let crashed = disk.crash(at, image);
            let (store, hub) = hub_on(&crashed).await;
            let mut peer = Peer::attach(&hub, None);
            let found = held(&mut peer, "jobs").await;
            for a in &answered {
                let was_acked = a.acked_at.is_some_and(|acked| acked <= at);
                if a.operations <= at && a.acked_at.is_none_or(|acked| acked > end) {
                    assert_eq!(found.get(&a.position), Some(&a.text), "lost at {at}, {image:?}");
                }
                assert!(!(was_acked && found.contains_key(&a.position)), "came back at {at}, {image:?}");
            }
            for (position, text) in &found {
                assert!(answered.iter().any(|a| a.position == *position && a.text == *text), "never sent: {text}");
            }
            let fresh = peer.publish(message("jobs")).await.expect("a receipt").position.expect("stored");
            assert!(answered.iter().all(|a| a.position != fresh), "position {fresh} was given out twice");
            drop((peer, hub, store));
            states += 1;
        }
    }
    println!("{states} crash states");
    assert!(states > 100, "only {states} states");
}

/// What an inbox holds, once it holds so many.
async fn notices(peer: &mut Peer, count: usize) -> BTreeMap<Position, String> {
    let begun = Instant::now();
    loop {
        let found = held(peer, "agent.alice.inbox").await;
        if found.len() >= count {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{} of {count} notices came", found.len());
        assert!(peer.is_quiet(2).await);
    }
}

/// Wherever a crash falls between the death of a message and the notice to its sender, the sender is
/// told once: by the time the store was opened twice more, there are as many notices as dead letters.
/// (Whether both are in one batch here is up to the threads; the engine's own tests end the log between them.)
#[tokio::test]
async fn every_dead_letter_is_told_once_after_a_crash_at_any_moment() {
    let disk = RecordingDisk::new();
    let (store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, Some("alice"));
    let alice = "alice".parse().expect("an id");
    peer.manage(Command::Register { agent: alice, metadata: "{}".into() }).await.expect("an agent");
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.consume("jobs", 1).await;
    let begun = disk.operations();
    for n in 0..6 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
        let delivery = peer.delivery().await;
        peer.settle(delivery.lease, Action::Reject { reason: "never".into() }).await.expect("an answer");
    }
    notices(&mut peer, 6).await;
    let end = disk.operations();
    drop((peer, hub, store));
    for at in begun..=end {
        let crashed = disk.crash(at, Image::OnlySynced);
        let mut told = Vec::new();
        for _ in 0..2 {
            let (store, hub) = hub_on(&crashed).await;
            let mut peer = Peer::attach(&hub, None);
            let dead = held(&mut peer, "$dead.jobs").await.len();
            let found = notices(&mut peer, dead).await;
            assert_eq!(found.len(), dead, "crashed at {at}");
            told.push(found);
            peer.goodbye();
            hub.close().await.expect("closed in order");
            drop((hub, store));
        }
        assert_eq!(told[0], told[1], "crashed at {at}: nobody is told twice");
    }
}

/// When the disk fails to sync, nobody is told that the message is safe, and nothing more is taken.
#[tokio::test]
async fn a_failed_sync_is_answered_unknown_and_stops_the_store() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.publish(message("jobs").text("safe")).await.expect("a receipt");
    disk.fail_sync_after(0);
    let lost = peer.publish(message("jobs").text("unsure")).await.expect_err("the sync failed");
    assert_eq!((lost.code, lost.outcome), (Code::StoreFailed, skep_protocol::Outcome::Unknown));
    let refused = peer.publish(message("jobs")).await.expect_err("the log has stopped");
    assert_eq!(refused.code, Code::StoreFailed);
    assert!(hub.trouble().is_some(), "and readiness says so");
}

/// A flipped bit in what was proven durable opens the store read-only; what can be read is shown.
#[tokio::test]
async fn a_flipped_bit_in_durable_messages_is_named_and_nothing_is_cut() {
    let disk = RecordingDisk::new();
    let (store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    for n in 0..10 {
        peer.publish(message("jobs").text(&format!("needle {n}"))).await.expect("a receipt");
    }
    peer.goodbye();
    hub.close().await.expect("closed in order");
    drop((hub, store));
    let name = first_segment(&disk);
    let before = disk.contents(&name).expect("bytes");
    let at = before.windows(8).position(|part| part == b"needle 7").expect("the message is in it");
    disk.tamper(&name, at as u64, b"N");
    let damaged = disk.contents(&name).expect("bytes");
    let (_store, hub) = hub_on(&disk).await;
    let trouble = hub.trouble().expect("it is not ready");
    assert_eq!(trouble.code, Code::ReadOnly);
    assert!(trouble.text.contains(&name) && trouble.text.contains("position"), "{trouble}");
    let mut peer = Peer::attach(&hub, None);
    assert_eq!(held(&mut peer, "jobs").await.len(), 7, "what stands before the damage is shown");
    assert_eq!(peer.publish(message("jobs")).await.expect_err("read-only").code, Code::ReadOnly);
    // Nor is what no known queue takes passed on: its queue may be among what is lost.
    assert_eq!(peer.publish(message("elsewhere")).await.expect_err("read-only").code, Code::ReadOnly);
    drop(peer);
    assert_eq!(disk.contents(&name).expect("bytes"), damaged, "nothing was changed");
}

/// Publishes to jobs until the disk is full; answers how many were taken, and the refusal.
async fn fill(disk: &RecordingDisk, peer: &mut Peer) -> (u32, Error) {
    disk.set_room(Some(0));
    let large = "x".repeat(20_000);
    for stored in 0..1000 {
        if let Err(error) = peer.publish(message("jobs").text(&large)).await {
            return (stored, error);
        }
    }
    panic!("the disk has no end");
}

/// What is stored is safe, and its resend is told so: nothing new is written for it.
#[tokio::test]
async fn a_full_disk_recognises_what_was_stored_before_and_refuses_what_is_new() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    declare(&mut peer, "results", |spec| spec).await;
    let plain = message("results").finish().expect("a message");
    let by_id = message("results").guarantee(Guarantee::ExactlyOnce).finish().expect("a message");
    let weak = message("results").guarantee(Guarantee::BestEffort).finish().expect("a message");
    let mut first = Vec::new();
    for (sequence, message) in (1..).zip([&plain, &by_id, &weak]) {
        first.push(peer.publish_at(sequence, message).await.expect("a receipt"));
    }
    let mut worker = Peer::attach(&hub, None);
    peer.publish_at(4, &message("jobs").finish().expect("a message")).await.expect("a receipt");
    worker.consume("jobs", 1).await;
    let lease = worker.delivery().await.lease;
    let step = || (vec![Settle { lease, action: Action::Ack }], vec![plain.clone()]);
    let (settles, results) = step();
    let stepped = worker.settle_at(50, settles, results).await;
    assert_eq!(stepped.results, [Settlement::Ok(())]);

    let (_, refused) = fill(&disk, &mut Peer::attach(&hub, None)).await;
    assert_eq!(refused.code, Code::DiskFull);
    for (sequence, message) in (1..).zip([&plain, &by_id, &weak]) {
        let again = peer.publish_at(sequence, message).await.expect("it is stored");
        let before = &first[usize::try_from(sequence).expect("few") - 1];
        assert_eq!((again.duplicate, again.position), (true, before.position), "sequence {sequence}");
    }
    let again = peer.publish_at(9, &by_id).await.expect("it is stored");
    assert_eq!((again.duplicate, again.position), (true, first[1].position), "by its id");
    let (settles, results) = step();
    let again = worker.settle_at(50, settles, results).await;
    assert_eq!(again.results, [Settlement::Ok(())]);
    assert!(matches!(&again.receipts[0].result, Settlement::Ok(accepted) if accepted.duplicate), "{again:?}");

    for (sequence, message) in (10..).zip([&plain, &weak]) {
        let new = peer.publish_at(sequence, message).await.expect_err("there is no room");
        assert_eq!(new.code, Code::DiskFull, "sequence {sequence}");
    }
    worker.consume("results", 1).await;
    let lease = worker.delivery().await.lease;
    let step = worker.settle_at(60, vec![Settle { lease, action: Action::Ack }], vec![plain.clone()]).await;
    assert!(matches!(&step.results[0], Settlement::Error(error) if error.code == Code::DiskFull), "{step:?}");
    let extend = |progress: Option<&str>| Action::Extend { lease_ms: None, progress: progress.map(str::to_owned) };
    let told = worker.settle(lease, extend(Some(&"x".repeat(300)))).await;
    assert_eq!(told.expect_err("it grows the store").code, Code::DiskFull);
    worker.settle(lease, extend(None)).await.expect("who works on keeps the lease");
    worker.settle(lease, extend(Some("half"))).await.expect("and may say how far it is");
    worker.settle(lease, Action::Ack).await.expect("its lease was left alone, and an ack is taken");
}

/// A fact is refused rather than left to wait for room that may never come, and nothing of it holds up the end.
#[tokio::test]
async fn a_full_disk_refuses_facts_and_lets_the_hub_close() {
    let disk = RecordingDisk::new();
    let (store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, Some("bob"));
    declare(&mut peer, "jobs", |spec| spec).await;
    let register =
        |metadata: &str| Command::Register { agent: "bob".parse().expect("an id"), metadata: metadata.into() };
    peer.manage(register("{}")).await.expect("an agent");
    fill(&disk, &mut peer).await;
    let put = timeout(PATIENCE, store.put("some.fact", b"x", None, None, hub.now())).await.expect("an answer");
    let refused = put.expect_err("there is no room");
    assert_eq!((refused.code, refused.outcome), (Code::DiskFull, skep_protocol::Outcome::Refused));
    peer.manage(register("{}")).await.expect("it is known, and says nothing new");
    let new = peer.manage(register(r#"{"can":"more"}"#)).await.expect_err("what it says of itself is a fact");
    assert_eq!(new.code, Code::DiskFull);
    peer.goodbye();
    timeout(PATIENCE, hub.close()).await.expect("it closes").expect("in order");
}

/// A full disk refuses publishes with a typed error; acks are taken; with room again, all goes on.
#[tokio::test]
async fn a_full_disk_refuses_publishes_and_takes_acks() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    let (stored, refused) = fill(&disk, &mut peer).await;
    assert_eq!((refused.code, refused.outcome), (Code::DiskFull, skep_protocol::Outcome::Refused));
    peer.consume("jobs", 1).await;
    for _ in 0..stored {
        let delivery = peer.delivery().await;
        peer.settle(delivery.lease, Action::Ack).await.expect("an ack is taken");
    }
    disk.set_room(None);
    let mut tries = 0;
    while let Err(error) = peer.publish(message("jobs")).await {
        assert_eq!(error.code, Code::DiskFull);
        tries += 1;
        assert!(tries < 100, "room was made, and it is still refused");
        assert!(peer.is_quiet(100).await);
    }
}

#[tokio::test]
async fn on_a_full_disk_an_ack_is_taken_also_beside_a_long_note_that_is_not() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    // Two at least, also where the disk was full before the next segment was prepared for the first time.
    for _ in 0..2 {
        peer.publish(message("jobs")).await.expect("a receipt");
    }
    fill(&disk, &mut peer).await;
    peer.consume("jobs", 2).await;
    let leases = [peer.delivery().await.lease, peer.delivery().await.lease];
    let actions = [Action::Ack, Action::Extend { lease_ms: None, progress: Some("x".repeat(300)) }];
    let settles = leases.into_iter().zip(actions).map(|(lease, action)| Settle { lease, action }).collect();
    let results = peer.settle_all(settles, Vec::new()).await.results.into_iter().map(Result::from);
    let codes: Vec<Option<Code>> = results.map(|result| result.err().map(|error| error.code)).collect();
    assert_eq!(codes, [None, Some(Code::DiskFull)]);
}

/// Without file descriptors for the next segment publishes are refused with a text that says what to do; acks are taken; with
/// some again, all goes on, and what was acknowledged is there.
#[tokio::test]
async fn too_many_open_files_refuse_publishes_and_lose_nothing() {
    let disk = RecordingDisk::new();
    let (store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    // How many more are stored depends on whether the next segment was prepared by now.
    peer.publish(message("jobs").text("before")).await.expect("a receipt");
    disk.set_out_of_files(true);
    let large = "x".repeat(200_000);
    let mut stored = 1;
    let refused = loop {
        match peer.publish(message("jobs").text(&large)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1000, "segments have no end");
    };
    assert_eq!((refused.code, refused.outcome), (Code::Busy, skep_protocol::Outcome::Refused), "{refused}");
    assert!(refused.text.contains("open files") && refused.text.contains("ulimit -n"), "{refused}");
    peer.consume("jobs", 1).await;
    // One stays unsettled, and its lease keeps the window full.
    for _ in 1..stored {
        let delivery = peer.delivery().await;
        peer.settle(delivery.lease, Action::Ack).await.expect("an ack is taken");
    }
    peer.delivery().await;
    disk.set_out_of_files(false);
    let mut tries = 0;
    while let Err(error) = peer.publish(message("jobs")).await {
        assert_eq!(error.code, Code::Busy);
        tries += 1;
        assert!(tries < 100, "files were closed, and it is still refused");
        assert!(peer.is_quiet(100).await);
    }
    drop((peer, hub, store));
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    assert_eq!(held(&mut peer, "jobs").await.len(), 2, "the one unsettled, and the one stored last");
}

/// A lease on a store where nothing else happens ends at its deadline, and is known after a kill.
#[tokio::test]
async fn a_lease_on_an_idle_store_is_written_and_ends() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { lease_ms: 300, ..spec }).await;
    peer.publish(message("jobs")).await.expect("a receipt");
    assert!(peer.is_quiet(60).await, "all is proven, and the writer sleeps");
    peer.consume("jobs", 1).await;
    assert_eq!(peer.delivery().await.attempt, 1);
    assert!(peer.is_quiet(100).await);
    let killed = disk.crash(disk.operations(), Image::AllWritten);
    assert_eq!(peer.delivery().await.attempt, 2, "the lease ended by itself");
    let (_other, again) = hub_on(&killed).await;
    let mut peer = Peer::attach(&again, None);
    peer.consume("jobs", 1).await;
    let delivery = peer.delivery().await;
    assert_eq!((delivery.attempt, delivery.previous.map(|ended| ended.reason)), (2, Some("hub_restarted".into())));
}

/// A damaged store opens read-only although agents are registered in it.
#[tokio::test]
async fn a_damaged_store_with_agents_opens_read_only() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    let agent = "bob".parse().expect("an id");
    peer.manage(Command::Register { agent, metadata: "{}".into() }).await.expect("an agent");
    peer.publish(message("agent.bob.inbox").text("needle")).await.expect("a receipt");
    peer.goodbye();
    hub.close().await.expect("closed");
    let name = first_segment(&disk);
    let bytes = disk.contents(&name).expect("bytes");
    let at = bytes.windows(6).position(|part| part == b"needle").expect("the message is in it");
    disk.tamper(&name, at as u64, b"N");
    let (_store, hub) = hub_on(&disk).await;
    assert_eq!(hub.trouble().map(|error| error.code), Some(Code::ReadOnly));
    let mut peer = Peer::attach(&hub, None);
    let Page::Agents(agents) = peer.look(Ask::Agents).await.expect("a look") else { panic!("agents") };
    assert_eq!(agents.len(), 1);
}
