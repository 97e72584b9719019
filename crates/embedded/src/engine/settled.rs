//! Settles of the last minutes, so that a retry gets the same answer.

use std::collections::VecDeque;

use foldhash::HashMap;
use skep_protocol::Action;

use crate::journal::{By, Token};
use crate::limits::{SETTLED_MAX, SETTLED_MS};

/// How a lease was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ack,
    Nack,
    Reject,
    Return,
}

/// What was settled, and by which record.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) known: HashMap<Token, (Kind, u64)>,
    pub(super) order: VecDeque<(u64, Token)>,
}

impl Settled {
    pub(super) fn remember(&mut self, token: Token, kind: Kind, at: u64, unix_ms: u64) {
        while self.order.len() >= SETTLED_MAX || self.order.front().is_some_and(|(then, _)| then + SETTLED_MS < unix_ms)
        {
            if let Some((_, oldest)) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        if self.known.insert(token, (kind, at)).is_none() {
            self.order.push_back((unix_ms, token));
        }
    }

    /// The record of an earlier settle of the same kind.
    pub(super) fn look(&self, token: Token, action: &Action) -> Option<u64> {
        let (kind, at) = self.known.get(&token)?;
        (Some(*kind) == Kind::of(action)).then_some(*at)
    }

    /// How a lease was settled, if it was.
    pub(super) fn kind(&self, token: Token) -> Option<Kind> {
        self.known.get(&token).map(|(kind, _)| *kind)
    }

    /// What is remembered at a moment, by lease.
    #[cfg(test)]
    pub(super) fn describe(&self, unix_ms: u64) -> Vec<String> {
        let young = self.order.iter().filter(|(then, _)| then + SETTLED_MS >= unix_ms);
        young.map(|(_, token)| format!("settled {token:?} {:?}", self.known[token])).collect()
    }
}

impl Kind {
    /// What an action makes of a lease; none when the lease goes on.
    pub(super) fn of(action: &Action) -> Option<Kind> {
        match action {
            Action::Ack => Some(Kind::Ack),
            Action::Nack { .. } => Some(Kind::Nack),
            Action::Reject { .. } => Some(Kind::Reject),
            Action::Return => Some(Kind::Return),
            Action::Extend { .. } => None,
        }
    }

    /// The settle behind a record of a message that died; none when nobody settled.
    pub(super) fn behind(by: By) -> Option<Kind> {
        match by {
            By::Reject => Some(Kind::Reject),
            By::Nack => Some(Kind::Nack),
            By::Hub => None,
        }
    }

    /// The settle, as people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Ack => "ack",
            Kind::Nack => "nack",
            Kind::Reject => "reject",
            Kind::Return => "return",
        }
    }
}
