//! How many connections there are: a bound, and a way to wait until the last one has left.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::KEPT_OF_FEW;

/// The seats of an edge, shared by all its listeners.
#[derive(Debug)]
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    all: u32,
}

/// One connection's seat. Clones share it; it is free again when the last one is dropped. A
/// connection that becomes a WebSocket keeps the seat it has.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Seats {
    pub(crate) fn new(count: usize) -> Self {
        let all = u32::try_from(count.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Seats { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// A seat, if one is free.
    pub(crate) fn take(&self) -> Option<Seat> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        Some(Seat { _permit: Arc::new(permit) })
    }

    /// A seat, if one is free besides some for others.
    pub(crate) fn take_leaving(&self, kept: usize) -> Option<Seat> {
        (self.free.available_permits() > kept).then(|| self.take()).flatten()
    }

    /// How many are not for TCP: some are kept for whoever comes another way, so that strangers who fill all they can
    /// do not keep the owner of the hub out. Of few seats it is a larger part: an agent and a command are there at a time.
    pub(crate) fn kept_from_tcp(&self) -> usize {
        let all = self.all as usize;
        (all / 16).max((all / 4).min(KEPT_OF_FEW))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        (self.all as usize).saturating_sub(self.free.available_permits())
    }

    /// Waits until every seat is free. May be cancelled.
    pub(crate) async fn all_free(&self) {
        let _ = self.free.acquire_many(self.all).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_seats_are_kept_for_whoever_comes_another_way_than_tcp() {
        for (all, for_tcp) in [(1, 1), (16, 12), (32, 24), (64, 56), (1600, 1500)] {
            let seats = Seats::new(all);
            let tcp: Vec<_> = std::iter::from_fn(|| seats.take_leaving(seats.kept_from_tcp())).collect();
            assert_eq!(tcp.len(), for_tcp);
            assert_eq!(seats.take().is_some(), all > 1);
        }
    }

    #[tokio::test]
    async fn a_seat_is_free_again_when_its_last_clone_is_dropped() {
        let seats = Seats::new(1);
        let seat = seats.take().unwrap();
        let clone = seat.clone();
        assert!(seats.take().is_none());
        drop(seat);
        assert_eq!(seats.taken(), 1);
        drop(clone);
        seats.all_free().await;
        assert!(seats.take().is_some());
    }
}
