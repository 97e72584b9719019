//! A history, indexed as the checkers ask: by message, by lease, by queue.

use std::collections::{BTreeMap, HashMap};

use skep_protocol::LeaseToken;

use crate::history::{History, Op, Sent, Sight, Told, What};
use crate::queues::dead;

/// One try to send a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try<'a> {
    pub(crate) op: &'a Op,
    /// Which of the operation's items it is.
    pub(crate) item: usize,
    pub(crate) sent: &'a Sent,
    pub(crate) told: &'a Told,
}

/// One settle of one lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settle<'a> {
    pub(crate) op: &'a Op,
    pub(crate) item: usize,
    pub(crate) lease: LeaseToken,
    pub(crate) action: &'a str,
    pub(crate) is_atomic: bool,
    pub(crate) told: &'a Told,
}

/// The index of a history.
pub(crate) struct Books<'a> {
    pub(crate) history: &'a History,
    /// The tries of each message, by its id.
    pub(crate) tries: BTreeMap<&'a str, Vec<Try<'a>>>,
    /// The deliveries of each message: by its id, then by queue.
    pub(crate) sights: HashMap<&'a str, BTreeMap<&'a str, Vec<&'a Sight>>>,
    /// The delivery that gave a lease; the first, if there are several.
    pub(crate) leases: HashMap<LeaseToken, &'a Sight>,
    pub(crate) settles: HashMap<LeaseToken, Vec<Settle<'a>>>,
}

impl<'a> Books<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let mut books = Books {
            history,
            tries: BTreeMap::new(),
            sights: HashMap::new(),
            leases: HashMap::new(),
            settles: HashMap::new(),
        };
        history.ops.iter().for_each(|op| books.add_op(op));
        for sight in &history.sights {
            let queues = books.sights.entry(&sight.seen.id).or_default();
            queues.entry(&sight.seen.queue).or_default().push(sight);
            books.leases.entry(sight.seen.lease).or_insert(sight);
        }
        books
    }

    fn add_op(&mut self, op: &'a Op) {
        if let What::Settle { settles, atomic, .. } = &op.what {
            for (item, (settling, told)) in settles.iter().zip(&op.results).enumerate() {
                let (lease, action) = (settling.lease, &*settling.action);
                let settle = Settle { op, item, lease, action, is_atomic: *atomic, told };
                self.settles.entry(lease).or_default().push(settle);
            }
        }
        let (messages, first) = op.what.messages();
        for ((item, sent), told) in (first..).zip(messages).zip(op.results.iter().skip(first)) {
            self.tries.entry(&sent.id).or_default().push(Try { op, item, sent, told });
        }
    }

    /// The deliveries of a message from a queue, as they were written down.
    pub(crate) fn seen(&self, id: &str, queue: &str) -> &[&'a Sight] {
        self.sights.get(id).and_then(|queues| queues.get(queue)).map_or(&[], Vec::as_slice)
    }

    /// The settles of a message from a queue, by whatever lease.
    pub(crate) fn settled(&self, id: &str, queue: &str) -> impl Iterator<Item = Settle<'a>> {
        let leases = self.seen(id, queue).iter().map(|sight| sight.seen.lease);
        leases.filter_map(|lease| self.settles.get(&lease)).flatten().copied()
    }

    /// Whether it came out of the dead letters of a queue.
    pub(crate) fn is_dead(&self, id: &str, queue: &str) -> bool {
        !self.seen(id, &dead(queue)).is_empty()
    }

    /// Whether a message is certainly stored: it was delivered, or its receipt came.
    pub(crate) fn exists(&self, id: &str) -> bool {
        let told = |tried: &Try<'_>| tried.told.is_ok();
        self.sights.contains_key(id) || self.tries.get(id).is_some_and(|tries| tries.iter().any(told))
    }

    /// Every line of the history that names a message: what was tried, seen and settled.
    pub(crate) fn lines(&self, id: &str) -> Vec<String> {
        let tried = self.tries.get(id).into_iter().flatten().map(Try::line);
        let sights = self.sights.get(id).into_iter().flat_map(BTreeMap::values).flatten();
        let settled = sights.clone().filter_map(|sight| self.settles.get(&sight.seen.lease)).flatten();
        tried.chain(sights.map(|sight| sight.line())).chain(settled.map(Settle::line)).collect()
    }
}

impl Try<'_> {
    pub(crate) fn line(&self) -> String {
        self.op.line(self.item)
    }

    /// The position of its receipt.
    pub(crate) fn position(&self) -> Option<u64> {
        match self.told {
            Told::Ok { position, .. } => *position,
            _ => None,
        }
    }

    /// It was stored by this very try.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.told, Told::Ok { position: Some(_), duplicate: false, .. })
    }
}

impl Settle<'_> {
    pub(crate) fn line(&self) -> String {
        self.op.line(self.item)
    }

    /// An ack, alone or with a hand-over, or a reject: after it the message is gone from its queue.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.action, "ack" | "reject")
    }
}
