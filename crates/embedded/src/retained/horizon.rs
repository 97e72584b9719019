//! How far back each tree goes, as one look sees it.

use skep_protocol::Error;

use super::figures::weigh;
use super::{Figures, Trees, each};
use crate::log::{BatchAt, DATA_OFFSET, ReadError, Reader, Stretch};
use crate::look::unreadable;
use crate::store::Store;

/// What is asked once of each tree that a look meets.
pub(crate) struct Horizons<'a> {
    store: &'a Store,
    reader: &'a Reader,
    trees: &'a Trees,
    now_ms: u64,
    /// Records below this count.
    until: u64,
    /// The segments and what lies in them, oldest first; counted when a bound of messages or bytes is asked for.
    segments: Option<Vec<(Stretch, Figures)>>,
    /// Of each tree the first position that its bounds of messages and bytes keep.
    first_kept: Vec<Option<u64>>,
}

impl<'a> Horizons<'a> {
    /// As they are now.
    pub(crate) fn new(store: &'a Store, trees: &'a Trees, until: u64) -> Self {
        let (reader, now_ms) = (&store.reader, store.clock.now().unix_ms);
        Horizons { store, reader, trees, now_ms, until, segments: None, first_kept: vec![None; trees.len()] }
    }

    /// Whether any of some trees keeps a message.
    pub(crate) fn keep(&mut self, set: u64, position: u64, time_ms: u64) -> Result<bool, Error> {
        for tree in each(set) {
            if self.trees.retention(tree).is_young(time_ms, self.now_ms)
                && position >= self.first_kept(tree).map_err(unreadable)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn first_kept(&mut self, tree: usize) -> Result<u64, ReadError> {
        if let Some(known) = self.first_kept.get(tree).copied().flatten() {
            return Ok(known);
        }
        let retention = self.trees.retention(tree);
        let found = match (retention.messages, retention.bytes) {
            (None, None) => 0,
            (messages, bytes) => self.look_back(tree, messages.unwrap_or(u64::MAX), bytes.unwrap_or(u64::MAX))?,
        };
        self.first_kept.get_mut(tree).into_iter().for_each(|first| *first = Some(found));
        Ok(found)
    }

    /// From the newest segment back to the one in which a bound is passed, and through that one.
    fn look_back(&mut self, tree: usize, mut messages: u64, mut bytes: u64) -> Result<u64, ReadError> {
        let segments = match self.segments.take() {
            Some(known) => known,
            None => self.count()?,
        };
        let mut passed = None;
        for (of, figures) in segments.iter().rev() {
            let Some(figure) = figures.trees.get(tree) else { continue };
            let left = (messages.checked_sub(figure.messages), bytes.checked_sub(figure.bytes));
            let (Some(fewer), Some(less)) = left else {
                passed = Some(*of);
                break;
            };
            (messages, bytes) = (fewer, less);
        }
        self.segments = Some(segments);
        passed.map_or(Ok(0), |of| self.look_into(of, tree, messages, bytes))
    }

    fn count(&self) -> Result<Vec<(Stretch, Figures)>, ReadError> {
        let (mut counted, keep) = (Vec::new(), self.store.may_derive());
        for of in self.reader.stretches() {
            let end = of.end.min(self.until);
            let figures = match of.end {
                u64::MAX => Figures::count(self.trees, self.reader.scan(of.first, end)),
                _ => Figures::of(self.reader, self.trees, of, keep),
            };
            match figures {
                Ok(figures) => counted.push((Stretch { end, ..of }, figures)),
                // It went a moment ago.
                Err(ReadError::Missing { .. }) if !self.reader.holds(of.number) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(counted)
    }

    /// The first position of a segment from which on no more than so much of a tree lies in it.
    fn look_into(&self, of: Stretch, tree: usize, mut messages: u64, mut bytes: u64) -> Result<u64, ReadError> {
        let mut found = Vec::new();
        let at = BatchAt { segment: of.number, offset: DATA_OFFSET };
        for batch in self.reader.scan_part(at, of.first, of.end) {
            for view in batch?.records().flatten() {
                if let Some((set, bytes)) = weigh(self.trees, &view)
                    && set & (1 << tree) != 0
                {
                    found.push((view.position, bytes));
                }
            }
        }
        let mut first = of.end;
        for (position, own) in found.into_iter().rev() {
            let (Some(fewer), Some(less)) = (messages.checked_sub(1), bytes.checked_sub(own)) else { break };
            (messages, bytes, first) = (fewer, less, position);
        }
        Ok(first)
    }
}
