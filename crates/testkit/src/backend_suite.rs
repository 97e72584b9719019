//! What every backend must do, seen through sessions of a hub on it.

use std::sync::Arc;

use skep_core::{Backend, Clock, Facts, Hub, HubOptions};
use skep_protocol::{
    Action, Ask, Code, Command, Durability, Filter, Guarantee, Message, Page, Priority, ProducerId, QueueName,
    QueueSpec, Settle, Settlement, Stored,
};

use crate::peer::{Anyone, Peer, message, topic};

/// Opens the same store again and again; each call after the one before was closed.
pub type Opener<'a> = &'a dyn Fn() -> (Arc<dyn Backend>, Arc<dyn Facts>);

/// A hub on a backend, where anyone may do anything.
pub async fn hub(opener: Opener<'_>) -> Arc<Hub> {
    let (backend, facts) = opener();
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20 };
    Hub::open(options, Clock::new(), backend, facts, Arc::new(Anyone)).await.expect("a hub")
}

/// A queue's declaration with more said.
pub async fn declare(peer: &mut Peer, name: &str, more: impl FnOnce(QueueSpec) -> QueueSpec) {
    let spec = more(QueueSpec::new(QueueName::new(name).expect("a name")));
    peer.manage(Command::Declare(spec)).await.expect("a queue");
}

async fn jobs(hub: &Arc<Hub>) -> Peer {
    let mut peer = Peer::attach(hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { backoff_min_ms: 0, ..spec }).await;
    peer
}

fn text(message: &Message) -> String {
    String::from_utf8(message.payload().to_vec()).expect("text")
}

fn settle(lease: skep_protocol::LeaseToken, action: Action) -> Settle {
    Settle { lease, action }
}

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

/// What was stored and not settled is there after the store is opened again; what was acked is not.
pub async fn a_restart_forgets_nothing_and_brings_nothing_back(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    for n in 0..20 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
    }
    peer.consume("jobs", 15).await;
    for n in 0..10 {
        let delivery = peer.delivery().await;
        assert_eq!(text(&delivery.message), n.to_string());
        peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    }
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    peer.consume("jobs", 100).await;
    for n in 10..20 {
        assert_eq!(text(&peer.delivery().await.message), n.to_string());
    }
    assert!(peer.is_quiet(50).await);
    close(second, peer).await;
}

async fn close(hub: Arc<Hub>, peer: Peer) {
    peer.goodbye();
    hub.close().await.expect("closed in order");
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

/// A look shows what waits, and takes nothing.
async fn peek(peer: &mut Peer, queue: &str) -> Vec<Stored> {
    let queue = QueueName::new(queue).expect("a name");
    match peer.look(Ask::Peek { queue, limit: 100 }).await.expect("a look") {
        Page::Messages { messages, .. } => messages,
        other => panic!("{other:?}"),
    }
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

/// A resend with the same sequence is answered as it was, also after a restart.
pub async fn a_resend_is_recognised_by_its_sequence_across_a_restart(opener: Opener<'_>) {
    let producer = ProducerId([9; 16]);
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    let mut publisher = Peer::attach_as(&first, None, producer);
    let one = message("jobs").text("one").finish().expect("a message");
    let receipt = publisher.publish_at(1, &one).await.expect("a receipt");
    let again = publisher.publish_at(1, &one).await.expect("a receipt");
    assert!(again.duplicate && !receipt.duplicate);
    assert_eq!(again.position, receipt.position);
    publisher.goodbye();
    peer.look(Ask::Queues).await.expect("a look");
    close(first, peer).await;
    let second = hub(opener).await;
    let mut publisher = Peer::attach_as(&second, None, producer);
    let again = publisher.publish_at(1, &one).await.expect("a receipt");
    assert!(again.duplicate);
    assert_eq!(again.position, receipt.position);
    assert_eq!(peek(&mut publisher, "jobs").await.len(), 1);
    close(second, publisher).await;
}

/// A publish that asks for exactly once is recognised by party, source and id.
pub async fn an_exactly_once_message_is_recognised_by_its_id_across_a_restart(opener: Opener<'_>) {
    let build = || message("jobs").guarantee(Guarantee::ExactlyOnce).text("once").finish().expect("a message");
    let once = build();
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    let receipt = peer.publish_at(1, &once).await.expect("a receipt");
    assert!(peer.publish_at(2, &once).await.expect("a receipt").duplicate);
    assert!(!peer.publish_at(3, &build()).await.expect("a receipt").duplicate);
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    let again = peer.publish_at(1, &once).await.expect("a receipt");
    assert!(again.duplicate);
    assert_eq!(again.position, receipt.position);
    close(second, peer).await;
}

/// Settle and publish are one step: both happen or neither, and a resend is answered as it was.
pub async fn settle_and_publish_are_one_step(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    declare(&mut peer, "results", |spec| spec).await;
    peer.publish(message("jobs").text("work")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let job = peer.delivery().await;
    let result = vec![message("results").text("done").finish().expect("a message")];
    let ack = vec![settle(job.lease, Action::Ack)];
    let unknown = vec![message("agent.nobody.inbox").finish().expect("a message")];
    let refused = peer.settle_at(50, ack.clone(), unknown).await;
    assert!(matches!(&refused.results[0], Settlement::Error(error) if error.code == Code::UnknownAgent));
    let done = peer.settle_at(60, ack.clone(), result.clone()).await;
    assert_eq!(done.results, [Settlement::Ok(())]);
    let again = peer.settle_at(60, ack.clone(), result.clone()).await;
    assert_eq!(again.results, [Settlement::Ok(())], "a resend is answered as it was");
    let stale = peer.settle_at(70, vec![settle(job.lease, Action::Return)], result).await;
    assert!(matches!(&stale.results[0], Settlement::Error(error) if error.code == Code::LeaseLost));
    assert_eq!(peek(&mut peer, "results").await.len(), 1);
    assert!(peek(&mut peer, "jobs").await.is_empty());
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

/// Stored messages can be seen again, settled or not, from any position; and each has a history.
pub async fn the_past_can_be_replayed_and_traced(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    let kept = message("jobs").text("a").finish().expect("a message");
    peer.publish_at(100, &kept).await.expect("a receipt");
    let second =
        peer.publish_at(101, &message("jobs").text("b").finish().expect("a message")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let delivery = peer.delivery().await;
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    let from = second.position.expect("stored");
    for (from, expected) in [(skep_protocol::Position::Number(0), vec!["a", "b"]), (from, vec!["b"])] {
        let filter = Filter::from(topic("jobs"));
        let Page::Messages { messages, .. } =
            peer.look(Ask::Replay { filter, from, limit: 10 }).await.expect("the past")
        else {
            panic!("messages")
        };
        assert_eq!(messages.iter().map(|stored| text(&stored.message)).collect::<Vec<_>>(), expected);
    }
    let Page::Trace(events) = peer.look(Ask::Trace { message: kept.id().into() }).await.expect("a history") else {
        panic!("a trace")
    };
    assert_eq!(events.iter().map(|event| event.what.as_str()).collect::<Vec<_>>(), ["stored", "leased", "acked"]);
}

/// A queue that holds messages is deleted only by force; a purge drops what is ready, durably.
pub async fn a_queue_with_messages_is_deleted_only_by_force(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    for _ in 0..5 {
        peer.publish(message("jobs")).await.expect("a receipt");
    }
    let queue = QueueName::new("jobs").expect("a name");
    let refused = peer.manage(Command::Delete { queue: queue.clone(), force: false }).await.expect_err("it holds some");
    assert_eq!(refused.code, Code::InUse);
    let purged = peer.manage(Command::Purge { queue: queue.clone() }).await.expect("purged");
    assert_eq!(purged, skep_protocol::Answer::Count(5));
    peer.publish(message("jobs").text("after")).await.expect("a receipt");
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    assert_eq!(peek(&mut peer, "jobs").await.len(), 1);
    peer.manage(Command::Delete { queue: queue.clone(), force: true }).await.expect("deleted");
    let gone = peer.look(Ask::Queue { queue }).await.expect_err("it is gone");
    assert_eq!(gone.code, Code::UnknownQueue);
    close(second, peer).await;
}

/// Agents are known by their inbox, across restarts; a broadcast reaches all of them.
pub async fn registered_agents_are_known_after_a_restart(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = Peer::attach(&first, None);
    for agent in ["ann", "bob"] {
        let agent = agent.parse().expect("an id");
        peer.manage(Command::Register { agent, metadata: r#"{"role":"coder"}"#.into() }).await.expect("an agent");
    }
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    let Page::Agents(agents) = peer.look(Ask::Agents).await.expect("agents") else { panic!("agents") };
    assert_eq!(agents.iter().map(|info| info.agent.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    assert_eq!(agents[0].metadata, r#"{"role":"coder"}"#);
    let receipt = peer.publish(message("broadcast")).await.expect("a receipt");
    assert_eq!(receipt.queues, 2);
    let receipt = peer.publish(message("agent.bob.inbox")).await.expect("a receipt");
    let recipient = receipt.recipient.expect("an agent");
    assert_eq!((recipient.waiting, recipient.last_seen_ms), (2, None));
    close(second, peer).await;
}

/// Runs the named cases as tests, each on a store of its own.
#[macro_export]
macro_rules! backend_suite {
    ($open:expr) => {
        $crate::backend_suite!(@cases $open;
            a_stored_message_is_delivered_and_an_acked_one_never_comes_back
            a_restart_forgets_nothing_and_brings_nothing_back
            a_message_that_fails_too_often_is_a_dead_letter_and_its_sender_is_told
            a_rejected_message_is_a_dead_letter_at_once
            a_lost_lease_returns_the_message_and_its_old_token_settles_nothing
            in_flight_never_exceeds_the_window
            a_consumer_that_goes_gives_back_what_it_holds
            a_critical_message_goes_before_those_that_wait
            a_resend_is_recognised_by_its_sequence_across_a_restart
            an_exactly_once_message_is_recognised_by_its_id_across_a_restart
            settle_and_publish_are_one_step
            a_full_queue_refuses_when_addressed_and_is_skipped_else
            a_guarantee_that_cannot_be_given_is_refused
            the_past_can_be_replayed_and_traced
            a_queue_with_messages_is_deleted_only_by_force
            registered_agents_are_known_after_a_restart
        );
    };
    (@cases $open:expr; $($case:ident)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                let store = $open;
                $crate::backend_suite::$case(&store).await;
            }
        )+
    };
}
