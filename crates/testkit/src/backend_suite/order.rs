//! Order by key, and queues of which one consumer alone gets messages.

use skep_protocol::{Action, Ask, Attribute, Code, Command, Consumers, Page, QueueInfo, QueueName, QueueSpec, Retry};

use super::{Opener, close, declare, hub, jobs, text};
use crate::peer::{Peer, message};

async fn send(peer: &mut Peer, key: &str, body: &str) {
    let keyed = message("jobs").attribute("partitionkey", Attribute::Text(key)).text(body);
    peer.publish(keyed).await.expect("a receipt");
}

async fn info(peer: &mut Peer) -> QueueInfo {
    match peer.look(Ask::Queue { queue: QueueName::new("jobs").expect("a name") }).await.expect("a look") {
        Page::Queues(mut queues) => queues.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Of the messages of one key one is delivered at a time, oldest first; one that waits after a nack holds its key alone.
pub async fn messages_of_one_key_are_delivered_one_at_a_time_in_order(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    for body in ["a1", "a2", "b1"] {
        send(&mut peer, &body[..1], body).await;
    }
    peer.consume("jobs", 10).await;
    let (first, other) = (peer.delivery().await, peer.delivery().await);
    assert_eq!((text(&first.message).as_str(), text(&other.message).as_str()), ("a1", "b1"));
    assert!(peer.is_quiet(50).await);
    let later = Action::Nack { after_ms: Some(300), reason: "later".into() };
    peer.settle(first.lease, later).await.expect("an answer");
    send(&mut peer, "b", "b2").await;
    peer.settle(other.lease, Action::Ack).await.expect("an answer");
    assert_eq!(text(&peer.delivery().await.message), "b2", "the other key goes on");
    let again = peer.delivery().await;
    assert_eq!((text(&again.message).as_str(), again.attempt), ("a1", 2));
    peer.settle(again.lease, Action::Ack).await.expect("an answer");
    assert_eq!(text(&peer.delivery().await.message), "a2");
}

/// A dead letter parks its key, also across a restart; redriven, it goes first.
pub async fn a_dead_letter_parks_its_key_until_it_is_redriven(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    for body in ["1", "2", "3"] {
        send(&mut peer, "k", body).await;
    }
    peer.consume("jobs", 10).await;
    let head = peer.delivery().await;
    peer.settle(head.lease, Action::Reject { reason: "bad".into() }).await.expect("an answer");
    assert!(peer.is_quiet(50).await);
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    peer.consume("jobs", 10).await;
    assert!(peer.is_quiet(50).await);
    let parked = info(&mut peer).await;
    assert_eq!((parked.parked, parked.parked_keys, parked.ready, parked.dead), (2, 1, 0, 1));
    let queue = QueueName::new("jobs").expect("a name");
    peer.manage(Command::Redrive { queue, limit: 10 }).await.expect("redriven");
    for body in ["1", "2", "3"] {
        let delivery = peer.delivery().await;
        assert_eq!(text(&delivery.message), body);
        assert!(peer.is_quiet(20).await, "one at a time");
        peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    }
}

/// An exclusive queue refuses a second consumer and names the first; when that has gone, it takes another.
pub async fn an_exclusive_queue_refuses_a_second_consumer(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { consumers: Consumers::Exclusive, ..spec }).await;
    let mut first = Peer::attach(&hub, Some("first"));
    first.consume("jobs", 1).await;
    let refused = peer.consume_with("jobs", 1, |subscribe| subscribe).await.expect_err("it is taken");
    assert_eq!(refused.code, Code::InUse);
    assert!(matches!(refused.retry, Retry::After(_)), "it may try again as it is: {refused:?}");
    assert!(refused.text.contains("agent/first") && refused.text.contains("jobs"), "{refused}");
    assert_eq!(info(&mut peer).await.active.as_deref(), Some("agent/first"));
    first.goodbye();
    peer.consume("jobs", 1).await;
    peer.publish(message("jobs").text("one")).await.expect("a receipt");
    assert_eq!(text(&peer.delivery().await.message), "one");
}

/// Of several consumers the first alone gets messages; when it goes, the next one gets what it held.
pub async fn the_next_consumer_takes_over_when_the_single_active_one_goes(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { consumers: Consumers::SingleActive, ..spec }).await;
    let (mut first, mut second) = (Peer::attach(&hub, Some("first")), Peer::attach(&hub, Some("second")));
    first.consume("jobs", 1).await;
    second.consume("jobs", 5).await;
    for body in ["1", "2", "3"] {
        peer.publish(message("jobs").text(body)).await.expect("a receipt");
    }
    assert_eq!(text(&first.delivery().await.message), "1");
    assert!(second.is_quiet(50).await, "it stands by, although the first has no room");
    let shown = info(&mut peer).await;
    assert_eq!((shown.active.as_deref(), shown.consumers), (Some("agent/first"), 2));
    first.goodbye();
    for body in ["1", "2", "3"] {
        assert_eq!(text(&second.delivery().await.message), body);
    }
    assert_eq!(info(&mut peer).await.active.as_deref(), Some("agent/second"));
}
