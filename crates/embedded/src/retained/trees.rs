//! The trees, and which of them a message belongs to.

use std::time::Duration;

use skep_protocol::{Filter, MessageRef};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::TREES_MAX;

/// How much of a topic tree is kept for looks: what is beyond any of these is not. A bound that is not named does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeRetention {
    /// So long.
    pub age: Option<Duration>,
    /// Of the newest messages as many as have together no more bytes.
    pub bytes: Option<u64>,
    /// So many of the newest messages.
    pub messages: Option<u64>,
}

impl TreeRetention {
    /// Whether it keeps a message of a time behind which the tree has so many messages and bytes, its own included.
    pub(super) fn keeps(self, time_ms: u64, messages: u64, bytes: u64, now_ms: u64) -> bool {
        self.is_young(time_ms, now_ms)
            && self.messages.is_none_or(|max| messages <= max)
            && self.bytes.is_none_or(|max| bytes <= max)
    }

    pub(super) fn is_young(self, time_ms: u64, now_ms: u64) -> bool {
        let age_ms = self.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        age_ms.is_none_or(|age_ms| time_ms.saturating_add(age_ms) > now_ms)
    }
}

/// Topic trees, of which a set is the bits of a number.
#[derive(Debug, Default)]
pub(crate) struct Trees(Vec<(Filter, TreeRetention)>);

impl Trees {
    /// Beyond the bound, none.
    pub(crate) fn new(mut trees: Vec<(Filter, TreeRetention)>) -> Self {
        trees.truncate(TREES_MAX);
        Trees(trees)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The trees of a message: of several filters that match a topic the first one counts.
    pub(crate) fn of(&self, message: &MessageRef<'_>) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let tree = |topic: &str| self.0.iter().position(|(filter, _)| filter.matches(topic));
        message.to().filter_map(tree).fold(0, |set, tree| set | 1 << tree)
    }

    /// How much of one is kept.
    pub(super) fn retention(&self, tree: usize) -> TreeRetention {
        self.0.get(tree).map_or_else(TreeRetention::default, |(_, retention)| *retention)
    }

    /// Another for other filters: what was counted for those says nothing of these.
    pub(super) fn hash(&self) -> u64 {
        let filters: Vec<String> = self.0.iter().map(|(filter, _)| filter.to_string()).collect();
        xxh3_64(filters.join("\n").as_bytes())
    }
}

/// The trees of a set.
pub(crate) fn each(set: u64) -> impl Iterator<Item = usize> {
    (0..TREES_MAX).filter(move |tree| set & (1 << tree) != 0)
}
