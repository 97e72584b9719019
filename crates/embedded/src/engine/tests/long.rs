//! A long line, of which most is packed: nobody can tell.

use skep_core::{Outgoing, QueueCommand};
use skep_protocol::{Action, Binding, Position, QueueSpec};

use super::bench::{Bench, nack, name, spec};
use crate::engine::Engine;
use crate::log::SNAPSHOT_VERSION;

const MESSAGES: usize = 5_000;

/// A bench with so many messages in `jobs`, every tenth of which expires in a while, with what was planned for them.
fn long() -> (Bench, Vec<u64>) {
    let mut bench = Bench::new();
    bench.declare(QueueSpec { attempts_max: 0, lease_ms: 60_000, ..spec("jobs") });
    for n in 0..MESSAGES {
        let message = if n % 10 == 0 { bench.timed("jobs", None, Some(50_000)) } else { bench.message("jobs") };
        bench.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
        if n % 100 == 99 {
            bench.flush();
        }
    }
    let held = positions(&bench);
    assert_eq!(held.len(), MESSAGES);
    assert!(bench.engine.memory().0 < 40 * MESSAGES as u64, "most of them are packed");
    (bench, held)
}

/// What `jobs` holds, page by page.
fn positions(bench: &Bench) -> Vec<u64> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let page = bench.engine.held(&name("jobs"), from, 333, bench.now).expect("a queue");
        let Some(last) = page.last() else { return all };
        from = last.entry.position + 1;
        all.extend(page.iter().map(|held| held.entry.position));
    }
}

/// Takes and acks everything; answers where it stood, in that order.
fn drained(bench: &mut Bench) -> Vec<u64> {
    let mut all = Vec::new();
    let consumer = bench.attach("jobs", 100, Binding::Connection).expect("a consumer");
    loop {
        let leases = bench.take(consumer);
        if leases.is_empty() {
            return all;
        }
        all.extend(bench.engine.leases_at(&leases).into_iter().flatten());
        for lease in leases {
            bench.settle(lease, Action::Ack).expect("an ack is taken");
        }
    }
}

#[test]
fn a_long_line_drains_in_order_over_a_restart_and_over_a_snapshot() {
    let (mut bench, held) = long();
    bench.check();
    let (shadow, position) = bench.shadow(bench.batches());
    let (mut dumped, mut again) = (Vec::new(), Vec::new());
    shadow.dump(&mut dumped).expect("there is memory");
    let mut loaded = Engine::load(&mut &dumped[..], SNAPSHOT_VERSION, position, 1).expect("it was dumped");
    loaded.dump(&mut again).expect("there is memory");
    assert!(dumped == again && loaded.places() == shadow.places());
    bench.recover(&mut loaded, bench.batches());
    assert!(loaded.describe(bench.now) == bench.engine.describe(bench.now), "a snapshot has all of them");
    bench.restart();
    assert_eq!(drained(&mut bench), held);
    bench.check();
}

#[test]
fn what_is_purged_expires_or_comes_back_in_the_midst_of_a_long_line_leaves_the_rest_as_it_was() {
    let (mut bench, mut held) = long();
    let purged: Vec<Position> = held.iter().skip(3).step_by(97).copied().map(Position::Number).collect();
    bench.command(&QueueCommand::PurgeAt(name("jobs"), purged.clone()));
    held.retain(|at| !purged.contains(&Position::Number(*at)));
    assert_eq!(positions(&bench), held);
    bench.check();
    // Every second of the oldest is worked on for ever, and of the others every third comes back.
    let consumer = bench.attach("jobs", 1_000, Binding::Deadline).expect("a consumer");
    for (nth, lease) in bench.take(consumer).into_iter().enumerate().filter(|(nth, _)| nth % 6 == 1) {
        bench.settle(lease, nack(&format!("no {nth}"))).expect("a nack is taken");
    }
    bench.check();
    assert_eq!(positions(&bench), held, "leased or not");
    bench.pass(51_000);
    bench.restart();
    bench.pass(0);
    let dead = bench.held("$dead.jobs", MESSAGES).len();
    let left = positions(&bench);
    assert_eq!(dead + left.len(), held.len());
    assert!((450..500).contains(&dead), "{dead} have expired");
    assert!(left.iter().all(|at| held.contains(at)));
    assert_eq!(drained(&mut bench), left);
    bench.check();
}
