//! Leases: what a consumer may hold, and what is said of one that ended.

use skep_core::{Completion, End, Outgoing, QueueCommand};
use skep_protocol::{Action, Binding, Code, Error, LeaseToken, QueueSpec, Settle};

use super::bench::{Bench, SECRET, name, reject, spec};
use crate::journal::Token;

#[test]
fn a_mailbox_that_is_not_read_holds_no_more_than_its_window_over_any_number_of_leases() {
    let mut bench = Bench::with_jobs();
    (0..5).for_each(|_| bench.publish("jobs"));
    let slow = bench.attach("jobs", 3, Binding::Connection).expect("a consumer");
    for _ in 0..3 {
        bench.pass(101);
        bench.say_window(slow, 3);
    }
    bench.check();
    let taken = bench.take(slow);
    assert_eq!(taken.len(), 3, "of all that was handed out only the last leases are here");
    let (ended, _) = bench.leases.split_at(bench.leases.len() - 3);
    assert!(ended.len() >= 9 && ended.iter().all(|lease| !taken.contains(lease)));
    for (entry, note) in bench.held("jobs", 3) {
        assert_eq!((entry.attempts, note), (1, None), "nobody worked on it before");
    }
    for lease in taken {
        bench.settle(lease, Action::Ack).expect("it is held");
    }
    assert_eq!(bench.take(slow).len(), 2, "the rest comes after them");
}

#[test]
fn who_takes_nothing_of_what_lapsed_gets_nothing_more_until_it_looks_and_others_get_it() {
    let mut bench = Bench::with_jobs();
    (0..2).for_each(|_| bench.publish("jobs"));
    let idle = bench.attach("jobs", 2, Binding::Connection).expect("a consumer");
    (0..50).for_each(|_| bench.pass(101));
    assert_eq!(bench.leases.len(), 2, "each is given to it once");
    let other = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let taken = bench.take(other);
    assert_eq!((taken.len(), bench.take(idle).len()), (1, 0));
    bench.settle(taken[0], Action::Ack).expect("it is held");
    let taken = bench.take(other);
    bench.settle(taken[0], Action::Nack { after_ms: Some(0), reason: "later".into() }).expect("it is held");
    bench.say_window(other, 0);
    bench.say_window(idle, 2);
    bench.pass(1);
    assert_eq!(bench.take(idle).len(), 1, "it looked, and goes on");
}

#[test]
fn the_time_of_a_lease_runs_from_when_its_message_was_read() {
    let mut bench = Bench::with_jobs();
    bench.is_reading = false;
    bench.publish("jobs");
    let consumer = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.pass(5_000);
    assert_eq!(bench.leases.len(), 1);
    let now = bench.now;
    let token = Token::opened(bench.leases[0], SECRET).expect("its own");
    assert!(bench.engine.hand_over(token, 100, now));
    bench.pass(99);
    assert_eq!(bench.leases.len(), 1);
    bench.is_reading = true;
    bench.pass(2);
    assert_eq!(bench.leases.len(), 2, "it ended, and is given out again");
    assert_eq!(bench.take(consumer).len(), 1);
}

#[test]
fn of_leases_that_end_together_only_those_that_were_taken_are_charged() {
    let mut bench = Bench::with_jobs();
    bench.publish("jobs");
    let slow = bench.attach("jobs", 2, Binding::Connection).expect("a consumer");
    assert_eq!(bench.take(slow).len(), 1);
    bench.publish("jobs");
    bench.say_window(slow, 0);
    bench.pass(200);
    let held = bench.held("jobs", 2);
    assert_eq!(held.iter().map(|(entry, _)| entry.attempts).collect::<Vec<_>>(), [1, 0]);
    assert!(bench.take(slow).is_empty(), "what was not taken is taken back");
    bench.check();
}

#[test]
fn what_a_consumer_has_not_taken_when_it_goes_or_its_queue_is_deleted_it_never_sees() {
    let mut bench = Bench::with_jobs();
    bench.publish("jobs");
    let leaving = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let mailbox = bench.consumers[leaving].1.clone();
    bench.detach(leaving, End::Goodbye);
    assert!(mailbox.withdraw(|_| true).is_empty());
    let staying = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.command(&QueueCommand::Delete(name("jobs"), true));
    assert!(bench.take(staying).is_empty());
}

#[test]
fn what_a_consumer_with_leases_to_their_deadline_has_not_taken_when_it_goes_returns_at_once() {
    let mut bench = Bench::with_jobs();
    bench.publish("jobs");
    let leaving = bench.attach("jobs", 3, Binding::Deadline).expect("a consumer");
    let taken = bench.take(leaving)[0];
    bench.publish("jobs");
    bench.is_reading = false;
    bench.publish("jobs");
    bench.is_reading = true;
    let mailbox = bench.consumers[leaving].1.clone();
    bench.detach(leaving, End::Goodbye);
    assert!(mailbox.withdraw(|_| true).is_empty(), "one lay there");
    let staying = bench.attach("jobs", 3, Binding::Connection).expect("a consumer");
    assert_eq!(bench.take(staying).len(), 2, "and one was being read");
    bench.settle(taken, Action::Ack).expect("what it took it has until the deadline");
    assert!(bench.held("jobs", 3).iter().all(|(entry, note)| (entry.attempts, note) == (1, &None)));
    bench.check();
}

fn lost(result: Result<(), Error>) -> String {
    let error = result.expect_err("the lease is lost");
    assert_eq!(error.code, Code::LeaseLost);
    error.text
}

#[test]
fn a_lost_lease_is_named_with_the_reason() {
    let mut bench = Bench::with_jobs();
    bench.declare(QueueSpec { attempts_max: 0, ..spec("jobs") });
    bench.publish("jobs");
    let consumer = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let says = |bench: &mut Bench, lease: LeaseToken, why: &str| {
        let text = lost(bench.settle(lease, Action::Ack));
        assert!(text.contains(&lease.to_string()) && text.contains(why), "{text}");
    };
    let expired = bench.take(consumer)[0];
    bench.pass(200);
    says(&mut bench, expired, "at its deadline");
    bench.pass(200);
    let untaken = bench.leases[bench.leases.len() - 1];
    says(&mut bench, untaken, "before anybody took");
    bench.say_window(consumer, 1);
    let returned = bench.take(consumer)[0];
    bench.settle(returned, Action::Return).expect("returned");
    says(&mut bench, returned, "settled before, by return");
    let gone = bench.take(consumer)[0];
    bench.detach(consumer, End::Lost);
    says(&mut bench, gone, "consumer's connection");
    let consumer = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let old = bench.take(consumer)[0];
    bench.restart();
    says(&mut bench, old, "restarted");
    says(&mut bench, expired, "restarted");
    says(&mut bench, returned, "settled before, by return");
    let consumer = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let deleted = bench.take(consumer)[0];
    bench.command(&QueueCommand::Delete(name("jobs"), true));
    says(&mut bench, deleted, "queue was deleted");
    says(&mut bench, LeaseToken([7; 16]), "never gave it");
}

/// Dead letters that are bounded in bytes and hold so many small ones that a large one drives out
/// more than fit into one batch.
fn full_of_small_letters(count: u32) -> Bench {
    let mut bench = Bench::with_jobs();
    bench.declare(QueueSpec { attempts_max: 0, bytes_max: 1 << 20, ..spec("$dead.jobs") });
    let consumer = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    for _ in 0..count {
        bench.publish("jobs");
        let lease = bench.take(consumer)[0];
        bench.settle(lease, reject("small")).expect("rejected");
    }
    bench
}

#[test]
fn a_step_stays_in_one_batch_although_its_dead_letter_drives_out_many() {
    let mut bench = full_of_small_letters(9_000);
    let large = bench.large("jobs", (1 << 20) - 200);
    bench.write(&[], &[Outgoing::new(&large)], "agent/alice", None);
    bench.flush();
    let lease = bench.take(0)[0];
    let before = bench.batches();
    let result = bench.message("jobs");
    let answer =
        bench.write(&[Settle { lease, action: reject("large") }], &[Outgoing::new(&result)], "agent/bob", None);
    bench.flush();
    let Some(Completion { settles, .. }) = answer.lock().expect("nobody panicked").take() else { panic!("no answer") };
    assert_eq!(settles, [Ok(())]);
    let written = bench.written();
    let of_step = |batch: &&Vec<String>| batch.iter().any(|kind| kind == "Dead" || kind == "Message");
    let step: Vec<&Vec<String>> = written[before..].iter().filter(of_step).collect();
    assert_eq!(step.len(), 1, "the settle and what is published with it are in one batch");
    assert!(written[before..].iter().flatten().filter(|kind| *kind == "Drop").count() > 8_192);
    bench.check();
}
