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

    /// The segments to let go; oldest first. A tree with bounds of its own keeps them beyond these, or lets go of one that is its alone
    /// before.
    pub(super) fn lets_go(self, kept: &[KeptSegment], state: &LetsGo<'_>, unix_ms: u64) -> Vec<u64> {
        let LetsGo { below, needed, by_trees, log_bytes, ease } = *state;
        let age_ms = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let (mut left, mut freed) = (log_bytes, 0);
        let candidates = kept.iter().filter(|segment| segment.end <= below && !needed.contains_key(&segment.number));
        let gone = candidates.filter(|segment| {
            let is_old = segment.time_ms.saturating_add(age_ms) <= unix_ms;
            let is_kept = by_trees.kept.contains(&segment.number);
            let goes =
                !is_kept && (left > self.bytes || is_old || freed < ease || by_trees.free.contains(&segment.number));
            // What a tree keeps is not at the cost of all else.
            if goes || is_kept {
                left = left.saturating_sub(segment.file_bytes);
            }
            if goes {
                freed += segment.file_bytes;
            }
            goes
        });
        gone.map(|segment| segment.number).collect()
    }
}

/// What decides which segments go.
#[derive(Clone, Copy)]
pub(super) struct LetsGo<'a> {
    /// Those that end below this position may.
    pub(super) below: u64,
    /// By the segments in which something is needed still.
    pub(super) needed: &'a BTreeMap<u64, u64>,
    pub(super) by_trees: &'a ByTrees,
    pub(super) log_bytes: u64,
    /// On a full disk so many bytes go, whatever is to be kept for looks.
    pub(super) ease: u64,
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
        let by_trees = ByTrees::default();
        retention.lets_go(
            &kept(),
            &LetsGo { below, needed: &needed, by_trees: &by_trees, log_bytes: 60, ease: 0 },
            10_000,
        )
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
            let needed = BTreeMap::new();
            let state = LetsGo { below: 99, needed: &needed, by_trees: &by_trees, log_bytes: 60, ease: 0 };
            retention.lets_go(&kept(), &state, 10_000)
        };
        assert_eq!(gone(0, &[2, 5], &[]), [1, 3, 4]);
        assert_eq!(gone(40, &[1, 2], &[]), [0; 0]);
        assert_eq!(gone(39, &[1, 2], &[]), [3]);
        assert_eq!(gone(60, &[], &[3]), [3]);
    }

    #[test]
    fn on_a_full_disk_the_oldest_go_before_their_time_but_not_what_is_needed_nor_what_a_tree_keeps() {
        let retention = Retention { age: Duration::MAX, bytes: u64::MAX };
        let needed = BTreeMap::from([(2, 1)]);
        let by_trees = ByTrees { kept: [3].into(), ..ByTrees::default() };
        let gone = |ease| {
            let state = LetsGo { below: 6, needed: &needed, by_trees: &by_trees, log_bytes: 60, ease };
            retention.lets_go(&kept(), &state, 10_000)
        };
        assert_eq!(
            [gone(0), gone(1), gone(10), gone(11), gone(99)],
            [vec![], vec![1], vec![1], vec![1, 4], vec![1, 4, 5]]
        );
    }

    #[test]
    fn what_is_needed_or_not_behind_both_snapshots_stays() {
        assert_eq!(gone(100, 0, &[1, 4], 99), [2, 3, 5]);
        assert_eq!(gone(100, 0, &[], 4), [1, 2, 3]);
        assert_eq!(gone(100, 31, &[1], 99), [2, 3, 4]);
    }
}
