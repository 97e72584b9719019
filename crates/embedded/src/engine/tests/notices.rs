//! The notice to the sender of a dead letter: owed by the letter's record, and paid once.

use skep_protocol::{Binding, QueueSpec, Settle};

use super::bench::{Bench, name, reject, spec};
use crate::engine::{Effects, Engine};

/// A bench on which alice, who has an inbox, sent a message that is leased; nobody tells her yet.
fn one_to_reject() -> Bench {
    let mut bench = Bench::with_jobs();
    bench.declare(spec("agent.alice.inbox"));
    bench.publish("jobs");
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.is_telling = false;
    bench
}

fn die(bench: &mut Bench) {
    let lease = bench.take(0)[0];
    bench.settle(lease, reject("never")).expect("rejected");
}

fn told(bench: &Bench) -> usize {
    bench.held("agent.alice.inbox", 10).len()
}

#[test]
fn a_notice_that_was_owed_when_the_hub_ended_is_told_once() {
    let mut bench = one_to_reject();
    die(&mut bench);
    bench.check();
    assert_eq!(told(&bench), 0);
    bench.restart();
    bench.restart();
    bench.is_telling = true;
    bench.pass(0);
    assert_eq!(told(&bench), 1);
    bench.check();
    bench.restart();
    bench.pass(2_000);
    assert_eq!(told(&bench), 1, "and no second time");
}

#[test]
fn wherever_the_log_ends_every_death_in_it_is_told_once() {
    let mut bench = one_to_reject();
    for _ in 0..3 {
        die(&mut bench);
        bench.publish("jobs");
    }
    bench.is_telling = true;
    // Two are told after a restart, the third one at once.
    bench.restart();
    bench.pass(0);
    let all = bench.batches();
    for end in 2..=all {
        let mut cut = bench.cut_to(end);
        let deaths = cut.written().iter().flatten().filter(|kind| *kind == "Dead").count();
        cut.pass(0);
        assert_eq!(told(&cut), deaths, "after {end} of {all} batches");
        cut.restart();
        cut.pass(0);
        assert_eq!(told(&cut), deaths, "and after one more restart");
    }
}

#[test]
fn a_notice_and_that_it_is_told_are_in_one_batch() {
    let mut bench = one_to_reject();
    die(&mut bench);
    let before = bench.batches();
    bench.is_telling = true;
    bench.restart();
    // The batch that fills has room for the notice, and not for one record more.
    bench.step(|engine, now, _| {
        while engine.staging().fits_in_batch(256, 2) {
            engine.put_fact("k", b"v", None, None, now).expect("there is room");
        }
    });
    bench.step(Engine::tick);
    bench.flush();
    let written = bench.written();
    let together = |batch: &Vec<String>| {
        let count = |what: &str| batch.iter().filter(|kind| *kind == what).count();
        (count("Message"), count("Told"))
    };
    let kinds: Vec<_> = written[before..].iter().map(together).filter(|kinds| *kinds != (0, 0)).collect();
    assert_eq!(kinds, [(1, 1)]);
}

#[test]
fn a_notice_waits_while_there_is_a_crowd_and_is_told_then() {
    let mut bench = one_to_reject();
    let lease = bench.take(0)[0];
    bench.crowd();
    bench.is_telling = true;
    let answer = bench.write(&[Settle { lease, action: reject("never") }], &[], "agent/bob", None);
    bench.flush();
    assert_eq!(answer.lock().expect("nobody panicked").take().expect("an answer").settles, [Ok(())]);
    assert_eq!(told(&bench), 0, "not while there is a crowd");
    bench.pass(2_000);
    assert_eq!(told(&bench), 1);
    bench.check();
}

#[test]
fn who_has_no_inbox_or_a_full_one_is_owed_nothing_for_ever() {
    for inbox in [None, Some(QueueSpec { messages_max: 1, ..spec("agent.alice.inbox") })] {
        let mut bench = Bench::with_jobs();
        if let Some(inbox) = inbox {
            bench.declare(inbox);
            bench.publish("agent.alice.inbox");
        }
        bench.publish("jobs");
        bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
        die(&mut bench);
        bench.check();
        bench.restart();
        let mut fx = Effects::default();
        bench.engine.tick(bench.now, &mut fx);
        assert!(fx.notices.is_empty());
    }
}

#[test]
fn a_message_that_dies_twice_is_told_twice() {
    let mut bench = one_to_reject();
    bench.is_telling = true;
    die(&mut bench);
    bench.command(&skep_core::QueueCommand::Redrive(name("jobs"), 1));
    die(&mut bench);
    assert_eq!(told(&bench), 2);
}
