//! The atomic step, and what a resend of it is told.

use skep_core::{End, Outgoing};
use skep_protocol::{Action, Binding, Code, Position, ProducerId, QueueSpec, Settle};

use super::bench::{Bench, name, spec};

const PRODUCER: Option<ProducerId> = Some(ProducerId([3; 16]));

/// A bench whose consumer has taken one job.
fn at_work() -> (Bench, Settle) {
    let mut bench = Bench::with_jobs();
    bench.declare(spec("results"));
    bench.publish("jobs");
    let worker = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let lease = bench.take(worker)[0];
    (bench, Settle { lease, action: Action::Ack })
}

#[test]
fn a_step_larger_than_a_usual_batch_goes_into_one() {
    let (mut bench, ack) = at_work();
    // Something waits in the buffer already, and the step alone is more than 4 MiB.
    let small = bench.message("results");
    bench.write(&[], &[Outgoing::new(&small)], "agent/alice", None);
    let results: Vec<_> = (0..1_200).map(|_| bench.large("results", 4_000)).collect();
    let outgoing: Vec<Outgoing<'_>> = results.iter().map(Outgoing::new).collect();
    let before = bench.batches();
    let answer = bench.write(&[ack], &outgoing, "agent/bob", None);
    bench.flush();
    assert!(answer.lock().expect("nobody panicked").take().expect("an answer").settles[0].is_ok());
    let kinds = &bench.written()[before..];
    let of_step = kinds.iter().find(|batch| batch.iter().any(|kind| kind == "Ack")).expect("the step");
    assert_eq!(of_step.iter().filter(|kind| *kind == "Message").count(), 1_200, "ack and results are one batch");
    bench.check();
}

#[test]
fn a_step_that_no_batch_holds_is_refused_for_good() {
    let (mut bench, ack) = at_work();
    let results: Vec<_> = (0..70).map(|_| bench.large("results", 1 << 20)).collect();
    let outgoing: Vec<Outgoing<'_>> = results.iter().map(Outgoing::new).collect();
    let answer = bench.write(&[ack], &outgoing, "agent/bob", None);
    let refused = answer.lock().expect("nobody panicked").take().expect("an answer").settles.remove(0).unwrap_err();
    assert_eq!(refused.code, Code::TooLarge, "{refused}");
}

#[test]
fn a_step_that_finds_a_crowd_is_refused_whole_and_its_lease_holds() {
    let (mut bench, ack) = at_work();
    bench.crowd();
    let result = bench.message("crowd");
    let outgoing = [Outgoing::new(&result)];
    let refused = bench.write(std::slice::from_ref(&ack), &outgoing, "agent/bob", None);
    let refused = refused.lock().expect("nobody panicked").take().expect("an answer");
    assert_eq!(refused.settles[0].as_ref().unwrap_err().code, Code::Busy);
    assert_eq!(refused.publishes[0].result.as_ref().unwrap_err().code, Code::Busy);
    bench.flush();
    let done = bench.write(&[ack], &outgoing, "agent/bob", None);
    bench.flush();
    let done = done.lock().expect("nobody panicked").take().expect("an answer");
    assert_eq!(done.settles, [Ok(())], "nothing of it was done before");
    assert_eq!(done.publishes[0].result.as_ref().expect("stored").queues, 1_000);
    bench.check();
}

#[test]
fn a_resent_step_is_told_as_it_was_done_although_a_queue_takes_now_what_none_took_then() {
    let (mut bench, ack) = at_work();
    let (unmatched, stored) = (bench.message("later"), bench.message("results"));
    let outgoing =
        [(1, &unmatched), (2, &stored)].map(|(sequence, message)| Outgoing { sequence, ..Outgoing::new(message) });
    let first = bench.write(std::slice::from_ref(&ack), &outgoing, "agent/bob", PRODUCER);
    bench.flush();
    let first = first.lock().expect("nobody panicked").take().expect("an answer");
    let at = first.publishes[1].result.as_ref().expect("stored").position;
    assert!(matches!(at, Some(Position::Number(_))));
    bench.declare(spec("later"));
    let again = bench.write(&[ack], &outgoing, "agent/bob", PRODUCER);
    bench.flush();
    let again = again.lock().expect("nobody panicked").take().expect("an answer");
    assert_eq!(again.settles, [Ok(())]);
    assert_eq!(again.publishes[0].result.as_ref().expect("as then").queues, 0, "nothing more of it is stored");
    assert_eq!(again.publishes[1].result.as_ref().expect("as then").position, at);
    assert!(bench.engine.held(&name("later"), 0, 9, bench.now).expect("a queue").is_empty());
    bench.check();
}

#[test]
fn what_never_reached_a_lost_consumer_is_not_charged() {
    let mut bench = Bench::with_jobs();
    bench.publish("jobs");
    bench.is_reading = false;
    let slow = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.detach(slow, End::Lost);
    bench.flush();
    assert_eq!(bench.held("jobs", 1)[0].0.attempts, 0, "its delivery was on its way from disk");
    bench.check();
}

/// A sequence that was used before says nothing of a lease that ended otherwise.
#[test]
fn a_step_whose_lease_was_lost_is_not_done_because_its_sequence_was_seen() {
    let (mut bench, ack) = at_work();
    let stored = bench.message("results");
    let outgoing = [Outgoing { sequence: 1, ..Outgoing::new(&stored) }];
    bench.write(&[], &outgoing, "agent/bob", PRODUCER);
    bench.pass(150);
    let answer = bench.write(&[ack], &outgoing, "agent/bob", PRODUCER);
    bench.flush();
    let answer = answer.lock().expect("nobody panicked").take().expect("an answer");
    assert_eq!(answer.settles[0].as_ref().expect_err("its message is delivered again").code, Code::LeaseLost);
    bench.check();
}

#[test]
fn who_publishes_to_very_many_queues_at_once_is_told_to_wait_before_everybody_waits() {
    let mut bench = Bench::new();
    for n in 0..500 {
        let filters = vec![skep_protocol::Filter::new("all").expect("a filter")];
        bench.declare(QueueSpec { filters, ..spec(&format!("q{n}")) });
    }
    let messages: Vec<_> = (0..600).map(|_| bench.message("all")).collect();
    let outgoing: Vec<Outgoing<'_>> = messages.iter().map(Outgoing::new).collect();
    let answer = bench.write(&[], &outgoing, "agent/alice", None);
    bench.flush();
    let runs = answer.lock().expect("nobody panicked").take().expect("an answer").publishes;
    let (taken, refused) = (&runs[0], &runs[1]);
    assert!(taken.count >= 500 && taken.result.is_ok(), "{} of 600", taken.count);
    assert_eq!(refused.result.as_ref().expect_err("too much at once").code, Code::Busy);
    bench.publish("all");
    assert_eq!(bench.held("q7", 1_000).len() as u32, taken.count + 1, "and then it goes on");
}
