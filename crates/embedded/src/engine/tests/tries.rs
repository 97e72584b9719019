//! Messages that say themselves how they are tried again.

use skep_core::{Outgoing, QueueCommand};
use skep_protocol::{Action, Attribute, Binding, LeaseToken, Message, MessageId, QueueSpec, Topic};

use super::bench::{Bench, nack, name, spec};

fn send(bench: &mut Bench, attributes: &[(&str, Attribute<'_>)]) {
    let id = MessageId::new("m").expect("an id");
    let mut message = Message::build(&id, "test", "note").to(&Topic::new("jobs").expect("a topic"));
    for (name, value) in attributes {
        message = message.attribute(name, *value);
    }
    if attributes.iter().any(|(name, _)| *name == "timeout") {
        message = message.replyto(&Topic::new("answers").expect("a topic"));
    }
    let message = message.finish().expect("a message");
    bench.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
    bench.flush();
}

fn retry(bench: &mut Bench, text: &str) {
    send(bench, &[("retry", Attribute::Text(text))]);
}

fn jobs(attempts_max: u32, backoff_ms: u64) -> Bench {
    let mut bench = Bench::new();
    let backoff = QueueSpec { backoff_min_ms: backoff_ms, backoff_max_ms: backoff_ms, ..spec("jobs") };
    bench.declare(QueueSpec { attempts_max, ..backoff });
    bench
}

fn consumer(bench: &mut Bench) -> usize {
    bench.attach("jobs", 10, Binding::Connection).expect("a consumer")
}

fn one(bench: &mut Bench, index: usize) -> LeaseToken {
    let leases = bench.take(index);
    assert_eq!(leases.len(), 1, "one message is there");
    leases[0]
}

fn dead(bench: &Bench) -> usize {
    bench.engine.held(&name("$dead.jobs"), 0, 10, bench.now).map_or(0, |held| held.len())
}

#[test]
fn a_message_is_tried_as_often_as_it_says_and_the_others_as_their_queue_says() {
    let mut bench = jobs(3, 0);
    let index = consumer(&mut bench);
    retry(&mut bench, "attempts=1");
    let lease = one(&mut bench, index);
    bench.settle(lease, nack("no")).expect("nacked");
    assert_eq!(dead(&bench), 1, "its one attempt is spent");
    for (said, attempts) in [("attempts=5", 5), ("backoff=0ms", 3)] {
        retry(&mut bench, said);
        let before = dead(&bench);
        for nth in 1..=attempts {
            assert_eq!(dead(&bench), before, "{said}: attempt {nth} of {attempts} is left");
            let lease = one(&mut bench, index);
            bench.settle(lease, nack("no")).expect("nacked");
            bench.pass(1);
        }
        assert_eq!(dead(&bench), before + 1, "{said}");
    }
    bench.check();
}

#[test]
fn a_lease_that_ends_counts_against_the_attempts_that_a_message_names() {
    let mut bench = jobs(5, 0);
    let index = consumer(&mut bench);
    retry(&mut bench, "attempts=1");
    one(&mut bench, index);
    bench.pass(10 * 60_000);
    assert_eq!(dead(&bench), 1);
}

#[test]
fn a_message_waits_as_long_as_it_says() {
    let mut bench = jobs(0, 1_000);
    let index = consumer(&mut bench);
    retry(&mut bench, "backoff=60s..2m");
    for shortest_ms in [45_000, 90_000, 90_000] {
        let lease = one(&mut bench, index);
        let later = Action::Nack { after_ms: None, reason: "no".into() };
        bench.settle(lease, later).expect("nacked");
        bench.pass(shortest_ms - 1);
        assert_eq!(bench.take(index), [], "up to a quarter less than it says, and no shorter");
        bench.pass(shortest_ms / 3 + 1);
    }
    let lease = one(&mut bench, index);
    bench.settle(lease, Action::Ack).expect("acked");
}

#[test]
fn what_a_message_says_of_its_tries_outlives_a_restart_a_death_and_a_redrive() {
    let mut bench = jobs(5, 0);
    retry(&mut bench, "attempts=1 backoff=1ms..2ms");
    bench.check();
    bench.restart();
    for round in 1..=2 {
        let index = consumer(&mut bench);
        let lease = one(&mut bench, index);
        bench.settle(lease, nack("no")).expect("nacked");
        assert_eq!(dead(&bench), 1, "round {round}");
        bench.detach(index, skep_core::End::Goodbye);
        bench.check();
        bench.restart();
        bench.command(&QueueCommand::Redrive(name("jobs"), 1));
    }
    let index = consumer(&mut bench);
    let lease = one(&mut bench, index);
    bench.settle(lease, Action::Ack).expect("acked");
    bench.check();
    let left: usize = bench.engine.describe(bench.now).iter().filter(|line| line.contains("tries")).count();
    assert_eq!(left, 0, "nothing is kept of a message that is done");
}

#[test]
fn who_works_on_dead_letters_may_try_them_as_often_as_their_queue_says() {
    let mut bench = jobs(5, 0);
    let index = consumer(&mut bench);
    retry(&mut bench, "attempts=1");
    let lease = one(&mut bench, index);
    bench.settle(lease, nack("no")).expect("nacked");
    let undertaker = bench.attach("$dead.jobs", 1, Binding::Connection).expect("a consumer");
    let lease = one(&mut bench, undertaker);
    bench.settle(lease, Action::Nack { after_ms: Some(0), reason: "not now".into() }).expect("nacked");
    bench.pass(1);
    assert_eq!(dead(&bench), 1, "it is not dropped");
}

#[test]
fn a_request_expires_with_its_timeout_also_after_a_restart() {
    let mut bench = jobs(5, 0);
    send(&mut bench, &[("timeout", Attribute::Number(5_000))]);
    send(&mut bench, &[("timeout", Attribute::Text("1h"))]);
    bench.check();
    bench.restart();
    bench.pass(4_000);
    assert_eq!(dead(&bench), 0);
    bench.pass(1_100);
    assert_eq!(dead(&bench), 1, "nobody waits for the reply any more");
    let index = consumer(&mut bench);
    let leases = bench.take(index);
    assert_eq!(leases.len(), 1, "who waits for an hour does still");
}
