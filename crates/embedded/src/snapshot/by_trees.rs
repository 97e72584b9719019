//! Which segments the topic trees keep that have bounds of their own.

use std::collections::BTreeSet;

use crate::log::{KeptSegment, Reader, Stretch};
use crate::retained::{Figures, Trees};

/// What the trees say of segments.
#[derive(Debug, Default)]
pub(super) struct ByTrees {
    /// Some tree keeps something in these.
    pub(super) kept: BTreeSet<u64>,
    /// Messages of trees lie in these and of no others, and all of them are let go.
    pub(super) free: BTreeSet<u64>,
}

impl ByTrees {
    /// Looks at segments, oldest first. One that cannot be counted is kept.
    pub(super) fn judge(reader: &Reader, trees: &Trees, segments: &[KeptSegment], unix_ms: u64) -> Self {
        let mut judged = ByTrees::default();
        if trees.is_empty() {
            return judged;
        }
        let mut newer = trees.nothing();
        for KeptSegment { number, first, end, .. } in segments.iter().rev().copied() {
            match Figures::of(reader, trees, Stretch { number, first, end }, true) {
                Ok(figures) => match newer.add(trees, &figures, unix_ms) {
                    Some(true) => drop(judged.kept.insert(number)),
                    Some(false) if figures.others == 0 => drop(judged.free.insert(number)),
                    _ => {}
                },
                Err(error) => {
                    tracing::warn!(%error, "a segment cannot be read, and is kept");
                    judged.kept.insert(number);
                }
            }
        }
        judged
    }
}
