//! What happened in a run: its hash says whether two runs were the same, its end is told when one fails.

use std::collections::VecDeque;

use xxhash_rust::xxh3::Xxh3;

/// See the module.
pub(super) struct Trace {
    hash: Xxh3,
    last: VecDeque<String>,
    pub(super) events: u64,
    /// How many events are told.
    told: usize,
}

impl Trace {
    pub(super) fn new(told: usize) -> Self {
        Trace { hash: Xxh3::new(), last: VecDeque::new(), events: 0, told }
    }

    pub(super) fn note(&mut self, event: String) {
        self.hash.update(event.as_bytes());
        self.events += 1;
        if self.last.len() >= self.told {
            self.last.pop_front();
        }
        self.last.push_back(format!("{:>6} {event}", self.events));
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.digest()
    }

    pub(super) fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
