//! Small histories for the checkers' own tests.

use skep_protocol::LeaseToken;

use super::{Books, Check, Facts, Violation};
use crate::history::{Event, History, Seen, Sent, Settling, Told, What};

/// A history in the making; every step takes one nanosecond.
pub(super) struct Story {
    events: Vec<(&'static str, Event)>,
    at: u64,
    op: u64,
    leases: u8,
    pub(super) life: u64,
    pub(super) restarts: u64,
}

pub(super) fn sent(id: &str, to: &str) -> Sent {
    let number = id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    Sent { id: id.into(), to: to.into(), hash: hash_of(id), priority: 2, producer: "p".into(), number, cause: None }
}

fn hash_of(id: &str) -> u64 {
    crate::history::hash(id.as_bytes())
}

pub(super) fn at(position: u64) -> Told {
    Told::Ok { position: Some(position), duplicate: false, queues: 1, reply: None }
}

impl Story {
    pub(super) fn new() -> Self {
        Story { events: Vec::new(), at: 0, op: 0, leases: 0, life: 1, restarts: 0 }
    }

    fn tick(&mut self) -> u64 {
        self.at += 1;
        self.at
    }

    /// Begins an operation that may be ended later.
    pub(super) fn begin(&mut self, what: What) -> u64 {
        self.op += 1;
        let event = Event::Begin { at: self.tick(), op: self.op, life: self.life, what };
        self.events.push(("c", event));
        self.op
    }

    pub(super) fn end(&mut self, op: u64, results: Vec<Told>) {
        let event = Event::End { at: self.tick(), op, results };
        self.events.push(("c", event));
    }

    pub(super) fn ask(&mut self, what: What, results: Vec<Told>) {
        let op = self.begin(what);
        self.end(op, results);
    }

    pub(super) fn publish(&mut self, id: &str, to: &str, told: Told) {
        self.ask(What::Publish { messages: vec![sent(id, to)] }, vec![told]);
    }

    /// With a receipt that names as many queues as match.
    pub(super) fn published(&mut self, id: &str, to: &str, position: u64) {
        let queues = u32::try_from(crate::queues::of_topic(to).count()).unwrap();
        self.publish(id, to, Told::Ok { position: Some(position), duplicate: false, queues, reply: None });
    }

    pub(super) fn delivered(&mut self, id: &str, queue: &str, position: u64, attempt: u32, life: u64) -> LeaseToken {
        self.leases += 1;
        let lease = LeaseToken([self.leases; 16]);
        self.delivered_as(Seen {
            queue: queue.into(),
            id: id.into(),
            position,
            attempt,
            lease,
            hash: hash_of(id),
            priority: 2,
            lives: (life, life),
        });
        lease
    }

    pub(super) fn delivered_as(&mut self, seen: Seen) {
        let event = Event::Delivered { at: self.tick(), seen };
        self.events.push(("c", event));
    }

    pub(super) fn settle(&mut self, lease: LeaseToken, action: &str, told: Told) {
        let settles = vec![Settling { lease, action: action.into() }];
        self.ask(What::Settle { settles, atomic: false, messages: Vec::new() }, vec![told]);
    }

    /// Acks an input and publishes an output, atomically.
    pub(super) fn hand_over(&mut self, lease: LeaseToken, input: &str, output: &str, results: [Told; 2]) {
        let messages = vec![sent(output, "refined").caused_by(input)];
        let settles = vec![Settling { lease, action: "ack".into() }];
        self.ask(What::Settle { settles, atomic: true, messages }, results.to_vec());
    }

    /// Delivered once and acked.
    pub(super) fn consumed(&mut self, id: &str, queue: &str, position: u64) {
        let lease = self.delivered(id, queue, position, 1, self.life);
        self.settle(lease, "ack", Told::DONE);
    }

    pub(super) fn judge(&self, check: Check) -> Vec<Violation> {
        let history = History::of(self.events.clone());
        check(&Books::of(&history), Facts { restarts: self.restarts })
    }
}
