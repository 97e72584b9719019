//! The writer: turns a buffer into one batch on disk. A step function; the thread that calls it is somebody else's.

use std::io;
use std::mem;
use std::sync::Arc;

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, padded};
use super::buffer::LogBuffer;
use super::catalog::Catalog;
use super::error::LogError;
use super::key::StoreKey;
use super::limits::{BATCH_RECORDS_MAX, WRITE_BYTES_MAX};
use super::mark::{MARK_FILE, MarkFile, Reached};
use super::record::BatchAt;
use super::room::Room;
use super::segment::{DATA_OFFSET, SegmentHeader};
use super::spares::{Prepared, Spares};

/// The end of the log, where batches are added. Allocates nothing except when it rolls to a new segment.
///
/// After the first failed write or sync it is poisoned for ever: nobody knows what is on disk until the log is opened again.
pub struct Writer {
    key: StoreKey,
    store_id: [u8; 16],
    catalog: Arc<Catalog>,
    spares: Arc<Spares>,
    segment: Prepared,
    /// The segment's first position.
    first: u64,
    offset: u64,
    tail: Tail,
    mark: MarkFile,
    /// The next batch begins a segment, whatever is left of this one.
    rolls: bool,
    poison: Option<String>,
}

/// What the next batch continues.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) open_count: u32,
    /// The next position.
    pub(super) position: u64,
    /// Everything below is durable.
    pub(super) durable: u64,
    /// Positions below this may be written: the reservation is durable.
    pub(super) reserved: u64,
    /// The highest reservation written, durable or not.
    pub(super) reserved_next: u64,
    pub(super) chain: u64,
    pub(super) time_ms: u64,
    /// Whether anything was written since the last sync.
    pub(super) unsynced: bool,
}

/// What a writer starts with.
pub(super) struct Start {
    pub(super) store_id: [u8; 16],
    pub(super) catalog: Arc<Catalog>,
    pub(super) spares: Arc<Spares>,
    pub(super) segment: Prepared,
    pub(super) first: u64,
    pub(super) offset: u64,
    pub(super) tail: Tail,
    pub(super) mark: MarkFile,
}

/// A batch was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Where it lies.
    pub batch: BatchAt,
    /// Position of its first record.
    pub first: u64,
    /// Position after its last record.
    pub end: u64,
    /// Every record below this is durable now.
    pub durable: u64,
    /// Positions below this are never given out again: the reservation is durable.
    pub reserved: u64,
}

impl Writer {
    pub(super) fn start(start: Start) -> Self {
        let Start { store_id, catalog, spares, segment, first, offset, tail, mark } = start;
        let key = StoreKey::new(store_id);
        Self { key, store_id, catalog, spares, segment, first, offset, tail, mark, rolls: false, poison: None }
    }

    /// Writes the buffer as one batch, and syncs it if asked to, or if it holds a reservation or is the first of its segment. The buffer then holds the complete
    /// batch until it is restarted.
    ///
    /// # Errors
    /// `DiskFull`, `OutOfFiles` and `Refused`: nothing was written, the buffer is as it was. `Io`: the log has stopped, and so answers
    /// `Poisoned` from then on.
    pub fn write(&mut self, buffer: &mut LogBuffer, time_ms: u64, sync: bool) -> Result<Written, LogError> {
        self.check_usable()?;
        self.check_buffer(buffer)?;
        let bytes = padded(buffer.len()) as u64;
        if mem::take(&mut self.rolls) {
            self.begin_next(bytes)?;
        } else {
            self.make_room(bytes, self.spares.kept_bytes())?;
        }

        let reserve = buffer.reserve();
        // What lies in a segment may be acknowledged only once the mark names it.
        let sync = sync || reserve.is_some() || !self.mark.names(self.segment.number);
        let header = self.header(buffer.body(), buffer.records(), time_ms, false);
        let bytes = buffer.seal(&header, self.key);
        let file = &self.segment.file;
        let wrote = if sync { file.write_through_at(self.offset, bytes) } else { file.write_at(self.offset, bytes) };
        let written = self.wrote(&header, wrote)?;
        self.tail.reserved_next = self.tail.reserved_next.max(reserve.unwrap_or(0));
        if sync {
            self.sync()?;
        }
        Ok(Written { durable: self.tail.durable, reserved: self.tail.reserved, ..written })
    }

    /// Writes and syncs an empty batch, which proves to recovery that all before it is durable: after a pause, so that damage to
    /// the last records is seen as damage; or as the clean mark, the last thing before a shutdown.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn prove(&mut self, time_ms: u64, clean: bool) -> Result<Written, LogError> {
        self.check_usable()?;
        self.make_room(BATCH_HEADER_BYTES as u64, 0)?;
        if self.tail.unsynced {
            self.sync()?;
        }
        let header = self.header(&[], 0, time_ms, clean);
        let wrote = self.segment.file.write_through_at(self.offset, &header.encode(self.key));
        let written = self.wrote(&header, wrote)?;
        self.sync()?;
        if clean {
            self.write_mark(true)?;
        }
        Ok(Written { durable: self.tail.durable, reserved: self.tail.reserved, ..written })
    }

    /// Makes everything written so far durable; returns the position below which that is so. For levels that sync by interval.
    ///
    /// # Errors
    /// `Io` or `Poisoned`.
    pub fn sync(&mut self) -> Result<u64, LogError> {
        self.check_usable()?;
        if self.tail.unsynced {
            let synced = self.segment.file.sync_data();
            synced.map_err(|error| self.stop("syncing", error))?;
            // Not before, or a crash could leave a mark of a segment without a header; not later, or what is durable here could
            // be lost with the whole file, unnoticed. The rolls are rare.
            if !self.mark.names(self.segment.number) {
                self.write_mark(false)?;
            }
            self.tail.unsynced = false;
            self.tail.durable = self.tail.position;
            self.tail.reserved = self.tail.reserved_next;
        }
        Ok(self.tail.durable)
    }

    /// Positions at or above this must not be written: a crash could give them out again.
    #[must_use]
    pub fn position_limit(&self) -> u64 {
        self.tail.reserved
    }

    /// The position the next batch must begin with.
    #[must_use]
    pub fn next_position(&self) -> u64 {
        self.tail.position
    }

    /// Every record below this is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.tail.durable
    }

    /// The next batch begins the spare, so that a snapshot can cover this segment.
    pub fn roll(&mut self) {
        self.rolls = true;
    }

    /// What can be written without asking the disk for room.
    #[must_use]
    pub fn room(&self) -> Room {
        let file_bytes = self.segment.file_bytes;
        let rest = file_bytes.saturating_sub(self.offset + self.spares.kept_bytes());
        Room { rest, segment: self.spares.room_of(file_bytes), spare: self.spares.room() }
    }

    /// Whether the next segment is prepared.
    #[must_use]
    pub fn spare_ready(&self) -> bool {
        self.spares.ready()
    }

    /// The spares, for the thread that prepares them.
    #[must_use]
    pub fn spares(&self) -> Arc<Spares> {
        self.spares.clone()
    }

    /// Whether the log has stopped.
    #[cfg(test)]
    pub(super) fn usable(&self) -> Result<(), LogError> {
        self.check_usable()
    }

    fn check_usable(&self) -> Result<(), LogError> {
        match &self.poison {
            Some(first) => Err(LogError::Poisoned { first: first.clone() }),
            None => Ok(()),
        }
    }

    fn check_buffer(&self, buffer: &LogBuffer) -> Result<(), LogError> {
        let (position, reserved) = (self.tail.position, self.tail.reserved);
        let refused = |reason| Err(LogError::Refused(reason));
        if buffer.is_sealed() || buffer.is_empty() {
            return refused("it is empty or was written before; restart it and append records".to_owned());
        }
        if buffer.first_position() != position {
            return refused(format!(
                "it begins at position {}, expected {position}; write buffers in order",
                buffer.first_position()
            ));
        }
        if buffer.position() > reserved {
            return refused(format!(
                "it ends at position {}, reserved are those below {reserved}; reserve before",
                buffer.position()
            ));
        }
        if buffer.len() > WRITE_BYTES_MAX || buffer.records() > BATCH_RECORDS_MAX {
            return refused(format!(
                "{} bytes, {} records are too many; ask `fits` before",
                buffer.len(),
                buffer.records()
            ));
        }
        Ok(())
    }

    /// Rolls to a new segment when the current one has not so many bytes left, and those kept.
    fn make_room(&mut self, bytes: u64, kept: u64) -> Result<(), LogError> {
        if self.offset + bytes + kept <= self.segment.file_bytes { Ok(()) } else { self.begin_next(bytes) }
    }

    /// Goes on in the next segment, which takes so many bytes.
    fn begin_next(&mut self, bytes: u64) -> Result<(), LogError> {
        let next = match self.spares.take(bytes) {
            Err(LogError::Io { doing, source, .. }) => return Err(self.stop(doing, source)),
            taken => taken?,
        };
        // A segment's header says that all before it is durable.
        self.sync()?;
        let header = SegmentHeader {
            store_id: self.store_id,
            number: next.number,
            open_count: self.tail.open_count.into(),
            first_position: self.tail.position,
        };
        self.segment = next;
        self.first = header.first_position;
        self.offset = DATA_OFFSET;
        let wrote = self.segment.file.write_at(0, &header.encode());
        wrote.map_err(|error| self.stop("writing", error))?;
        self.tail.unsynced = true;
        self.catalog.add(header.number, header.first_position, self.segment.file_bytes);
        Ok(())
    }

    fn header(&self, body: &[u8], records: u32, time_ms: u64, clean: bool) -> BatchHeader {
        let Tail { position, open_count, durable, chain, .. } = self.tail;
        BatchHeader {
            body_bytes: body.len() as u32,
            records,
            position,
            open_count,
            clean,
            known_durable: durable,
            body_hash: self.key.body_hash(body, position),
            previous_hash: chain,
            time_ms: time_ms.max(self.tail.time_ms),
        }
    }

    fn wrote(&mut self, header: &BatchHeader, wrote: io::Result<()>) -> Result<Written, LogError> {
        wrote.map_err(|error| self.stop("writing", error))?;
        let batch = BatchAt { segment: self.segment.number, offset: self.offset };
        self.offset += header.padded_bytes() as u64;
        self.tail.position = header.end();
        self.tail.chain = header.body_hash;
        self.tail.time_ms = header.time_ms;
        self.tail.unsynced = true;
        let Tail { durable, reserved, .. } = self.tail;
        Ok(Written { batch, first: header.position, end: header.end(), durable, reserved })
    }

    /// Everything written so far must be synced.
    fn write_mark(&mut self, clean: bool) -> Result<(), LogError> {
        let reached = Reached {
            store_id: self.store_id,
            segment: self.segment.number,
            file_bytes: self.segment.file_bytes,
            first: self.first,
            durable: self.tail.position,
            clean,
        };
        self.mark.write(&reached).map_err(|error| self.stop_at("writing", MARK_FILE.to_owned(), error))
    }

    fn stop(&mut self, doing: &'static str, source: io::Error) -> LogError {
        self.stop_at(doing, self.segment.name.clone(), source)
    }

    fn stop_at(&mut self, doing: &'static str, file: String, source: io::Error) -> LogError {
        self.poison = Some(format!("{doing} {file} failed: {source}"));
        LogError::Io { doing, file, source }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Writer");
        shown.field("segment", &self.segment.name).field("offset", &self.offset).field("tail", &self.tail);
        shown.field("poison", &self.poison).finish_non_exhaustive()
    }
}
