use super::*;

fn settled(tag: u64, results: Vec<Result<(), Error>>, receipts: Vec<Publication>) -> Frame {
    Frame::Settled(Settled { tag, results: results.into_iter().map(Into::into).collect(), receipts })
}

fn batch(frames: &[Frame]) -> SettleBatch {
    match frames {
        [Frame::Settle(batch)] => batch.clone(),
        other => panic!("expected one batch of settles: {other:?}"),
    }
}

fn ack(n: u8) -> Settle {
    Settle { lease: lease(n), action: Action::Ack }
}

fn lost() -> Error {
    Error::new(Code::LeaseLost, "lost")
}

#[test]
fn settles_that_wait_go_out_as_one_batch_and_each_has_its_answer() {
    let mut bench = Bench::open();
    bench.receiving(3);
    let mut coming = [bench.settle(1, Action::Ack), bench.settle(2, Action::Ack)];
    let batch = batch(&bench.sent());
    assert_eq!((batch.settles.as_slice(), batch.atomic), (&[ack(1), ack(2)][..], false));
    bench.hear(vec![settled(batch.tag, vec![Ok(()), Err(lost())], vec![])]);
    let [first, second] = &mut coming;
    assert_eq!(first.try_recv().unwrap(), Ok(()));
    assert_eq!(error(second).code, Code::LeaseLost);
    assert_eq!(bench.reconnect(welcome(2, true, vec![])).held, [lease(3)]);
}

#[test]
fn a_batch_of_settles_is_never_larger_than_a_frame_takes() {
    let mut bench = Bench::open();
    let coming: Vec<_> = (0..BATCH_MAX + 1).map(|_| bench.settle(1, Action::Ack)).collect();
    let long = Action::Extend { lease_ms: None, progress: Some("x".repeat(64 * 1024)) };
    let long: Vec<_> = (0..40).map(|_| bench.settle(2, long.clone())).collect();
    let sizes: Vec<_> =
        bench.sent().iter().map(|f| if let Frame::Settle(batch) = f { batch.settles.len() } else { 0 }).collect();
    assert_eq!(sizes.iter().sum::<usize>(), coming.len() + long.len());
    assert_eq!(sizes, [BATCH_MAX, 32, 9]);
}

#[test]
fn unanswered_settles_are_sent_again_as_they_were_when_the_session_is_resumed() {
    let mut bench = Bench::open();
    bench.receiving(2);
    let mut coming = bench.settle(1, Action::Ack);
    let first = bench.sent();
    let connect = bench.reconnect(welcome(2, true, vec![lease(1)]));
    assert_eq!(connect.held, [lease(1), lease(2)]);
    let second = bench.settle(2, Action::Ack);
    let again = bench.sent();
    assert_eq!(again.first(), first.first());
    assert_eq!(again.len(), 2);
    bench.hear(vec![settled(batch(&first).tag, vec![Ok(())], vec![])]);
    assert_eq!(coming.try_recv().unwrap(), Ok(()));
    drop(second);
}

#[test]
fn a_lost_session_takes_every_lease_but_hand_overs_are_sent_again() {
    let mut bench = Bench::open();
    let mailbox = bench.receiving(4);
    let mut held: Vec<_> = mailbox.desert();
    let (mut sent, mut handed) = (bench.settle(1, Action::Ack), bench.hand_over(2, vec![message(7)]));
    let first = bench.sent();
    bench.it.link_down();
    let mut unsent = bench.settle(3, Action::Ack);
    bench.reconnect(welcome(2, false, vec![]));
    assert!(held.iter_mut().all(|held| held.lost.try_recv().is_ok()));
    let (sent, unsent) = (error(&mut sent), error(&mut unsent));
    assert_eq!((sent.code, sent.outcome), (Code::LeaseLost, Outcome::Unknown));
    assert_eq!((unsent.code, unsent.outcome), (Code::LeaseLost, Outcome::Refused));
    let again = bench.sent();
    assert!(matches!(again.as_slice(), [Frame::Subscribe(_), Frame::Settle(_)]));
    assert_eq!(first.last(), again.last());
    bench.hear(vec![settled(batch(&again[1..]).tag, vec![Ok(())], vec![publication(1, 1)])]);
    assert_eq!(handed.try_recv().unwrap(), Ok(vec![accepted(1001)]));
}

#[test]
fn a_hand_over_takes_its_place_among_the_sequences() {
    let mut bench = Bench::open();
    bench.receiving(1);
    let before = bench.publish(1);
    let mut handed = bench.hand_over(1, vec![message(2), message(3)]);
    let after = bench.publish(4);
    let frames = bench.sent();
    assert_eq!(sequences(&frames), [1, 2, 3, 4]);
    let batch = batch(&frames[1..2]);
    assert_eq!((batch.settles.as_slice(), batch.atomic), (&[ack(1)][..], true));
    bench.hear(vec![settled(batch.tag, vec![Ok(())], vec![publication(2, 2)])]);
    assert_eq!(handed.try_recv().unwrap(), Ok(vec![accepted(1002), accepted(1003)]));
    bench.reconnect(welcome(2, true, vec![]));
    assert_eq!(sequences(&bench.sent()), [1, 4]);
    drop((before, after));
}

#[test]
fn a_refused_hand_over_leaves_the_lease_and_frees_its_sequences() {
    let mut bench = Bench::open();
    bench.receiving(1);
    let mut handed = bench.hand_over(1, vec![message(2)]);
    let tag = batch(&bench.sent()).tag;
    let unknown = Error::new(Code::UnknownAgent, "no agent");
    bench.hear(vec![settled(tag, vec![Err(unknown.clone())], vec![])]);
    assert_eq!(error(&mut handed), unknown);
    assert_eq!(bench.reconnect(welcome(2, true, vec![])).held, [lease(1)]);
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_hand_over_waits_until_the_window_has_room_for_all_of_it() {
    let mut bench = Bench::open();
    let coming: Vec<_> = (1..PRODUCER_WINDOW).map(|n| bench.publish(n)).collect();
    let handed = bench.hand_over(1, vec![message(1), message(2)]);
    assert_eq!(sequences(&bench.sent()).len() as u64, PRODUCER_WINDOW - 1);
    bench.hear(vec![Frame::Receipt(vec![publication(1, 1)])]);
    assert_eq!(sequences(&bench.sent()), [PRODUCER_WINDOW, PRODUCER_WINDOW + 1]);
    drop((coming, handed));
}

#[test]
fn a_resumed_session_takes_back_the_lost_leases_only() {
    let mut bench = Bench::open();
    let mailbox = bench.receiving(2);
    bench.reconnect(welcome(2, true, vec![lease(1)]));
    assert_eq!(bench.sent(), []);
    let mut waiting = mailbox.desert();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].delivery.lease, lease(2));
    assert!(waiting[0].lost.try_recv().is_err());
}

#[test]
fn a_lease_that_the_hub_calls_lost_is_told_to_its_holder() {
    let mut bench = Bench::open();
    let mut held = bench.receiving(1).desert();
    let renewal = bench.settle(1, Action::Extend { lease_ms: None, progress: None });
    let tag = batch(&bench.sent()).tag;
    bench.hear(vec![settled(tag, vec![Err(lost())], vec![])]);
    assert!(held[0].lost.try_recv().is_ok());
    drop(renewal);
}

#[test]
fn what_is_dropped_unsettled_returns() {
    let mut bench = Bench::open();
    bench.receiving(1);
    bench.it.leave(Left::Lease(lease(1)));
    bench.it.leave(Left::Lease(lease(99)));
    assert_eq!(batch(&bench.sent()).settles, [Settle { lease: lease(1), action: Action::Return }]);
}

#[test]
fn a_reader_that_leaves_takes_no_more_and_ends_with_its_last_lease() {
    let mut bench = Bench::open();
    let mailbox = bench.receiving(2);
    let worked_on = mailbox.desert().pop().unwrap().delivery.lease;
    bench.it.leave(Left::Lease(lease(1)));
    bench.it.leave(Left::Subscription(1));
    let frames = bench.sent();
    assert_eq!(frames[0], Frame::Window(Window { subscription: 1, messages: 0, bytes: 0 }));
    let returned = batch(&frames[1..]);
    bench.hear(vec![Frame::Deliver(vec![delivery(3)]), settled(returned.tag, vec![Ok(())], vec![])]);
    let coming = bench.ask(|asker, paid| Verb::Settle { lease: worked_on, action: Action::Ack, paid, asker });
    let last = batch(&bench.sent());
    assert_eq!(last.settles, [Settle { lease: lease(3), action: Action::Return }, ack(2)]);
    bench.hear(vec![settled(last.tag, vec![Ok(()), Ok(())], vec![])]);
    assert!(matches!(bench.sent().as_slice(), [Frame::Unsubscribe(1), Frame::Ping(_)]));
    drop(coming);
}

#[test]
fn an_unsubscribe_the_hub_may_not_have_seen_is_said_again() {
    let mut bench = Bench::open();
    bench.listen(1, "events.>");
    bench.it.leave(Left::Subscription(1));
    bench.sent();
    bench.reconnect(welcome(2, true, vec![]));
    let again = bench.sent();
    let [Frame::Unsubscribe(1), Frame::Ping(n)] = again.as_slice() else { panic!("{again:?}") };
    bench.hear(vec![Frame::Pong(*n)]);
    bench.reconnect(welcome(2, true, vec![]));
    assert_eq!(bench.sent(), []);
}

#[test]
fn leases_that_ran_out_unread_make_room_for_new_deliveries() {
    let mut bench = Bench::open();
    let mailbox = bench.receiving(8);
    let later = NOW + Duration::from_secs(61);
    bench.it.hear(vec![Frame::Deliver(vec![delivery(9)])], later).unwrap();
    assert_eq!(bench.sent(), []);
    let waiting: Vec<_> = mailbox.desert().iter().map(|held| held.delivery.lease).collect();
    assert_eq!(waiting, [lease(9)]);
}

#[test]
fn what_a_full_reader_cannot_take_returns() {
    let mut bench = Bench::open();
    bench.receiving(8);
    bench.hear(vec![Frame::Deliver(vec![delivery(9)])]);
    assert_eq!(batch(&bench.sent()).settles, [Settle { lease: lease(9), action: Action::Return }]);
}

#[test]
fn a_delivery_that_comes_twice_under_one_lease_is_handed_out_once() {
    let mut bench = Bench::open();
    let mailbox = bench.receiving(1);
    bench.hear(vec![Frame::Deliver(vec![delivery(1)])]);
    let mut waiting = mailbox.desert();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].lost.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
}
