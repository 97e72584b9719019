//! Which segments the log consists of: the writer adds, retention removes, the reader looks up.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// A segment and its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) first: u64,
    /// The first position of the segment that came after it, whether that one is still there or not; [`OPEN`] of the newest.
    pub(super) end: u64,
    pub(super) file_bytes: u64,
}

/// The end of the segment that is still written.
pub(super) const OPEN: u64 = u64::MAX;

/// All segments in order; both numbers and first positions only rise. A few bytes for every 64 MiB of log.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    segments: RwLock<Vec<Listed>>,
}

impl Catalog {
    /// The newest segment: what comes after ends the one before.
    pub(super) fn add(&self, number: u64, first: u64, file_bytes: u64) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = segments.last_mut().filter(|last| last.end == OPEN) {
            last.end = first;
        }
        segments.push(Listed { number, first, end: OPEN, file_bytes });
    }

    /// One of which it is known where it ends; those behind it may be gone.
    pub(super) fn add_ended(&self, segment: Listed) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(segment);
    }

    /// From now on nobody looks for it.
    pub(super) fn remove(&self, number: u64) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).retain(|segment| segment.number != number);
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<Listed> {
        self.read().clone()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.read().binary_search_by_key(&number, |segment| segment.number).is_ok()
    }

    /// The first segment that holds the position or later ones; of several that begin there the newest. Else the last.
    pub(super) fn holding(&self, position: u64) -> Option<Listed> {
        let segments = self.read();
        let after = segments.partition_point(|segment| segment.first <= position);
        let before = after.checked_sub(1).and_then(|at| segments.get(at)).copied();
        // What it asks for may have been in one that is gone.
        before.filter(|before| position < before.end).or_else(|| segments.get(after).copied()).or(before)
    }

    /// The segment after this one, if the next record is there: at this position, or behind a gap where segments are gone.
    pub(super) fn after(&self, number: u64, next: u64) -> Option<Listed> {
        let segments = self.read();
        let after = segments.partition_point(|segment| segment.number <= number);
        let following = segments.get(after).copied()?;
        let own = after.checked_sub(1).and_then(|at| segments.get(at)).filter(|own| own.number == number);
        // Not there any more: it was removed while somebody read it.
        let is_over = own.is_none_or(|own| own.end <= next);
        (following.first <= next || is_over).then_some(following)
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Listed>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }
}
