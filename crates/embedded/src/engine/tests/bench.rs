//! An engine, the records it staged, and a moment.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use skep_core::{Completion, Consume, End, Entry, Mailbox, Now, Outgoing, Outlet, QueueCommand, Reply, Write};
use skep_protocol::{
    Action, Attribute, Binding, Delivery, Ended, Filter, LeaseToken, Message, MessageId, Position, ProducerId,
    QueueName, QueueSpec, Settle, Topic,
};

use crate::engine::entry::Entry as Waiting;
use crate::engine::{ConsumerId, Effects, Engine, Left, Shortage, Submission};
use crate::log::{BATCH_HEADER_BYTES, BatchAt, BatchHeader, Written, records};
use crate::notice;

const SEED: u64 = 7;
pub(super) const SECRET: u64 = 5;
/// The wall clock, less the monotonic one.
const EPOCH_MS: u64 = 1_000_000;

/// A batch of records as it was written.
#[derive(Clone)]
struct Batch {
    at: BatchAt,
    header: BatchHeader,
    bytes: Bytes,
}

pub(super) struct Bench {
    pub(super) engine: Engine,
    batches: Vec<Batch>,
    opens: u64,
    pub(super) now: Now,
    pub(super) consumers: Vec<(ConsumerId, Arc<Mailbox>)>,
    /// Every lease that was ever handed out, oldest first.
    pub(super) leases: Vec<LeaseToken>,
    messages: u64,
    /// Whether senders of dead letters are told; if not, what they are owed waits for a restart.
    pub(super) is_telling: bool,
    /// Whether what is due comes from disk at once; if not, it is on its way for ever.
    pub(super) is_reading: bool,
}

/// Messages of this key say themselves how they are tried again.
pub(super) const TRIED_KEY: &str = "tried";

pub(super) fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a name")
}

pub(super) fn spec(text: &str) -> QueueSpec {
    QueueSpec { lease_ms: 100, attempts_max: 2, backoff_min_ms: 10, ..QueueSpec::new(name(text)) }
}

pub(super) fn nack(reason: &str) -> Action {
    Action::Nack { after_ms: Some(0), reason: reason.into() }
}

pub(super) fn reject(reason: &str) -> Action {
    Action::Reject { reason: reason.into() }
}

impl Bench {
    pub(super) fn new() -> Self {
        let now = Now { mono_ms: 1_000, unix_ms: EPOCH_MS + 1_000 };
        let mut engine = Engine::new(SEED);
        engine.recovered(2, 1, SECRET, now);
        Bench {
            engine,
            batches: Vec::new(),
            opens: 1,
            now,
            consumers: Vec::new(),
            leases: Vec::new(),
            messages: 0,
            is_telling: true,
            is_reading: true,
        }
    }

    /// A bench with a queue `jobs`.
    pub(super) fn with_jobs() -> Self {
        let mut bench = Bench::new();
        bench.declare(spec("jobs"));
        bench
    }

    pub(super) fn declare(&mut self, spec: QueueSpec) {
        self.command(&QueueCommand::Declare(spec));
    }

    pub(super) fn command(&mut self, command: &QueueCommand) {
        self.step(|engine, now, fx| drop(engine.command(command, now, fx)));
        self.flush();
    }

    pub(super) fn message(&mut self, to: &str) -> Message {
        self.messages += 1;
        let id = MessageId::new(&format!("m{}", self.messages)).expect("an id");
        let to = Topic::new(to).expect("a topic");
        Message::build(&id, "test", "note").to(&to).finish().expect("a message")
    }

    /// A message that is not delivered before so long, and not after so long.
    pub(super) fn timed(&mut self, to: &str, after_ms: Option<u64>, expires_ms: Option<u64>) -> Message {
        self.keyed(to, "", after_ms, expires_ms)
    }

    /// The same with a key, if it is not empty.
    pub(super) fn keyed(&mut self, to: &str, key: &str, after_ms: Option<u64>, expires_ms: Option<u64>) -> Message {
        self.messages += 1;
        let id = MessageId::new(&format!("m{}", self.messages)).expect("an id");
        let mut message = Message::build(&id, "test", "note").to(&Topic::new(to).expect("a topic"));
        if let Some(ms) = after_ms {
            message = message.not_before(self.now.unix_ms + ms);
        }
        if let Some(ms) = expires_ms {
            message = message.expires(self.now.unix_ms + ms);
        }
        if key == TRIED_KEY {
            message = message.attribute("retry", Attribute::Text("attempts=2 backoff=1ms..20ms"));
        }
        if !key.is_empty() {
            message = message.attribute("partitionkey", Attribute::Text(key));
        }
        message.finish().expect("a message")
    }

    /// A message with so many bytes in it.
    pub(super) fn large(&mut self, to: &str, bytes: usize) -> Message {
        let to = Topic::new(to).expect("a topic");
        let id = MessageId::new("large").expect("an id");
        Message::build(&id, "test", "note").to(&to).payload("x/y", vec![0; bytes]).finish().expect("a message")
    }

    /// A thousand queues that take what is published to `crowd`, and so much staged that one message more would keep everybody
    /// waiting.
    pub(super) fn crowd(&mut self) {
        for n in 0..1_000 {
            let filters = vec![Filter::new("crowd").expect("a filter")];
            self.declare(QueueSpec { filters, ..spec(&format!("crowd-{n}")) });
        }
        self.flush();
        for to in ["crowd", "jobs"] {
            // Refused, it is answered at once.
            while {
                let message = self.message(to);
                let answer = self.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
                answer.lock().expect("nobody panicked").is_none()
            } {}
        }
    }

    pub(super) fn publish(&mut self, to: &str) {
        let message = self.message(to);
        self.write(&[], &[Outgoing::new(&message)], "agent/alice", None);
        self.flush();
    }

    /// Settles and publishes, together if there are both; answers once a flush follows.
    pub(super) fn write(
        &mut self,
        settles: &[Settle],
        publishes: &[Outgoing<'_>],
        party: &str,
        producer: Option<ProducerId>,
    ) -> Arc<std::sync::Mutex<Option<Completion>>> {
        let answer = Arc::new(std::sync::Mutex::new(None));
        let slot = answer.clone();
        let atomic = !settles.is_empty() && !publishes.is_empty();
        let write = Write { settles, publishes, atomic, party, producer };
        let reply = Reply::call(move |completion| *slot.lock().expect("nobody panicked") = Some(completion));
        self.step(|engine, now, fx| {
            let mut left = Some(Submission::new(&write, now, reply));
            while let Some(submission) = left {
                left = match engine.submit(submission, &Shortage::default(), false, fx) {
                    Left::More(submission) => Some(submission),
                    _ => None,
                };
            }
        });
        answer
    }

    pub(super) fn settle(&mut self, lease: LeaseToken, action: Action) -> Result<(), skep_protocol::Error> {
        let answer = self.write(&[Settle { lease, action }], &[], "agent/bob", None);
        self.flush();
        let completion = answer.lock().expect("nobody panicked").take().expect("it is durable");
        completion.settles.into_iter().next().expect("one settle")
    }

    /// Attaches a consumer; answers its index.
    pub(super) fn attach(&mut self, queue: &str, messages: u32, binding: Binding) -> Option<usize> {
        let mailbox = Arc::new(Mailbox::default());
        let how = Consume { messages, bytes: 1 << 20, handlers: 1, binding, party: "agent/bob".into() };
        let outlet = Outlet { mailbox: mailbox.clone(), subscription: 1, nth: 1 };
        let id = self.step(|engine, now, fx| engine.attach(&name(queue), &how, outlet, now, fx)).ok()?;
        self.consumers.push((id, mailbox));
        self.flush();
        Some(self.consumers.len() - 1)
    }

    pub(super) fn detach(&mut self, index: usize, end: End) {
        let (id, _) = self.consumers.remove(index);
        self.step(|engine, now, fx| engine.detach(id, end, now, fx));
    }

    /// A consumer says its window again, as a session does when it looks into a mailbox out of which something was taken.
    pub(super) fn say_window(&mut self, index: usize, messages: u32) {
        let id = self.consumers[index].0;
        self.step(|engine, now, fx| engine.set_window(id, messages, 1 << 20, now, fx));
    }

    /// What lies in a consumer's mailbox is taken out of it.
    pub(super) fn take(&mut self, index: usize) -> Vec<LeaseToken> {
        self.consumers[index].1.withdraw(|_| true)
    }

    /// Takes what lies in a consumer's mailbox; answers where the messages stand.
    pub(super) fn positions(&mut self, index: usize) -> Vec<u64> {
        let leases = self.take(index);
        let held = self.engine.leases_at(&leases);
        held.into_iter().flatten().collect()
    }

    /// What a queue holds first.
    pub(super) fn held(&self, queue: &str, limit: usize) -> Vec<(Waiting, Option<Ended>)> {
        let held = self.engine.held(&name(queue), 0, limit, self.now).expect("a queue");
        held.into_iter().map(|held| (held.entry, held.previous)).collect()
    }

    /// Time passes.
    pub(super) fn pass(&mut self, ms: u64) {
        // A record has the time of its batch: what was done before belongs to an earlier one.
        self.flush();
        self.now = self.now.plus(std::time::Duration::from_millis(ms));
        self.step(Engine::tick);
        self.flush();
    }

    /// A step of the engine, and what follows from it; nothing is durable yet.
    pub(super) fn step<T>(&mut self, step: impl FnOnce(&mut Engine, Now, &mut Effects) -> T) -> T {
        let mut fx = Effects::default();
        let result = step(&mut self.engine, self.now, &mut fx);
        self.follow(&mut fx);
        result
    }

    fn follow(&mut self, fx: &mut Effects) {
        self.engine.dispatch_touched(self.now, fx);
        while !fx.due.is_empty() || !fx.notices.is_empty() {
            for due in std::mem::take(&mut fx.due) {
                self.leases.push(due.lease);
                if !self.is_reading {
                    continue;
                }
                if !self.engine.hand_over(due.token, due.lease_ms, self.now) {
                    continue;
                }
                let message = self.batches.iter().find(|batch| batch.at == due.place.batch()).expect("it is durable");
                let delivery = Delivery {
                    subscription: due.outlet.subscription,
                    queue: due.queue,
                    position: Position::Number(due.position),
                    attempt: due.attempt,
                    lease: due.lease,
                    lease_ms: due.lease_ms,
                    previous: due.previous,
                    message: crate::store::message(&message.bytes, &due.place).expect("a message"),
                };
                assert!(due.outlet.mailbox.push(Entry::Delivery(delivery)));
            }
            for (at, place) in std::mem::take(&mut fx.notices).into_iter().filter(|_| self.is_telling) {
                let batch = self.batches.iter().find(|batch| batch.at == place.batch()).expect("it is durable");
                let bytes = batch.bytes.clone();
                let record = crate::store::record(&bytes, &place);
                notice::tell(&mut self.engine, at, record, self.now, fx);
            }
            self.engine.dispatch_touched(self.now, fx);
        }
    }

    /// All that is staged is durable, and takes effect.
    pub(super) fn flush(&mut self) {
        while let Some(buffer) = self.engine.staging().take() {
            let at = BatchAt { segment: 1, offset: 8 * self.batches.len() as u64 };
            let header = BatchHeader {
                body_bytes: (buffer.len() - BATCH_HEADER_BYTES) as u32,
                records: buffer.records(),
                position: buffer.first_position(),
                open_count: self.opens as u32,
                clean: false,
                known_durable: 0,
                body_hash: 0,
                previous_hash: 0,
                time_ms: self.now.unix_ms,
            };
            let (first, end) = (buffer.first_position(), buffer.position());
            self.batches.push(Batch { at, header, bytes: Bytes::copy_from_slice(buffer.bytes()) });
            let written = Written { batch: at, first, end, durable: end, reserved: end + 1_000 };
            let mut fx = Effects::default();
            while self.engine.advance(written, self.now, 3, &mut fx) {}
            self.follow(&mut fx);
        }
    }

    /// Records of each batch, in order.
    pub(super) fn written(&self) -> Vec<Vec<String>> {
        let kinds = |batch: &Batch| {
            records(batch.at, &batch.header, &batch.bytes)
                .map(|view| format!("{:?}", view.expect("a record").kind))
                .collect()
        };
        self.batches.iter().map(kinds).collect()
    }

    /// A new engine, rebuilt from so many batches.
    pub(super) fn rebuilt_from(&self, batches: usize) -> Engine {
        let mut engine = Engine::new(SEED);
        self.replay(&mut engine, 0..batches);
        self.recover(&mut engine, batches);
        engine
    }

    /// An engine reads some of the batches.
    pub(super) fn replay(&self, engine: &mut Engine, batches: Range<usize>) {
        for batch in &self.batches[batches] {
            for view in records(batch.at, &batch.header, &batch.bytes) {
                engine.replay(&view.expect("a record")).expect("records agree with each other");
            }
        }
    }

    /// An engine that has read so many batches is opened.
    pub(super) fn recover(&self, engine: &mut Engine, batches: usize) {
        // The opening takes a position of its own.
        let end =
            self.batches[..batches].last().map_or(2, |batch| batch.header.position + u64::from(batch.header.records));
        engine.recovered(end + 1, self.opens + 1, SECRET, self.now);
    }

    /// An engine that read so many batches, and has not been opened; and the position behind them.
    pub(super) fn shadow(&self, batches: usize) -> (Engine, u64) {
        let mut engine = Engine::new(SEED);
        self.replay(&mut engine, 0..batches);
        let end = |batch: &Batch| batch.header.position + u64::from(batch.header.records);
        (engine, self.batches[..batches].last().map_or(2, end))
    }

    /// The hub ends without a word, and a new one opens the store.
    pub(super) fn restart(&mut self) {
        self.flush();
        self.restart_from(self.batches.len());
    }

    fn restart_from(&mut self, batches: usize) {
        self.engine = self.rebuilt_from(batches);
        self.batches.truncate(batches);
        self.opens += 1;
        self.consumers.clear();
    }

    /// The bench as it is when only so many batches had reached the disk, and the store was opened again.
    pub(super) fn cut_to(&self, batches: usize) -> Bench {
        let mut cut = Bench { batches: self.batches.clone(), opens: self.opens, now: self.now, ..Bench::new() };
        cut.restart_from(batches);
        cut
    }

    /// Nothing is rebuilt any more.
    pub(super) fn forget_batches(&mut self) {
        self.batches = Vec::new();
    }

    /// How many batches were written.
    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Rebuilt state equals live state, but for leases.
    pub(super) fn check(&mut self) {
        self.pass(0);
        let rebuilt = self.rebuilt_from(self.batches.len()).describe(self.now);
        let live = self.engine.describe(self.now);
        let only = |of: &[String], other: &[String]| {
            of.iter().filter(|line| !other.contains(line)).cloned().collect::<Vec<_>>().join("\n")
        };
        assert!(live == rebuilt, "only live:\n{}\nonly rebuilt:\n{}", only(&live, &rebuilt), only(&rebuilt, &live));
    }
}
