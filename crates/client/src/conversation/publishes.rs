//! The producer's side: sequences, the window, and what is resent until it is answered.

use std::collections::{HashMap, VecDeque};

use skep_protocol::limits::{BATCH_MAX, PRODUCER_WINDOW};
use skep_protocol::{Accepted, Error, Message, Publication, Publish, Settlement};
use tokio::sync::oneshot;

use crate::limits::FRAME_FILL_BYTES;
use crate::verb::{Asker, Paid, unknown, unsent};

/// Messages in the order of their sequences, from the oldest unanswered one on.
///
/// What is kept is bounded by what callers paid for; answered messages leave their place
/// empty until those before them are answered, at most one window of places.
pub(super) struct Publishes {
    /// The sequence of the first place, which is unanswered.
    first: u64,
    places: VecDeque<Place>,
    /// The sequence that is to be sent next over this link.
    cursor: u64,
    /// The lowest sequence that was never sent over any link.
    unsent: u64,
    batches: HashMap<u64, Batch>,
    batches_begun: u64,
}

enum Place {
    /// Waits for its receipt.
    Open(Message, Waiting),
    /// Travels with the settles of this tag, and is answered with them.
    HandOver(u64),
    Answered,
}

/// Who waits for a receipt.
pub(super) enum Waiting {
    One(Asker<Accepted>, #[expect(dead_code, reason = "given back when it is dropped")] Paid),
    /// A place in `publish_all`.
    Of {
        batch: u64,
        index: usize,
    },
    /// The request of this number waits for more than the receipt.
    Request(u64, #[expect(dead_code, reason = "given back when it is dropped")] Paid),
}

struct Batch {
    results: Vec<Option<Result<Accepted, Error>>>,
    left: usize,
    asker: oneshot::Sender<Vec<Result<Accepted, Error>>>,
    _paid: Paid,
}

/// What goes out next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Run {
    Publish(Publish),
    /// The settles of this tag carry the next sequences.
    HandOver(u64),
}

/// A request that ends because its message was refused.
pub(super) type Refusal = (u64, Error);

impl Publishes {
    pub(super) fn new() -> Self {
        let (batches, places) = (HashMap::new(), VecDeque::new());
        Publishes { first: 1, places, cursor: 1, unsent: 1, batches, batches_begun: 0 }
    }

    pub(super) fn one(&mut self, message: Message, waiting: Waiting) {
        self.places.push_back(Place::Open(message, waiting));
    }

    pub(super) fn all(
        &mut self,
        messages: Vec<Message>,
        paid: Paid,
        asker: oneshot::Sender<Vec<Result<Accepted, Error>>>,
    ) {
        let batch = self.batches_begun;
        self.batches_begun += 1;
        let (results, left) = (vec![None; messages.len()], messages.len());
        self.batches.insert(batch, Batch { results, left, asker, _paid: paid });
        for (index, message) in messages.into_iter().enumerate() {
            self.places.push_back(Place::Open(message, Waiting::Of { batch, index }));
        }
    }

    /// Reserves the sequences of a hand-over; they begin with the one that is given back.
    pub(super) fn hand_over(&mut self, tag: u64, count: usize) -> u64 {
        let sequence = self.first + self.places.len() as u64;
        self.places.extend((0..count).map(|_| Place::HandOver(tag)));
        sequence
    }

    /// Everything unanswered is to be sent again.
    pub(super) fn link_down(&mut self) {
        self.cursor = self.first;
    }

    pub(super) fn is_answered(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether [`next_run`](Self::next_run) gives something.
    pub(super) fn is_ready(&mut self) -> bool {
        while matches!(self.place(self.cursor), Some(Place::Answered)) {
            self.cursor += 1;
        }
        match self.place(self.cursor) {
            Some(Place::HandOver(tag)) => self.cursor + self.count_of(*tag) <= self.window_end(),
            Some(_) => self.cursor < self.window_end(),
            None => false,
        }
    }

    /// The next messages that may go out, lowest sequence first.
    pub(super) fn next_run(&mut self) -> Option<Run> {
        if !self.is_ready() {
            return None;
        }
        let run = match self.place(self.cursor)? {
            Place::HandOver(tag) => {
                let tag = *tag;
                self.cursor += self.count_of(tag);
                Run::HandOver(tag)
            }
            _ => Run::Publish(self.next_publish()),
        };
        self.unsent = self.unsent.max(self.cursor);
        Some(run)
    }

    fn next_publish(&mut self) -> Publish {
        let (sequence, end) = (self.cursor, self.window_end());
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while let Some(Place::Open(message, _)) = self.place(self.cursor) {
            bytes += message.bytes().len();
            let full = messages.len() >= BATCH_MAX || (bytes > FRAME_FILL_BYTES && !messages.is_empty());
            if full || self.cursor >= end {
                break;
            }
            messages.push(message.clone());
            self.cursor += 1;
        }
        Publish { sequence, messages }
    }

    /// The first sequence that lies too far ahead of the oldest unanswered one.
    fn window_end(&self) -> u64 {
        self.first + PRODUCER_WINDOW
    }

    fn place(&self, sequence: u64) -> Option<&Place> {
        self.places.get(self.index(sequence)?)
    }

    fn index(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.first)?).ok()
    }

    /// How many sequences from the cursor on belong to a hand-over.
    fn count_of(&self, tag: u64) -> u64 {
        let from = self.index(self.cursor).unwrap_or(usize::MAX);
        let ours = self.places.iter().skip(from).take_while(|place| matches!(place, Place::HandOver(t) if *t == tag));
        ours.count() as u64
    }

    /// Answers what a receipt names; what it names beyond that is known already.
    pub(super) fn receipt(&mut self, publication: Publication) -> Vec<Refusal> {
        let mut refused = Vec::new();
        let end = publication.sequence.saturating_add(u64::from(publication.count)).min(self.unsent);
        let start = publication.sequence.max(self.first);
        let result: Result<Accepted, Error> = publication.result.into();
        for sequence in start..end {
            let Some(place) = self.index(sequence).and_then(|at| self.places.get_mut(at)) else { break };
            if !matches!(place, Place::Open(..)) {
                continue;
            }
            let Place::Open(_, waiting) = std::mem::replace(place, Place::Answered) else { continue };
            let result = result.clone().map(|first| first.nth(sequence - publication.sequence));
            refused.extend(self.answer(waiting, result));
        }
        self.forget_answered();
        refused
    }

    /// The messages of a hand-over were answered with its settle.
    pub(super) fn handed_over(&mut self, sequence: u64, count: usize) {
        let from = self.index(sequence).unwrap_or(usize::MAX);
        for place in self.places.iter_mut().skip(from).take(count) {
            *place = Place::Answered;
        }
        self.forget_answered();
    }

    /// The replies to these requests can no longer come, so their messages are not sent again.
    pub(super) fn forget_requests(&mut self) {
        for place in &mut self.places {
            if matches!(place, Place::Open(_, Waiting::Request(..))) {
                *place = Place::Answered;
            }
        }
        self.forget_answered();
    }

    fn forget_answered(&mut self) {
        while matches!(self.places.front(), Some(Place::Answered)) {
            self.places.pop_front();
            self.first += 1;
        }
        self.cursor = self.cursor.max(self.first);
        self.unsent = self.unsent.max(self.first);
    }

    fn answer(&mut self, waiting: Waiting, result: Result<Accepted, Error>) -> Option<Refusal> {
        match waiting {
            Waiting::One(asker, _) => {
                let _gave_up = asker.send(result);
                None
            }
            Waiting::Of { batch, index } => {
                self.answer_of(batch, index, result);
                None
            }
            Waiting::Request(number, _) => result.err().map(|error| (number, error)),
        }
    }

    fn answer_of(&mut self, key: u64, index: usize, result: Result<Accepted, Error>) {
        let Some(batch) = self.batches.get_mut(&key) else { return };
        if let Some(place) = batch.results.get_mut(index) {
            *place = Some(result);
        }
        batch.left = batch.left.saturating_sub(1);
        if batch.left == 0
            && let Some(batch) = self.batches.remove(&key)
        {
            let _gave_up = batch.asker.send(batch.results.into_iter().flatten().collect());
        }
    }

    /// The client ends: what was sent may have happened, the rest did not.
    pub(super) fn end(&mut self) {
        for (sequence, place) in (self.first..).zip(std::mem::take(&mut self.places)) {
            if let Place::Open(_, waiting) = place {
                let sent = sequence < self.unsent;
                let error = if sent { unknown("the message") } else { unsent("the message") };
                self.answer(waiting, Err(error));
            }
        }
    }
}

/// The result of each message of a hand-over, in order; an error if one was refused.
pub(super) fn spread(sequence: u64, count: usize, receipts: Vec<Publication>) -> Result<Vec<Accepted>, Error> {
    let mut results: Vec<Option<Accepted>> = vec![None; count];
    for publication in receipts {
        let accepted = match publication.result {
            Settlement::Ok(accepted) => accepted,
            Settlement::Error(error) => return Err(error),
        };
        for n in 0..u64::from(publication.count).min(count as u64) {
            let at = publication.sequence.checked_add(n).and_then(|s| s.checked_sub(sequence));
            if let Some(place) = at.and_then(|at| results.get_mut(usize::try_from(at).ok()?)) {
                *place = Some(accepted.clone().nth(n));
            }
        }
    }
    let complete: Option<Vec<Accepted>> = results.into_iter().collect();
    complete.ok_or_else(|| super::short_answer("hand-over"))
}
