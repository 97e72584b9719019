//! Settles: gathered into batches, resent with the same content until they are answered.

use std::collections::{BTreeMap, HashSet, VecDeque};

use skep_protocol::limits::BATCH_MAX;
use skep_protocol::{
    Accepted, Action, Code, Error, LeaseToken, Message, Outcome, Publish, Settle, SettleBatch, Settled,
};

use super::publishes::spread;
use crate::limits::FRAME_FILL_BYTES;
use crate::verb::{Asker, Paid, unknown, unsent};

/// What is not answered, by tag. Bounded by what callers paid for, and one return a lease.
#[derive(Default)]
pub(super) struct Settles {
    /// Not yet in a batch.
    fresh: VecDeque<(Settle, Waiting)>,
    plain: BTreeMap<u64, Plain>,
    /// Tags of plain batches that are to be sent again.
    again: VecDeque<u64>,
    hand_overs: BTreeMap<u64, HandOver>,
}

/// Who waits for a settle; nobody does for what was dropped.
pub(super) type Waiting = Option<(Asker<()>, Paid)>;

struct Plain {
    settles: Vec<Settle>,
    waiting: Vec<Waiting>,
}

struct HandOver {
    lease: LeaseToken,
    publish: Publish,
    asker: Asker<Vec<Accepted>>,
    _paid: Paid,
    sent: bool,
}

/// What an answer says of one lease.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Settled, or lost before.
    Over,
    /// Lost before it could be settled or extended.
    Lost,
    /// As it was.
    Stands,
}

/// What an answer settles.
pub(super) struct Verdict {
    pub(super) fates: Vec<(LeaseToken, Fate)>,
    /// The sequences of a hand-over, now answered: the first and how many.
    pub(super) published: Option<(u64, usize)>,
}

impl Settles {
    pub(super) fn settle(&mut self, lease: LeaseToken, action: Action, waiting: Waiting) {
        self.fresh.push_back((Settle { lease, action }, waiting));
    }

    pub(super) fn hand_over(
        &mut self,
        tag: u64,
        lease: LeaseToken,
        publish: Publish,
        asker: Asker<Vec<Accepted>>,
        paid: Paid,
    ) {
        self.hand_overs.insert(tag, HandOver { lease, publish, asker, _paid: paid, sent: false });
    }

    pub(super) fn link_down(&mut self) {
        self.again = self.plain.keys().copied().collect();
    }

    pub(super) fn is_answered(&self) -> bool {
        self.fresh.is_empty() && self.plain.is_empty() && self.hand_overs.is_empty()
    }

    /// Whether [`next_batch`](Self::next_batch) gives something.
    pub(super) fn is_ready(&self) -> bool {
        !self.again.is_empty() || !self.fresh.is_empty()
    }

    /// The next batch that is no hand-over: those sent before first, as they were.
    pub(super) fn next_batch(&mut self, fresh_tag: impl FnOnce() -> u64) -> Option<SettleBatch> {
        while let Some(tag) = self.again.pop_front() {
            if let Some(plain) = self.plain.get(&tag) {
                return Some(batch(tag, plain.settles.clone()));
            }
        }
        let (mut settles, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some((settle, _)) = self.fresh.front() {
            bytes += bytes_of(&settle.action);
            if settles.len() >= BATCH_MAX || (bytes > FRAME_FILL_BYTES && !settles.is_empty()) {
                break;
            }
            let (settle, who) = self.fresh.pop_front()?;
            settles.push(settle);
            waiting.push(who);
        }
        if settles.is_empty() {
            return None;
        }
        let tag = fresh_tag();
        self.plain.insert(tag, Plain { settles: settles.clone(), waiting });
        Some(batch(tag, settles))
    }

    /// The hand-over of a tag, whose sequences are to be sent now.
    pub(super) fn hand_over_batch(&mut self, tag: u64) -> Option<SettleBatch> {
        let hand_over = self.hand_overs.get_mut(&tag)?;
        hand_over.sent = true;
        let settles = vec![Settle { lease: hand_over.lease, action: Action::Ack }];
        Some(SettleBatch { tag, settles, atomic: true, publish: Some(hand_over.publish.clone()) })
    }

    pub(super) fn settled(&mut self, answer: Settled) -> Verdict {
        if let Some(plain) = self.plain.remove(&answer.tag) {
            return Verdict { fates: plain.answer(answer), published: None };
        }
        let Some(hand_over) = self.hand_overs.remove(&answer.tag) else {
            return Verdict { fates: Vec::new(), published: None };
        };
        let (lease, first, count) = (hand_over.lease, hand_over.publish.sequence, hand_over.publish.messages.len());
        let fate = hand_over.answer(answer);
        Verdict { fates: vec![(lease, fate)], published: Some((first, count)) }
    }

    /// Every lease is lost. Hand-overs stay: the hub recognises them by their sequences.
    pub(super) fn leases_lost(&mut self) {
        for (settle, waiting) in self.fresh.drain(..) {
            tell(waiting, Err(lease_lost(settle.lease, Outcome::Refused)));
        }
        for plain in std::mem::take(&mut self.plain).into_values() {
            for (settle, waiting) in plain.settles.into_iter().zip(plain.waiting) {
                tell(waiting, Err(lease_lost(settle.lease, Outcome::Unknown)));
            }
        }
        self.again.clear();
    }

    /// The leases that somebody waits to settle.
    pub(super) fn leases(&self) -> HashSet<LeaseToken> {
        let fresh = self.fresh.iter().map(|(settle, _)| settle.lease);
        let plain = self.plain.values().flat_map(|plain| plain.settles.iter().map(|settle| settle.lease));
        fresh.chain(plain).chain(self.hand_overs.values().map(|h| h.lease)).collect()
    }

    /// The client ends: what was sent may have happened, the rest did not.
    pub(super) fn end(&mut self) {
        for (_, waiting) in self.fresh.drain(..) {
            tell(waiting, Err(unsent("the settle")));
        }
        for plain in std::mem::take(&mut self.plain).into_values() {
            plain.waiting.into_iter().for_each(|waiting| tell(waiting, Err(unknown("the settle"))));
        }
        for hand_over in std::mem::take(&mut self.hand_overs).into_values() {
            let error = if hand_over.sent { unknown("the hand-over") } else { unsent("the hand-over") };
            let _gave_up = hand_over.asker.send(Err(error));
        }
    }
}

impl Plain {
    fn answer(self, answer: Settled) -> Vec<(LeaseToken, Fate)> {
        let mut results = answer.results.into_iter().map(Result::<(), Error>::from);
        let mut fates = Vec::with_capacity(self.settles.len());
        for (settle, waiting) in self.settles.into_iter().zip(self.waiting) {
            let result = results.next().unwrap_or_else(|| Err(super::short_answer("settle")));
            let ends = !matches!(settle.action, Action::Extend { .. });
            fates.push((settle.lease, fate(&result, ends)));
            tell(waiting, result);
        }
        fates
    }
}

impl HandOver {
    fn answer(self, answer: Settled) -> Fate {
        let settled = answer.results.into_iter().next().map(Result::<(), Error>::from);
        let settled = settled.unwrap_or_else(|| Err(super::short_answer("hand-over")));
        let fate = fate(&settled, true);
        let (first, count) = (self.publish.sequence, self.publish.messages.len());
        let _gave_up = self.asker.send(settled.and_then(|()| spread(first, count, answer.receipts)));
        fate
    }
}

fn fate(result: &Result<(), Error>, ends: bool) -> Fate {
    match result {
        Ok(()) if ends => Fate::Over,
        Err(error) if error.code == Code::LeaseLost => Fate::Lost,
        _ => Fate::Stands,
    }
}

fn batch(tag: u64, settles: Vec<Settle>) -> SettleBatch {
    SettleBatch { tag, settles, atomic: false, publish: None }
}

fn bytes_of(action: &Action) -> usize {
    let text = match action {
        Action::Nack { reason, .. } | Action::Reject { reason } => reason.len(),
        Action::Extend { progress: Some(progress), .. } => progress.len(),
        _ => 0,
    };
    text + 64
}

fn tell(waiting: Waiting, result: Result<(), Error>) {
    if let Some((asker, _paid)) = waiting {
        let _gave_up = asker.send(result);
    }
}

fn lease_lost(lease: LeaseToken, outcome: Outcome) -> Error {
    let text = format!("lease {lease} is lost: the hub no longer knows this session");
    Error { outcome, ..Error::new(Code::LeaseLost, text) }
}

/// The bytes that messages take in a settle batch.
pub(crate) fn hand_over_bytes(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.bytes().len() + 16).sum()
}
