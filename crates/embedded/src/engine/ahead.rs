//! Where in the log what is staged will lie. What cannot be taken back is staged only where there is room for it; and of the last
//! room that is prepared a part is for settles.

use crate::log::{Room, settle_room};

/// The segments ahead, as the writer will fill them: each batch goes where the one before it does, or begins the next segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// As it was told last.
    told: Room,
    /// Bytes of the batch that the writer has taken, and that is not in what was told.
    taken: u64,
    /// Left of the segment where the next batch begins, behind those that are closed; and all of that segment's.
    left: u64,
    segment: u64,
    /// The segment behind it; 0 where none is prepared.
    next: u64,
    /// Nothing more can be prepared for now.
    is_last: bool,
    /// What the writer has taken begins the spare, whatever is left before it.
    rolls: bool,
}

impl Default for Ahead {
    /// Without a disk there is no end.
    fn default() -> Self {
        let told = Room { rest: u64::MAX, segment: u64::MAX, spare: 0 };
        Ahead { told, taken: 0, left: u64::MAX, segment: u64::MAX, next: 0, is_last: false, rolls: false }
    }
}

impl Ahead {
    /// The writer has taken a batch, the first of those that are closed.
    pub(super) fn took(&mut self, batch: u64) {
        self.taken = batch;
    }

    /// The writer has written what it took; these are closed and wait for it.
    pub(super) fn written(&mut self, room: Room, closed: impl Iterator<Item = u64>) {
        (self.told, self.taken, self.rolls) = (room, 0, false);
        self.look(closed);
    }

    /// A spare is ready, or there is none, and perhaps nothing more for now; these are closed and wait for the writer.
    pub(super) fn prepared(&mut self, spare: u64, is_last: bool, closed: impl Iterator<Item = u64>) {
        (self.told.spare, self.is_last) = (spare, is_last);
        self.look(closed);
    }

    fn look(&mut self, closed: impl Iterator<Item = u64>) {
        (self.left, self.segment, self.next) = (self.told.rest, self.told.segment, self.told.spare);
        if self.rolls {
            (self.segment, self.left, self.next) = (self.next, self.next, 0);
        }
        for batch in (self.taken > 0).then_some(self.taken).into_iter().chain(closed) {
            self.place(batch);
        }
    }

    /// Whether a batch begins in the segment where the one before it lies.
    pub(super) fn is_left(&self, batch: u64) -> bool {
        batch <= self.left
    }

    /// A batch is closed; answers whether room is prepared for it.
    pub(super) fn place(&mut self, batch: u64) -> bool {
        if batch <= self.left {
            self.left -= batch;
            return true;
        }
        let is_prepared = batch <= self.next;
        (self.segment, self.left, self.next) = (self.next, self.next.saturating_sub(batch), 0);
        is_prepared
    }

    /// The next batch begins the spare, whatever is left of this segment.
    pub(super) fn roll(&mut self) {
        self.rolls = true;
        self.look([].into_iter());
    }

    /// Whether nothing more can be had than what is prepared.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// All that is left.
    pub(super) fn left(&self) -> u64 {
        self.left.saturating_add(self.next)
    }

    /// Whether what settles may need is left.
    pub(super) fn has_settle_room(&self) -> bool {
        self.next > 0 || self.left >= settle_room(self.segment)
    }

    /// Whether a spare is ready that nothing is staged for, and is too small for such a batch.
    pub(super) fn is_spare_small(&self, batch: u64) -> bool {
        self.next > 0 && self.next - settle_room(self.next) < batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { rest: 1_000, segment: 2_000, spare: 4_000 };

    fn ahead() -> Ahead {
        let mut ahead = Ahead::default();
        ahead.written(ROOM, [].into_iter());
        ahead
    }

    #[test]
    fn a_batch_that_does_not_fit_begins_the_spare_and_what_was_left_is_lost() {
        let mut ahead = ahead();
        assert!(ahead.place(900) && ahead.place(2_000));
        assert_eq!((ahead.left, ahead.segment, ahead.next), (2_000, 4_000, 0));
        assert!(ahead.has_settle_room());
        assert!(ahead.place(64) && !ahead.has_settle_room());
        assert!(!ahead.place(5_000));
    }

    #[test]
    fn what_the_writer_has_taken_counts_until_it_is_written() {
        let mut ahead = ahead();
        assert!(ahead.place(800) && ahead.place(600));
        ahead.took(800);
        ahead.prepared(4_000, false, [600].into_iter());
        assert_eq!((ahead.left, ahead.next), (3_400, 0), "also when the spare is told of anew");
        ahead.written(Room { rest: 200, ..ROOM }, [600].into_iter());
        assert_eq!((ahead.left, ahead.next), (3_400, 0));
        ahead.took(600);
        ahead.written(Room { rest: 3_400, segment: 4_000, spare: 0 }, [].into_iter());
        assert_eq!((ahead.left, ahead.next), (3_400, 0));
    }
}
