//! A client: what it knows of its connection, its messages and its leases. What it does next, chance decides.

use std::collections::BTreeMap;

use skep_protocol::{
    Action, Binding, Connect, Encoding, Frame, LeaseToken, Outcome, ProducerId, Publication, Publish, QueueName,
    ResumeToken, Settle, SettleBatch, Settled, Settlement, Subscribe, SubscriptionId, Target, VERSION, Welcome, Window,
};

use super::line::Line;
use crate::random::Random;

/// Leases that are over and kept to try them again.
const OLD_MAX: usize = 6;

/// What a client is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Publishes,
    /// From these queues.
    Consumes(&'static [&'static str]),
    HandsOver,
    /// Purges, deletes, redrives.
    Manages,
}

/// See the module.
pub(super) struct Client {
    pub(super) role: Role,
    producer: ProducerId,
    pub(super) encoding: Encoding,
    pub(super) line: Option<Line>,
    pub(super) is_open: bool,
    resume: Option<ResumeToken>,
    next_sequence: u64,
    next_tag: u64,
    /// What is not known to be stored or refused, by its first sequence.
    pending: BTreeMap<u64, Pending>,
    /// The sequence of a step, by the tag under which it was sent last.
    steps: BTreeMap<u64, u64>,
    pub(super) held: Vec<Held>,
    pub(super) old: Vec<(LeaseToken, Action)>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, &'static str>,
    /// Those to which the hub has not said yes: they are asked for again.
    unconfirmed: BTreeMap<SubscriptionId, Subscribe>,
}

/// A delivery in its hands.
pub(super) struct Held {
    pub(super) lease: LeaseToken,
    pub(super) queue: String,
}

struct Pending {
    messages: Vec<skep_protocol::Message>,
    /// It is a step with this lease.
    lease: Option<LeaseToken>,
}

impl Client {
    pub(super) fn new(role: Role, number: u64, random: &mut Random) -> Self {
        Client {
            role,
            producer: ProducerId(u128::from(number).to_be_bytes()),
            encoding: if random.percent(70) { Encoding::Compact } else { Encoding::Json },
            line: None,
            is_open: false,
            resume: None,
            next_sequence: 1,
            next_tag: 1,
            pending: BTreeMap::new(),
            steps: BTreeMap::new(),
            held: Vec::new(),
            old: Vec::new(),
            subscriptions: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
        }
    }

    /// Everything it was told is done or refused.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// Says who it is over a new line, and takes its session up again if it wants to.
    pub(super) fn connect(&mut self, mut line: Line, resumes: bool) {
        let resume = self.resume.filter(|_| resumes);
        let held = if resume.is_some() { self.held.iter().map(|held| held.lease).collect() } else { Vec::new() };
        let producer = Some(self.producer);
        line.say(Frame::Connect(Connect { version: VERSION, producer, resume, held, ..Connect::default() }));
        (self.line, self.is_open) = (Some(line), false);
    }

    fn say(&mut self, frame: Frame) {
        if let Some(line) = &mut self.line {
            line.say(frame);
        }
    }

    pub(super) fn publish(&mut self, messages: Vec<skep_protocol::Message>) {
        let sequence = self.next_sequence;
        self.next_sequence += messages.len() as u64;
        self.pending.insert(sequence, Pending { messages, lease: None });
        self.send(sequence);
    }

    /// Settles a lease and publishes, in one step.
    pub(super) fn hand_over(&mut self, lease: LeaseToken, messages: Vec<skep_protocol::Message>) {
        let sequence = self.next_sequence;
        self.next_sequence += messages.len() as u64;
        self.pending.insert(sequence, Pending { messages, lease: Some(lease) });
        self.send(sequence);
    }

    /// Sends what is pending under a sequence, perhaps again.
    fn send(&mut self, sequence: u64) {
        let tag = self.tag();
        let Some(Pending { messages, lease }) = self.pending.get(&sequence) else { return };
        let publish = Publish { sequence, messages: messages.clone() };
        let frame = match lease {
            None => Frame::Publish(publish),
            Some(lease) => {
                self.steps.insert(tag, sequence);
                let settles = vec![Settle { lease: *lease, action: Action::Ack }];
                Frame::Settle(SettleBatch { tag, settles, atomic: true, publish: Some(publish) })
            }
        };
        self.say(frame);
    }

    /// Sends again what it has no answer to.
    pub(super) fn resend(&mut self) {
        for sequence in self.pending.keys().copied().collect::<Vec<_>>() {
            self.send(sequence);
        }
    }

    pub(super) fn settle(&mut self, settles: Vec<(LeaseToken, Action)>) {
        let tag = self.tag();
        for (lease, action) in &settles {
            if !matches!(action, Action::Extend { .. }) {
                self.lay_aside(*lease, action.clone());
            }
        }
        let settles = settles.into_iter().map(|(lease, action)| Settle { lease, action }).collect();
        self.say(Frame::Settle(SettleBatch { tag, settles, atomic: false, publish: None }));
    }

    /// It works on it no more.
    pub(super) fn lay_aside(&mut self, lease: LeaseToken, action: Action) {
        self.held.retain(|held| held.lease != lease);
        if !self.old.iter().any(|(old, _)| *old == lease) {
            if self.old.len() == OLD_MAX {
                self.old.remove(0);
            }
            self.old.push((lease, action));
        }
    }

    pub(super) fn subscribe(&mut self, queue: &'static str, window: u32, binding: Binding) {
        let Ok(name) = QueueName::new(queue) else { return };
        // Numbers of subscriptions and tags are answered by the same frame.
        let id = SubscriptionId::try_from(self.tag()).unwrap_or(SubscriptionId::MAX);
        let window = Window { subscription: id, messages: window, bytes: 1 << 20 };
        self.subscriptions.insert(id, queue);
        let subscribe = Subscribe { id, target: Target::Queue(name), window, handlers: 1, binding };
        self.unconfirmed.insert(id, subscribe.clone());
        self.say(Frame::Subscribe(subscribe));
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        self.forget(id);
        self.say(Frame::Unsubscribe(id));
    }

    fn forget(&mut self, id: SubscriptionId) {
        self.subscriptions.remove(&id);
        self.unconfirmed.remove(&id);
    }

    pub(super) fn manage(&mut self, command: skep_protocol::Command) -> u64 {
        let tag = self.tag();
        self.say(Frame::Manage(skep_protocol::Manage { tag, command }));
        tag
    }

    pub(super) fn query(&mut self, ask: skep_protocol::Ask) -> u64 {
        let tag = self.tag();
        self.say(Frame::Query(skep_protocol::Query { tag, ask }));
        tag
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    /// Hears a frame; answers whether its line is of no more use.
    pub(super) fn hear(&mut self, frame: Frame) -> bool {
        match frame {
            Frame::Welcome(welcome) => self.welcomed(&welcome),
            Frame::Receipt(receipts) => receipts.iter().for_each(|receipt| self.receipt(receipt)),
            Frame::Deliver(deliveries) => self
                .held
                .extend(deliveries.iter().map(|of| Held { lease: of.lease, queue: of.queue.as_str().to_owned() })),
            Frame::Settled(settled) => self.settled(&settled),
            Frame::Managed(managed) => {
                let id = SubscriptionId::try_from(managed.tag).unwrap_or(0);
                if matches!(managed.result, Settlement::Error(_)) {
                    self.forget(id);
                }
            }
            Frame::Subscribed(id) => {
                self.unconfirmed.remove(&id);
            }
            Frame::Ping(number) => self.say(Frame::Pong(number)),
            Frame::Goodbye(_) => return true,
            _ => {}
        }
        false
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        self.resume = Some(welcome.resume);
        self.is_open = true;
        if !welcome.resumed {
            self.subscriptions.clear();
            self.unconfirmed.clear();
            for held in std::mem::take(&mut self.held) {
                self.lay_aside(held.lease, Action::Ack);
            }
        }
        for lease in &welcome.lost {
            self.lay_aside(*lease, Action::Ack);
        }
        for subscribe in self.unconfirmed.values().cloned().collect::<Vec<_>>() {
            self.say(Frame::Subscribe(subscribe));
        }
        self.resend();
    }

    fn receipt(&mut self, receipt: &Publication) {
        let (first, end) = (receipt.sequence, receipt.sequence + u64::from(receipt.count));
        if matches!(&receipt.result, Settlement::Error(error) if error.outcome == Outcome::Unknown) {
            return;
        }
        // A run of receipts may cross two publishes, or end within one.
        let touched: Vec<u64> = self.pending.range(..end).map(|(sequence, _)| *sequence).collect();
        for sequence in touched {
            let Some(Pending { messages, lease }) = self.pending.remove(&sequence) else { continue };
            for (message, at) in messages.into_iter().zip(sequence..) {
                if !(first..end).contains(&at) {
                    let rest = self.pending.entry(at).or_insert(Pending { messages: Vec::new(), lease });
                    rest.messages.push(message);
                }
            }
        }
    }

    fn settled(&mut self, settled: &Settled) {
        let Some(sequence) = self.steps.remove(&settled.tag) else { return };
        let is_unknown =
            |result: &Settlement<()>| matches!(result, Settlement::Error(error) if error.outcome == Outcome::Unknown);
        if !settled.results.iter().any(is_unknown) {
            self.pending.remove(&sequence);
        }
    }

    /// Its line is no more. What it said and nobody took is lost with it.
    pub(super) fn lose_line(&mut self) -> Option<Line> {
        self.is_open = false;
        self.line.take()
    }
}
