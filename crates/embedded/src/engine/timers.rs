//! What is to happen when: ends of leases and of backoff.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::journal::QueueId;

/// What a moment brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A lease may have ended; it may also have been settled or extended.
    Lease(u64),
    /// A message may have waited long enough.
    Delayed(QueueId, u64),
}

/// Timers, the soonest first, on the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(u64, Timer)>>);

impl Timers {
    pub(crate) fn set(&mut self, at_ms: u64, timer: Timer) {
        self.0.push(Reverse((at_ms, timer)));
    }

    /// When the next one is.
    pub(crate) fn next(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one whose time has come.
    pub(crate) fn take(&mut self, now_ms: u64) -> Option<Timer> {
        if self.next()? > now_ms {
            return None;
        }
        self.0.pop().map(|Reverse((_, timer))| timer)
    }
}
