//! Levels of durability by topic: what is answered when, what a crash leaves of it, and that order stays.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::{Backend, Clock, Guards, Hub, HubOptions, Level};
use skep_embedded::disk::Disk;
use skep_embedded::disk::recording::{Image, Operation, RecordingDisk};
use skep_embedded::{Embedded, EmbeddedOptions};
use skep_protocol::{Action, Durability, Message, MessageId, Position, ProducerId, QueueSpec, Settlement};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Anyone, Gated, Peer, message};
use tokio::task::yield_now;

use crate::faults::held;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL_MS: u64 = 30;
const KINDS: [(&str, Durability); 4] = [
    ("a.os", Durability::Os),
    ("a.memory", Durability::Memory),
    ("a.interval", Durability::Interval),
    ("a.fsync", Durability::Fsync),
];

async fn hub_on(disk: Arc<dyn Disk>) -> (Arc<Embedded>, Arc<Hub>) {
    let mut embedded = EmbeddedOptions::default();
    let interval = Level::interval(Duration::from_millis(INTERVAL_MS)).expect("an interval");
    // The first that matches counts.
    let trees = [("a.fsync", Level::FSYNC), ("a.os", Level::OS), ("a.interval", interval), ("a.*", Level::MEMORY)];
    embedded.durability = trees.map(|(filter, level)| (filter.parse().expect("a filter"), level)).into();
    let store = Embedded::open_with(disk, Clock::new(), &embedded).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(options, Clock::new(), store.clone(), store.clone(), Arc::new(Anyone)).await.expect("a hub");
    (store, hub)
}

/// A party, and the queue `all` that takes what goes to any of the topics.
async fn party(hub: &Arc<Hub>) -> Peer {
    let mut peer = Peer::attach(hub, None);
    let filters = vec!["a.*".parse().expect("a filter")];
    declare(&mut peer, "all", |spec| QueueSpec { filters, ..spec }).await;
    peer
}

/// How often a file was synced that something was written to: the making of one that is prepared is no sync of the log.
fn syncs(disk: &RecordingDisk) -> usize {
    let (mut written, mut syncs) = (BTreeSet::new(), 0);
    for operation in disk.trace() {
        match operation {
            Operation::Write { inode, .. } => drop(written.insert(inode)),
            Operation::Sync { inode } => syncs += usize::from(written.contains(&inode)),
            _ => {}
        }
    }
    syncs
}

/// Waits until that many syncs were done; answers the moment.
async fn synced(disk: &RecordingDisk, more_than: usize) -> usize {
    let begun = Instant::now();
    while syncs(disk) <= more_than {
        assert!(begun.elapsed() < PATIENCE, "nothing is synced");
        yield_now().await;
    }
    disk.operations()
}

/// What was told, and the moment by then.
struct Told {
    operations: usize,
    position: Position,
    text: String,
    durability: Durability,
    /// By when it was synced, of an interval.
    synced_at: Option<usize>,
}

fn texts(from: usize) -> [(Message, String); 4] {
    KINDS.map(|(topic, _)| {
        let text = format!("{topic} {from}");
        (message(topic).text(&text).finish().expect("a message"), text)
    })
}

/// Publishes at every level, one by one and together; a consumer sees some of it.
async fn life(disk: &RecordingDisk) -> (usize, Vec<Told>, Vec<(usize, Position)>) {
    let (store, hub) = hub_on(Arc::new(disk.clone())).await;
    let mut peer = party(&hub).await;
    let mut consumer = Peer::attach(&hub, None);
    consumer.consume("all", 1000).await;
    let (declared, mut told, mut seen) = (disk.operations(), Vec::new(), Vec::new());
    for round in 0..10 {
        for (nth, (message, text)) in texts(round).into_iter().enumerate() {
            let before = syncs(disk);
            let accepted = peer.publish_at(1_000 + (8 * round + nth) as u64, &message).await.expect("a receipt");
            let durability = accepted.durability.expect("stored");
            assert_eq!(durability, KINDS[nth].1);
            let operations = disk.operations();
            let by_then = durability == Durability::Interval && round % 4 == 0;
            // A sync may have been under way when it was written: the one after it counts.
            let synced_at = if by_then { Some(synced(disk, before + 1).await) } else { None };
            told.push(Told { operations, position: accepted.position.expect("stored"), text, durability, synced_at });
            let delivery = consumer.delivery().await;
            seen.push((disk.operations(), delivery.position));
        }
        // The strongest first: what follows it in the batch changes nothing.
        let (messages, texts): (Vec<Message>, Vec<String>) = texts(100 + round).into_iter().rev().unzip();
        let step = peer.settle_at(1_004 + 8 * round as u64, Vec::new(), messages).await;
        let operations = disk.operations();
        for (publication, text) in step.receipts.into_iter().zip(texts) {
            let Settlement::Ok(accepted) = publication.result else { panic!("stored: {publication:?}") };
            let (position, durability) = (accepted.position.expect("stored"), accepted.durability.expect("stored"));
            assert_eq!(publication.count, 1, "each of them is told its own level");
            told.push(Told { operations, position, text, durability, synced_at: None });
            consumer.delivery().await;
        }
    }
    assert!(seen.is_sorted_by_key(|(_, position)| *position), "in order of acceptance");
    drop((peer, consumer, hub, store));
    (declared, told, seen)
}

/// Whether a receipt says that the message is there after a crash.
fn promised(told: &Told, at: usize, image: Image) -> bool {
    told.operations <= at
        && match told.durability {
            Durability::Memory => false,
            Durability::Os => image == Image::AllWritten,
            Durability::Interval => image == Image::AllWritten || told.synced_at.is_some_and(|synced| synced <= at),
            Durability::Fsync => true,
        }
}

/// At every moment, whatever of the unsynced bytes reached the disk. Fails when a batch with one message that is to be synced is not.
#[tokio::test]
async fn a_crash_takes_nothing_that_its_level_promised_and_no_position_is_given_out_again() {
    let disk = RecordingDisk::new();
    let (declared, told, seen) = life(&disk).await;
    let (mut states, mut lost) = (0, 0);
    for at in (declared..=disk.operations()).step_by(2) {
        for image in
            [Image::OnlySynced, Image::AllWritten, Image::Random { seed: at as u64 }, Image::TornLast { seed: 7 }]
        {
            let (store, hub) = hub_on(Arc::new(disk.crash(at, image))).await;
            let mut peer = Peer::attach(&hub, None);
            let found = held(&mut peer, "all").await;
            for told in told.iter().filter(|told| told.operations <= at) {
                let is_there = found.get(&told.position) == Some(&told.text);
                assert!(is_there || !promised(told, at, image), "{:?} is lost at {at}, {image:?}", told.text);
                lost += usize::from(!is_there);
            }
            for (position, text) in &found {
                assert!(told.iter().any(|t| t.position == *position && t.text == *text), "never sent: {text}");
            }
            let written = seen.iter().filter(|(by, _)| image == Image::AllWritten && *by <= at);
            written.for_each(|(_, position)| assert!(found.contains_key(position), "{position} was seen at {at}"));
            let fresh = peer.publish(message("a.fsync")).await.expect("a receipt").position.expect("stored");
            assert!(told.iter().all(|told| told.operations > at || told.position != fresh), "{fresh} twice, at {at}");
            drop((peer, hub, store));
            states += 1;
        }
    }
    println!("{states} crash states, {lost} messages lost that nobody promised");
    assert!(states > 100 && lost > 0, "{states} states, {lost} lost");
}

#[tokio::test]
async fn messages_of_level_os_and_their_acks_are_written_and_not_synced() {
    let disk = RecordingDisk::new();
    let (store, hub) = hub_on(Arc::new(disk.clone())).await;
    let mut peer = party(&hub).await;
    peer.consume("all", 1).await;
    let before = syncs(&disk);
    for n in 0..50 {
        let receipt = peer.publish(message("a.os").text(&n.to_string())).await.expect("a receipt");
        assert_eq!(receipt.durability, Some(Durability::Os));
        let delivery = peer.delivery().await;
        if n % 2 == 0 {
            peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
        } else {
            peer.settle(delivery.lease, Action::Nack { after_ms: Some(3_600_000), reason: "later".into() })
                .await
                .expect("an answer");
        }
    }
    // What was declared is proven after a pause.
    assert!(syncs(&disk) <= before + 5, "{} syncs", syncs(&disk) - before);
    let killed = disk.crash(disk.operations(), Image::AllWritten);
    let (_store, other) = hub_on(Arc::new(killed)).await;
    assert_eq!(
        held(&mut Peer::attach(&other, None), "all").await.len(),
        25,
        "what was acked, and nothing else, is gone"
    );
    peer.goodbye();
    store.close().await.expect("closes");
    let (_store, other) = hub_on(Arc::new(disk.crash(disk.operations(), Image::OnlySynced))).await;
    assert_eq!(held(&mut Peer::attach(&other, None), "all").await.len(), 25, "who closes in order syncs");
}

#[tokio::test]
async fn what_has_an_interval_is_synced_after_it() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(Arc::new(disk.clone())).await;
    let mut peer = party(&hub).await;
    // What was declared is proven, after which nobody else syncs.
    synced(&disk, syncs(&disk)).await;
    let first = peer.publish(message("a.interval")).await.expect("a receipt").position.expect("stored");
    let begun = Instant::now();
    loop {
        peer.publish(message("a.os")).await.expect("a receipt");
        let (_store, other) = hub_on(Arc::new(disk.crash(disk.operations(), Image::OnlySynced))).await;
        if held(&mut Peer::attach(&other, None), "all").await.contains_key(&first) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is never synced");
    }
}

#[tokio::test]
async fn what_is_accepted_behind_a_stronger_message_waits_with_it() {
    let gated = Gated::default();
    let (_store, hub) = hub_on(Arc::new(gated.clone())).await;
    let mut peer = party(&hub).await;
    let mut consumer = Peer::attach(&hub, None);
    consumer.consume("all", 10).await;
    gated.syncs.shut();
    let strong = message("a.fsync").text("strong").finish().expect("a message");
    peer.session().publish(1_000, &[strong], hub.now());
    gated.syncs.holds_one();
    let weak = message("a.os").text("weak").finish().expect("a message");
    peer.session().publish(1_001, &[weak], hub.now());
    assert!(consumer.is_quiet(50).await && peer.is_quiet(50).await, "nothing has reached its level");
    let memory = message("a.memory").text("memory").finish().expect("a message");
    let receipt = peer.publish_at(1_002, &memory).await.expect("a receipt");
    assert_eq!(receipt.durability, Some(Durability::Memory), "it waits for nobody");
    assert!(consumer.is_quiet(50).await, "nor does it overtake what was accepted before");
    gated.syncs.open();
    for text in ["strong", "weak", "memory"] {
        assert_eq!(consumer.delivery().await.message.payload(), text.as_bytes());
    }
}

#[tokio::test]
async fn a_message_has_the_strongest_level_of_its_topics_or_the_stronger_one_that_it_asks_for() {
    let (_store, hub) = hub_on(Arc::new(RecordingDisk::new())).await;
    let mut peer = party(&hub).await;
    let os = || message("a.os");
    let also = |topic| os().to(&skep_testkit::topic(topic));
    for (message, expected) in [
        (os(), Durability::Os),
        (also("a.memory"), Durability::Os),
        (also("a.interval"), Durability::Interval),
        (also("elsewhere"), Durability::Fsync),
        (os().durability(Durability::Memory), Durability::Os),
        (os().durability(Durability::Interval), Durability::Interval),
        (os().durability(Durability::Fsync), Durability::Fsync),
        (message("a.fsync").durability(Durability::Os), Durability::Fsync),
    ] {
        assert_eq!(peer.publish(message).await.expect("a receipt").durability, Some(expected));
    }
}

/// Its first copy is written and not synced: the answer to the second one is true all the same.
#[tokio::test]
async fn a_resend_that_asks_for_more_is_answered_once_that_is_reached() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(Arc::new(disk.clone())).await;
    party(&hub).await.goodbye();
    let mut peer = Peer::attach_as(&hub, None, ProducerId([3; 16]));
    let id = MessageId::new("once").expect("an id");
    let once = || Message::build(&id, "test", "note").to(&skep_testkit::topic("a.os")).text("once");
    let weak = once().finish().expect("a message");
    let first = peer.publish_at(1, &weak).await.expect("a receipt");
    let strong = once().durability(Durability::Fsync).finish().expect("a message");
    let again = peer.publish_at(1, &strong).await.expect("a receipt");
    assert_eq!((again.duplicate, again.durability, again.position), (true, Some(Durability::Fsync), first.position));
    let (_store, other) = hub_on(Arc::new(disk.crash(disk.operations(), Image::OnlySynced))).await;
    assert_eq!(held(&mut Peer::attach(&other, None), "all").await.len(), 1, "what was told is true");
}

#[tokio::test]
async fn live_listeners_see_a_stored_message_after_its_level_is_reached() {
    let gated = Gated::default();
    let (_store, hub) = hub_on(Arc::new(gated.clone())).await;
    let mut peer = party(&hub).await;
    let copying = hub.clone();
    let copying = tokio::spawn(async move { copying.run().await });
    let mut listener = Peer::attach(&hub, None);
    listener.listen("a.>").await;
    gated.syncs.shut();
    let strong = message("a.fsync").text("strong").finish().expect("a message");
    peer.session().publish(1_000, &[strong], hub.now());
    gated.syncs.holds_one();
    assert!(listener.is_quiet(50).await);
    gated.syncs.open();
    assert_eq!(listener.live().await.payload(), &b"strong"[..]);
    copying.abort();
}
