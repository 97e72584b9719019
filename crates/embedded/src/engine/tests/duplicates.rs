//! What a sender is told whose message was stored before.

use skep_core::{Completion, Kept, Outgoing, QueueCommand};
use skep_protocol::{Code, Error, Filter, Message, Position, ProducerId, QueueSpec};

use super::bench::{Bench, name, spec};
use crate::engine::Engine;
use crate::log::SNAPSHOT_VERSION;

const PRODUCER: ProducerId = ProducerId([1; 16]);

/// So many queues take what is sent to each of these.
const TAKEN: [(&str, u32); 4] = [("all", 3), ("two", 2), ("one", 1), ("all", 3)];

/// A bench with three queues, and what was sent to them.
fn sent(by_id: bool) -> (Bench, Vec<(Message, Kept)>) {
    let mut bench = Bench::new();
    for (queue, filters) in [("a", "all two one"), ("b", "all two"), ("c", "all")] {
        let filters = filters.split(' ').map(|filter| Filter::new(filter).expect("a filter")).collect();
        bench.declare(QueueSpec { filters, ..spec(queue) });
    }
    let messages = TAKEN.map(|(to, _)| bench.message(to));
    let mut sent = Vec::new();
    for (nth, message) in messages.into_iter().enumerate() {
        let kept = publish(&mut bench, nth, &message, by_id);
        assert!(!kept.duplicate);
        sent.push((message, kept));
    }
    (bench, sent)
}

fn publish(bench: &mut Bench, nth: usize, message: &Message, by_id: bool) -> Kept {
    try_publish(bench, nth, message, by_id).expect("it is taken")
}

fn try_publish(bench: &mut Bench, nth: usize, message: &Message, by_id: bool) -> Result<Kept, Error> {
    let outgoing = Outgoing { sequence: nth as u64 + 1, by_id, ..Outgoing::new(message) };
    let answer = bench.write(&[], &[outgoing], "agent/alice", (!by_id).then_some(PRODUCER));
    bench.flush();
    let completion: Completion = answer.lock().expect("nobody panicked").take().expect("an answer");
    completion.publishes.into_iter().next().expect("one publish").result
}

/// Under every sequence another message is refused.
fn check_others(bench: &mut Bench, sent: &[(Message, Kept)]) {
    for (nth, (_, first)) in sent.iter().enumerate() {
        let other = bench.message("all");
        let refused = try_publish(bench, nth, &other, false).expect_err("it is another message");
        let at = format!("position {}", first.position.as_ref().expect("it is stored"));
        assert!(refused.code == Code::Conflict && refused.text.contains(&at), "{refused}");
    }
    assert_eq!(bench.held("a", 100).len(), sent.len());
}

/// The bench opens from a snapshot of a version, which lacks so many bytes of what is written now.
fn reopened(bench: &mut Bench, version: u32, cut: usize) {
    let (shadow, position) = bench.shadow(bench.batches());
    let mut dumped = Vec::new();
    shadow.dump(&mut dumped).expect("there is memory");
    dumped.truncate(dumped.len() - cut);
    let mut loaded = Engine::load(&mut &dumped[..], version, position, 1).expect("it was dumped");
    bench.recover(&mut loaded, bench.batches());
    bench.engine = loaded;
}

#[test]
fn another_message_under_a_used_sequence_is_refused_also_after_a_restart_and_from_a_snapshot() {
    let (mut bench, sent) = sent(false);
    check_others(&mut bench, &sent);
    bench.restart();
    check_others(&mut bench, &sent);
    reopened(&mut bench, SNAPSHOT_VERSION, 0);
    check_others(&mut bench, &sent);
    check(&mut bench, &sent, false);
}

#[test]
fn a_snapshot_of_the_version_before_knows_a_sequence_by_its_number_alone() {
    let (mut bench, mut sent) = sent(false);
    // The list of one producer, its key, and the list of its fingerprints.
    reopened(&mut bench, 2, 1 + 16 + 1 + 4 * sent.len());
    check(&mut bench, &sent, false);
    let other = bench.message("all");
    assert!(publish(&mut bench, 0, &other, false).duplicate);
    // What comes from then on is told from others.
    let next = bench.message("all");
    let kept = publish(&mut bench, sent.len(), &next, false);
    let refused = try_publish(&mut bench, sent.len(), &other, false).expect_err("it is another message");
    assert_eq!(refused.code, Code::Conflict);
    sent.push((next, kept));
    assert_eq!(bench.held("a", 100).len(), sent.len());
}

/// Every one of them, sent again, is answered as it was.
fn check(bench: &mut Bench, sent: &[(Message, Kept)], by_id: bool) {
    for (nth, (message, first)) in sent.iter().enumerate() {
        let again = publish(bench, nth, message, by_id);
        assert!(again.duplicate && matches!(again.position, Some(Position::Number(_))), "{again:?}");
        assert_eq!((again.position, again.queues), (first.position, TAKEN[nth].1));
    }
}

#[test]
fn a_duplicate_is_told_how_many_queues_took_the_first() {
    for by_id in [false, true] {
        let (mut bench, sent) = sent(by_id);
        check(&mut bench, &sent, by_id);
        // What matches now has nothing to do with it.
        bench.command(&QueueCommand::Delete(name("c"), true));
        check(&mut bench, &sent, by_id);
    }
}

#[test]
fn a_duplicate_is_told_how_many_queues_took_the_first_after_a_restart() {
    for by_id in [false, true] {
        let (mut bench, sent) = sent(by_id);
        bench.restart();
        check(&mut bench, &sent, by_id);
    }
}

#[test]
fn a_duplicate_is_told_how_many_queues_took_the_first_after_a_restart_from_a_snapshot() {
    for by_id in [false, true] {
        let (mut bench, sent) = sent(by_id);
        reopened(&mut bench, SNAPSHOT_VERSION, 0);
        check(&mut bench, &sent, by_id);
    }
}
