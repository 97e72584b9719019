//! How long what nobody needs any more is kept for looks: replay and trace.

use std::collections::BTreeMap;
use std::time::Duration;

use super::by_trees::ByTrees;
use crate::limits::{RETENTION_AGE, RETENTION_BYTES, SNAPSHOT_BYTES};
use crate::log::limits::SEGMENT_BYTES_FIRST;
use crate::log::{KeptSegment, SegmentSizes};

/// Which settled messages are kept. Unsettled ones always are, with the segment they lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So long.
    pub age: Duration,
    /// And while the log has no more bytes.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { age: RETENTION_AGE, bytes: RETENTION_BYTES }
    }
}

impl Retention {
    /// Bytes of segments behind a snapshot after which another is taken: a segment outlives two of them, which a small log is to notice.
    pub(super) fn snapshot_bytes(self) -> u64 {
        SNAPSHOT_BYTES.min(self.bytes / 4)
    }

    /// How long segments are: they go as a whole, so one that were longer than what is kept would stay for all of it.
    pub(crate) fn sizes(self, sizes: SegmentSizes) -> SegmentSizes {
        SegmentSizes { max: sizes.max.min((self.bytes / 4).max(SEGMENT_BYTES_FIRST)), ..sizes }
    }

    /// The segments to let go, of those that end below a position and in which nothing is needed any more; oldest first. A tree with
    /// bounds of its own keeps them beyond these, or lets go of one that is its alone before.
    pub(super) fn lets_go(
        self,
        kept: &[KeptSegment],
        below: u64,
        needed: &BTreeMap<u64, u64>,
        by_trees: &ByTrees,
        log_bytes: u64,
        unix_ms: u64,
    ) -> Vec<u64> {
        let age_ms = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let mut left = log_bytes;
        let candidates = kept.iter().filter(|segment| segment.end <= below && !needed.contains_key(&segment.number));
        let gone = candidates.filter(|segment| {
            let is_over = left > self.bytes || segment.time_ms.saturating_add(age_ms) <= unix_ms;
            let is_kept = by_trees.kept.contains(&segment.number);
            let goes = !is_kept && (is_over || by_trees.free.contains(&segment.number));
            // What a tree keeps is not at the cost of all else.
            if goes || is_kept {
                left = left.saturating_sub(segment.file_bytes);
            }
            goes
        });
        gone.map(|segment| segment.number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Vec<KeptSegment> {
        let segment =
            |number| KeptSegment { number, first: number, end: number + 1, time_ms: 1_000 * number, file_bytes: 10 };
        (1..=5).map(segment).collect()
    }

    fn gone(age_s: u64, bytes: u64, needed: &[u64], below: u64) -> Vec<u64> {
        let retention = Retention { age: Duration::from_secs(age_s), bytes };
        let needed = needed.iter().map(|number| (*number, 1)).collect();
        retention.lets_go(&kept(), below, &needed, &ByTrees::default(), 60, 10_000)
    }

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_age_or_bytes_ask_for() {
        assert_eq!(gone(100, 60, &[], 99), [0; 0]);
        assert_eq!(gone(100, 59, &[], 99), [1]);
        assert_eq!(gone(100, 31, &[], 99), [1, 2, 3]);
        assert_eq!(gone(8, 60, &[], 99), [1, 2]);
        assert_eq!(gone(100, 0, &[], 99), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn segments_are_no_longer_than_a_quarter_of_what_is_kept_and_no_shorter_than_the_first() {
        let max = |mebibytes: u64| {
            let retention = Retention { age: Duration::MAX, bytes: mebibytes << 20 };
            retention.sizes(SegmentSizes::default()).max >> 20
        };
        assert_eq!([0, 1, 4, 40, 256, 1_024].map(max), [1, 1, 1, 10, 64, 64]);
        let short = SegmentSizes { first: 4_096, max: 8_192 };
        assert_eq!(Retention { age: Duration::MAX, bytes: 1 << 20 }.sizes(short), short);
    }

    #[test]
    fn what_a_tree_keeps_stays_and_costs_others_nothing_and_what_is_its_alone_goes_when_it_says_so() {
        let gone = |bytes, kept_by: &[u64], free: &[u64]| {
            let retention = Retention { age: Duration::from_secs(100), bytes };
            let by_trees = ByTrees { kept: kept_by.iter().copied().collect(), free: free.iter().copied().collect() };
            retention.lets_go(&kept(), 99, &BTreeMap::new(), &by_trees, 60, 10_000)
        };
        assert_eq!(gone(0, &[2, 5], &[]), [1, 3, 4]);
        assert_eq!(gone(40, &[1, 2], &[]), [0; 0]);
        assert_eq!(gone(39, &[1, 2], &[]), [3]);
        assert_eq!(gone(60, &[], &[3]), [3]);
    }

    #[test]
    fn what_is_needed_or_not_behind_both_snapshots_stays() {
        assert_eq!(gone(100, 0, &[1, 4], 99), [2, 3, 5]);
        assert_eq!(gone(100, 0, &[], 4), [1, 2, 3]);
        assert_eq!(gone(100, 31, &[1], 99), [2, 3, 4]);
    }
}
