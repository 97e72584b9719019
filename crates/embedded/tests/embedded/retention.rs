//! A store whose log would grow for ever if nothing let go of what is settled.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::{Backend, Clock, Guards, Hub, HubOptions};
use skep_embedded::log::SegmentSizes;
use skep_embedded::offline::{repair, verify};
use skep_embedded::{Embedded, EmbeddedOptions, Retention};
use skep_protocol::{Action, Ask, Fate, Page, Position, Search};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Anyone, Peer, message};

use crate::trace::asked;

const SIZES: SegmentSizes = SegmentSizes { first: 16 * 1024, max: 16 * 1024 };
const MESSAGES: usize = 400;
const MESSAGE_BYTES: usize = 2_000;

async fn open(folder: &Path) -> (Arc<Embedded>, Arc<Hub>) {
    let mut options = EmbeddedOptions::default();
    (options.sizes, options.snapshot_bytes) = (SIZES, Some(SIZES.max));
    options.retention = Retention { age: Duration::from_secs(3_600), bytes: 4 * SIZES.max };
    let store = Embedded::open(folder, Clock::new(), options).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(options, Clock::new(), store.clone(), store.clone(), Arc::new(Anyone)).await.expect("a hub");
    (store, hub)
}

fn segments(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("there").file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

/// Publishes a job and settles it.
async fn settled(peer: &mut Peer, text: &str) {
    peer.publish(message("jobs").text(text)).await.expect("a receipt");
    let delivery = peer.delivery().await;
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
}

/// Publishes one message that nobody takes, and then many that are settled at once; answers when the log has become short.
async fn life(folder: &Path) -> Position {
    let (store, hub) = open(folder).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "kept", |spec| spec).await;
    declare(&mut peer, "jobs", |spec| spec).await;
    let kept = peer.publish(message("kept").text("still wanted")).await.expect("a receipt").position.expect("stored");
    // It lies beside the one that nobody takes, and its ack in a segment that goes.
    let mut other = Peer::attach(&hub, None);
    declare(&mut other, "late", |spec| spec).await;
    other.publish(message("late")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let text = "x".repeat(MESSAGE_BYTES);
    for done in 0..MESSAGES {
        if done == MESSAGES / 4 {
            other.consume("late", 1).await;
            let delivery = other.delivery().await;
            other.settle(delivery.lease, Action::Ack).await.expect("an answer");
        }
        settled(&mut peer, &text).await;
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while segments(folder).len() > 10 {
        assert!(Instant::now() < deadline, "of {MESSAGES} messages nothing was let go: {:?}", segments(folder));
        tokio::time::sleep(Duration::from_millis(5)).await;
        // What goes is covered by two snapshots: where the last one was late, another follows behind more segments only.
        settled(&mut peer, &text).await;
    }
    drop((peer, other));
    store.close().await.expect("closes");
    kept
}

#[tokio::test]
async fn segments_of_settled_messages_go_and_an_unsettled_one_keeps_its_own_and_is_delivered_after_a_restart() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("log");
    let kept = life(&folder).await;
    let names = segments(&folder);
    assert_eq!(names.first().map(String::as_str), Some("0000000001.seg"));
    assert!(!names.contains(&"0000000002.seg".to_owned()), "{names:?}");
    // Where no tree has bounds of its own, nothing is counted.
    let mut all = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("there").path());
    assert!(all.all(|path| path.extension().is_none_or(|end| end != "fig")));

    let checked = verify(&folder, &mut |_, _| {}).expect("looks");
    assert!(checked.sound && checked.snapshot.is_some(), "{checked}");
    let (store, hub) = open(&folder).await;
    assert!(store.recovery().contains("a snapshot at position"), "{}", store.recovery());
    let mut peer = Peer::attach(&hub, None);
    peer.consume("kept", 1).await;
    let delivery = peer.delivery().await;
    assert_eq!((delivery.position, &delivery.message.payload()[..]), (kept, &b"still wanted"[..]));
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");

    // A look from the beginning shows what is left, in order.
    let filter = skep_protocol::Filter::new("jobs").expect("a filter");
    let look = Ask::Replay { filter, from: Position::Number(1), limit: 1_000 };
    let Page::Messages { messages, .. } = peer.look(look).await.expect("a page") else { panic!("messages") };
    assert!((1..MESSAGES).contains(&messages.len()), "{} are left", messages.len());

    // Nor does a trace say that a message waits whose ack was let go.
    let search = Search { to: Some("late".into()), ..Search::default() };
    let (found, _) = asked(&mut peer, "", search).await;
    assert_eq!(found.iter().map(|traced| traced.state).collect::<Vec<_>>(), [Fate::Settled]);
    drop((peer, hub, store));
}

#[tokio::test]
async fn a_damaged_tail_behind_a_snapshot_is_repaired_and_what_the_snapshot_holds_stays() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("log");
    let kept = life(&folder).await;
    // In the midst of the newest segment but one, which is behind every snapshot or covered by the newest alone.
    let names = segments(&folder);
    let newest = names.iter().rev().find(|name| {
        let bytes = std::fs::read(folder.join(name)).expect("reads");
        bytes[..8] == *b"skep.seg" && bytes[4_096..4_100] == *b"SKPB"
    });
    let path = folder.join(newest.expect("a segment in use"));
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[4_096 + 80] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let found = verify(&folder, &mut |_, _| {}).expect("looks");
    assert!(!found.sound, "{found}");
    let done = repair(&folder, true, 5, &mut |_, _| {}).expect("repairs").done.expect("something was done");
    assert!(done.now.sound, "{}", done.now);
    let (store, hub) = open(&folder).await;
    let mut peer = Peer::attach(&hub, None);
    peer.consume("kept", 1).await;
    let delivery = peer.delivery().await;
    assert_eq!((delivery.position, &delivery.message.payload()[..]), (kept, &b"still wanted"[..]));
    drop((peer, hub, store));
}

#[tokio::test]
async fn a_store_without_its_beginning_and_without_a_snapshot_is_read_only_until_a_repair_keeps_what_is_left() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("log");
    let kept = life(&folder).await;
    let names = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("there").path());
    let snapshots: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "snap")).collect();
    assert_eq!(snapshots.len(), 2);
    for path in &snapshots {
        let mut bytes = std::fs::read(path).expect("reads");
        bytes[4_096] ^= 1;
        std::fs::write(path, bytes).expect("writes");
    }
    let (store, hub) = open(&folder).await;
    let trouble = store.trouble().expect("it takes nothing");
    assert_eq!(trouble.code, skep_protocol::Code::ReadOnly);
    assert!(trouble.text.contains(".snap is damaged") && trouble.text.contains("skep repair"), "{trouble}");
    drop((hub, store));
    assert!(!verify(&folder, &mut |_, _| {}).expect("looks").sound);
    let done = repair(&folder, true, 5, &mut |_, _| {}).expect("repairs").done.expect("something was done");
    assert!(done.now.sound, "{}", done.now);
    let (store, hub) = open(&folder).await;
    let mut peer = Peer::attach(&hub, None);
    peer.consume("kept", 1).await;
    assert_eq!(peer.delivery().await.position, kept);
    drop((peer, hub, store));
}

/// Flips a byte of the message that nobody takes, in the first segment.
fn damage_kept(folder: &Path) {
    let path = folder.join("0000000001.seg");
    let mut bytes = std::fs::read(&path).expect("reads");
    let text = b"still wanted";
    let at = bytes.windows(text.len()).position(|part| part == text).expect("it lies there");
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
}

/// The store is read-only and names a position, until a repair gives up that message and nothing else.
async fn read_only_until_repaired(folder: &Path, kept: Position) {
    let position = kept.number().expect("a number");
    let (store, hub) = open(folder).await;
    let trouble = store.trouble().expect("it takes nothing");
    assert_eq!(trouble.code, skep_protocol::Code::ReadOnly);
    let named = format!("positions {position}..{} were durable", position + 1);
    assert!(trouble.text.contains(&named) && trouble.text.contains("0000000001.seg"), "{trouble}");
    drop((hub, store));

    let found = verify(folder, &mut |_, _| {}).expect("looks");
    let cost = found.damage.as_ref().and_then(|damage| damage.cost.as_ref()).expect("it can be given up");
    let [lost] = cost.unsettled.as_slice() else { panic!("{found}") };
    assert_eq!(lost.queue.as_deref(), Some("kept"));
    assert_eq!(lost.positions.iter().cloned().flatten().collect::<Vec<u64>>(), [position]);
    assert!(cost.losses.is_empty() && found.to_string().contains("queue kept: positions"), "{found}");

    let done = repair(folder, true, 5, &mut |_, _| {}).expect("repairs").done.expect("something was done");
    assert!(done.now.sound && !done.now.history_damaged.is_empty(), "{}", done.now);
    let (store, hub) = open(folder).await;
    assert_eq!(store.trouble(), None);
    let mut peer = Peer::attach(&hub, None);
    let queue = "kept".parse().expect("a name");
    let look = Ask::Peek { queue, from: None, limit: 10 };
    let Page::Messages { messages, .. } = peer.look(look).await.expect("a page") else { panic!("messages") };
    assert!(messages.is_empty(), "it is given up");
    peer.publish(message("kept").text("anew")).await.expect("a receipt");
    peer.consume("kept", 1).await;
    assert_eq!(&peer.delivery().await.message.payload()[..], b"anew");
    drop((peer, hub, store));
    assert!(verify(folder, &mut |_, _| {}).expect("looks").sound);
}

#[tokio::test]
async fn a_kept_segment_that_is_removed_by_hand_costs_the_unsettled_message_in_it_and_nothing_else() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("log");
    let kept = life(&folder).await;
    std::fs::remove_file(folder.join("0000000001.seg")).expect("removed");
    read_only_until_repaired(&folder, kept).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_makes_the_hub_read_only_and_a_start_too_until_it_is_given_up() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("log");
    let kept = life(&folder).await;
    damage_kept(&folder);
    let (store, hub) = open(&folder).await;
    assert_eq!(store.trouble(), None, "a start does not read what a snapshot covers");
    let mut peer = Peer::attach(&hub, None);
    let receipt = peer.publish(message("jobs").text("accepted before")).await.expect("a receipt");
    peer.consume("kept", 1).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let trouble = loop {
        assert!(Instant::now() < deadline, "it is stuck, and nobody is told");
        if let Some(trouble) = store.trouble() {
            break trouble;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(trouble.code, skep_protocol::Code::ReadOnly);
    let position = format!("position {}", kept.number().expect("a number"));
    let told = [position.as_str(), "0000000001.seg at byte", "skep verify"];
    assert!(told.iter().all(|part| trouble.text.contains(part)), "{trouble}");
    let refused = peer.publish(message("jobs")).await.expect_err("nothing new is taken");
    assert_eq!(refused.code, skep_protocol::Code::ReadOnly);
    drop((peer, hub));
    store.close().await.expect("closes");
    drop(store);
    read_only_until_repaired(&folder, kept).await;
    // What was accepted before is there.
    let (store, hub) = open(&folder).await;
    let mut peer = Peer::attach(&hub, None);
    peer.consume("jobs", 1).await;
    assert_eq!(peer.delivery().await.position, receipt.position.expect("stored"));
    drop((peer, hub, store));
}

#[tokio::test]
async fn a_look_at_a_message_that_cannot_be_read_makes_the_hub_read_only() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("log");
    life(&folder).await;
    damage_kept(&folder);
    let (store, hub) = open(&folder).await;
    let mut peer = Peer::attach(&hub, None);
    let look = Ask::Peek { queue: "kept".parse().expect("a name"), from: None, limit: 10 };
    let refused = peer.look(look).await.expect_err("it cannot be shown");
    assert_eq!(refused.code, skep_protocol::Code::ReadOnly);
    assert!(store.trouble().is_some_and(|trouble| trouble.code == skep_protocol::Code::ReadOnly));
    drop((peer, hub, store));
}

#[tokio::test]
async fn with_little_to_be_kept_segments_stay_small_and_so_does_the_log() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("log");
    let mut options = EmbeddedOptions::default();
    options.retention = Retention { age: Duration::from_secs(3_600), bytes: 1 << 20 };
    let store = Embedded::open(&folder, Clock::new(), options).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(options, Clock::new(), store.clone(), store.clone(), Arc::new(Anyone)).await.expect("a hub");
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.consume("jobs", 1).await;
    let text = "x".repeat(250_000);
    for _ in 0..80 {
        peer.publish(message("jobs").text(&text)).await.expect("a receipt");
        let delivery = peer.delivery().await;
        peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    }
    let log_bytes = || -> u64 {
        let lengths =
            segments(&folder).into_iter().map(|name| std::fs::metadata(folder.join(name)).map_or(0, |of| of.len()));
        lengths.sum()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while log_bytes() > 8 << 20 {
        assert!(Instant::now() < deadline, "{} bytes of 20 MB stay: {:?}", log_bytes(), segments(&folder));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((peer, hub, store));
}
