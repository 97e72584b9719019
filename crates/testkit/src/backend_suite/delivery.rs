//! Deliveries: leases, attempts, windows, priorities, bounds.

use std::time::{Duration, Instant};

use skep_protocol::{Action, Ask, Code, Command, Durability, Filter, Guarantee, Page, Priority, QueueName, QueueSpec};

use super::{Opener, declare, hub, jobs, peek, text};
use crate::peer::{Peer, message};

/// A receipt names durability, position and who took it; the message comes, and once acked no more.
pub async fn a_stored_message_is_delivered_and_an_acked_one_never_comes_back(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    let receipt = peer.publish(message("jobs").text("one")).await.expect("a receipt");
    assert_eq!((receipt.queues, receipt.durability), (1, Some(Durability::Fsync)));
    assert_eq!(receipt.guarantee, Guarantee::AtLeastOnce);
    peer.consume("jobs", 10).await;
    let delivery = peer.delivery().await;
    assert_eq!((text(&delivery.message).as_str(), delivery.attempt), ("one", 1));
    assert_eq!(Some(delivery.position), receipt.position);
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    peer.settle(delivery.lease, Action::Ack).await.expect("a retry gets the same answer");
    let other = peer.settle(delivery.lease, Action::Return).await.expect_err("it is acked");
    assert_eq!(other.code, Code::LeaseLost);
    assert!(peer.is_quiet(50).await);
}

/// A nack brings it back with the reason; attempts spent, it is a dead letter, and its sender is told.
pub async fn a_message_that_fails_too_often_is_a_dead_letter_and_its_sender_is_told(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = Peer::attach(&hub, Some("alice"));
    let alice = "alice".parse().expect("an id");
    peer.manage(Command::Register { agent: alice, metadata: "{}".into() }).await.expect("an agent");
    declare(&mut peer, "jobs", |spec| QueueSpec { attempts_max: 3, backoff_min_ms: 0, ..spec }).await;
    peer.publish(message("jobs").text("poison")).await.expect("a receipt");
    peer.consume("jobs", 10).await;
    for attempt in 1..=3 {
        let delivery = peer.delivery().await;
        assert_eq!(delivery.attempt, attempt);
        let before = delivery.previous.map(|ended| ended.reason);
        assert_eq!(before, (attempt > 1).then(|| format!("no {}", attempt - 1)));
        let reason = format!("no {attempt}");
        peer.settle(delivery.lease, Action::Nack { after_ms: None, reason }).await.expect("an answer");
    }
    peer.consume("agent.alice.inbox", 10).await;
    let notice = peer.delivery().await;
    assert_eq!(notice.message.view().kind(), "delivery.dead_lettered");
    assert!(text(&notice.message).contains("no 3"));
    let dead = peek(&mut peer, "$dead.jobs").await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].previous.as_ref().map(|ended| ended.reason.as_str()), Some("no 3"));
    let jobs = QueueName::new("jobs").expect("a name");
    peer.manage(Command::Redrive { queue: jobs, limit: 10 }).await.expect("redriven");
    assert_eq!(peer.delivery().await.attempt, 1);
}

/// A reject goes to the dead letters at once.
pub async fn a_rejected_message_is_a_dead_letter_at_once(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    peer.publish(message("jobs").text("bad")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let delivery = peer.delivery().await;
    peer.settle(delivery.lease, Action::Reject { reason: "no such file".into() }).await.expect("an answer");
    let dead = peek(&mut peer, "$dead.jobs").await;
    assert_eq!(dead[0].previous.as_ref().map(|ended| ended.reason.as_str()), Some("no such file"));
    assert!(peer.is_quiet(50).await);
}

/// A lease that ends charges an attempt; its token settles nothing any more.
pub async fn a_lost_lease_returns_the_message_and_its_old_token_settles_nothing(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { lease_ms: 100, ..spec }).await;
    peer.publish(message("jobs").text("slow")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let first = peer.delivery().await;
    let progress = Action::Extend { lease_ms: Some(150), progress: Some("half".into()) };
    peer.settle(first.lease, progress).await.expect("extended");
    let second = peer.delivery().await;
    let ended = second.previous.expect("why the first attempt ended");
    assert_eq!((second.attempt, ended.reason.as_str()), (2, "lease_expired"));
    assert_eq!(ended.progress.as_deref(), Some("half"));
    let late = peer.settle(first.lease, Action::Ack).await.expect_err("too late");
    assert_eq!(late.code, Code::LeaseLost);
    peer.settle(second.lease, Action::Ack).await.expect("in time");
}

/// In flight never exceeds the window; settling frees it.
pub async fn in_flight_never_exceeds_the_window(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    for n in 0..10 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
    }
    peer.consume("jobs", 3).await;
    let held = [peer.delivery().await, peer.delivery().await, peer.delivery().await];
    assert!(peer.is_quiet(50).await);
    peer.settle(held[1].lease, Action::Ack).await.expect("an answer");
    assert_eq!(text(&peer.delivery().await.message), "3");
    assert!(peer.is_quiet(50).await);
}

/// A consumer that does not look for some lease lengths holds no more than its window, and nothing is
/// charged: when it looks again, it gets each message once, under a lease that holds.
pub async fn what_a_consumer_does_not_take_in_time_returns_uncharged(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { lease_ms: 400, attempts_max: 2, ..spec }).await;
    let last = message("jobs").text("2").finish().expect("a message");
    for n in 0..2 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
    }
    let mut slow = Peer::attach(&hub, None);
    slow.consume("jobs", 3).await;
    peer.publish_at(100, &last).await.expect("a receipt");
    let begun = Instant::now();
    while given(&mut peer, last.id()).await != (1, 1) {
        assert!(begun.elapsed() < Duration::from_secs(20), "its lease does not end");
        assert!(peer.is_quiet(5).await);
    }
    assert!(peer.is_quiet(1_000).await, "longer than two leases");
    assert_eq!(given(&mut peer, last.id()).await, (1, 1), "who takes nothing is given nothing more");
    let mut seen = Vec::new();
    while let Some(delivery) = slow.delivery_within(50).await {
        slow.settle(delivery.lease, Action::Ack).await.expect("its lease holds");
        seen.push((text(&delivery.message), delivery.attempt, delivery.previous));
    }
    assert_eq!(seen, ["0", "1", "2"].map(|text| (text.to_owned(), 1, None)));
}

/// How often a message was leased, and came back.
async fn given(peer: &mut Peer, id: &str) -> (usize, usize) {
    let Page::Trace(events) = peer.look(Ask::Trace { message: id.into(), search: None }).await.expect("a history")
    else {
        panic!("a trace")
    };
    let count = |what: &str| events.iter().filter(|event| event.what == what).count();
    (count("leased"), count("returned"))
}

/// Whoever consumes from a queue that is deleted is told so, once; its lease is lost.
pub async fn consumers_of_a_deleted_queue_are_told_once(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    for n in 0..2 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
    }
    let mut worker = Peer::attach(&hub, None);
    let subscription = worker.consume("jobs", 1).await;
    let job = worker.delivery().await;
    let queue = QueueName::new("jobs").expect("a name");
    peer.manage(Command::Delete { queue, force: true }).await.expect("deleted");
    let (ended, error) = worker.ended().await;
    assert_eq!((ended, error.code), (subscription, Code::UnknownQueue));
    assert!(error.text.contains("jobs was deleted"), "{error}");
    let late = worker.settle(job.lease, Action::Ack).await.expect_err("its queue is gone");
    assert_eq!(late.code, Code::LeaseLost);
    assert!(late.text.contains("deleted"), "{late}");
    assert!(worker.is_quiet(50).await);
    // Another queue of that name is another queue.
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.publish(message("jobs").text("new")).await.expect("a receipt");
    worker.consume("jobs", 1).await;
    assert_eq!(text(&worker.delivery().await.message), "new");
}

/// A consumer that goes gives its messages to the others: uncharged with a goodbye; lost, only
/// what it worked on is charged.
pub async fn a_consumer_that_goes_gives_back_what_it_holds(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    for n in 0..3 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
    }
    let mut polite = Peer::attach(&hub, None);
    polite.consume("jobs", 3).await;
    for _ in 0..3 {
        polite.delivery().await;
    }
    polite.goodbye();
    let mut lost = Peer::attach(&hub, None);
    lost.consume("jobs", 3).await;
    for _ in 0..3 {
        assert_eq!(lost.delivery().await.attempt, 1, "a goodbye charges nothing");
    }
    drop(lost);
    peer.consume("jobs", 3).await;
    let attempts = [peer.delivery().await.attempt, peer.delivery().await.attempt, peer.delivery().await.attempt];
    assert_eq!(attempts, [2, 1, 1], "one handler, one charge");
}

/// Higher priorities first.
pub async fn a_critical_message_goes_before_those_that_wait(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    for (priority, name) in [(Priority::Bulk, "bulk"), (Priority::Normal, "normal"), (Priority::Critical, "critical")] {
        peer.publish(message("jobs").priority(priority).text(name)).await.expect("a receipt");
    }
    peer.consume("jobs", 10).await;
    for name in ["critical", "normal", "bulk"] {
        assert_eq!(text(&peer.delivery().await.message), name);
    }
}

/// A full inbox refuses what is addressed to it; on a broadcast it is skipped and counted.
pub async fn a_full_queue_refuses_when_addressed_and_is_skipped_else(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = Peer::attach(&hub, None);
    let filters = vec![Filter::new("news").expect("a filter")];
    declare(&mut peer, "small", |spec| QueueSpec { messages_max: 1, filters: filters.clone(), ..spec }).await;
    declare(&mut peer, "large", |spec| QueueSpec { filters, ..spec }).await;
    let first = peer.publish(message("news")).await.expect("a receipt");
    let second = peer.publish(message("news")).await.expect("a receipt");
    assert_eq!((first.queues, first.skipped, second.queues, second.skipped), (2, 0, 1, 1));
    declare(&mut peer, "alone", |spec| QueueSpec { messages_max: 1, ..spec }).await;
    peer.publish(message("alone")).await.expect("a receipt");
    let full = peer.publish(message("alone")).await.expect_err("it is full");
    assert_eq!(full.code, Code::QueueFull);
    assert!(full.text.contains("alone"), "{full}");
}

/// At least once is refused when nothing durable matches; unsaid, a message is as strong as its receiver.
pub async fn a_guarantee_that_cannot_be_given_is_refused(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = Peer::attach(&hub, None);
    let none = peer.publish(message("nowhere").guarantee(Guarantee::AtLeastOnce)).await.expect_err("no queue");
    assert_eq!(none.code, Code::NoQueue);
    let weak = peer.publish(message("nowhere")).await.expect("a receipt");
    assert_eq!((weak.guarantee, weak.queues, weak.position), (Guarantee::BestEffort, 0, None));
    let unknown = peer.publish(message("agent.bob.inbox")).await.expect_err("nobody knows bob");
    assert_eq!(unknown.code, Code::UnknownAgent);
    assert!(unknown.text.contains("skep agents add bob"));
}
