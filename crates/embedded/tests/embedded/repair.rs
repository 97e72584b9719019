//! A whole store after a repair: whichever batch is lost, it opens for writing, and what the loss does not concern is as it was.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_embedded::log::{BatchAt, OpenWith, RecordKind, check, plan};
use skep_protocol::{Action, Ask, Command, Page, QueueSpec};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Peer, message};

use crate::faults::{first_segment, held, hub_on};

/// A record of the log, as far as it matters here.
struct Noted {
    position: u64,
    kind: RecordKind,
    batch: BatchAt,
    /// The queue and the message it speaks of.
    of: (u32, u64),
}

/// All that can happen to messages, one batch at a time, over two lives.
async fn lives(disk: &RecordingDisk) {
    let (_store, hub) = hub_on(disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { attempts_max: 2, ..spec }).await;
    declare(&mut peer, "short", |spec| spec).await;
    for n in 0..8 {
        peer.publish(message("jobs").text(&format!("first {n}"))).await.expect("a receipt");
        peer.publish(message("short").text(&format!("short {n}"))).await.expect("a receipt");
    }
    peer.consume("jobs", 1).await;
    for action in [
        Action::Ack,
        Action::Reject { reason: "bad".into() },
        Action::Nack { after_ms: Some(0), reason: "busy".into() },
        Action::Ack,
        Action::Reject { reason: "worse".into() },
    ] {
        let delivery = peer.delivery().await;
        peer.settle(delivery.lease, action).await.expect("an answer");
    }
    let manage = |queue: &str| queue.parse().expect("a name");
    peer.manage(Command::Redrive { queue: manage("jobs"), limit: 1 }).await.expect("redriven");
    peer.manage(Command::Purge { queue: manage("short") }).await.expect("purged");
    peer.manage(Command::Delete { queue: manage("short"), force: true }).await.expect("deleted");
    declare(&mut peer, "short", |spec| spec).await;
    peer.publish(message("short").text("anew")).await.expect("a receipt");
    peer.goodbye();
    hub.close().await.expect("closed");
    let (_store, hub) = hub_on(disk).await;
    let mut peer = Peer::attach(&hub, None);
    peer.consume("jobs", 1).await;
    for _ in 0..3 {
        let delivery = peer.delivery().await;
        peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
        peer.publish(message("jobs").text("second")).await.expect("a receipt");
    }
    peer.goodbye();
    hub.close().await.expect("closed");
}

fn noted(disk: &RecordingDisk) -> Vec<Noted> {
    let mut noted = Vec::new();
    let found = check(Arc::new(disk.clone()), OpenWith::new([0; 16], 0), &mut |view| {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let of = match view.body {
            [queue @ .., _] if queue.len() >= 12 => (number(&queue[..4]) as u32, number(&queue[4..12])),
            _ => (0, 0),
        };
        noted.push(Noted { position: view.position, kind: view.kind, batch: view.batch, of });
        Ok(())
    });
    assert!(found.expect("readable").0.corruption.is_none());
    noted
}

/// Everything held anywhere, by queue and position.
async fn all_held(disk: &RecordingDisk) -> BTreeSet<(String, u64)> {
    let (_store, hub) = hub_on(disk).await;
    assert!(hub.trouble().is_none(), "it is open for writing");
    let mut peer = Peer::attach(&hub, None);
    let Page::Queues(queues) = peer.look(Ask::Queues).await.expect("a look") else { panic!("queues") };
    let mut all = BTreeSet::new();
    for queue in queues {
        let name = queue.spec.name.to_string();
        for position in held(&mut peer, &name).await.keys() {
            all.insert((name.clone(), position.number().expect("a number")));
        }
    }
    if let Ok(receipt) = peer.publish(message("short")).await {
        assert!(receipt.queues <= 1, "a queue that was deleted takes messages");
    }
    let receipt = peer.publish(message("jobs").text("after")).await;
    if !all.iter().any(|(queue, _)| queue.starts_with("lost.queue-1")) {
        let position = receipt.expect("a receipt").position.expect("stored").number().expect("a number");
        assert!(all.iter().all(|(_, used)| *used < position), "{position} was used before");
    }
    all
}

#[tokio::test]
async fn whichever_batch_is_lost_the_repaired_store_keeps_what_the_loss_does_not_concern() {
    let disk = RecordingDisk::new();
    lives(&disk).await;
    let disk = disk.crash(disk.operations(), Image::AllWritten);
    let records = noted(&disk);
    let whole = all_held(&disk.crash(0, Image::AllWritten)).await;
    let batches: BTreeSet<BatchAt> = records.iter().map(|record| record.batch).collect();
    assert!(batches.len() > 30 && whole.len() > 5, "{} batches, {whole:?}", batches.len());
    for lost in &batches {
        let image = disk.crash(0, Image::AllWritten);
        let name = format!("{:010}.seg", lost.segment);
        image.tamper(&name, lost.offset + 70, b"\xff\xfe");
        let with = OpenWith::new([0; 16], 0);
        let planned = plan(Arc::new(image.clone()), with, &mut |_| Ok(())).expect("a plan");
        let gone: Vec<Range<u64>> = planned.losses.iter().map(|loss| loss.positions.clone()).collect();
        planned.carry_out(&RecordingDisk::new(), "").expect("repairs");
        let is_gone = |position: u64| gone.iter().any(|gone| gone.contains(&position));
        let found = all_held(&image).await;
        for (queue, position) in &whole {
            // It may be in another queue, when the record that moved it is lost.
            let kept = is_gone(*position) || found.iter().any(|(_, held)| held == position);
            assert!(kept, "{queue} {position} is lost with {gone:?}: {found:?}");
        }
        for record in records.iter().filter(|record| record.kind == RecordKind::Ack && !is_gone(record.position)) {
            let came_back = found.iter().any(|(_, position)| *position == record.of.1);
            assert!(!came_back, "position {} was settled and came back with {gone:?}", record.of.1);
        }
        // Once repaired, it stays so.
        all_held(&image).await;
    }
}

#[tokio::test]
async fn a_queue_whose_declaration_is_lost_keeps_its_messages_under_another_name() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.publish(message("jobs").text("kept")).await.expect("a receipt");
    peer.goodbye();
    hub.close().await.expect("closed");
    let disk = disk.crash(disk.operations(), Image::AllWritten);
    let name = first_segment(&disk);
    let bytes = disk.contents(&name).expect("bytes");
    let at = bytes.windows(6).position(|part| part == b"\"jobs\"").expect("the declaration is in it");
    disk.tamper(&name, at as u64, b"x");
    let planned = plan(Arc::new(disk.clone()), OpenWith::new([0; 16], 0), &mut |_| Ok(())).expect("a plan");
    planned.carry_out(&RecordingDisk::new(), "").expect("repairs");
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.publish(message("jobs").text("new")).await.expect("a receipt");
    let texts = async |peer: &mut Peer, queue| held(peer, queue).await.into_values().collect::<Vec<_>>();
    assert_eq!(texts(&mut peer, "lost.queue-1").await, ["kept"]);
    assert_eq!(texts(&mut peer, "jobs").await, ["new"]);
    peer.consume("lost.queue-1", 1).await;
    let delivery = peer.delivery().await;
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    peer.goodbye();
    hub.close().await.expect("closed");
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    assert_eq!((texts(&mut peer, "lost.queue-1").await.len(), texts(&mut peer, "jobs").await.len()), (0, 1));
}
