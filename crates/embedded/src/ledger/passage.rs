//! A way along the log that passes over what does not concern who goes it: of complete segments their indexes tell.

use std::collections::VecDeque;

use skep_protocol::Error;

use super::index::{Complete, Index, Stretch};
use crate::log::{Batch, BatchAt, ReadError, Reader, Scan};
use crate::look::unreadable;
use crate::store::Store;

/// From a position on, up to another.
pub(super) struct Passage<'a> {
    store: &'a Store,
    reader: &'a Reader,
    segments: VecDeque<(u64, u64)>,
    from: u64,
    until: u64,
    /// What is left of the segment at hand.
    stretches: VecDeque<Stretch>,
    segment: u64,
    /// What is read just now.
    scan: Option<Scan>,
    /// An index was built on the way: one is a piece of work.
    has_built: bool,
    /// The next one had to be built, too: whoever comes again gets further.
    pub(super) is_cut_short: bool,
}

impl<'a> Passage<'a> {
    pub(super) fn new(store: &'a Store, from: u64, until: u64) -> Self {
        let mut segments: VecDeque<(u64, u64)> = store.reader.segments().into();
        while segments.get(1).is_some_and(|(_, first)| *first <= from) {
            segments.pop_front();
        }
        Passage {
            store,
            reader: &store.reader,
            segments,
            from,
            until,
            stretches: VecDeque::new(),
            segment: 0,
            scan: None,
            has_built: false,
            is_cut_short: false,
        }
    }

    /// The next batch of a stretch that is wanted, or of a segment without index; none at the end, or where the way is cut
    /// short.
    pub(super) fn next(&mut self, wants: impl Fn(&Stretch) -> bool) -> Result<Option<Batch>, Error> {
        loop {
            match self.scan.as_mut().and_then(Iterator::next) {
                Some(Err(ReadError::Missing { .. })) if self.is_gone() => {}
                Some(batch) => return batch.map(Some).map_err(unreadable),
                None => {}
            }
            self.scan = None;
            let Some(stretch) = self.stretches.pop_front() else {
                if !self.enter()? {
                    return Ok(None);
                }
                continue;
            };
            if stretch.end > self.from && stretch.first < self.until && wants(&stretch) {
                let at = BatchAt { segment: self.segment, offset: stretch.offset };
                self.scan = Some(self.reader.scan_part(at, stretch.first, stretch.end.min(self.until)));
            }
        }
    }

    /// Enters the next segment, if there is one and the way goes on.
    fn enter(&mut self) -> Result<bool, Error> {
        let Some((number, first)) = self.segments.pop_front().filter(|(_, first)| *first < self.until) else {
            return Ok(false);
        };
        self.segment = number;
        let Some((_, end)) = self.segments.front().copied() else {
            self.scan = Some(self.reader.scan(self.from.max(first), self.until));
            return Ok(true);
        };
        let of = Complete { number, first, end };
        if let Some(index) = Index::load(self.reader, of) {
            self.stretches = index.stretches.into();
            return Ok(true);
        }
        if self.has_built {
            self.is_cut_short = true;
            return Ok(false);
        }
        match Index::build(self.reader, of) {
            Ok(index) => {
                self.has_built = self.keep(&index, of);
                self.stretches = index.stretches.into();
            }
            Err(ReadError::Missing { .. }) if self.is_gone() => {}
            Err(error) => return Err(unreadable(error)),
        }
        Ok(true)
    }

    /// Keeps an index for the next time, where there is room; answers whether it is kept.
    fn keep(&self, index: &Index, of: Complete) -> bool {
        if !self.store.may_derive() {
            return false;
        }
        let stored = index.store(self.reader, of);
        if let Err(error) = &stored {
            tracing::info!(segment = of.number, %error, "the index of a segment is not kept; traces read it whole");
        }
        stored.is_ok()
    }

    /// Whether the segment at hand was removed meanwhile, with all that it told.
    fn is_gone(&self) -> bool {
        !self.reader.segments().iter().any(|(number, _)| *number == self.segment)
    }
}
