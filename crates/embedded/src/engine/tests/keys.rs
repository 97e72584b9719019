//! Order by key: one message of a key at a time, oldest first, through retry, delay, expiry and dead letters.

use skep_core::{End, Outgoing, QueueCommand};
use skep_protocol::{Action, Attribute, Binding, Consumers, DeadKey, Message, MessageId, Priority, QueueSpec, Topic};

use super::bench::{Bench, name, reject, spec};

/// Stores a message of a key; answers where.
fn send(bench: &mut Bench, key: &str, after_ms: Option<u64>, expires_ms: Option<u64>) -> u64 {
    let message = bench.keyed("jobs", key, after_ms, expires_ms);
    send_message(bench, &message)
}

fn send_message(bench: &mut Bench, message: &Message) -> u64 {
    let answer = bench.write(&[], &[Outgoing::new(message)], "agent/alice", None);
    bench.flush();
    let kept = answer.lock().expect("nobody panicked").take().expect("an answer").publishes.remove(0).result;
    match kept.expect("stored").position {
        Some(skep_protocol::Position::Number(position)) => position,
        other => panic!("{other:?}"),
    }
}

fn many<const N: usize>(bench: &mut Bench, key: &str) -> [u64; N] {
    std::array::from_fn(|_| send(bench, key, None, None))
}

fn attach(bench: &mut Bench) -> usize {
    bench.attach("jobs", 10, Binding::Connection).expect("a consumer")
}

/// What a consumer is handed now: where it stands, and its lease.
fn taken(bench: &mut Bench, index: usize) -> Vec<(u64, skep_protocol::LeaseToken)> {
    let leases = bench.take(index);
    let at = bench.engine.leases_at(&leases);
    at.into_iter().flatten().zip(leases).collect()
}

fn one(bench: &mut Bench, index: usize) -> (u64, skep_protocol::LeaseToken) {
    let taken = taken(bench, index);
    assert_eq!(taken.len(), 1, "one at a time: {taken:?}");
    taken[0]
}

/// Takes and acks one after the other.
fn drained(bench: &mut Bench, index: usize) -> Vec<u64> {
    let mut order = Vec::new();
    loop {
        let taken = taken(bench, index);
        if taken.is_empty() {
            return order;
        }
        for (at, lease) in taken {
            order.push(at);
            bench.settle(lease, Action::Ack).expect("acked");
        }
    }
}

fn parked(bench: &Bench) -> (u64, u64) {
    let info = bench.engine.info(&name("jobs")).expect("a queue");
    (info.parked_keys, info.parked)
}

/// A bench on which the first of three of one key died; where they stand.
fn with_a_dead_head(expires_ms: Option<u64>) -> (Bench, [u64; 3]) {
    let mut bench = Bench::with_jobs();
    let first = send(&mut bench, "k", None, expires_ms);
    let [second, third] = many(&mut bench, "k");
    let worker = attach(&mut bench);
    let (at, lease) = one(&mut bench, worker);
    assert_eq!(at, first);
    bench.settle(lease, reject("never")).expect("rejected");
    (bench, [first, second, third])
}

#[test]
fn two_consumers_with_wide_windows_never_hold_two_of_one_key() {
    let mut bench = Bench::with_jobs();
    let workers = [attach(&mut bench), attach(&mut bench)];
    let sent: [[u64; 3]; 20] = std::array::from_fn(|_| ["a", "b", "c"].map(|key| send(&mut bench, key, None, None)));
    let (mut done, mut held) = (Vec::new(), Vec::new());
    loop {
        workers.iter().for_each(|worker| held.extend(taken(&mut bench, *worker)));
        let mut keys: Vec<usize> =
            held.iter().map(|(at, _)| sent.as_flattened().iter().position(|p| p == at).unwrap() % 3).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "two of one key at once: {keys:?}");
        let Some((at, lease)) = held.pop() else { break };
        bench.settle(lease, Action::Ack).expect("acked");
        done.push(at);
        bench.check();
    }
    for key in 0..3 {
        let of_key: Vec<u64> = sent.iter().map(|round| round[key]).collect();
        let order: Vec<u64> = done.iter().copied().filter(|at| of_key.contains(at)).collect();
        assert_eq!(order, of_key, "each key in the order of acceptance");
    }
}

#[test]
fn a_head_that_is_held_back_after_a_nack_holds_its_key_and_no_other() {
    let mut bench = Bench::with_jobs();
    let [first, second] = many(&mut bench, "k");
    let worker = attach(&mut bench);
    let (_, lease) = one(&mut bench, worker);
    let wait = Action::Nack { after_ms: Some(5_000), reason: "later".into() };
    bench.settle(lease, wait).expect("nacked");
    let third = send(&mut bench, "k", None, None);
    let [other] = many(&mut bench, "other");
    let free = bench.message("jobs");
    let free = send_message(&mut bench, &free);
    assert_eq!(drained(&mut bench, worker), [other, free]);
    bench.check();
    bench.restart();
    let worker = attach(&mut bench);
    assert!(drained(&mut bench, worker).is_empty(), "also after a restart");
    bench.pass(5_000);
    assert_eq!(drained(&mut bench, worker), [first, second, third]);
}

#[test]
fn a_head_whose_lease_is_lost_is_delivered_again_before_those_behind_it() {
    for how in ["lost", "left", "expired", "restarted"] {
        let mut bench = Bench::with_jobs();
        let [first, second] = many(&mut bench, "k");
        let worker = attach(&mut bench);
        one(&mut bench, worker);
        match how {
            "lost" => bench.detach(worker, End::Lost),
            "left" => bench.detach(worker, End::Goodbye),
            "expired" => {
                bench.pass(200);
                let (again, _) = one(&mut bench, worker);
                assert_eq!(again, first);
                bench.detach(worker, End::Goodbye);
            }
            _ => bench.restart(),
        }
        bench.check();
        let worker = attach(&mut bench);
        assert_eq!(drained(&mut bench, worker), [first, second], "{how}");
    }
}

#[test]
fn a_delayed_message_joins_its_key_when_it_is_due_and_holds_nobody_up_before() {
    let mut bench = Bench::with_jobs();
    let delayed = send(&mut bench, "k", Some(1_000), None);
    let earlier_due = send(&mut bench, "k", Some(500), None);
    let worker = attach(&mut bench);
    let [first, second] = many(&mut bench, "k");
    let (at, lease) = one(&mut bench, worker);
    assert_eq!(at, first);
    bench.settle(lease, Action::Ack).expect("acked");
    let (at, lease) = one(&mut bench, worker);
    assert_eq!(at, second);
    bench.settle(lease, Action::Extend { lease_ms: Some(60_000), progress: None }).expect("extended");
    let [third] = many(&mut bench, "k");
    bench.pass(1_000);
    let [last] = many(&mut bench, "k");
    bench.check();
    bench.settle(lease, Action::Ack).expect("acked");
    assert_eq!(drained(&mut bench, worker), [third, earlier_due, delayed, last], "behind those that wait already");
}

#[test]
fn a_delayed_message_has_the_same_place_after_a_restart() {
    let mut bench = Bench::with_jobs();
    let delayed = send(&mut bench, "k", Some(1_000), None);
    let [first, second] = many(&mut bench, "k");
    bench.pass(1_000);
    let [last] = many(&mut bench, "k");
    bench.check();
    bench.restart();
    let worker = attach(&mut bench);
    assert_eq!(drained(&mut bench, worker), [first, second, delayed, last]);
}

#[test]
fn order_by_key_beats_priority() {
    let mut bench = Bench::with_jobs();
    let mut keyed = |priority: Priority, key: Option<&str>| {
        let id = MessageId::new(&format!("{priority}-{key:?}")).expect("an id");
        let mut message = Message::build(&id, "test", "note").to(&Topic::new("jobs").expect("a topic"));
        message = message.priority(priority);
        message = key.into_iter().fold(message, |m, key| m.attribute("partitionkey", Attribute::Text(key)));
        send_message(&mut bench, &message.finish().expect("a message"))
    };
    let bulk = keyed(Priority::Bulk, Some("k"));
    let critical = keyed(Priority::Critical, Some("k"));
    let normal = keyed(Priority::Normal, None);
    let worker = bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    assert_eq!(drained(&mut bench, worker), [normal, bulk, critical]);
}

#[test]
fn a_dead_head_parks_its_key_until_it_is_redriven_and_then_goes_first() {
    let (mut bench, [first, second, third]) = with_a_dead_head(None);
    let [other] = many(&mut bench, "other");
    let fourth = send(&mut bench, "k", None, None);
    assert_eq!(drained(&mut bench, 0), [other], "other keys go on");
    assert_eq!(parked(&bench), (1, 3));
    let info = bench.engine.info(&name("jobs")).expect("a queue");
    assert_eq!((info.ready, info.held(), info.dead), (0, 3, 1), "they are held, and not ready");
    bench.check();
    bench.restart();
    let worker = attach(&mut bench);
    assert_eq!((drained(&mut bench, worker), parked(&bench)), (vec![], (1, 3)), "a restart changes nothing");
    assert_eq!(bench.held("jobs", 10).len(), 3, "a look shows them");
    bench.command(&QueueCommand::Redrive(name("jobs"), 10));
    bench.check();
    assert_eq!(parked(&bench), (0, 0));
    assert_eq!(drained(&mut bench, worker), [first, second, third, fourth]);
    assert!(bench.engine.info(&name("jobs")).is_some_and(|info| info.held() == 0));
}

#[test]
fn between_a_redrive_and_its_return_none_of_the_key_overtakes() {
    let (mut bench, [first, second, third]) = with_a_dead_head(None);
    bench.step(|engine, now, fx| engine.command(&QueueCommand::Redrive(name("jobs"), 10), now, fx)).expect("redriven");
    assert_eq!(taken(&mut bench, 0), [], "the redrive is not durable yet");
    bench.flush();
    assert_eq!(drained(&mut bench, 0), [first, second, third]);
}

#[test]
fn a_key_goes_on_when_its_dead_letter_is_purged_settled_trimmed_or_deleted() {
    for how in ["purged", "acked", "rejected", "trimmed", "deleted"] {
        let (mut bench, [_, second, third]) = with_a_dead_head(None);
        match how {
            "purged" => bench.command(&QueueCommand::Purge(name("$dead.jobs"), u32::MAX)),
            "deleted" => bench.command(&QueueCommand::Delete(name("$dead.jobs"), true)),
            "trimmed" => {
                bench.declare(QueueSpec { messages_max: 1, filters: Vec::new(), ..spec("$dead.jobs") });
                let [_] = many(&mut bench, "other");
                let (_, lease) = one(&mut bench, 0);
                bench.settle(lease, reject("no")).expect("rejected");
            }
            how => {
                let reader = bench.attach("$dead.jobs", 1, Binding::Connection).expect("a consumer");
                let lease = bench.take(reader)[0];
                bench.settle(lease, if how == "acked" { Action::Ack } else { reject("no") }).expect("settled");
            }
        }
        bench.check();
        assert_eq!(drained(&mut bench, 0), [second, third], "{how}");
    }
}

#[test]
fn a_key_goes_on_when_its_dead_letter_expires() {
    for restarts in [false, true] {
        let (mut bench, [_, second, third]) = with_a_dead_head(Some(5_000));
        if restarts {
            bench.restart();
            attach(&mut bench);
        }
        bench.pass(4_000);
        assert!(drained(&mut bench, 0).is_empty());
        bench.pass(1_000);
        bench.check();
        assert_eq!((drained(&mut bench, 0), parked(&bench)), (vec![second, third], (0, 0)));
    }
}

#[test]
fn a_head_that_expires_leaves_and_its_key_goes_on() {
    let mut bench = Bench::with_jobs();
    let first = send(&mut bench, "k", None, Some(1_000));
    let [second] = many(&mut bench, "k");
    let behind = send(&mut bench, "k", None, Some(1_000));
    let [last] = many(&mut bench, "k");
    bench.pass(1_000);
    bench.check();
    let dead: Vec<u64> = bench.held("$dead.jobs", 10).into_iter().map(|(entry, _)| entry.position).collect();
    assert_eq!((dead, parked(&bench)), (vec![first, behind], (0, 0)));
    let worker = attach(&mut bench);
    assert_eq!(drained(&mut bench, worker), [second, last]);
}

#[test]
fn a_queue_that_lets_keys_go_on_parks_none() {
    let (mut bench, [first, second, third]) = with_a_dead_head(None);
    let goes_on = QueueSpec { on_dead_key: DeadKey::Continue, ..spec("jobs") };
    bench.declare(goes_on);
    bench.check();
    let (at, lease) = one(&mut bench, 0);
    assert_eq!((at, parked(&bench)), (second, (0, 0)));
    bench.command(&QueueCommand::Redrive(name("jobs"), 10));
    bench.settle(lease, Action::Ack).expect("acked");
    assert_eq!(drained(&mut bench, 0), [first, third], "before those that wait still");
}

#[test]
fn a_queue_that_is_declared_again_knows_which_keys_its_dead_letters_park() {
    let (mut bench, [first, ..]) = with_a_dead_head(None);
    bench.command(&QueueCommand::Delete(name("jobs"), true));
    bench.declare(spec("jobs"));
    let [fresh] = many(&mut bench, "k");
    bench.check();
    let worker = attach(&mut bench);
    assert_eq!((drained(&mut bench, worker), parked(&bench)), (vec![], (1, 1)));
    bench.command(&QueueCommand::Redrive(name("jobs"), 10));
    assert_eq!(drained(&mut bench, worker), [first, fresh]);
}

#[test]
fn the_next_consumer_waits_for_leases_that_outlive_the_single_active_one() {
    let mut bench = Bench::new();
    bench.declare(QueueSpec { consumers: Consumers::SingleActive, ..spec("jobs") });
    let _: [u64; 2] = std::array::from_fn(|_| send(&mut bench, "", None, None));
    let first = bench.attach("jobs", 1, Binding::Deadline).expect("a consumer");
    let second = bench.attach("jobs", 5, Binding::Deadline).expect("a consumer");
    let (_, lease) = one(&mut bench, first);
    bench.detach(first, End::Goodbye);
    let second = second - 1;
    assert_eq!(taken(&mut bench, second), [], "what the first took is not settled yet");
    bench.settle(lease, Action::Ack).expect("acked");
    one(&mut bench, second);
}

#[test]
fn a_purge_takes_those_that_wait_for_their_key_too() {
    let (mut bench, _) = with_a_dead_head(None);
    let _: [u64; 2] = many(&mut bench, "other");
    bench.command(&QueueCommand::Purge(name("jobs"), u32::MAX));
    bench.check();
    let info = bench.engine.info(&name("jobs")).expect("a queue");
    assert_eq!((info.ready, info.leased, info.parked), (0, 1, 0), "what is leased stays");
}

#[test]
fn a_queue_that_held_keys_keeps_nothing_of_them() {
    let mut bench = Bench::with_jobs();
    let _: [u64; 3] = many(&mut bench, "k");
    let worker = attach(&mut bench);
    assert_eq!(drained(&mut bench, worker).len(), 3);
    assert!(bench.engine.queues.values().all(|queue| queue.keys().is_none()));
}
