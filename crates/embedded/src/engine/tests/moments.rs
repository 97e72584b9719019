//! Messages that are delivered not before a moment, and those that are not after one.

use skep_core::{End, Outgoing, QueueCommand};
use skep_protocol::{Action, Binding, Code, Expired, QueueSpec};

use super::bench::{Bench, nack, name, spec};
use crate::engine::Effects;

/// Publishes to `jobs` what waits so long, and expires after so long.
fn send(bench: &mut Bench, after_ms: Option<u64>, expires_ms: Option<u64>) -> Result<u64, Code> {
    let message = bench.timed("jobs", after_ms, expires_ms);
    let answer = bench.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
    bench.flush();
    let run = answer.lock().expect("nobody panicked").take().expect("an answer").publishes.remove(0);
    let position = run.result.map(|kept| kept.position.and_then(|position| position.number()).expect("stored"));
    position.map_err(|error| error.code)
}

fn counts(bench: &Bench, queue: &str) -> (u64, u64, u64) {
    let info = bench.engine.info(&name(queue)).expect("a queue");
    (info.ready, info.leased, info.delayed)
}

fn reasons(bench: &Bench, queue: &str) -> Vec<String> {
    bench.held(queue, 100).into_iter().map(|(_, ended)| ended.map(|ended| ended.reason).unwrap_or_default()).collect()
}

#[test]
fn a_delayed_message_is_delivered_at_its_moment_and_not_before() {
    let mut bench = Bench::with_jobs();
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let at_ms = bench.now.unix_ms + 5_000;
    let position = send(&mut bench, Some(5_000), None).expect("stored");
    bench.pass(4_999);
    assert_eq!((bench.take(0).len(), counts(&bench, "jobs")), (0, (0, 0, 1)));
    let held = bench.engine.held(&name("jobs"), 0, 9, bench.now).expect("a queue").remove(0);
    assert_eq!((held.entry.position, held.due_ms), (position, Some(at_ms)), "a look shows until when it waits");
    bench.check();
    bench.pass(1);
    assert_eq!(bench.take(0).len(), 1);
    bench.check();
}

#[test]
fn a_delayed_message_keeps_its_moment_through_a_restart() {
    let mut bench = Bench::with_jobs();
    send(&mut bench, Some(5_000), None).expect("stored");
    bench.pass(3_000);
    bench.restart();
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.pass(1_999);
    assert_eq!(bench.take(0).len(), 0);
    bench.pass(1);
    assert_eq!(bench.take(0).len(), 1);
}

#[test]
fn delays_follow_the_clock_on_the_wall_and_leases_do_not() {
    let mut bench = Bench::new();
    bench.declare(QueueSpec { lease_ms: 60_000, ..spec("jobs") });
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.publish("jobs");
    assert_eq!(bench.take(0).len(), 1);
    send(&mut bench, Some(3_600_000), None).expect("stored");
    let looked_at = bench.engine.next_tick(bench.now).expect("a lease ends");
    assert!(looked_at <= bench.now.mono_ms + 1_000, "a clock that is set is noticed");
    bench.now.unix_ms += 3_600_000;
    bench.pass(0);
    assert_eq!(counts(&bench, "jobs"), (1, 1, 0), "it is due; the lease goes on");
    bench.now.unix_ms -= 3_600_000;
    send(&mut bench, Some(10_000), None).expect("stored");
    bench.pass(9_999);
    assert_eq!(counts(&bench, "jobs").2, 1, "also by a clock that was set back");
    bench.pass(1);
    assert_eq!(counts(&bench, "jobs").2, 0);
}

#[test]
fn those_whose_moment_comes_are_delivered_in_the_order_of_their_moments() {
    let mut bench = Bench::new();
    bench.declare(QueueSpec { lease_ms: 60_000, ..spec("jobs") });
    bench.attach("jobs", 9, Binding::Connection).expect("a consumer");
    let late = send(&mut bench, Some(2_000), None).expect("stored");
    let soon = send(&mut bench, Some(1_000), None).expect("stored");
    let mut order = Vec::new();
    for _ in 0..2 {
        bench.pass(1_000);
        order.extend(bench.positions(0));
    }
    assert_eq!(order, [soon, late]);
}

#[test]
fn delayed_messages_count_and_go_with_a_purge_and_with_their_queue() {
    let mut bench = Bench::new();
    bench.declare(QueueSpec { messages_max: 2, ..spec("jobs") });
    send(&mut bench, Some(5_000), Some(9_000)).expect("stored");
    send(&mut bench, None, None).expect("stored");
    assert_eq!(send(&mut bench, None, None), Err(Code::QueueFull));
    bench.command(&QueueCommand::Purge(name("jobs"), u32::MAX));
    assert_eq!(bench.held("jobs", 9).len(), 0);
    bench.check();
    send(&mut bench, Some(5_000), Some(9_000)).expect("there is room");
    bench.command(&QueueCommand::Delete(name("jobs"), true));
    assert_eq!(bench.engine.next_tick(bench.now), None, "no timer is left over");
    bench.check();
}

#[test]
fn an_expired_message_is_a_dead_letter_and_its_sender_is_told() {
    let mut bench = Bench::with_jobs();
    bench.declare(spec("agent.alice.inbox"));
    send(&mut bench, None, Some(5_000)).expect("stored");
    bench.pass(4_999);
    assert_eq!(counts(&bench, "jobs"), (1, 0, 0));
    bench.check();
    bench.pass(1);
    assert_eq!(counts(&bench, "jobs"), (0, 0, 0), "nobody had to ask for it");
    assert_eq!(reasons(&bench, "$dead.jobs"), ["expired"]);
    assert_eq!(bench.held("agent.alice.inbox", 9).len(), 1, "a notice");
    bench.check();
    bench.command(&QueueCommand::Redrive(name("jobs"), 9));
    assert_eq!((counts(&bench, "jobs").0, counts(&bench, "$dead.jobs").0), (0, 1), "it would only come back");
}

#[test]
fn a_queue_may_drop_what_expired_and_the_log_tells() {
    let mut bench = Bench::new();
    bench.declare(spec("agent.alice.inbox"));
    bench.declare(QueueSpec { expired: Expired::Drop, ..spec("jobs") });
    send(&mut bench, None, Some(5_000)).expect("stored");
    bench.pass(5_000);
    assert_eq!(bench.held("jobs", 9).len() + bench.held("agent.alice.inbox", 9).len(), 0);
    assert!(bench.engine.info(&name("$dead.jobs")).is_none());
    assert!(bench.written().concat().contains(&"Drop".to_owned()), "{:?}", bench.written());
    bench.check();
}

#[test]
fn what_expired_while_the_hub_was_down_is_not_handed_out_after_it() {
    let mut bench = Bench::with_jobs();
    send(&mut bench, None, Some(5_000)).expect("stored");
    bench.now = bench.now.plus(std::time::Duration::from_millis(5_000));
    bench.restart();
    // Whoever asks first, asks before any timer.
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    assert_eq!(bench.take(0).len(), 0);
    assert_eq!(reasons(&bench, "$dead.jobs"), ["expired"]);
}

#[test]
fn a_leased_message_that_expires_is_not_interrupted_and_does_not_come_back() {
    for action in [Some(nack("busy")), Some(Action::Return), None] {
        let mut bench = Bench::new();
        bench.declare(QueueSpec { lease_ms: 10_000, ..spec("jobs") });
        bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
        send(&mut bench, None, Some(5_000)).expect("stored");
        let lease = bench.take(0)[0];
        bench.pass(6_000);
        assert_eq!(counts(&bench, "jobs"), (0, 1, 0), "whoever works on it goes on");
        bench.check();
        match action {
            Some(action) => bench.settle(lease, action).expect("settled"),
            None => bench.detach(0, End::Lost),
        }
        bench.flush();
        assert_eq!((counts(&bench, "jobs"), reasons(&bench, "$dead.jobs")), ((0, 0, 0), vec!["expired".to_owned()]));
        bench.check();
    }
}

#[test]
fn a_message_that_expired_before_it_came_is_refused_and_a_resend_of_a_stored_one_is_not() {
    let mut bench = Bench::with_jobs();
    let message = bench.timed("jobs", None, Some(5_000));
    let by_id = Outgoing { by_id: true, ..Outgoing::new(&message) };
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = bench.write(&[], &[by_id], "agent/alice", None);
        bench.flush();
        answers.push(answer.lock().expect("nobody panicked").take().expect("an answer").publishes.remove(0).result);
        bench.pass(5_000);
    }
    assert!(answers[0].as_ref().is_ok_and(|kept| !kept.duplicate));
    assert!(answers[1].as_ref().is_ok_and(|kept| kept.duplicate), "its sender learns that it was stored");
    let fresh = Outgoing::new(&message);
    let answer = bench.write(&[], &[fresh], "agent/alice", None);
    bench.flush();
    let refused = answer.lock().expect("nobody panicked").take().expect("an answer").publishes.remove(0).result;
    let refused = refused.expect_err("too late");
    assert_eq!(refused.code, Code::Expired);
    assert!(refused.text.contains("expirytime"), "{refused}");
}

#[test]
fn many_that_expire_at_once_are_taken_in_slices_and_none_is_handed_out() {
    let mut bench = Bench::with_jobs();
    for _ in 0..3_000 {
        let message = bench.timed("jobs", None, Some(5_000));
        bench.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
    }
    bench.flush();
    bench.is_telling = false;
    bench.now = bench.now.plus(std::time::Duration::from_millis(5_000));
    bench.attach("jobs", 9, Binding::Connection).expect("a consumer");
    let mut slices = 1;
    while bench.engine.next_tick(bench.now).is_some_and(|at| at <= bench.now.mono_ms) {
        bench.step(|engine, now, fx: &mut Effects| engine.tick(now, fx));
        slices += 1;
    }
    bench.flush();
    assert_eq!((bench.take(0).len(), slices), (0, 3));
    assert_eq!((counts(&bench, "jobs").0, counts(&bench, "$dead.jobs").0), (0, 3_000));
}

#[test]
fn a_purge_drops_the_oldest_first_and_no_more_than_it_is_asked_to() {
    let mut bench = Bench::with_jobs();
    for after_ms in [None, Some(5_000), None, None] {
        let message = bench.timed("jobs", after_ms, None);
        bench.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
    }
    bench.flush();
    let before: Vec<u64> = bench.held("jobs", 9).iter().map(|(held, _)| held.position).collect();
    bench.command(&QueueCommand::Purge(name("jobs"), 3));
    let after: Vec<u64> = bench.held("jobs", 9).iter().map(|(held, _)| held.position).collect();
    assert_eq!((before.len(), after), (4, before[3..].to_vec()));
    bench.check();
}
