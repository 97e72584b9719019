use skep_protocol::{Answer, Ask, Command, Managed, Page, QueueSpec, Report};

use super::*;

#[test]
fn a_subscription_is_asked_for_anew_in_a_new_session_and_stands_in_a_resumed_one() {
    let mut bench = Bench::open();
    let (_, mut coming) = bench.receive(7, 8);
    let asked = bench.sent();
    let expected = Subscribe {
        id: 7,
        target: Target::Queue(jobs()),
        window: Window { subscription: 7, messages: 8, bytes: 1000 },
        handlers: 1,
        binding: Binding::Connection,
    };
    assert_eq!(asked, [Frame::Subscribe(expected)]);
    bench.reconnect(welcome(2, true, vec![]));
    assert_eq!(bench.sent(), asked, "it was not yet confirmed");
    bench.hear(vec![Frame::Subscribed(7)]);
    assert_eq!(coming.try_recv().unwrap(), Ok(()));
    bench.reconnect(welcome(3, true, vec![]));
    assert_eq!(bench.sent(), []);
    bench.reconnect(welcome(4, false, vec![]));
    assert_eq!(bench.sent(), asked);
}

#[test]
fn a_refused_subscription_is_answered_under_its_own_number_and_its_reader_learns_why() {
    let mut bench = Bench::open();
    let (mailbox, mut coming) = bench.receive(7, 8);
    bench.sent();
    let unknown = Error::new(Code::UnknownQueue, "no queue jobs");
    bench.hear(vec![Frame::Managed(Managed { tag: 7, result: Settlement::Error(unknown.clone()) })]);
    assert_eq!(error(&mut coming), unknown);
    assert_eq!(mailbox.ended(), Some(unknown));
    bench.reconnect(welcome(2, false, vec![]));
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_reader_that_left_before_it_was_asked_for_is_not_asked_for() {
    let mut bench = Bench::open();
    let mailbox: Arc<Mailbox<Message>> = Arc::new(Mailbox::new(Bound::items(8)));
    mailbox.desert();
    bench.it.leave(Left::Subscription(1));
    let feed = Feed::Live { filter: Filter::new("a").unwrap(), mailbox };
    drop(bench.ask(|asker, _| Verb::Subscribe { id: 1, feed, asker }));
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_live_message_is_given_once_to_every_subscription_that_matches() {
    let mut bench = Bench::open();
    let boxes = ["events.*", "events.a", "events.a", "other.>", ">"].map(str::to_owned);
    let ids = 1..;
    let boxes: Vec<_> = ids.zip(&boxes).map(|(id, filter)| bench.listen(id, filter)).collect();
    bench.it.leave(Left::Subscription(3));
    let topics = ["events.a", "events.b"].map(|topic| Topic::new(topic).unwrap());
    let message = Message::build(&MessageId::new("m").unwrap(), "agent/a", "event");
    let message = topics.iter().fold(message, |message, topic| message.to(topic)).finish().unwrap();
    bench.hear(vec![Frame::Live(vec![message.clone()])]);
    let counts: Vec<_> = boxes.iter().map(|mailbox| mailbox.desert().len()).collect();
    assert_eq!(counts, [1, 1, 0, 0, 1]);
}

#[test]
fn a_quiet_client_pings_and_a_silent_hub_is_given_up() {
    let mut bench = Bench::open();
    assert_eq!(bench.it.deadline(), Some(NOW + HEARTBEAT));
    bench.it.tick(NOW + HEARTBEAT).unwrap();
    assert!(bench.it.deadline() > Some(NOW + HEARTBEAT), "the ping is due once, however long it waits");
    assert!(matches!(bench.sent().as_slice(), [Frame::Ping(_)]));
    assert!(bench.it.tick(NOW + HEARTBEAT * 2 - Duration::from_millis(1)).is_ok());
    let silent = bench.it.tick(NOW + HEARTBEAT * 2).unwrap_err();
    assert_eq!(silent.code, Code::ConnectionLost);
    bench.it.hear(vec![Frame::Pong(0)], NOW + HEARTBEAT).unwrap();
    assert!(bench.it.tick(NOW + HEARTBEAT * 2).is_ok());
}

#[test]
fn a_ping_is_answered_and_a_flood_of_pings_is_answered_in_part() {
    let mut bench = Bench::open();
    bench.hear(vec![Frame::Ping(5)]);
    assert_eq!(bench.sent(), [Frame::Pong(5)]);
    bench.hear((0..1000).map(Frame::Ping).collect());
    assert_eq!(bench.sent().len(), PONGS_MAX);
}

#[test]
fn a_hub_that_does_not_answer_connect_is_given_up() {
    let mut bench = Bench::open();
    bench.it.link_down();
    bench.greet();
    let deadline = bench.it.deadline().unwrap();
    assert!(bench.it.tick(deadline).is_err());
}

#[test]
fn a_refusal_before_welcome_ends_the_link_with_its_reason() {
    let mut bench = Bench::open();
    bench.it.link_down();
    bench.greet();
    let refused = Error::new(Code::Unauthenticated, "no such token");
    assert_eq!(bench.it.hear(vec![Frame::Error(refused.clone())], NOW), Err(refused));
}

#[test]
fn a_question_is_asked_again_and_a_command_only_if_it_may_be_said_twice() {
    let mut bench = Bench::open();
    let ask = |bench: &mut Bench, command| bench.ask(|asker, room| Verb::Manage { command, room, asker });
    let mut declare = ask(&mut bench, Command::Declare(QueueSpec::new(jobs())));
    let mut purge = ask(&mut bench, Command::Purge { queue: jobs() });
    let mut query = bench.ask(|asker, room| Verb::Query { ask: Ask::Queues, room, asker });
    assert_eq!(bench.sent().len(), 3);
    bench.it.link_down();
    let later = ask(&mut bench, Command::Purge { queue: jobs() });
    bench.greet();
    bench.hear(vec![welcome(2, true, vec![])]);
    assert_eq!(error(&mut purge).outcome, Outcome::Unknown);
    let again = bench.sent();
    let [Frame::Manage(first), Frame::Query(asked), Frame::Manage(second)] = again.as_slice() else {
        panic!("{again:?}")
    };
    assert!(matches!(second.command, Command::Purge { .. }));
    let done = Answer::Done { changed: true };
    bench.hear(vec![
        Frame::Managed(Managed { tag: first.tag, result: Settlement::Ok(done.clone()) }),
        Frame::Page(Report { tag: asked.tag, result: Settlement::Ok(Page::Queues(vec![])) }),
    ]);
    assert_eq!(declare.try_recv().unwrap(), Ok(done));
    assert_eq!(query.try_recv().unwrap(), Ok(Page::Queues(vec![])));
    drop(later);
}

#[test]
fn closing_waits_for_answers_takes_settles_and_refuses_new_work() {
    let mut bench = Bench::open();
    bench.receiving(1);
    let _published = bench.publish(1);
    bench.it.close(NOW, None);
    assert_eq!(error(&mut bench.publish(2)).code, Code::ShuttingDown);
    let _acked = bench.settle(1, Action::Ack);
    assert!(!bench.it.is_closed(NOW));
    assert!(bench.it.is_closed(NOW + Duration::from_secs(5)));
    let frames = bench.sent();
    let Frame::Settle(batch) = &frames[0] else { panic!("{frames:?}") };
    let answer = Settled { tag: batch.tag, results: vec![Settlement::Ok(())], receipts: vec![] };
    bench.hear(vec![Frame::Receipt(vec![publication(1, 1)]), Frame::Settled(answer)]);
    assert!(bench.it.is_closed(NOW));
}

#[test]
fn at_the_end_what_was_sent_is_unknown_and_what_was_not_is_refused() {
    let mut bench = Bench::open();
    let mailbox = bench.receiving(1);
    let (mut published, mut acked) = (bench.publish(1), bench.settle(1, Action::Ack));
    bench.sent();
    bench.it.link_down();
    let (mut late, mut handed) = (bench.publish(2), bench.hand_over(1, vec![message(3)]));
    bench.it.end(&Error::new(Code::NoHub, "gone"));
    for (error, code) in [
        (error(&mut published), Code::ConnectionLost),
        (error(&mut acked), Code::ConnectionLost),
        (error(&mut late), Code::ShuttingDown),
        (error(&mut handed), Code::ShuttingDown),
    ] {
        assert_eq!(error.code, code);
    }
    assert_eq!(mailbox.ended().unwrap().code, Code::NoHub);
    assert!(mailbox.desert()[0].lost.try_recv().is_ok());
    assert_eq!(bench.room.available_permits(), 1 << 30);
}
