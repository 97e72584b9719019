//! Walking along a segment, batch by batch, as long as each continues the one before.

use std::sync::Arc;

use super::batch::{BatchHeader, Fault};
use super::error::OpenError;
use super::evidence::{Evidence, look_beyond};
use super::key::StoreKey;
use super::segment::DATA_OFFSET;
use super::snapshot::Snapshot;
use super::window::{NoBatch, Window};
use crate::disk::{Disk, DiskFile};

/// A segment that is part of the log.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) file_bytes: u64,
    pub(super) first: u64,
}

/// Reads segments one at a time: a log may have more of them than a process may have open files.
pub(super) struct Walker {
    disk: Arc<dyn Disk>,
    key: StoreKey,
    window: Window,
}

/// How far the walk has come: what the next batch must continue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    /// The next position.
    pub(super) position: u64,
    /// Hash of the last body; unknown at the beginning of a log whose older segments were removed.
    pub(super) chain: Option<u64>,
    /// Which opening wrote the last batch.
    pub(super) open_count: u32,
    /// The highest log time.
    pub(super) time_ms: u64,
    /// The highest position below which something proves everything durable.
    pub(super) known_durable: u64,
    /// Whether the last batch is a clean mark.
    pub(super) clean: bool,
    pub(super) batches: u64,
    pub(super) records: u64,
}

/// How far to walk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// As far as there are batches.
    BadBatch,
    /// To where the next segment takes over: its first position, and the hash that its first batch continues, if it has one.
    NextSegment { first: u64, continues: Option<u64> },
    /// To an offset where a batch is known to begin, or the walk to end.
    Offset(u64),
}

/// Where the walk ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Walked {
    /// Where it should.
    Arrived,
    /// At something that is not the next batch.
    Stopped { offset: u64, why: NoBatch },
}

impl Cursor {
    /// At the beginning of a log whose first segment begins at this position.
    pub(super) fn at_start(position: u64, known_durable: u64) -> Self {
        // Only the very first segment is known to have nothing before it.
        let chain = (position <= 1).then_some(0);
        Self { position, chain, open_count: 0, time_ms: 0, known_durable, clean: false, batches: 0, records: 0 }
    }

    /// Where a snapshot was taken: all before it is durable.
    pub(super) fn behind(base: &Snapshot) -> Self {
        let Snapshot { position, chain, open_count, time_ms, .. } = *base;
        Self { chain: Some(chain), open_count, time_ms, ..Self::at_start(position, position) }
    }

    /// Whether the header continues the log here. Positions may leave a gap only where the store was opened anew.
    pub(super) fn check(&self, header: &BatchHeader) -> Result<(), Fault> {
        if self.chain.is_some_and(|chain| chain != header.previous_hash) {
            return Err(Fault::Chain);
        }
        if header.open_count < self.open_count {
            return Err(Fault::OpenCount);
        }
        let gap_allowed = header.open_count > self.open_count;
        if header.position < self.position || (header.position > self.position && !gap_allowed) {
            return Err(Fault::Position);
        }
        Ok(())
    }

    pub(super) fn advance(&mut self, header: &BatchHeader) {
        self.position = header.end();
        self.chain = Some(header.body_hash);
        self.open_count = header.open_count;
        self.time_ms = self.time_ms.max(header.time_ms);
        self.known_durable = self.known_durable.max(header.known_durable);
        self.clean = header.clean;
        self.batches += 1;
        self.records += u64::from(header.records);
    }
}

/// What [`Walker::walk`] calls for each batch: the batch, its offset, and the cursor before it.
pub(super) type Step<'s> = dyn FnMut(&BatchHeader, &[u8], u64, &Cursor) -> Result<(), OpenError> + 's;

impl Walker {
    pub(super) fn new(disk: Arc<dyn Disk>, key: StoreKey) -> Self {
        Self { disk, key, window: Window::default() }
    }

    /// Walks the segment from its beginning.
    pub(super) fn walk(
        &mut self,
        segment: &Segment,
        until: Until,
        cursor: &mut Cursor,
        step: &mut Step<'_>,
    ) -> Result<Walked, OpenError> {
        let file = self.open(&segment.name)?;
        let mut offset = DATA_OFFSET;
        loop {
            if until.is_reached(offset, cursor) {
                return Ok(Walked::Arrived);
            }
            let found = self.window.batch(&*file, offset, self.key).map_err(OpenError::io("reading", &segment.name))?;
            let stopped = |why| Ok(Walked::Stopped { offset, why });
            let (header, bytes) = match found {
                Ok(found) => found,
                Err(NoBatch { fault: Fault::Flags, .. }) => {
                    return Err(OpenError::UnknownFlags { file: segment.name.clone(), offset });
                }
                Err(why) => return stopped(why),
            };
            if let Err(fault) = cursor.check(&header).and_then(|()| until.check(&header)) {
                return stopped(NoBatch { fault, header: Some(header) });
            }
            step(&header, bytes, offset, cursor)?;
            cursor.advance(&header);
            offset += header.padded_bytes() as u64;
        }
    }

    /// The hash that the segment's first batch continues, if its header is one.
    pub(super) fn continues(&mut self, segment: &Segment) -> Result<Option<u64>, OpenError> {
        let file = self.open(&segment.name)?;
        let header =
            self.window.header(&*file, DATA_OFFSET, self.key).map_err(OpenError::io("reading", &segment.name))?;
        Ok(header.ok().map(|header| header.previous_hash))
    }

    /// What a file shows from the offset to its end about positions beyond this one.
    pub(super) fn beyond(&mut self, name: &str, offset: u64, position: u64) -> Result<Evidence, OpenError> {
        let file = self.open(name)?;
        let size = file.size().map_err(OpenError::io("reading", name))?;
        look_beyond(&mut self.window, &*file, offset..size, self.key, position).map_err(OpenError::io("reading", name))
    }

    fn open(&mut self, name: &str) -> Result<Arc<dyn DiskFile>, OpenError> {
        self.window.leave_file();
        self.disk.open(name).map_err(OpenError::io("opening", name))
    }
}

impl Until {
    fn is_reached(self, offset: u64, cursor: &Cursor) -> bool {
        match self {
            Self::BadBatch => false,
            Self::Offset(end) => offset >= end,
            // At the right position, empty batches may still come before the one that the next segment continues.
            Self::NextSegment { first, continues } => {
                cursor.position >= first && (continues.is_none() || cursor.chain.is_none() || continues == cursor.chain)
            }
        }
    }

    /// A batch that the next segment supersedes is no part of this one.
    fn check(self, header: &BatchHeader) -> Result<(), Fault> {
        match self {
            Self::NextSegment { first, .. } if header.end() > first => Err(Fault::Chain),
            _ => Ok(()),
        }
    }
}
