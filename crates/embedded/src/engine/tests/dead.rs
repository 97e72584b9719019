//! Dead letters are moved back, and messages dropped, by where they stand.

use skep_core::{Outgoing, QueueCommand};
use skep_protocol::{Action, Binding, Error, Position};

use super::bench::{Bench, name, reject};

fn stands(bench: &Bench, queue: &str) -> Vec<u64> {
    bench.held(queue, 10).into_iter().map(|(entry, _)| entry.position).collect()
}

fn run(bench: &mut Bench, command: &QueueCommand) -> Result<u64, Error> {
    let count = bench.step(|engine, now, fx| engine.command(command, now, fx));
    bench.flush();
    count
}

fn numbers(positions: &[u64]) -> Vec<Position> {
    positions.iter().map(|position| Position::Number(*position)).collect()
}

/// So many messages of no key that died; answers where they stand.
fn dead(bench: &mut Bench, count: usize) -> Vec<u64> {
    let index = bench.attach("jobs", 10, Binding::Connection).expect("a consumer");
    (0..count).for_each(|_| bench.publish("jobs"));
    for lease in bench.take(index) {
        bench.settle(lease, reject("bad")).expect("rejected");
    }
    bench.detach(index, skep_core::End::Goodbye);
    stands(bench, "$dead.jobs")
}

#[test]
fn what_stands_there_no_more_is_passed_over_and_not_counted() {
    let mut bench = Bench::with_jobs();
    let all = dead(&mut bench, 4);
    let [first, second, third, fourth] = all[..] else { panic!("{all:?}") };
    let index = bench.attach("$dead.jobs", 1, Binding::Connection).expect("a consumer");
    assert_eq!(bench.positions(index), [first], "one is leased");
    let back = QueueCommand::RedriveAt(name("jobs"), numbers(&[third, first, second, third, 1 << 40]));
    assert_eq!(run(&mut bench, &back), Ok(2));
    assert_eq!((stands(&bench, "jobs"), stands(&bench, "$dead.jobs")), (vec![second, third], vec![first, fourth]));
    assert_eq!(run(&mut bench, &back), Ok(0));
    bench.check();
}

#[test]
fn a_dead_letter_that_expired_in_between_stays() {
    let mut bench = Bench::with_jobs();
    let index = bench.attach("jobs", 10, Binding::Connection).expect("a consumer");
    let message = bench.timed("jobs", None, Some(100));
    bench.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
    bench.flush();
    let lease = bench.take(index)[0];
    bench.settle(lease, reject("bad")).expect("rejected");
    let dead = stands(&bench, "$dead.jobs");
    bench.pass(200);
    let back = QueueCommand::RedriveAt(name("jobs"), numbers(&dead));
    assert_eq!((run(&mut bench, &back), stands(&bench, "$dead.jobs")), (Ok(0), dead));
}

#[test]
fn of_what_is_dropped_by_its_place_the_leased_stays_and_the_next_of_a_key_goes_on() {
    let mut bench = Bench::with_jobs();
    let keyed: Vec<_> = [None, None, Some(500)].map(|after_ms| bench.keyed("jobs", "k", after_ms, None)).into();
    for message in &keyed {
        bench.write(&[], &[Outgoing::new(message)], "agent/alice", None);
    }
    bench.publish("jobs");
    let all = stands(&bench, "jobs");
    let [head, next, delayed, free] = all[..] else { panic!("{all:?}") };
    let drop_head = QueueCommand::PurgeAt(name("jobs"), numbers(&[head, delayed, 1 << 40]));
    assert_eq!(run(&mut bench, &drop_head), Ok(2));
    bench.check();
    let index = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let leases = bench.take(index);
    assert_eq!(bench.engine.leases_at(&leases), [Some(next)], "its key goes on");
    assert_eq!(run(&mut bench, &QueueCommand::PurgeAt(name("jobs"), numbers(&[next, free]))), Ok(1));
    assert_eq!(stands(&bench, "jobs"), [next], "what somebody works on stays");
    bench.settle(leases[0], Action::Ack).expect("acked");
    bench.check();
}
