//! How much can be written without asking the disk for more, and how much of that is for settles.

use super::limits::SETTLE_ROOM_BYTES_MAX;

/// Room for batches that is prepared, in bytes of whole batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What is left of the segment that is written.
    pub rest: u64,
    /// What that segment had in all.
    pub segment: u64,
    /// What the spare has; 0 where none is ready.
    pub spare: u64,
}

/// Of a segment behind which none is prepared so much is for settles: who drains a full hub needs it.
#[must_use]
pub fn settle_room(segment: u64) -> u64 {
    (segment / 2).min(SETTLE_ROOM_BYTES_MAX)
}

/// The room of a segment that takes a batch of so many bytes and has its room for settles still.
pub(super) fn room_beside_settles(batch_bytes: u64) -> u64 {
    batch_bytes.saturating_add(batch_bytes.min(SETTLE_ROOM_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_made_for_a_batch_has_the_room_for_settles_beside_it() {
        for batch in [1, 100, SETTLE_ROOM_BYTES_MAX - 1, SETTLE_ROOM_BYTES_MAX, SETTLE_ROOM_BYTES_MAX + 1, 1 << 30] {
            let segment = room_beside_settles(batch);
            assert!(segment - settle_room(segment) >= batch, "{batch}");
            assert!(settle_room(segment) >= batch.min(SETTLE_ROOM_BYTES_MAX), "{batch}");
        }
    }
}
