use super::*;

#[test]
fn what_waits_goes_out_in_one_frame_and_is_answered_out_of_order() {
    let mut bench = Bench::open();
    let mut coming: Vec<_> = (1..=5).map(|n| bench.publish(n)).collect();
    let expected = Publish { sequence: 1, messages: (1..=5).map(message).collect() };
    assert_eq!(bench.sent(), [Frame::Publish(expected)]);
    bench.hear(vec![Frame::Receipt(vec![publication(4, 2), publication(1, 2)])]);
    let positions: Vec<_> = coming.iter_mut().map(|c| c.try_recv().ok().map(|r| r.unwrap().position)).collect();
    let at = |n| Some(Some(Position::Number(n)));
    assert_eq!(positions, [at(1001), at(1002), None, at(1004), at(1005)]);
}

#[test]
fn after_a_reconnect_the_unanswered_are_sent_again_with_their_sequences() {
    for resumed in [true, false] {
        let mut bench = Bench::open();
        let mut coming: Vec<_> = (1..=4).map(|n| bench.publish(n)).collect();
        let first = bench.sent();
        bench.hear(vec![Frame::Receipt(vec![publication(2, 1)])]);
        let connect = bench.reconnect(welcome(2, resumed, vec![]));
        assert_eq!((connect.producer, connect.resume), (Some(ProducerId([9; 16])), Some(ResumeToken([1; 16]))));
        let late = bench.publish(5);
        let again = bench.sent();
        assert_eq!(sequences(&first), [1, 2, 3, 4]);
        assert_eq!(sequences(&again), [1, 3, 4, 5]);
        assert!(matches!(&again[0], Frame::Publish(publish) if publish.messages == [message(1)]));
        bench.hear(vec![Frame::Receipt(vec![publication(3, 3), publication(1, 1), publication(1, 5)])]);
        assert!(coming.iter_mut().all(|c| c.try_recv().unwrap().is_ok()));
        drop(late);
        bench.reconnect(welcome(3, true, vec![]));
        assert_eq!(bench.sent(), []);
    }
}

#[test]
fn nothing_is_sent_further_than_the_window_beyond_the_oldest_unanswered() {
    let mut bench = Bench::open();
    let window = PRODUCER_WINDOW;
    let coming: Vec<_> = (1..=window + 10).map(|n| bench.publish(n)).collect();
    assert_eq!(sequences(&bench.sent()), (1..=window).collect::<Vec<_>>());
    bench.hear(vec![Frame::Receipt(vec![publication(2, 4000)])]);
    assert_eq!(bench.sent(), []);
    bench.hear(vec![Frame::Receipt(vec![publication(1, 1)])]);
    assert_eq!(sequences(&bench.sent()), (window + 1..=window + 10).collect::<Vec<_>>());
    drop(coming);
}

#[test]
fn a_frame_of_messages_holds_less_than_half_of_what_a_frame_may() {
    let mut bench = Bench::open();
    let payload = vec![7; 700 * 1024];
    let coming: Vec<_> = (1..=7)
        .map(|n| {
            let message = build(n).payload("application/octet-stream", payload.clone()).finish().unwrap();
            bench.ask(|asker, paid| Verb::Publish { message, paid, asker })
        })
        .collect();
    let frames = bench.sent();
    let counts: Vec<_> =
        frames.iter().map(|f| if let Frame::Publish(publish) = f { publish.messages.len() } else { 0 }).collect();
    assert_eq!(counts, [2, 2, 2, 1]);
    assert!(frames.iter().all(|frame| bytes_of(frame) < FRAME_BYTES_MAX / 2));
    drop(coming);
}

#[test]
fn each_message_of_many_has_its_own_result_in_the_order_given() {
    let mut bench = Bench::open();
    let (asker, mut coming) = oneshot::channel();
    let paid = bench.paid();
    bench.it.take(Verb::PublishAll { messages: (1..=3).map(message).collect(), paid, asker }, NOW);
    assert_eq!(sequences(&bench.sent()), [1, 2, 3]);
    let refused = Settlement::Error(Error::new(Code::QueueFull, "full"));
    bench.hear(vec![Frame::Receipt(vec![Publication { sequence: 2, count: 1, result: refused }, publication(3, 1)])]);
    assert!(coming.try_recv().is_err());
    bench.hear(vec![Frame::Receipt(vec![publication(1, 1)])]);
    let results: Vec<_> = coming.try_recv().unwrap().into_iter().map(|r| r.map_err(|e| e.code)).collect();
    assert_eq!(results, [Ok(accepted(1001)), Err(Code::QueueFull), Ok(accepted(1003))]);
    assert_eq!(bench.room.available_permits(), 1 << 30);
}

#[test]
fn a_receipt_for_what_was_never_sent_answers_nothing() {
    let mut bench = Bench::open();
    bench.it.link_down();
    let mut coming = bench.publish(1);
    bench.greet();
    bench.hear(vec![Frame::Receipt(vec![publication(0, u32::MAX)])]);
    assert!(coming.try_recv().is_err());
}

#[test]
fn a_reply_answers_its_request_and_no_subscription() {
    let mut bench = Bench::open();
    let everything = bench.listen(1, "$reply.1.*");
    let (mut first, mut second) = (bench.request(1), bench.request(2));
    assert_eq!(sequences(&bench.sent()), [1, 2]);
    let reply = build(9).to(&Topic::new("$reply.1.2").unwrap()).correlation("m-2").finish().unwrap();
    bench.hear(vec![Frame::Live(vec![reply.clone(), reply.clone()]), Frame::Receipt(vec![publication(1, 2)])]);
    assert_eq!(second.try_recv().unwrap(), Ok(reply));
    assert!(first.try_recv().is_err() && everything.desert().is_empty());
    assert_eq!(bench.room.available_permits(), (1 << 30) - 1);
}

#[test]
fn a_reply_that_names_another_request_answers_none() {
    let mut bench = Bench::open();
    let everything = bench.listen(1, "$reply.1.*");
    let mut coming = bench.request(1);
    bench.sent();
    let reply = |n| build(n).to(&Topic::new("$reply.1.1").unwrap());
    let strays = vec![reply(7).finish().unwrap(), reply(8).correlation("m-2").finish().unwrap()];
    bench.hear(vec![Frame::Live(strays)]);
    assert!(coming.try_recv().is_err() && everything.desert().is_empty(), "it waits on");
    let meant = reply(9).correlation("m-1").finish().unwrap();
    bench.hear(vec![Frame::Live(vec![meant.clone()])]);
    assert_eq!(coming.try_recv().unwrap(), Ok(meant));
}

#[test]
fn a_request_nobody_can_answer_ends_with_the_error_of_its_message() {
    let mut bench = Bench::open();
    let mut coming = bench.request(1);
    bench.sent();
    let result = Settlement::Error(Error::new(Code::NoResponders, "nobody"));
    bench.hear(vec![Frame::Receipt(vec![Publication { sequence: 1, count: 1, result }])]);
    assert_eq!(error(&mut coming).code, Code::NoResponders);
    assert_eq!(bench.room.available_permits(), 1 << 30);
}

#[test]
fn requests_survive_a_resumed_session_and_end_with_a_lost_one() {
    let mut bench = Bench::open();
    let (mut coming, stale) = (bench.request(1), bench.session.borrow().replies.clone());
    bench.sent();
    bench.reconnect(welcome(1, true, vec![]));
    assert_eq!(sequences(&bench.sent()), [1]);
    assert!(coming.try_recv().is_err());
    bench.reconnect(welcome(2, false, vec![]));
    let lost = error(&mut coming);
    assert_eq!((lost.code, lost.outcome), (Code::ConnectionLost, Outcome::Unknown));
    assert_eq!(bench.sent(), []);
    let message = build(2).replyto(&Topic::new(&format!("{stale}.2")).unwrap()).finish().unwrap();
    let room = bench.paid();
    let replies = Replies::One;
    let mut late = bench.ask(|asker, paid| Verb::Request { message, number: 2, paid, room, replies: replies(asker) });
    assert_eq!(error(&mut late).outcome, Outcome::Refused);
    assert_eq!(bench.sent(), []);
}
