//! Leases that are over: tried again now and then, they must not settle anything.

use std::collections::VecDeque;

use skep_protocol::LeaseToken;

use crate::limits::OLD_LEASES_MAX;
use crate::random::Random;

/// The latest leases that ended.
#[derive(Debug, Default)]
pub(crate) struct OldLeases(VecDeque<LeaseToken>);

impl OldLeases {
    pub(crate) fn keep(&mut self, lease: LeaseToken) {
        if self.0.len() == OLD_LEASES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(lease);
    }

    pub(crate) fn any(&self, random: &mut Random) -> Option<LeaseToken> {
        let at = random.below(self.0.len().max(1) as u64);
        self.0.get(usize::try_from(at).ok()?).copied()
    }
}
