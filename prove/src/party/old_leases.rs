//! Leases that are over: tried again now and then, they must not settle anything.

use std::collections::VecDeque;
use std::mem;

use skep_protocol::LeaseToken;

use crate::limits::OLD_LEASES_MAX;
use crate::random::Random;

/// The latest leases, and the first of the life before.
///
/// Every life of a hub gives leases anew. If it took an old one for its own, it would be one that it has given, too,
/// and that is still held: most likely so for the first ones of a life, at the begin of the next.
#[derive(Debug, Default)]
pub(crate) struct OldLeases {
    latest: VecDeque<LeaseToken>,
    life: u64,
    first: Vec<LeaseToken>,
    bygone: Vec<LeaseToken>,
}

impl OldLeases {
    pub(crate) fn keep(&mut self, lease: LeaseToken, life: u64) {
        if self.life != life {
            self.life = life;
            self.bygone = mem::take(&mut self.first);
        }
        if self.first.len() < OLD_LEASES_MAX {
            self.first.push(lease);
        }
        if self.latest.len() == OLD_LEASES_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(lease);
    }

    /// Any of the latest.
    pub(crate) fn any(&self, random: &mut Random) -> Option<LeaseToken> {
        let at = random.below(self.latest.len().max(1) as u64);
        self.latest.get(usize::try_from(at).ok()?).copied()
    }

    /// The first ones of the life before, once a life.
    pub(crate) fn bygone(&mut self) -> Vec<LeaseToken> {
        mem::take(&mut self.bygone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_leases_of_a_life_are_tried_once_in_the_next() {
        let mut old = OldLeases::default();
        let lease = |n| LeaseToken([n; 16]);
        (1..=40).for_each(|n| old.keep(lease(n), 1));
        assert_eq!(old.bygone(), []);
        old.keep(lease(50), 2);
        assert_eq!(old.bygone(), (1..=32).map(lease).collect::<Vec<_>>());
        assert_eq!(old.bygone(), []);
    }
}
