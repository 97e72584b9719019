//! One message in one queue, and where it lies in the log.

use skep_core::Level;
use skep_protocol::{MessageRef, Priority};

use crate::log::{BATCH_ALIGNMENT, BatchAt, FILE_BYTES_MAX, NUMBER_MAX};

/// Where a message record's body lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the segment, above the offset of the batch in units of its alignment: most memory is taken by places.
    batch: u64,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// Bits of an offset in those units.
const OFFSET_BITS: u32 = (FILE_BYTES_MAX / BATCH_ALIGNMENT).ilog2();
const _: () = assert!(NUMBER_MAX >> (u64::BITS - OFFSET_BITS) == 0 && FILE_BYTES_MAX.is_power_of_two());

impl Place {
    /// The place in a batch; none if no batch can lie there.
    pub(crate) fn new(batch: BatchAt, offset: u32, len: u32) -> Option<Self> {
        let BatchAt { segment, offset: batch } = batch;
        let is_in_bounds = segment <= NUMBER_MAX && batch < FILE_BYTES_MAX && batch.is_multiple_of(BATCH_ALIGNMENT);
        is_in_bounds.then_some(Place { batch: (segment << OFFSET_BITS) + batch / BATCH_ALIGNMENT, offset, len })
    }

    /// The place in a batch that is not written yet.
    pub(crate) const fn staged(offset: u32, len: u32) -> Self {
        Place { batch: 0, offset, len }
    }

    /// As three numbers: of the batch, of the offset and of the length.
    pub(super) fn raw(&self) -> (u64, u32, u32) {
        (self.batch, self.offset, self.len)
    }

    /// The place that these numbers were of.
    pub(super) fn of_raw(batch: u64, offset: u32, len: u32) -> Self {
        Place { batch, offset, len }
    }

    /// The batch in which it lies.
    pub(crate) fn batch(&self) -> BatchAt {
        let offset = self.batch & ((1 << OFFSET_BITS) - 1);
        BatchAt { segment: self.batch >> OFFSET_BITS, offset: offset * BATCH_ALIGNMENT }
    }
}

/// One message in one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) place: Place,
    pub(crate) attempts: u32,
    pub(crate) priority: Priority,
    /// What its settles and its dead letter are to reach.
    pub(crate) level: Level,
    /// From this moment on it is not delivered, by the clock on the wall; [`NEVER`] where nobody said so.
    pub(crate) expires_ms: u64,
}

/// The expiry of what does not expire.
pub(crate) const NEVER: u64 = u64::MAX;

impl Entry {
    /// The entry of a message that nobody has tried, accepted at a moment, with the strongest level: what was read
    /// from the log is not asked for its topics again. Its expiry was checked when it was admitted.
    pub(crate) fn of(message: &MessageRef<'_>, position: u64, place: Place, accepted_ms: u64) -> Self {
        // A log of before may hold a timeout in any form.
        let expires_ms = message.deadline_ms(accepted_ms).or_else(|_| message.expires_ms());
        let expires_ms = expires_ms.ok().flatten().unwrap_or(NEVER);
        Entry { position, place, attempts: 0, priority: message.priority(), level: Level::FSYNC, expires_ms }
    }

    /// What it counts against the bounds, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.place.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_to_the_byte_or_refused() {
        let last = BatchAt { segment: NUMBER_MAX, offset: FILE_BYTES_MAX - BATCH_ALIGNMENT };
        for batch in [BatchAt { segment: 1, offset: 4096 }, BatchAt { segment: 1, ..last }, last] {
            let place = Place::new(batch, u32::MAX, u32::MAX).expect("a place");
            assert_eq!((place.batch(), place.offset, place.len), (batch, u32::MAX, u32::MAX));
        }
        for offset in [FILE_BYTES_MAX, FILE_BYTES_MAX + 8, u64::MAX - 7, 4100] {
            assert_eq!(Place::new(BatchAt { offset, ..last }, 0, 1), None, "{offset}");
        }
        for segment in [NUMBER_MAX + 1, u64::MAX] {
            assert_eq!(Place::new(BatchAt { segment, ..last }, 0, 1), None, "{segment}");
        }
    }
}
