//! What outlives a restart, what is recognised, and what can be seen of the past.

use skep_protocol::{
    Action, Ask, Binding, Code, Command, Filter, Guarantee, Page, Position, Priority, QueueName, QueueSpec, Settlement,
    Subscribe,
};

use super::{Opener, close, declare, hub, jobs, peek, peek_from, settle, text};
use crate::peer::{Peer, message, topic};

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

/// What somebody works on when the hub stops in order is tried again, and that was nobody's failure: also a message with one
/// attempt comes again, however often the hub stops.
pub async fn a_hub_that_stops_in_order_uses_up_no_attempt(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = Peer::attach(&first, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { attempts_max: 1, ..spec }).await;
    peer.publish(message("jobs").text("one")).await.expect("a receipt");
    close(first, peer).await;
    for _ in 0..3 {
        let again = hub(opener).await;
        let mut peer = Peer::attach(&again, None);
        let keep = |subscribe| Subscribe { binding: Binding::Deadline, ..subscribe };
        peer.consume_with("jobs", 1, keep).await.expect("a subscription");
        let delivery = peer.delivery().await;
        assert_eq!((text(&delivery.message).as_str(), delivery.attempt), ("one", 1));
        close(again, peer).await;
    }
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
    let Page::Trace(events) =
        peer.look(Ask::Trace { message: kept.id().into(), search: None }).await.expect("a history")
    else {
        panic!("a trace")
    };
    assert_eq!(
        events.iter().map(|event| event.what.as_str()).collect::<Vec<_>>(),
        ["accepted", "stored", "leased", "acked"]
    );
}

/// Page by page, every message a queue holds is shown once: ready, leased and delayed ones.
pub async fn a_look_at_a_queue_goes_on_where_the_page_before_ended(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    let mut stored = Vec::new();
    for n in 0..20 {
        let kind = if n % 3 == 0 { Priority::Critical } else { Priority::Normal };
        let receipt = peer.publish(message("jobs").priority(kind).text(&n.to_string())).await.expect("a receipt");
        stored.push(receipt.position.expect("a position"));
    }
    peer.consume("jobs", 4).await;
    let late = Action::Nack { after_ms: Some(60_000), reason: "later".into() };
    let (first, _) = (peer.delivery().await, peer.delivery().await);
    peer.settle(first.lease, late).await.expect("settled");
    let queue = QueueName::new("jobs").expect("a name");
    let (mut seen, mut from) = (Vec::new(), None);
    for page in 0.. {
        let (messages, next) = peek_from(&mut peer, queue.clone(), from, 6).await;
        assert_eq!(messages.len(), if page < 3 { 6 } else { 2 }, "page {page}");
        seen.extend(messages.iter().map(|stored| stored.position));
        assert_eq!(next, stored.get(seen.len()).copied(), "where the next page begins");
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(seen, stored);
    assert_eq!(peek_from(&mut peer, queue, Some(Position::Number(u64::MAX)), 6).await, (Vec::new(), None));
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

/// A lease token of an earlier opening settles nothing, though its count may be in use again.
pub async fn an_old_hubs_lease_token_settles_nothing(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    peer.publish(message("jobs").text("one")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let old = peer.delivery().await;
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    peer.consume("jobs", 1).await;
    let new = peer.delivery().await;
    assert_ne!(old.lease, new.lease);
    let late = peer.settle(old.lease, Action::Ack).await.expect_err("that hub is gone");
    assert_eq!(late.code, Code::LeaseLost);
    peer.settle(new.lease, Action::Ack).await.expect("an answer");
    close(second, peer).await;
}

/// A party that resumes keeps the leases it names; the rest comes again, uncharged.
pub async fn a_resumed_party_keeps_the_leases_it_names(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    for n in 0..3 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
    }
    let mut worker = Peer::attach(&hub, None);
    worker.consume("jobs", 2).await;
    let kept = worker.delivery().await;
    worker.delivery().await;
    let token = worker.session().resume_token();
    let mut worker = worker.parked_and_resumed(token, &[kept.lease]);
    let again = worker.delivery().await;
    assert_eq!((text(&again.message).as_str(), again.attempt), ("1", 1));
    worker.settle(kept.lease, Action::Ack).await.expect("it is held still");
    assert_eq!(text(&worker.delivery().await.message), "2", "its window stands as before");
}

/// What is on its way to a session that is gone is leased to nobody: it returns, uncharged, though
/// its leases would live to their deadline.
pub async fn what_comes_too_late_for_its_session_returns_uncharged(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    for n in 0..50 {
        peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
    }
    close(first, peer).await;
    // Opened anew, nothing is in memory: deliveries take a while.
    let second = hub(opener).await;
    for _ in 0..20 {
        let mut hasty = Peer::attach(&second, None);
        hasty.consume_with("jobs", 50, |subscribe| Subscribe { binding: Binding::Deadline, ..subscribe }).await.ok();
        drop(hasty);
    }
    let mut peer = Peer::attach(&second, None);
    peer.consume("jobs", 50).await;
    let mut seen: Vec<(u32, u32)> = Vec::new();
    for _ in 0..50 {
        let delivery = peer.delivery().await;
        seen.push((text(&delivery.message).parse().expect("a number"), delivery.attempt));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..50).map(|n| (n, 1)).collect::<Vec<_>>());
    close(second, peer).await;
}

/// Best effort does not wait, and a durable queue that matches keeps each message all the same.
pub async fn every_best_effort_message_reaches_a_durable_queue(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    for n in 0..5 {
        let weak = message("jobs").guarantee(Guarantee::BestEffort).text(&n.to_string());
        assert_eq!(peer.publish(weak).await.expect("a receipt").queues, 1);
    }
    peer.consume("jobs", 10).await;
    for n in 0..5 {
        assert_eq!(text(&peer.delivery().await.message), n.to_string());
    }
}

/// A step whose leases are settled does nothing anew, and one that must find a queue and does not is refused whole.
pub async fn a_step_without_its_leases_or_its_queue_is_refused_whole(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    declare(&mut peer, "results", |spec| spec).await;
    peer.publish(message("jobs")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let job = peer.delivery().await;
    let ack = || vec![settle(job.lease, Action::Ack)];
    let nowhere = message("nowhere").guarantee(Guarantee::AtLeastOnce).finish().expect("a message");
    let refused = peer.settle_at(50, ack(), vec![nowhere]).await;
    assert!(matches!(&refused.results[0], Settlement::Error(error) if error.code == Code::NoQueue));
    let result = || vec![message("results").finish().expect("a message")];
    assert_eq!(peer.settle_at(60, ack(), result()).await.results, [Settlement::Ok(())]);
    let anew = peer.settle_at(70, ack(), result()).await;
    assert!(matches!(&anew.results[0], Settlement::Error(error) if error.code == Code::LeaseLost));
    assert_eq!(peek(&mut peer, "results").await.len(), 1);
}
