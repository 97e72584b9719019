//! What is to happen when: ends of leases and of backoff, and notices that are owed.

use std::collections::BTreeSet;

use crate::journal::QueueId;

/// What a moment brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A lease ends.
    Lease(u64),
    /// A message may have waited long enough.
    Delayed(QueueId, u64),
    /// The sender of a dead letter is to be told, as the record at this position says.
    Notice(u64),
}

/// Timers, the soonest first, on the monotonic clock. One that is needed no more is cleared, so
/// that there are never more than leases and delayed messages.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(u64, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at_ms: u64, timer: Timer) {
        self.0.insert((at_ms, timer));
    }

    pub(crate) fn clear(&mut self, at_ms: u64, timer: Timer) {
        self.0.remove(&(at_ms, timer));
    }

    /// When the next one is.
    pub(crate) fn next(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes one whose time has come.
    pub(crate) fn take(&mut self, now_ms: u64) -> Option<Timer> {
        if self.next()? > now_ms {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
