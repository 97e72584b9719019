//! Signs of life, both ways.

use std::time::Duration;

use crate::clock::Moment;
use crate::limits::{HEARTBEAT_MAX, HEARTBEAT_MIN};

/// We speak at least once a heartbeat; a hub that says nothing for two is gone.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    every: Duration,
    spoke: Moment,
    heard: Moment,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Gone,
}

impl Heartbeat {
    pub(super) fn start(&mut self, every_ms: u64, now: Moment) {
        self.every = Duration::from_millis(every_ms).clamp(HEARTBEAT_MIN, HEARTBEAT_MAX);
        (self.spoke, self.heard) = (now, now);
    }

    pub(super) fn spoke(&mut self, now: Moment) {
        self.spoke = now;
    }

    pub(super) fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    pub(super) fn silence(&self) -> Duration {
        self.every * 2
    }

    pub(super) fn deadline(&self) -> Moment {
        (self.spoke + self.every).min(self.heard + self.silence())
    }

    pub(super) fn due(&self, now: Moment) -> Due {
        if now >= self.heard + self.silence() {
            Due::Gone
        } else if now >= self.spoke + self.every {
            Due::Ping
        } else {
            Due::Nothing
        }
    }
}
