//! Leases that end without a settle, and what is said of a lease that is no more.

use std::collections::VecDeque;

use foldhash::HashMap;
use skep_protocol::{Code, Error, LeaseToken};

use super::{Claim, Engine};
use crate::journal::{QueueId, Token};
use crate::limits::{DECLARE_BYTES, LAPSES_MAX, RETURNED_MAX};

/// More bytes than the record of a return takes.
const RETURN_BYTES: usize = 128;
/// More than what it becomes where no attempt is left: a dead letter, with the declaration of the dead letters.
const LAPSE_BYTES: usize = DECLARE_BYTES + 1024;

/// Why a lease ended that nobody settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lapse {
    /// Its deadline came.
    Expired,
    /// Its deadline came, or its consumer went, before the delivery was taken: nobody worked on it.
    NotTaken,
    /// Its consumer was lost while it worked on it.
    Lost,
    /// Its consumer went: with a goodbye, or before it worked on it.
    Left,
    /// Its consumer came back without it.
    NotResumed,
    /// Its queue was deleted.
    Deleted,
    /// The store closed, in order: that is nobody's failure.
    Closed,
}

impl Lapse {
    /// The reason, as records and the next attempt have it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Lapse::Expired => "lease_expired",
            Lapse::NotTaken => "not_taken",
            Lapse::Lost => "consumer_lost",
            Lapse::Left => "consumer_left",
            Lapse::NotResumed => "not_resumed",
            Lapse::Deleted => "queue_deleted",
            Lapse::Closed => "hub_closed",
        }
    }

    /// Whether it counts as an attempt.
    pub(super) fn is_charged(self) -> bool {
        matches!(self, Lapse::Expired | Lapse::Lost)
    }

    /// Whether a later deadline undoes it.
    pub(super) fn is_by_time(self) -> bool {
        matches!(self, Lapse::Expired | Lapse::NotTaken)
    }

    fn explain(self) -> &'static str {
        match self {
            Lapse::Expired => "it ended at its deadline, and its message is delivered again; extend what takes longer",
            Lapse::NotTaken => "it ended before anybody took its delivery, and its message is delivered again",
            Lapse::Lost => "it ended with its consumer's connection, and its message is delivered again",
            Lapse::Left => "it ended with its subscription, and its message is delivered again",
            Lapse::NotResumed => "its session came back without naming it, and its message is delivered again",
            Lapse::Deleted => "its queue was deleted, and its message with it",
            Lapse::Closed => "the hub is closing, and its message is delivered again",
        }
    }
}

/// Why leases of this opening lapsed, the youngest ones: only for what people are told.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    known: HashMap<u64, Lapse>,
    order: VecDeque<u64>,
}

impl Lapses {
    fn remember(&mut self, count: u64, why: Lapse) {
        while self.order.len() >= LAPSES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        if self.known.insert(count, why).is_none() {
            self.order.push_back(count);
        }
    }
}

impl Engine {
    /// A lease ends that nobody settled: its message goes back to its queue, which is answered; or later on, where there is no room in
    /// the log.
    pub(super) fn lapse(&mut self, count: u64, why: Lapse) -> Option<QueueId> {
        if self.leases.contains_key(&count) && !self.has_room_for(Claim::Settling, LAPSE_BYTES, 2) {
            self.lapse_later(count, why);
            return None;
        }
        let lease = self.end_lease(count)?;
        self.lapses.remember(count, why);
        self.give_back(&lease, Token { open: self.open, count }, Some(why));
        Some(lease.queue)
    }

    /// Before the store closes in order: leases end uncharged, the youngest first, some at a time and as far as there is room for
    /// it. Answers whether any did. What is left then is charged by the next opening, as after a crash.
    pub(crate) fn return_leases(&mut self) -> bool {
        let records = u32::try_from(self.leases.len().min(RETURNED_MAX)).unwrap_or(u32::MAX);
        if records == 0 || !self.has_room_for(Claim::Growth, records as usize * RETURN_BYTES, records) {
            return false;
        }
        let mut counts: Vec<u64> = self.leases.keys().copied().collect();
        let older = counts.len().saturating_sub(RETURNED_MAX);
        counts.select_nth_unstable(older);
        let mut youngest = counts.split_off(older);
        youngest.sort_unstable();
        youngest.into_iter().rev().for_each(|count| {
            self.lapse(count, Lapse::Closed);
        });
        true
    }

    /// A lease ends with its queue.
    pub(super) fn lapse_deleted(&mut self, count: u64) {
        if self.end_lease(count).is_some() {
            self.lapses.remember(count, Lapse::Deleted);
        }
    }

    /// What is said to whoever names a lease that is no more: which, and why as far as it is known.
    pub(super) fn lease_lost(&self, lease: LeaseToken) -> Error {
        let why = match Token::opened(lease, self.secret) {
            None => "this hub never gave it".to_owned(),
            Some(token) => match (self.settled.kind(token), self.lapses.known.get(&token.count)) {
                (Some(kind), _) => format!("it was settled before, by {}", kind.name()),
                (None, _) if token.open != self.open => {
                    "the hub was restarted since: its message is delivered again, unless it was settled long before"
                        .to_owned()
                }
                (None, Some(why)) => why.explain().to_owned(),
                (None, None) => "it ended so long ago that nobody knows why".to_owned(),
            },
        };
        Error::new(Code::LeaseLost, format!("lease {lease} is lost: {why}"))
    }
}
