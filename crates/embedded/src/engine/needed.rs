//! What of the log is still needed: messages that are not settled, and dead letters whose senders are to be told.

use std::collections::BTreeMap;

use super::Engine;
use super::dead::Notice;
use super::entry::{Entry, Place};
use crate::journal::QueueId;

/// Something stored that is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) by: NeededBy,
    pub(crate) position: u64,
    pub(crate) place: Place,
}

/// What it is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NeededBy {
    /// A queue holds it unsettled, after so many attempts.
    Queue(QueueId, u32),
    /// Its sender is owed a notice, by the position of the record that says so.
    Notice(u64),
}

impl Engine {
    /// All that is still needed, in no order: whatever else lies in the log is there to be looked at alone.
    pub(crate) fn needed(&self) -> impl Iterator<Item = Needed> + '_ {
        fn held(queue: QueueId, entry: &Entry) -> Needed {
            Needed { by: NeededBy::Queue(queue, entry.attempts), position: entry.position, place: entry.place }
        }
        let ready = self.queues.iter().flat_map(|(id, queue)| queue.ready().map(|entry| held(*id, &entry)));
        let delayed = self.delayed.iter().map(|((queue, _), waiting)| held(*queue, &waiting.entry));
        let leased = self.recovering.iter().map(|((queue, _), leased)| held(*queue, &leased.entry));
        let owed = self.owed.iter().map(|(at, notice)| {
            let Notice { position, place, .. } = *notice;
            Needed { by: NeededBy::Notice(*at), position, place }
        });
        ready.chain(delayed).chain(leased).chain(owed)
    }

    /// The segments in which something lies that is still needed, each with the first such position.
    pub(crate) fn places(&self) -> BTreeMap<u64, u64> {
        let mut places = BTreeMap::new();
        for Needed { position, place, .. } in self.needed() {
            let first = places.entry(place.batch().segment).or_insert(position);
            *first = position.min(*first);
        }
        places
    }
}
