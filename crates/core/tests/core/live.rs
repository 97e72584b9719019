//! Live messages and requests between sessions of one hub.

use skep_protocol::limits::NOT_BEFORE_MS_MAX;
use skep_protocol::{Accepted, Ask, Code, Command, Error, Guarantee, Message, Page, QueueSpec};
use skep_testkit::{Peer, message, topic};

use crate::connection::House;

fn text(message: &Message) -> String {
    String::from_utf8(message.payload().to_vec()).expect("text")
}

#[tokio::test]
async fn a_session_gets_a_live_message_once_however_many_subscriptions_match() {
    let house = House::new().await;
    let (mut a, mut b) = (Peer::attach(&house.hub, None), Peer::attach(&house.hub, None));
    for filter in ["events.*", "events.>", "events.done"] {
        a.listen(filter).await;
    }
    b.listen(">").await;
    let receipt = b.publish(message("events.done").text("x")).await.expect("a receipt");
    assert_eq!((receipt.live, receipt.queues, receipt.guarantee), (2, 0, Guarantee::BestEffort));
    assert_eq!(text(&a.live().await), "x");
    assert_eq!(text(&b.live().await), "x");
    assert!(a.is_quiet(20).await && b.is_quiet(20).await);
}

/// The same with a payload that no builder would take.
fn with_payload(message: &Message, bytes: usize) -> Message {
    let short = message.payload().len() + 2;
    let head = message.bytes().get(..message.bytes().len() - short).expect("the payload is its end");
    let length = u32::try_from(bytes).expect("short").to_be_bytes();
    Message::parse([head, &[0xc6], &length, &vec![b'x'; bytes]].concat().into()).expect("a message")
}

#[tokio::test]
async fn messages_that_differ_in_id_and_payload_alone_are_each_judged_and_heard_once_in_order() {
    let house = House::new().await;
    let mut listeners = [Peer::attach(&house.hub, None), Peer::attach(&house.hub, None)];
    for listener in &mut listeners {
        listener.listen("events.*").await;
    }
    let mut sender = Peer::attach(&house.hub, None);
    let to = |name: &str, text: &str| message(name).text(text).finish().expect("a message");
    let mut batch: Vec<Message> = (0..400).map(|n| to("events.a", &n.to_string())).collect();
    batch.extend([
        with_payload(&to("events.a", "1"), house.hub.options().payload_bytes_max + 1),
        to("events.a", "400"),
        to("else.b", "unheard"),
        to("events.b", "401"),
    ]);
    // A resend is answered as before, and nobody hears it again; what was refused is judged again.
    for is_resend in [false, true] {
        let now = house.hub.now();
        sender.session().publish(1, &batch, now);
        let mut told = Vec::new();
        while told.iter().map(|(_, count, _)| u64::from(*count)).sum::<u64>() < batch.len() as u64 {
            let receipt = sender.receipt().await;
            let result = Result::from(receipt.result);
            let live = result.map(|ok| (ok.live, ok.duplicate)).map_err(|error: Error| error.code);
            told.push((receipt.sequence, receipt.count, live));
        }
        told.sort_by_key(|(sequence, ..)| *sequence);
        let heard = Ok((2, is_resend));
        let expected = [
            (1, 400, heard),
            (401, 1, Err(Code::TooLarge)),
            (402, 1, heard),
            (403, 1, Ok((0, is_resend))),
            (404, 1, heard),
        ];
        assert_eq!(told, expected);
    }
    // Of neighbours that are alike, one may be a resend and the next not.
    let more = [to("events.b", "401"), to("events.b", "402")];
    let now = house.hub.now();
    sender.session().publish(404, &more, now);
    let told = [sender.receipt().await, sender.receipt().await].map(|receipt| Result::from(receipt.result));
    assert_eq!(told.map(|result: Result<Accepted, Error>| result.expect("taken").duplicate), [true, false]);
    for listener in &mut listeners {
        for n in 0..403 {
            assert_eq!(text(&listener.live().await), n.to_string());
        }
        assert!(listener.is_quiet(20).await);
    }
    assert_eq!(house.hub.counters().live, 2 * 403);
}

#[tokio::test]
async fn live_listeners_see_a_stored_message_after_its_receipt_could_be_given() {
    let house = House::new().await;
    let hub = house.hub.clone();
    let work = tokio::spawn(async move { hub.run().await });
    let mut peer = Peer::attach(&house.hub, None);
    skep_testkit::backend_suite::declare(&mut peer, "jobs", |spec| spec).await;
    let mut listener = Peer::attach(&house.hub, None);
    listener.listen("jobs").await;
    for n in 0..20 {
        let receipt = peer.publish(message("jobs").text(&n.to_string())).await.expect("a receipt");
        assert_eq!((receipt.queues, receipt.live), (1, 1));
    }
    for n in 0..20 {
        assert_eq!(text(&listener.live().await), n.to_string());
    }
    work.abort();
}

#[tokio::test]
async fn a_request_is_answered_and_without_anybody_refused_at_once() {
    let house = House::new().await;
    let (mut asker, mut service) = (Peer::attach(&house.hub, None), Peer::attach(&house.hub, None));
    let replies = topic(&format!("{}.1", asker.session().replies()));
    let nobody = asker.publish(message("service.echo").replyto(&replies)).await.expect_err("nobody is there");
    assert_eq!(nobody.code, Code::NoResponders);
    service.listen("service.echo").await;
    asker.publish(message("service.echo").replyto(&replies).text("hello")).await.expect("a receipt");
    let request = service.live().await;
    let back = request.view().replyto().expect("a way back").to_owned();
    service.publish(message(&back).correlation(request.id()).text("echo")).await.expect("a receipt");
    let reply = asker.live().await;
    assert_eq!((text(&reply).as_str(), reply.view().correlation()), ("echo", Some(request.id())));
    asker.goodbye();
    let late = service.publish(message(&back)).await.expect_err("the asker has gone");
    assert_eq!(late.code, Code::NoResponders);
}

#[tokio::test]
async fn nobody_listens_to_the_replies_of_others_or_speaks_as_the_hub() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, Some("alice"));
    let own = message("$sys.x").finish().expect("a message");
    assert_eq!(peer.publish_at(50, &own).await.expect_err("reserved").code, Code::Forbidden);
    let spy = peer.listen_to("$reply.>").await.expect_err("not yours");
    assert_eq!(spy.code, Code::Forbidden);
    let bob = Message::build(&skep_protocol::MessageId::new("1").expect("an id"), "agent/bob", "note");
    let forged = bob.to(&topic("x")).finish().expect("a message");
    assert_eq!(peer.publish_at(51, &forged).await.expect_err("not yours").code, Code::Forbidden);
    for source in ["skep/hub", "skep/", "skep/anything"] {
        let notice = Message::build(&skep_protocol::MessageId::new("2").expect("an id"), source, "sys.deadlettered");
        let forged = notice.to(&topic("x")).finish().expect("a message");
        let refused = peer.publish_at(52, &forged).await.expect_err("the hub's own");
        assert!(refused.code == Code::Forbidden && refused.text.contains(source), "{refused}");
    }
    let plain = Message::build(&skep_protocol::MessageId::new("3").expect("an id"), skep_core::HTTP_SOURCE, "note");
    peer.publish_at(53, &plain.to(&topic("x")).finish().expect("a message")).await.expect("anybody's");
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_not_ignored() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    for (name, value) in [("retry", "attempts=three"), ("timeout", "soon")] {
        let asked = message("x").attribute(name, skep_protocol::Attribute::Text(value));
        let refused = peer.publish(asked).await.expect_err("not understood");
        assert_eq!(refused.code, Code::InvalidMessage);
        assert!(refused.text.contains(name), "{refused}");
    }
}

#[tokio::test]
async fn a_message_that_asks_for_a_durability_that_is_none_is_refused() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    let asked = message("x").attribute("durability", skep_protocol::Attribute::Text("disk"));
    let refused = peer.publish(asked).await.expect_err("it is none");
    assert_eq!(refused.code, Code::InvalidMessage);
    assert!(refused.text.contains("memory, os, interval, fsync"), "{refused}");
    peer.publish(message("x").durability(skep_protocol::Durability::Os)).await.expect("a receipt");
}

#[tokio::test]
async fn what_names_a_moment_that_nobody_can_keep_is_refused() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    let now_ms = house.hub.now().unix_ms;
    let (soon, later) = (now_ms + 60_000, now_ms + 120_000);
    let live = peer.publish(message("x").not_before(soon)).await.expect_err("no queue keeps it");
    assert_eq!(live.code, Code::NoQueue);
    let weak =
        peer.publish(message("x").not_before(soon).guarantee(Guarantee::BestEffort)).await.expect_err("not kept");
    assert_eq!(weak.code, Code::Unsupported);
    assert!(weak.text.contains("notbefore") && weak.text.contains("best_effort"), "{weak}");
    let text = |name, value| message("x").attribute(name, skep_protocol::Attribute::Text(value));
    for (wrong, said) in [
        (text("notbefore", "tomorrow"), "RFC 3339"),
        (text("expirytime", "tomorrow"), "RFC 3339"),
        (message("x").not_before(now_ms + NOT_BEFORE_MS_MAX + 60_000), "365 days"),
        (message("x").not_before(later).expires(soon), "not after its notbefore"),
    ] {
        let refused = peer.publish(wrong).await.expect_err("wrong");
        assert_eq!(refused.code, Code::InvalidMessage);
        assert!(refused.text.contains(said), "{refused}");
    }
}

#[tokio::test]
async fn a_live_message_that_expired_is_refused_and_heard_by_nobody() {
    let house = House::new().await;
    let (mut peer, mut ear) = (Peer::attach(&house.hub, None), Peer::attach(&house.hub, None));
    ear.listen_to("x").await.expect("a subscription");
    let now_ms = house.hub.now().unix_ms;
    let late = peer.publish(message("x").expires(now_ms).text("late")).await.expect_err("expired");
    assert_eq!(late.code, Code::Expired);
    let accepted = peer.publish(message("x").expires(now_ms + 600_000).text("in time")).await.expect("a receipt");
    assert_eq!(accepted.live, 1);
    assert_eq!(&ear.live().await.payload()[..], b"in time");
}

#[tokio::test]
async fn a_compact_message_that_is_no_event_in_json_is_refused() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    let whole = message("x").time("2026-01-31T12:00:00Z").finish().expect("a message");
    let mut bytes = whole.bytes().to_vec();
    let hour = bytes.windows(3).position(|part| part == b"T12").expect("the hour");
    bytes[hour..hour + 3].copy_from_slice(b"T99");
    let broken = Message::parse(bytes.into()).expect("the compact form leaves it open");
    let refused = peer.publish_at(50, &broken).await.expect_err("nobody could read it");
    assert!(refused.code == Code::InvalidMessage && refused.text.contains("T99"), "{refused}");
}

/// A queue that takes everything does not make an agent known.
#[tokio::test]
async fn an_unknown_agent_is_refused_although_a_queue_takes_what_is_addressed_to_it() {
    for filter in [">", "agent.>", "agent.*.inbox", "*.nobody.inbox"] {
        let house = House::new().await;
        let mut peer = Peer::attach(&house.hub, None);
        let filters = vec![filter.parse().expect("a filter")];
        skep_testkit::backend_suite::declare(&mut peer, "archive", |spec| QueueSpec { filters, ..spec }).await;
        let known = Command::Register { agent: "bob".parse().expect("an id"), metadata: "{}".into() };
        peer.manage(known).await.expect("an agent");
        for guarantee in [None, Some(Guarantee::BestEffort), Some(Guarantee::AtLeastOnce), Some(Guarantee::ExactlyOnce)]
        {
            let sent = message("agent.nobody.inbox");
            let sent = guarantee.map_or_else(|| message("agent.nobody.inbox"), |guarantee| sent.guarantee(guarantee));
            let refused = peer.publish(sent).await.expect_err("nobody is nobody");
            assert_eq!(refused.code, Code::UnknownAgent, "{filter}, {guarantee:?}");
        }
        let Page::Queues(queues) = peer.look(Ask::Queues).await.expect("a look") else { panic!("queues") };
        assert!(queues.iter().all(|queue| queue.ready == 0), "nothing was kept: {queues:?}");
        peer.publish(message("agent.bob.inbox")).await.expect("bob is known");
    }
}
