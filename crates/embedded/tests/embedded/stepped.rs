//! A store without threads: what its threads do, a test does, step by step, and time passes when it says so.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use skep_core::{
    Backend, ByHand, Clock, Completion, Consume, Consumer, Mailbox, Outgoing, Outlet, QueueCommand, Reply, Write,
};
use skep_embedded::disk::Disk;
use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_embedded::{Embedded, EmbeddedOptions, Steps};
use skep_protocol::{Action, Binding, LeaseToken, Message, QueueName, QueueSpec, Settle};
use skep_testkit::message;

/// More steps than any work of a store takes.
const STEPS: usize = 200;

/// See the module.
pub(crate) struct Stepped {
    pub(crate) disk: RecordingDisk,
    pub(crate) store: Arc<Embedded>,
    pub(crate) steps: Steps,
    pub(crate) clock: Clock,
    hand: &'static ByHand,
    options: EmbeddedOptions,
}

impl Stepped {
    /// A new one with a queue, whose first segment is written and behind which none is prepared.
    pub(crate) fn new() -> Self {
        Self::with(|spec| spec)
    }

    /// The same, with the queue so declared.
    pub(crate) fn with(declare: impl FnOnce(QueueSpec) -> QueueSpec) -> Self {
        Self::with_options(EmbeddedOptions::default(), declare)
    }

    /// The same, of a store so opened.
    pub(crate) fn with_options(options: EmbeddedOptions, declare: impl FnOnce(QueueSpec) -> QueueSpec) -> Self {
        let mut stepped = Self::on(RecordingDisk::new(), options);
        let spec = declare(QueueSpec::new(QueueName::new("jobs").expect("a name")));
        let (store, now) = (stepped.store.clone(), stepped.clock.now());
        stepped.drive(store.manage(QueueCommand::Declare(spec), now)).expect("a queue");
        stepped
    }

    pub(crate) fn on(disk: RecordingDisk, options: EmbeddedOptions) -> Self {
        let (clock, hand) = Clock::by_hand(Clock::new().now());
        let on: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = Embedded::open_in_steps(&on, clock, &options, [7; 24]);
        let (store, steps) = opened.expect("a store");
        Stepped { disk, store, steps, clock, hand, options }
    }

    /// It is killed, and opened again: nothing of what it holds is in memory.
    pub(crate) fn killed(self) -> Self {
        Self::on(self.disk.crash(self.disk.operations(), Image::AllWritten), self.options.clone())
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.hand.set(self.clock.now().plus(Duration::from_millis(ms)));
    }

    /// Everything is done that there is to do. What the disk has no room for is tried again a few times.
    pub(crate) fn settle_down(&mut self) {
        for _ in 0..3 {
            while self.steps.write() | self.steps.read() | self.steps.snapshot() {}
            if !self.steps.prepare() {
                return;
            }
        }
    }

    pub(crate) fn write(&mut self) {
        for _ in 0..STEPS {
            self.steps.write();
        }
    }

    pub(crate) fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        for _ in 0..STEPS {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            self.steps.write();
        }
        panic!("it is not done");
    }

    pub(crate) fn publish(&self, bytes: usize) -> Receiver<Completion> {
        publish(&self.store, self.clock, &[sized(bytes)])
    }

    pub(crate) fn consume(&mut self, messages: u32) -> (Box<dyn Consumer>, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        let outlet = Outlet { mailbox: mailbox.clone(), subscription: 1, nth: 1 };
        let (queue, party) = (QueueName::new("jobs").expect("a name"), "worker".to_owned());
        let how = Consume { messages, bytes: u64::MAX, handlers: 1, binding: Binding::Connection, party };
        let store = self.store.clone();
        (self.drive(store.consume(&queue, how, outlet)).expect("a consumer"), mailbox)
    }

    pub(crate) fn ack(&mut self, leases: Vec<LeaseToken>) {
        self.settle(leases, &Action::Ack);
    }

    pub(crate) fn settle(&mut self, leases: Vec<LeaseToken>, action: &Action) {
        let settle = |lease| Settle { lease, action: action.clone() };
        let settles: Vec<Settle> = leases.into_iter().map(settle).collect();
        let (answer, answered) = sync_channel(1);
        let write = Write { settles: &settles, publishes: &[], atomic: false, party: "worker", producer: None };
        self.store.submit(write, self.clock.now(), Reply::call(move |done| drop(answer.send(done))));
        self.write();
        let settled = answered.try_recv().expect("a settle is answered").settles;
        assert!(settled.iter().all(Result::is_ok), "{settled:?}");
    }

    /// Everything that is stored is delivered and acked, one by one.
    pub(crate) fn drain(&mut self, stored: usize) {
        let (_consumer, mailbox) = self.consume(1);
        for nth in 0..stored {
            let leases = (0..STEPS).find_map(|_| {
                self.steps.read();
                self.steps.write();
                Some(mailbox.withdraw(|_| true)).filter(|leases| !leases.is_empty())
            });
            self.ack(leases.unwrap_or_else(|| panic!("of {stored} only {nth} are delivered")));
        }
    }
}

pub(crate) fn sized(bytes: usize) -> Message {
    message("jobs").text(&"x".repeat(bytes)).finish().expect("a message")
}

pub(crate) fn publish(store: &Embedded, clock: Clock, messages: &[Message]) -> Receiver<Completion> {
    let (answer, answered) = sync_channel(1);
    let publishes: Vec<Outgoing<'_>> = messages.iter().map(Outgoing::new).collect();
    let write = Write { settles: &[], publishes: &publishes, atomic: false, party: "test", producer: None };
    store.submit(write, clock.now(), Reply::call(move |completion| drop(answer.send(completion))));
    answered
}
