//! Recent batches in memory, so that most deliveries read nothing from disk.

use std::collections::VecDeque;

use bytes::Bytes;
use foldhash::HashMap;

use crate::limits::CACHE_BYTES_MAX;
use crate::log::BatchAt;

/// Batches by place, bounded in bytes; the one put in first goes first.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    batches: HashMap<BatchAt, Bytes>,
    order: VecDeque<BatchAt>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn get(&self, at: BatchAt) -> Option<&Bytes> {
        self.batches.get(&at)
    }

    pub(crate) fn insert(&mut self, at: BatchAt, batch: Bytes) {
        if self.batches.contains_key(&at) {
            return;
        }
        self.bytes += batch.len();
        self.batches.insert(at, batch);
        self.order.push_back(at);
        while self.bytes > CACHE_BYTES_MAX && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.batches.remove(&oldest).map_or(0, |batch| batch.len());
        }
    }
}
