//! Which segments the log consists of: the writer adds, the reader looks up.

use std::sync::{PoisonError, RwLock};

/// A segment and its first position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) first: u64,
}

/// All segments in order; both numbers and first positions only rise. A few bytes for every 64 MiB of log.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    segments: RwLock<Vec<Listed>>,
}

impl Catalog {
    pub(super) fn add(&self, number: u64, first: u64) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(Listed { number, first });
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Listed> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The segment that holds the position if any does: the last one that begins at or before it, else the first.
    pub(super) fn holding(&self, position: u64) -> Option<Listed> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.first <= position);
        segments.get(after.saturating_sub(1)).copied()
    }

    /// The segment after this one.
    pub(super) fn after(&self, number: u64) -> Option<Listed> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.number <= number);
        segments.get(after).copied()
    }
}
