//! The bound on the memory of the index.

use skep_core::{Completion, Outgoing};
use skep_protocol::{Action, Binding, Code, Error, Filter, LeaseToken, QueueSpec, Settle};

use super::bench::{Bench, nack, name, reject, spec};

/// Publishes one message; answers whether it was taken.
fn publish(bench: &mut Bench, to: &str) -> Result<(), Error> {
    hand_over(bench, &[], to)
}

/// Settles and publishes, together if there is something to settle.
fn hand_over(bench: &mut Bench, settles: &[(LeaseToken, Action)], to: &str) -> Result<(), Error> {
    let message = bench.message(to);
    let settles: Vec<Settle> =
        settles.iter().map(|(lease, action)| Settle { lease: *lease, action: action.clone() }).collect();
    let answer = bench.write(&settles, &[Outgoing::new(&message)], "agent/alice", None);
    bench.flush();
    let completion: Completion = answer.lock().expect("nobody panicked").take().expect("an answer");
    completion.publishes.into_iter().next().expect("one publish").result.map(drop)
}

/// No more memory than is used now.
fn fill(bench: &mut Bench) {
    let (used, _) = bench.engine.memory();
    bench.engine.set_memory_max(used);
}

fn held(bench: &Bench, queue: &str) -> usize {
    bench.held(queue, 100).len()
}

/// A bench with one message under a lease and two that wait, and no memory for more.
fn full() -> (Bench, LeaseToken) {
    let mut bench = Bench::with_jobs();
    bench.declare(spec("mail"));
    for _ in 0..3 {
        publish(&mut bench, "jobs").expect("there is room");
    }
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let lease = bench.take(0)[0];
    fill(&mut bench);
    (bench, lease)
}

#[test]
fn beyond_the_bound_publishes_are_refused_and_acks_make_room() {
    let (mut bench, lease) = full();
    let refused = publish(&mut bench, "mail").expect_err("there is no room");
    let (used, max) = bench.engine.memory();
    assert_eq!(refused.code, Code::Busy);
    for said in [used.to_string(), max.to_string(), "memory_bytes".into(), "purge".into()] {
        assert!(refused.text.contains(&said), "{refused} does not say {said}");
    }
    bench.settle(lease, Action::Ack).expect("an ack is taken");
    for _ in 0..2 {
        let lease = bench.take(0)[0];
        bench.settle(lease, Action::Ack).expect("an ack is taken");
    }
    publish(&mut bench, "mail").expect("there is room again");
    bench.check();
}

#[test]
fn at_the_bound_a_message_is_handed_over_for_one_that_is_acked_and_for_no_other() {
    let (mut bench, lease) = full();
    let refused = hand_over(&mut bench, &[(lease, nack("no"))], "mail").expect_err("it holds on to the first");
    assert_eq!(refused.code, Code::Busy);
    hand_over(&mut bench, &[(lease, Action::Ack)], "mail").expect("as many as before");
    assert_eq!((held(&bench, "jobs"), held(&bench, "mail")), (2, 1));
    bench.check();
}

#[test]
fn at_the_bound_a_message_dies_and_its_sender_is_told() {
    let mut bench = Bench::with_jobs();
    bench.declare(spec("agent.alice.inbox"));
    publish(&mut bench, "jobs").expect("there is room");
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let lease = bench.take(0)[0];
    fill(&mut bench);
    bench.settle(lease, reject("never")).expect("a reject is taken");
    bench.flush();
    assert_eq!((held(&bench, "$dead.jobs"), held(&bench, "agent.alice.inbox")), (1, 1));
}

#[test]
fn a_broadcast_that_is_too_much_for_the_bound_is_refused_whole() {
    let mut bench = Bench::new();
    for queue in ["a", "b", "c"] {
        bench.declare(QueueSpec { filters: vec![Filter::new("all").expect("a filter")], ..spec(queue) });
    }
    publish(&mut bench, "all").expect("there is room");
    let (used, _) = bench.engine.memory();
    bench.engine.set_memory_max(used + 2 * super::super::memory::ENTRY_BYTES);
    assert_eq!(publish(&mut bench, "all").expect_err("there is room for two").code, Code::Busy);
    assert_eq!(["a", "b", "c"].map(|queue| held(&bench, queue)), [1, 1, 1]);
}

#[test]
fn a_store_that_holds_more_than_the_bound_opens_and_drains() {
    let (mut bench, _) = full();
    bench.restart();
    bench.engine.set_memory_max(1);
    assert_eq!(publish(&mut bench, "jobs").expect_err("there is no room").code, Code::Busy);
    bench.attach("jobs", 3, Binding::Connection).expect("a consumer");
    for lease in bench.take(0) {
        bench.settle(lease, Action::Ack).expect("an ack is taken");
    }
    assert_eq!(held(&bench, "jobs"), 0);
}

#[test]
fn what_is_deleted_or_purged_is_counted_no_more() {
    let mut bench = Bench::with_jobs();
    let (empty, _) = bench.engine.memory();
    bench.declare(spec("mail"));
    publish(&mut bench, "mail").expect("there is room");
    publish(&mut bench, "jobs").expect("there is room");
    bench.command(&skep_core::QueueCommand::Delete(name("mail"), true));
    bench.command(&skep_core::QueueCommand::Purge(name("jobs"), u32::MAX));
    assert_eq!(bench.engine.memory().0, empty);
}
