//! Topic trees with a retention of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::{Backend, Clock, Guards, Hub, HubOptions, Now};
use skep_embedded::disk::Disk;
use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_embedded::log::SegmentSizes;
use skep_embedded::{Embedded, EmbeddedOptions, Retention, TreeRetention};
use skep_protocol::{Action, Ask, Code, Fate, Guarantee, MessageBuilder, Page, Position, Search, Stored};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Anyone, Peer, message};

use crate::trace::asked;

const HOUR: Duration = Duration::from_secs(3_600);
const LOGS: &str = "logs.>";

fn options(retention: Retention, trees: &[(&str, TreeRetention)]) -> EmbeddedOptions {
    let mut options = EmbeddedOptions::default();
    (options.sizes, options.snapshot_bytes) = (SegmentSizes { first: 16 * 1024, max: 16 * 1024 }, Some(1));
    options.retention = retention;
    options.retained = trees.iter().map(|(filter, tree)| (filter.parse().expect("a filter"), *tree)).collect();
    options
}

fn messages(messages: u64) -> TreeRetention {
    TreeRetention { messages: Some(messages), ..TreeRetention::default() }
}

async fn open(disk: &RecordingDisk, clock: Clock, options: &EmbeddedOptions) -> (Arc<Embedded>, Arc<Hub>) {
    let store = Embedded::open_with(Arc::new(disk.clone()), clock, options).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(options, clock, store.clone(), store.clone(), Arc::new(Anyone)).await.expect("a hub");
    (store, hub)
}

fn sure(topic: &str, text: &str) -> MessageBuilder {
    message(topic).guarantee(Guarantee::AtLeastOnce).text(text)
}

/// What a look from the beginning shows, page by page.
async fn replayed(peer: &mut Peer, filter: &str) -> Vec<String> {
    let (mut texts, mut from) = (Vec::new(), Some(Position::Number(0)));
    while let Some(at) = from {
        let look = Ask::Replay { filter: filter.parse().expect("a filter"), from: at, limit: 7 };
        let Page::Messages { messages, next } = peer.look(look).await.expect("a page") else { panic!("messages") };
        let text = |stored: &Stored| String::from_utf8_lossy(&stored.message.payload()).into_owned();
        texts.extend(messages.iter().map(text));
        from = next;
    }
    texts
}

fn numbered(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn what_no_queue_takes_is_stored_where_its_topics_are_retained_and_refused_elsewhere() {
    let disk = RecordingDisk::new();
    let (store, hub) = open(&disk, Clock::new(), &options(Retention::default(), &[(LOGS, messages(100))])).await;
    let mut peer = Peer::attach(&hub, None);
    let receipt = peer.publish(sure("logs.a", "kept")).await.expect("a receipt");
    assert_eq!((receipt.queues, receipt.guarantee, receipt.live), (0, Guarantee::AtLeastOnce, 0));
    assert!(receipt.position.is_some() && receipt.durability.is_some(), "it is stored");
    let refused = peer.publish(sure("other.a", "lost")).await.expect_err("nothing takes it");
    assert_eq!(refused.code, Code::NoQueue);
    let later = sure("logs.a", "later").not_before(Clock::new().now().unix_ms + 60_000);
    assert!(peer.publish(later).await.is_err(), "what is to be delivered needs a queue");
    assert_eq!(replayed(&mut peer, LOGS).await, ["kept"]);
    let (mut found, _) = asked(&mut peer, "", Search { to: Some("logs.a".into()), ..Search::default() }).await;
    found.retain(|traced| traced.position.is_some());
    assert_eq!(found.iter().map(|traced| traced.state).collect::<Vec<_>>(), [Fate::Unmatched]);
    assert_eq!(found[0].position, receipt.position);
    drop((peer, hub, store));
}

#[tokio::test]
async fn a_resend_of_what_no_queue_took_is_recognised_and_told_so() {
    let disk = RecordingDisk::new();
    let (store, hub) = open(&disk, Clock::new(), &options(Retention::default(), &[(LOGS, messages(100))])).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "logs.held", |spec| spec).await;
    for (topic, queues) in [("logs.a", 0), ("logs.held", 1)] {
        let once = sure(topic, "once").guarantee(Guarantee::ExactlyOnce);
        let first = peer.publish(once.clone()).await.expect("a receipt");
        let again = peer.publish(once).await.expect("a receipt");
        assert_eq!((first.queues, again.queues, again.duplicate), (queues, queues, true));
        assert_eq!((first.guarantee, first.position), (Guarantee::ExactlyOnce, again.position));
    }
    assert_eq!(replayed(&mut peer, LOGS).await.len(), 2);
    drop((peer, hub, store));
}

#[tokio::test]
async fn beyond_its_messages_or_bytes_a_tree_shows_nothing_but_what_is_unsettled_also_after_a_restart() {
    let (disk, clock) = (RecordingDisk::new(), Clock::new());
    let bytes = TreeRetention { bytes: Some(4_000), ..TreeRetention::default() };
    let options = options(Retention::default(), &[(LOGS, messages(10)), ("big.*", bytes)]);
    let (store, hub) = open(&disk, clock, &options).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "logs.held", |spec| spec).await;
    peer.publish(sure("logs.held", "unsettled")).await.expect("a receipt");
    for n in 0..200 {
        peer.publish(sure("logs.a", &n.to_string())).await.expect("a receipt");
        peer.publish(sure("big.a", &"x".repeat(900))).await.expect("a receipt");
    }
    let expected: Vec<String> = ["unsettled".to_owned()].into_iter().chain(numbered(190..200)).collect();
    assert_eq!(replayed(&mut peer, LOGS).await, expected);
    let big = replayed(&mut peer, "big.*").await.len();
    assert!((1..=4).contains(&big), "{big} of 900 bytes each in 4000");
    let mut seen =
        asked(&mut peer, "", Search { to: Some("logs.a".into()), limit: Some(500), ..Search::default() }).await.0;
    seen.retain(|traced| traced.position.is_some());
    assert_eq!(seen.len(), 10);
    drop((peer, hub));
    store.close().await.expect("closes");
    drop(store);
    let disk = disk.crash(disk.operations(), Image::OnlySynced);
    assert!(disk.list().expect("names").iter().any(|name| name.ends_with(".snap")));
    let (store, hub) = open(&disk, clock, &options).await;
    assert!(store.recovery().contains("a snapshot at position"), "{}", store.recovery());
    let mut peer = Peer::attach(&hub, None);
    assert_eq!(replayed(&mut peer, LOGS).await, expected);
    peer.consume("logs.held", 1).await;
    let delivery = peer.delivery().await;
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    assert_eq!(replayed(&mut peer, LOGS).await, numbered(190..200));
    drop((peer, hub, store));
}

#[tokio::test]
async fn beyond_its_age_a_tree_shows_nothing_and_others_go_on_as_they_are() {
    let (disk, (clock, hand)) = (RecordingDisk::new(), Clock::by_hand(Now { mono_ms: 1, unix_ms: 1_000_000 }));
    let age = TreeRetention { age: Some(HOUR), ..TreeRetention::default() };
    let (store, hub) = open(&disk, clock, &options(Retention::default(), &[(LOGS, age)])).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "other", |spec| spec).await;
    peer.publish(sure("logs.a", "old")).await.expect("a receipt");
    peer.publish(sure("other", "other")).await.expect("a receipt");
    hand.set(clock.now().plus(HOUR));
    peer.publish(sure("logs.a", "young")).await.expect("a receipt");
    assert_eq!(replayed(&mut peer, ">").await, ["other", "young"]);
    drop((peer, hub, store));
}

fn segments(disk: &RecordingDisk) -> usize {
    disk.list().expect("names").iter().filter(|name| name.ends_with(".seg")).count()
}

#[tokio::test]
async fn a_segment_stays_as_long_as_a_tree_keeps_something_in_it_and_goes_when_all_let_it_go() {
    // By itself the log keeps nothing: what is left, a tree keeps.
    let none = Retention { age: HOUR, bytes: 0 };
    for (keep, expected) in [(400, 400), (20, 20)] {
        let disk = RecordingDisk::new();
        let (store, hub) = open(&disk, Clock::new(), &options(none, &[(LOGS, messages(keep))])).await;
        let mut peer = Peer::attach(&hub, None);
        for n in 0..400 {
            peer.publish(sure("logs.a", &format!("{n:0500}"))).await.expect("a receipt");
        }
        let shown = replayed(&mut peer, LOGS).await;
        assert_eq!((shown.len(), shown.last()), (expected, Some(&format!("{:0500}", 399))));
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut count = 400;
        while keep < 400 && segments(&disk) > 8 {
            assert!(Instant::now() < deadline, "{} segments stay", segments(&disk));
            // Each segment that is left behind is another occasion to look.
            peer.publish(sure("logs.a", &format!("{count:0500}"))).await.expect("a receipt");
            count += 1;
        }
        assert!(keep < 400 || segments(&disk) > 12, "{} segments are left", segments(&disk));
        let shown = replayed(&mut peer, LOGS).await;
        assert_eq!((shown.len(), shown.last()), (expected, Some(&format!("{:0500}", count - 1))));
        assert!(disk.list().expect("names").iter().any(|name| name.ends_with(".fig")));
        drop((peer, hub, store));
    }
}
