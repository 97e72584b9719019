//! What was said and heard while a hub was killed again and again, and whether it can be true.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_protocol::{Accepted, Delivery, LeaseToken, Message};
use tokio::sync::watch;

/// The books of all parties together.
pub(crate) struct Ledger {
    books: Mutex<Books>,
    counts: watch::Sender<Counts>,
}

#[derive(Default)]
struct Books {
    /// Every message that was sent or tried to be, and its payload.
    sent: HashMap<String, Vec<u8>>,
    /// Every position that was named, by a receipt or a delivery, and whose it is.
    at: BTreeMap<u64, String>,
    stands: HashMap<String, u64>,
    /// Whose ack, alone or with messages, was answered, and under which lease.
    settled: HashMap<String, LeaseToken>,
    /// Messages with an ack that may have happened: the hub was killed before it could say so.
    unsure: HashSet<String>,
    /// Acknowledged publishes.
    receipts: Vec<String>,
    /// The outputs whose hand-over was answered, by input.
    outputs: HashMap<String, String>,
    wrong: Vec<String>,
}

/// How much was done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) receipts: usize,
    pub(crate) duplicates: usize,
    pub(crate) deliveries: usize,
    pub(crate) redelivered: usize,
    pub(crate) settled: usize,
    pub(crate) lost_leases: usize,
    pub(crate) unsure: usize,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Ledger { books: Mutex::default(), counts: watch::Sender::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    /// A message is about to be sent.
    pub(crate) fn sends(&self, message: &Message) {
        self.books().sent.insert(message.id().to_owned(), message.payload().to_vec());
    }

    /// Its receipt came.
    pub(crate) fn receipt(&self, id: &str, accepted: &Accepted) {
        let mut books = self.books();
        match accepted.position.and_then(skep_protocol::Position::number) {
            Some(position) => books.stands_at(id, position),
            None => books.wrong.push(format!("the receipt of {id} names no position")),
        }
        books.receipts.push(id.to_owned());
        drop(books);
        self.counts.send_modify(|counts| {
            counts.receipts += 1;
            counts.duplicates += usize::from(accepted.duplicate);
        });
    }

    /// A message came to a consumer.
    pub(crate) fn delivered(&self, delivery: &Delivery) {
        let mut books = self.books();
        let id = delivery.message.id();
        match books.sent.get(id).map(|payload| payload[..] == delivery.message.payload()[..]) {
            None => books.wrong.push(format!("{id} was never sent")),
            Some(false) => books.wrong.push(format!("{id} came with another payload")),
            Some(true) => {}
        }
        books.stands_at(id, delivery.position.number().unwrap_or(0));
        drop(books);
        self.counts.send_modify(|counts| {
            counts.deliveries += 1;
            counts.redelivered += usize::from(delivery.attempt > 1);
        });
    }

    /// The ack of a delivery was answered.
    pub(crate) fn settled(&self, delivery: &Delivery) {
        let mut books = self.books();
        let id = delivery.message.id().to_owned();
        if let Some(before) = books.settled.insert(id.clone(), delivery.lease) {
            let text =
                format!("{id} came again, attempt {}, after its ack under {before} was answered", delivery.attempt);
            books.wrong.push(text);
        }
        drop(books);
        self.counts.send_modify(|counts| counts.settled += 1);
    }

    /// The ack was refused, because the lease was lost before.
    pub(crate) fn lost_lease(&self) {
        self.counts.send_modify(|counts| counts.lost_leases += 1);
    }

    /// The ack may have happened.
    pub(crate) fn unsure(&self, delivery: &Delivery) {
        self.books().unsure.insert(delivery.message.id().to_owned());
        self.counts.send_modify(|counts| counts.unsure += 1);
    }

    /// The hand-over of an input was answered with this output.
    pub(crate) fn output(&self, input: &str, output: &str) {
        self.books().outputs.insert(input.to_owned(), output.to_owned());
    }

    /// Something that must not be.
    pub(crate) fn wrong(&self, what: String) {
        self.books().wrong.push(what);
    }

    /// The acknowledged publishes that cannot be gone, because nobody acked them.
    pub(crate) fn missing(&self) -> Vec<String> {
        let books = self.books();
        let done = |id: &String| books.settled.contains_key(id) || books.unsure.contains(id);
        books.receipts.iter().filter(|id| !done(id)).cloned().collect()
    }

    /// The acknowledged publishes of which it is not known who acked them: the hub must know.
    pub(crate) fn acked_unheard(&self) -> Vec<String> {
        let books = self.books();
        books.receipts.iter().filter(|id| !books.settled.contains_key(*id)).cloned().collect()
    }

    /// The acknowledged publishes with this payload.
    pub(crate) fn receipts(&self, payload: &[u8]) -> Vec<String> {
        let books = self.books();
        let has = |id: &&String| books.sent.get(*id).is_some_and(|sent| sent == payload);
        books.receipts.iter().filter(has).cloned().collect()
    }

    /// The outputs that hand-overs were answered with, by input.
    pub(crate) fn outputs(&self) -> HashMap<String, String> {
        self.books().outputs.clone()
    }

    /// Nothing was wrong.
    pub(crate) fn is_true(&self) {
        let wrong = &self.books().wrong;
        assert!(wrong.is_empty(), "{} things are wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }
}

impl Books {
    fn stands_at(&mut self, id: &str, position: u64) {
        let other = self.at.entry(position).or_insert_with(|| id.to_owned());
        if other != id {
            let text = format!("position {position} was given to {other} and to {id}");
            self.wrong.push(text);
        }
        let known = *self.stands.entry(id.to_owned()).or_insert(position);
        if known != position {
            self.wrong.push(format!("{id} is stored twice, at {known} and at {position}"));
        }
    }
}
