//! What waits for which level.

use skep_core::{Completion, Level, Outgoing};
use skep_protocol::{Action, Binding, Settle};

use super::bench::{Bench, nack, reject, spec};
use crate::engine::entry::Entry;

fn bench(level: Level) -> Bench {
    let mut bench = Bench::with_jobs();
    bench.engine.set_levels(vec![("jobs".parse().expect("a filter"), level)]);
    bench
}

#[test]
fn the_level_of_a_message_takes_no_memory() {
    assert_eq!(size_of::<Entry>(), 40);
}

#[test]
fn at_level_memory_a_position_is_told_once_no_opening_could_give_it_out_again() {
    let mut bench = bench(Level::MEMORY);
    let message = bench.message("jobs");
    let answer = |bench: &mut Bench| bench.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
    bench.engine.forget_reserved();
    let early = answer(&mut bench);
    let told = |answer: &std::sync::Mutex<Option<Completion>>| answer.lock().expect("nobody panicked").is_some();
    assert!(!told(&early), "nothing says that its position is reserved");
    bench.flush();
    assert!(told(&early));
    assert!(told(&answer(&mut bench)), "nor does it wait where that is known");
}

/// Also the lease that follows a settle.
#[test]
fn what_follows_from_a_message_is_synced_if_that_was() {
    for (level, synced) in [(Level::OS, false), (Level::FSYNC, true)] {
        let mut bench = bench(level);
        bench.declare(spec("$dead.jobs"));
        bench.is_telling = false;
        let index = bench.attach("jobs", 10, Binding::Connection).expect("attached");
        for action in [Action::Ack, Action::Return, nack("later"), reject("never")] {
            bench.publish("jobs");
            let lease = bench.take(index).pop().expect("a lease");
            bench.write(&[Settle { lease, action: action.clone() }], &[], "agent/bob", None);
            let buffer = bench.engine.staging().take().expect("something is staged");
            assert_eq!(bench.engine.staging().asks_sync(&buffer), synced, "{action:?} of a message at {level}");
        }
    }
}
