//! What is known of single messages of a queue beside their places in line: of most, nothing, and a queue without any has no such table.

use std::collections::{BTreeMap, BTreeSet};

use skep_protocol::{Ended, Tries};

/// What is known of messages, by position; in order, as a snapshot has it.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// How the last attempt on a message ended, of those that were tried.
    pub(super) notes: BTreeMap<u64, Ended>,
    /// Bytes of their texts.
    pub(super) notes_bytes: u64,
    /// How messages are tried again that say it themselves.
    pub(super) tries: BTreeMap<u64, Tries>,
    /// When its dead letters died, in unix milliseconds, of those of which it is known.
    pub(super) died: BTreeMap<u64, u64>,
    /// When those of its messages expire that wait here, or did before they were leased.
    pub(super) expiring: BTreeSet<(u64, u64)>,
}

impl Asides {
    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.tries.is_empty() && self.died.is_empty() && self.expiring.is_empty()
    }

    pub(super) fn note(&mut self, position: u64, ended: Ended) {
        self.notes_bytes += text_bytes(&ended);
        self.notes_bytes -= self.notes.insert(position, ended).as_ref().map_or(0, text_bytes);
    }

    /// A message is held no more.
    pub(super) fn release(&mut self, position: u64, expires_ms: u64) {
        self.notes_bytes -= self.notes.remove(&position).as_ref().map_or(0, text_bytes);
        self.died.remove(&position);
        self.tries.remove(&position);
        self.expiring.remove(&(expires_ms, position));
    }
}

fn text_bytes(ended: &Ended) -> u64 {
    (ended.reason.len() + ended.progress.as_ref().map_or(0, String::len)) as u64
}
