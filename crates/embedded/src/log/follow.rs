//! Reading behind the writer, for snapshots: whole segments, each of which the header of the next proves durable.

use std::io;
use std::sync::Arc;

use super::catalog::{Listed, OPEN};
use super::error::{Corrupt, OpenError};
use super::key::StoreKey;
use super::reader::{Extent, Reader};
use super::record::{BatchAt, RecordView};
use super::recovery::Visits;
use super::segment::file_name;
use super::snapshot::{KeptSegment, Snapshot};
use super::walk::{Cursor, Segment, Until, Walked, Walker};
use crate::disk::Disk;

/// Follows the writer of an open log. Blocks on the disk.
#[derive(Debug, Clone)]
pub struct Follower {
    reader: Reader,
    store_id: [u8; 16],
}

/// What lies between a snapshot and the segment that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes of its files.
    pub bytes: u64,
    /// The segment behind it.
    pub until: u64,
}

impl Follower {
    pub(super) fn new(reader: Reader, store_id: [u8; 16]) -> Self {
        Self { reader, store_id }
    }

    /// Reads batches.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The disk of the log.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        self.reader.disk()
    }

    /// What can be read from a position on, when every record below another is durable: segments of which the next one's header is
    /// durable, and nothing is added to them.
    #[must_use]
    pub fn sealed(&self, from: u64, durable: u64) -> Option<Sealed> {
        let segments = self.reader.catalog().all();
        // Its header was synced before any record in it was durable.
        let behind = segments.iter().rfind(|segment| segment.first < durable)?;
        let sealed = segments.iter().filter(|segment| segment.first >= from && segment.number < behind.number);
        let bytes = sealed.map(|segment| segment.file_bytes).sum();
        (bytes > 0).then_some(Sealed { bytes, until: behind.number })
    }

    /// Whether no segment was removed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let segments = self.reader.catalog().all();
        let first = segments.first().is_none_or(|first| first.first <= 1);
        first && segments.windows(2).all(|pair| matches!(pair, [one, next] if one.end == next.first))
    }

    /// Visits what lies between a snapshot and a segment; answers the snapshot at its beginning, without the visitor's state.
    ///
    /// # Errors
    /// As an opening would.
    pub fn follow(
        &self,
        base: Option<&Snapshot>,
        until: u64,
        visit: &mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
    ) -> Result<Snapshot, OpenError> {
        let segments = self.reader.catalog().all();
        let mut walker = Walker::new(self.disk().clone(), StoreKey::new(self.store_id));
        let mut cursor = base.map_or(Cursor::at_start(1, 1), Cursor::behind);
        let mut visits = Visits::behind(base, visit);
        let known = base.map_or(&[][..], |base| &base.kept).iter();
        let mut kept: Vec<KeptSegment> = known.filter(|known| self.reader.holds(known.number)).copied().collect();
        for pair in segments.windows(2) {
            let &[listed, next] = pair else { continue };
            if listed.first < cursor.position || next.number > until || listed.end == OPEN {
                continue;
            }
            self.read(&mut walker, &listed, &next, &mut cursor, &mut visits)?;
            let Listed { number, first, end, file_bytes } = listed;
            kept.push(KeptSegment { number, first, end, time_ms: cursor.time_ms, file_bytes });
        }
        let (reserved, given_up) = visits.known();
        Ok(Snapshot {
            store_id: self.store_id,
            segment: until,
            position: cursor.position,
            chain: cursor.chain.unwrap_or(0),
            open_count: cursor.open_count,
            time_ms: cursor.time_ms,
            reserved,
            made_ms: 0,
            given_up,
            kept,
        })
    }

    fn read(
        &self,
        walker: &mut Walker,
        listed: &Listed,
        next: &Listed,
        cursor: &mut Cursor,
        visits: &mut Visits<'_>,
    ) -> Result<(), OpenError> {
        let (segment, next) = (segment(listed), segment(next));
        let until = Until::NextSegment { first: next.first, continues: walker.continues(&next)? };
        let walked = walker.walk(&segment, until, cursor, &mut |header, bytes, offset, before| {
            let at = BatchAt { segment: segment.number, offset };
            visits.batch(&segment.name, at, (header, bytes), before.position)
        })?;
        match walked {
            Walked::Arrived => Ok(()),
            Walked::Stopped { offset, why } => {
                let text = format!("byte {offset} was durable and is damaged ({})", why.fault);
                Err(OpenError::io("reading", &segment.name)(io::Error::other(text)))
            }
        }
    }

    /// What the log consists of.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.reader.extent()
    }

    /// Removes a segment, of which nobody needs anything any more.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn remove(&self, segment: u64) -> io::Result<()> {
        self.reader.remove(segment)
    }
}

fn segment(listed: &Listed) -> Segment {
    let Listed { number, first, file_bytes, .. } = *listed;
    Segment { number, name: file_name(number), file_bytes, first }
}
