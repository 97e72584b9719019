//! The leases this client holds, and who is told when one is lost.

use std::collections::HashMap;

use skep_protocol::limits::BATCH_MAX;
use skep_protocol::{LeaseToken, SubscriptionId};
use tokio::sync::oneshot;

/// Every lease from its delivery to the answer of the settle that ends it. Bounded by the
/// windows of the subscriptions, and beyond them by what callers keep past a lease's end.
#[derive(Default)]
pub(super) struct Leases {
    held: HashMap<LeaseToken, Lease>,
    arrived: u64,
}

struct Lease {
    subscription: SubscriptionId,
    /// Older ones are worked on first, so they matter more.
    arrival: u64,
    lost: oneshot::Sender<()>,
}

impl Leases {
    /// A lease begins; what is given back speaks when it is lost.
    pub(super) fn begin(&mut self, lease: LeaseToken, subscription: SubscriptionId) -> oneshot::Receiver<()> {
        let (lost, told) = oneshot::channel();
        self.arrived += 1;
        self.held.insert(lease, Lease { subscription, arrival: self.arrived, lost });
        told
    }

    pub(super) fn holds(&self, lease: LeaseToken) -> bool {
        self.held.contains_key(&lease)
    }

    /// A lease was settled. Gives back whose it was.
    pub(super) fn settled(&mut self, lease: LeaseToken) -> Option<SubscriptionId> {
        self.held.remove(&lease).map(|held| held.subscription)
    }

    /// A lease was lost: whoever works on it is told. Gives back whose it was.
    pub(super) fn lost(&mut self, lease: LeaseToken) -> Option<SubscriptionId> {
        let held = self.held.remove(&lease)?;
        let _gone = held.lost.send(());
        Some(held.subscription)
    }

    /// Every lease was lost.
    pub(super) fn all_lost(&mut self) -> Vec<(LeaseToken, SubscriptionId)> {
        let all = std::mem::take(&mut self.held);
        let lost = all.into_iter().map(|(lease, held)| {
            let _gone = held.lost.send(());
            (lease, held.subscription)
        });
        lost.collect()
    }

    /// The leases to name in Connect, and those there is no room for. The former are those that
    /// come `first`, then the oldest.
    pub(super) fn to_name(&self, first: impl Fn(&LeaseToken) -> bool) -> (Vec<LeaseToken>, Vec<LeaseToken>) {
        let mut all: Vec<_> = self.held.iter().map(|(lease, held)| (!first(lease), held.arrival, *lease)).collect();
        all.sort_unstable();
        let mut named: Vec<LeaseToken> = all.into_iter().map(|(.., lease)| lease).collect();
        let rest = named.split_off(named.len().min(BATCH_MAX));
        (named, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_lease_tells_its_holder_and_a_settled_one_does_not() {
        let mut leases = Leases::default();
        let (mut a, mut b) = (leases.begin(LeaseToken([1; 16]), 7), leases.begin(LeaseToken([2; 16]), 7));
        assert_eq!(leases.lost(LeaseToken([1; 16])), Some(7));
        assert_eq!(leases.settled(LeaseToken([2; 16])), Some(7));
        assert!(a.try_recv().is_ok());
        assert!(b.try_recv().is_err());
    }

    #[test]
    fn connect_names_at_most_one_batch_of_leases_the_oldest_first() {
        let mut leases = Leases::default();
        let token = |n: usize| LeaseToken(u128::try_from(n).unwrap().to_be_bytes());
        let held: Vec<_> = (0..BATCH_MAX + 2).rev().map(|n| leases.begin(token(n), 1)).collect();
        let (named, rest) = leases.to_name(|lease| *lease == token(1));
        assert_eq!((named.len(), held.len() - named.len()), (BATCH_MAX, rest.len()));
        assert_eq!((named[0], rest[0]), (token(1), token(2)));
    }
}
