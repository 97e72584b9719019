//! Rebuilt state equals live state: whatever is done, a new engine that reads the records holds
//! what the old one held.

use std::time::Duration;

use proptest::prelude::*;
use skep_core::{End, Outgoing, QueueCommand};
use skep_protocol::{Action, Binding, Code, DeadKey, Expired, Position, Priority, ProducerId, QueueSpec, Settle};

use super::bench::{Bench, TRIED_KEY, nack, name, reject, spec};
use crate::engine::Engine;
use crate::journal::Record;
use crate::limits::DEDUP_MS;
use crate::log::{BatchAt, RecordView, SNAPSHOT_VERSION};

#[derive(Clone, Debug)]
enum Op {
    Publish {
        to: usize,
        numbered: bool,
        by_id: bool,
        again: bool,
        party: usize,
        key: usize,
    },
    /// What is not delivered before so long, and not after so long.
    Timed {
        to: usize,
        key: usize,
        after_ms: Option<u64>,
        expires_ms: Option<u64>,
    },
    Attach {
        queue: usize,
        window: u32,
        deadline: bool,
    },
    Detach {
        which: usize,
        lost: bool,
    },
    Window {
        which: usize,
        messages: u32,
    },
    Take {
        which: usize,
    },
    Settle {
        back: usize,
        action: usize,
    },
    HandOver {
        back: usize,
        action: usize,
        to: usize,
    },
    Keep {
        which: usize,
        every: usize,
    },
    Declare {
        queue: usize,
        attempts_max: u32,
        small: bool,
        goes_on: bool,
    },
    Delete {
        queue: usize,
        force: bool,
    },
    Purge {
        queue: usize,
    },
    Redrive {
        queue: usize,
        limit: u32,
    },
    /// Of what a queue holds, every other is moved back or dropped.
    Pick {
        queue: usize,
        every: usize,
        back: bool,
    },
    Put {
        key: usize,
        ttl_ms: Option<u64>,
    },
    Forget {
        key: usize,
    },
    Pass {
        ms: u64,
    },
    Flush,
    Restart,
}

const QUEUES: [&str; 4] = ["jobs", "mail", "$dead.jobs", "agent.alice.inbox"];
/// The first is none.
const KEYS: [&str; 3] = ["", "one", TRIED_KEY];
const PARTIES: [&str; 3] = ["agent/alice", "agent/ghost", "local"];

fn span() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), Just(Some(1)), Just(Some(50)), Just(Some(300)), Just(Some(DEDUP_MS))]
}

fn op() -> impl Strategy<Value = Op> {
    let flag = any::<bool>;
    prop_oneof![
        10 => (0..2_usize, flag(), flag(), prop::bool::weighted(0.2), 0..3_usize, 0..3_usize)
            .prop_map(|(to, numbered, by_id, again, party, key)| Op::Publish { to, numbered, by_id, again, party, key }),
        6 => (0..2_usize, 0..3_usize, span(), span())
            .prop_map(|(to, key, after_ms, expires_ms)| Op::Timed { to, key, after_ms, expires_ms }),
        3 => (0..4_usize, 1..4_u32, flag()).prop_map(|(queue, window, deadline)| Op::Attach { queue, window, deadline }),
        1 => (0..4_usize, flag()).prop_map(|(which, lost)| Op::Detach { which, lost }),
        1 => (0..4_usize, 0..4_u32).prop_map(|(which, messages)| Op::Window { which, messages }),
        3 => (0..4_usize).prop_map(|which| Op::Take { which }),
        10 => (0..6_usize, 0..7_usize).prop_map(|(back, action)| Op::Settle { back, action }),
        2 => (0..4_usize, 0..5_usize, 0..2_usize).prop_map(|(back, action, to)| Op::HandOver { back, action, to }),
        1 => (0..4_usize, 1..4_usize).prop_map(|(which, every)| Op::Keep { which, every }),
        1 => (0..2_usize, 0..4_u32, flag(), flag())
            .prop_map(|(queue, attempts_max, small, goes_on)| Op::Declare { queue, attempts_max, small, goes_on }),
        1 => (0..4_usize, flag()).prop_map(|(queue, force)| Op::Delete { queue, force }),
        1 => (0..4_usize).prop_map(|queue| Op::Purge { queue }),
        1 => (0..2_usize, 1..3_u32).prop_map(|(queue, limit)| Op::Redrive { queue, limit }),
        1 => (0..3_usize, 1..3_usize, flag()).prop_map(|(queue, every, back)| Op::Pick { queue, every, back }),
        2 => (0..3_usize, span()).prop_map(|(key, ttl_ms)| Op::Put { key, ttl_ms }),
        1 => (0..3_usize).prop_map(|key| Op::Forget { key }),
        3 => prop_oneof![Just(1), Just(20), Just(100), Just(400), Just(DEDUP_MS / 2 + 1)].prop_map(|ms| Op::Pass { ms }),
        2 => Just(Op::Flush),
        1 => Just(Op::Restart),
    ]
}

/// What the operations need to remember.
struct Life {
    bench: Bench,
    sequence: u64,
    last: Option<skep_protocol::Message>,
}

impl Life {
    fn new() -> Self {
        let mut bench = Bench::with_jobs();
        bench.declare(QueueSpec { expired: Expired::Drop, ..spec("mail") });
        bench.declare(spec("agent.alice.inbox"));
        bench.declare(QueueSpec { messages_max: 2, attempts_max: 0, ..spec("$dead.jobs") });
        Life { bench, sequence: 0, last: None }
    }

    fn lease(&self, back: usize) -> Option<skep_protocol::LeaseToken> {
        self.bench.leases.iter().rev().nth(back).copied()
    }

    fn publish(&mut self, to: &str, key: &str, producer: Option<ProducerId>, by_id: bool, again: bool, party: &str) {
        if !again || self.last.is_none() {
            self.sequence += 1;
            self.last = Some(self.bench.keyed(to, key, None, None));
        }
        let message = self.last.as_ref().expect("there is one now");
        let outgoing = Outgoing { sequence: self.sequence, by_id, ..Outgoing::new(message) };
        self.bench.write(&[], &[outgoing], party, producer);
    }

    fn pick(&mut self, queue: usize, every: usize, back: bool) {
        let bench = &mut self.bench;
        let from = if back { "$dead.jobs" } else { QUEUES[queue] };
        let Ok(held) = bench.engine.held(&name(from), 0, 9, bench.now) else { return };
        let positions = held.iter().step_by(every).map(|held| Position::Number(held.entry.position)).collect();
        bench.command(&match back {
            true => QueueCommand::RedriveAt(name("jobs"), positions),
            false => QueueCommand::PurgeAt(name(from), positions),
        });
    }

    fn hand_over(&mut self, back: usize, action: usize, to: usize) {
        let Some(lease) = self.lease(back) else { return };
        self.sequence += 1;
        let message = self.bench.message(QUEUES[to]);
        let outgoing = Outgoing { sequence: self.sequence, ..Outgoing::new(&message) };
        let settles = [Settle { lease, action: action_of(action) }];
        self.bench.write(&settles, &[outgoing], "agent/bob", Some(ProducerId([2; 16])));
    }

    fn run(&mut self, op: &Op) {
        let bench = &mut self.bench;
        match *op {
            Op::Publish { to, numbered, by_id, again, party, key } => {
                self.publish(
                    QUEUES[to],
                    KEYS[key],
                    numbered.then_some(ProducerId([1; 16])),
                    by_id,
                    again,
                    PARTIES[party],
                );
            }
            Op::Timed { to, key, after_ms, expires_ms } => {
                let message = bench.keyed(QUEUES[to], KEYS[key], after_ms, expires_ms);
                bench.write(&[], &[Outgoing::new(&message)], PARTIES[0], None);
            }
            Op::Attach { queue, window, deadline } => {
                let binding = if deadline { Binding::Deadline } else { Binding::Connection };
                if bench.consumers.len() < 4 {
                    bench.attach(QUEUES[queue], window, binding);
                }
            }
            Op::Detach { which, lost } if which < bench.consumers.len() => {
                bench.detach(which, if lost { End::Lost } else { End::Goodbye });
            }
            Op::Window { which, messages } if which < bench.consumers.len() => {
                let id = bench.consumers[which].0;
                bench.step(|engine, now, fx| engine.set_window(id, messages, 1 << 20, now, fx));
            }
            Op::Take { which } if which < bench.consumers.len() => drop(bench.take(which)),
            Op::Settle { back, action } => {
                let Some(lease) = self.lease(back) else { return };
                let settles = [Settle { lease, action: action_of(action) }];
                self.bench.write(&settles, &[], "agent/bob", None);
            }
            Op::HandOver { back, action, to } => self.hand_over(back, action, to),
            Op::Keep { which, every } if which < bench.consumers.len() => {
                let id = bench.consumers[which].0;
                let held: Vec<_> = bench.leases.iter().step_by(every).copied().collect();
                bench.step(|engine, now, fx| drop(engine.keep(id, &held, now, fx)));
            }
            Op::Declare { queue, attempts_max, small, goes_on } => {
                bench.declare(declaration(queue, attempts_max, small, goes_on));
            }
            Op::Delete { queue, force } => bench.command(&QueueCommand::Delete(name(QUEUES[queue]), force)),
            Op::Purge { queue } => bench.command(&QueueCommand::Purge(name(QUEUES[queue]), u32::MAX)),
            Op::Redrive { queue, limit } => bench.command(&QueueCommand::Redrive(name(QUEUES[queue]), limit)),
            Op::Pick { queue, every, back } => self.pick(queue, every, back),
            Op::Put { key, ttl_ms } => {
                let (key, ttl) = (format!("k{key}"), ttl_ms.map(Duration::from_millis));
                bench.step(|engine, now, _| engine.put_fact(&key, b"v", None, ttl, now)).expect("there is room");
            }
            Op::Forget { key } => drop(bench.step(|engine, now, _| engine.delete_fact(&format!("k{key}"), now))),
            Op::Pass { ms } => bench.pass(ms),
            Op::Flush => bench.flush(),
            Op::Restart => bench.restart(),
            _ => {}
        }
    }
}

fn declaration(queue: usize, attempts_max: u32, small: bool, goes_on: bool) -> QueueSpec {
    let messages_max = if small { 3 } else { 1_000 };
    let expired = if small { Expired::Drop } else { Expired::DeadLetter };
    let on_dead_key = if goes_on { DeadKey::Continue } else { DeadKey::Park };
    QueueSpec { attempts_max, messages_max, expired, on_dead_key, ..spec(QUEUES[queue]) }
}

fn action_of(number: usize) -> Action {
    match number {
        0 => Action::Ack,
        1 => nack("no"),
        2 => Action::Nack { after_ms: Some(50), reason: "later".into() },
        3 => reject("never"),
        4 => Action::Return,
        5 => Action::Extend { lease_ms: Some(150), progress: Some("half".into()) },
        _ => Action::Extend { lease_ms: None, progress: Some(String::new()) },
    }
}

proptest! {
    #[test]
    fn a_rebuilt_engine_holds_what_the_old_one_held(ops in prop::collection::vec(op(), 1..120)) {
        let mut life = Life::new();
        for (nth, op) in ops.iter().enumerate() {
            life.run(op);
            if nth % 8 == 0 {
                life.bench.check();
            }
        }
        life.bench.check();
    }
}

fn lived(ops: &[Op]) -> Bench {
    let mut life = Life::new();
    ops.iter().for_each(|op| life.run(op));
    life.bench.pass(0);
    life.bench
}

fn dumped(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.dump(&mut bytes).expect("there is memory");
    bytes
}

proptest! {
    #[test]
    fn an_engine_that_is_dumped_and_loaded_goes_on_like_one_that_read_all(
        ops in prop::collection::vec(op(), 1..120),
        at in any::<prop::sample::Index>(),
    ) {
        let bench = lived(&ops);
        let (all, at) = (bench.batches(), at.index(bench.batches() + 1));
        let (mut whole, position) = bench.shadow(at);
        let bytes = dumped(&whole);
        let mut loaded = Engine::load(&mut &bytes[..], SNAPSHOT_VERSION, position, 99).expect("it was dumped");
        prop_assert_eq!(&dumped(&loaded), &bytes);
        prop_assert!(bytes.len() as u64 <= whole.dump_bytes_max(), "of {} bytes", whole.dump_bytes_max());
        bench.replay(&mut whole, at..all);
        bench.replay(&mut loaded, at..all);
        prop_assert_eq!(dumped(&loaded), dumped(&whole));
        for engine in [&mut whole, &mut loaded] {
            bench.recover(engine, all);
        }
        prop_assert_eq!(loaded.describe(bench.now), whole.describe(bench.now));
        prop_assert_eq!(loaded.describe(bench.now), bench.engine.describe(bench.now));
        prop_assert_eq!(loaded.expiries(), whole.expiries());
    }

    #[test]
    fn bytes_that_are_no_dump_are_an_error_and_what_is_loaded_can_be_opened(
        ops in prop::collection::vec(op(), 1..60),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bench = lived(&ops);
        let (engine, position) = bench.shadow(bench.batches());
        let mut bytes = dumped(&engine);
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(Engine::load(&mut &*cut, SNAPSHOT_VERSION, position, 1).is_err());
        for (at, to) in flips {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(mut engine) = Engine::load(&mut &bytes[..], SNAPSHOT_VERSION, position, 1) {
            bench.recover(&mut engine, bench.batches());
        }
    }

    #[test]
    fn any_bytes_at_all_are_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(Engine::load(&mut &bytes[..], SNAPSHOT_VERSION, u64::MAX >> 2, 1));
    }
}

#[test]
fn a_count_that_is_not_true_asks_for_no_memory() {
    let mut bytes = dumped(&Engine::new(1));
    // Behind the seed and the next number: the queues, said to be as many as can be said.
    assert_eq!(bytes.get(8..10), Some(&[1, 0][..]));
    bytes.splice(9..10, [0xff; 9].into_iter().chain([1]));
    assert!(Engine::load(&mut &bytes[..], SNAPSHOT_VERSION, 10, 1).is_err());
}

/// A bench on which one message of `jobs` is leased and taken; its lease.
fn one_leased() -> (Bench, skep_protocol::LeaseToken) {
    let mut bench = Bench::with_jobs();
    bench.publish("jobs");
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let lease = bench.take(0)[0];
    (bench, lease)
}

#[test]
fn a_nack_that_spends_the_last_attempt_is_a_nack_after_a_restart() {
    let mut bench = Bench::new();
    bench.declare(QueueSpec { attempts_max: 1, ..spec("jobs") });
    bench.publish("jobs");
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let lease = bench.take(0)[0];
    bench.settle(lease, nack("no")).expect("nacked");
    bench.check();
    bench.restart();
    bench.settle(lease, nack("no")).expect("a retry gets the same answer");
    assert_eq!(bench.settle(lease, reject("no")).expect_err("it was nacked").code, Code::LeaseLost);
}

#[test]
fn a_lease_that_expired_is_no_settled_one_after_a_restart() {
    for attempts_max in [1, 2] {
        let (mut bench, lease) = one_leased();
        bench.declare(QueueSpec { attempts_max, ..spec("jobs") });
        bench.pass(200);
        bench.check();
        bench.restart();
        for action in [Action::Return, reject("never"), nack("no")] {
            assert_eq!(bench.settle(lease, action).expect_err("nobody settled it").code, Code::LeaseLost);
        }
    }
}

#[test]
fn a_rejected_dead_letter_is_rejected_after_a_restart() {
    let (mut bench, lease) = one_leased();
    bench.settle(lease, reject("never")).expect("rejected");
    let dead = bench.attach("$dead.jobs", 1, Binding::Connection).expect("a consumer");
    let lease = bench.take(dead)[0];
    bench.settle(lease, reject("not even here")).expect("rejected");
    bench.check();
    bench.restart();
    bench.settle(lease, reject("not even here")).expect("a retry gets the same answer");
    assert_eq!(bench.settle(lease, Action::Ack).expect_err("it was rejected").code, Code::LeaseLost);
}

#[test]
fn what_a_restart_ended_is_known_after_the_next_restart() {
    let (mut bench, lease) = one_leased();
    bench.settle(lease, Action::Extend { lease_ms: None, progress: Some("half".into()) }).expect("extended");
    bench.restart();
    bench.check();
    // Leased again, and this time given back uncharged: the restart is still how the last attempt ended.
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.detach(0, End::Goodbye);
    bench.check();
    bench.restart();
    let (_, ended) = bench.held("jobs", 1).remove(0);
    let ended = ended.expect("how the last attempt ended");
    assert_eq!((ended.reason.as_str(), ended.progress.as_deref()), ("hub_restarted", Some("half")));
}

#[test]
fn ids_older_than_their_window_are_forgotten_while_the_log_is_read() {
    let mut bench = Bench::with_jobs();
    for _ in 0..3 {
        let message = bench.message("jobs");
        bench.write(&[], &[Outgoing { by_id: true, ..Outgoing::new(&message) }], "agent/alice", None);
        bench.pass(DEDUP_MS + 1);
    }
    assert_eq!(bench.rebuilt_from(bench.batches()).ids.len(), 1, "as many as live");
    bench.check();
}

#[test]
fn progress_that_says_nothing_changes_nothing() {
    let (mut bench, lease) = one_leased();
    for progress in ["half", ""] {
        bench.settle(lease, Action::Extend { lease_ms: None, progress: Some(progress.into()) }).expect("extended");
    }
    bench.check();
    bench.pass(200);
    bench.check();
    let (_, ended) = bench.held("jobs", 1).remove(0);
    assert_eq!(ended.and_then(|ended| ended.progress).as_deref(), Some("half"));
}

#[test]
fn a_message_that_dies_with_the_hub_keeps_its_last_progress() {
    let mut bench = Bench::new();
    bench.declare(QueueSpec { attempts_max: 1, ..spec("jobs") });
    bench.publish("jobs");
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    let lease = bench.take(0)[0];
    bench.settle(lease, Action::Extend { lease_ms: None, progress: Some("half".into()) }).expect("extended");
    bench.restart();
    bench.attach("jobs", 1, Binding::Connection).expect("a consumer");
    bench.check();
    let (_, ended) = bench.held("$dead.jobs", 1).remove(0);
    let ended = ended.expect("why it died");
    assert_eq!((ended.reason.as_str(), ended.progress.as_deref()), ("hub_restarted", Some("half")));
}

#[test]
fn priorities_are_read_from_the_log() {
    let mut bench = Bench::with_jobs();
    for priority in [Priority::Bulk, Priority::Critical] {
        let id = skep_protocol::MessageId::new(&format!("{priority:?}")).expect("an id");
        let to = skep_protocol::Topic::new("jobs").expect("a topic");
        let message = skep_protocol::Message::build(&id, "test", "note").to(&to).priority(priority).finish();
        bench.write(&[], &[Outgoing::new(&message.expect("a message"))], "agent/alice", None);
    }
    bench.check();
}

#[test]
fn a_declaration_of_the_last_queue_number_is_refused() {
    let declared = |queue| {
        let spec = QueueSpec::new(name("jobs"));
        let (record, mut body) = (Record::Declare { queue, spec }, Vec::new());
        record.encode(&mut body);
        let batch = BatchAt { segment: 1, offset: 0 };
        let (position, flags, len) = (1, record.flags(), body.len() as u32);
        let view = RecordView {
            position,
            kind: record.kind(),
            flags,
            body: &body,
            time_ms: 1,
            batch,
            offset: 0,
            len,
            lost_until: 0,
        };
        Engine::new(1).replay(&view)
    };
    assert!(declared(u32::MAX - 1).is_ok() && declared(u32::MAX).is_err());
}
