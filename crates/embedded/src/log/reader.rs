//! Reading batches back: one at a known place, or all from a position on. Every byte is verified on the way.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, Fault};
use super::catalog::{Catalog, Listed};
use super::error::ReadError;
use super::key::StoreKey;
use super::limits::OPEN_FILES_MAX;
use super::record::{BatchAt, Records, records};
use super::segment::{DATA_OFFSET, file_name};
use super::suspects::suspect;
use crate::disk::{Disk, DiskFile};

/// Reads the log while it is written. Cheap to clone; all clones share their open files. Calls block on the disk.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    key: StoreKey,
    catalog: Arc<Catalog>,
    /// The file used last is at the end. Never held while reading.
    files: Mutex<Vec<(u64, Arc<dyn DiskFile>)>>,
}

/// What a log consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first position that is kept. Behind it some may be gone.
    pub first: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// A segment and its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its number.
    pub number: u64,
    /// Its first position.
    pub first: u64,
    /// The first position of the segment that came after it; of the newest `u64::MAX`.
    pub end: u64,
}

/// A verified batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where it lies.
    pub at: BatchAt,
    /// What it says of itself.
    pub header: BatchHeader,
    /// Header and records. Offsets of records count from the beginning.
    pub bytes: Bytes,
}

impl Batch {
    /// Its records.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        records(self.at, &self.header, &self.bytes)
    }
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>, key: StoreKey, catalog: Arc<Catalog>) -> Self {
        Self { shared: Arc::new(Shared { disk, key, catalog, files: Mutex::new(Vec::new()) }) }
    }

    /// Reads and verifies the whole batch at a place.
    ///
    /// # Errors
    /// See [`ReadError`]. None is worth a retry except `Io`, and that rarely.
    pub fn batch(&self, at: BatchAt) -> Result<Batch, ReadError> {
        let file = self.file(at.segment)?;
        let header = self.header(&*file, at)?;
        let damaged = |fault| ReadError::Damaged { file: file_name(at.segment), offset: at.offset, fault };
        let mut bytes = vec![0; header.padded_bytes()];
        let filled = file.read_at(at.offset, &mut bytes).map_err(|error| failed(at.segment, error))?;
        let padded_body = bytes.get(BATCH_HEADER_BYTES..filled).filter(|_| filled == bytes.len());
        header.verify_body(padded_body.ok_or_else(|| damaged(Fault::Length))?, self.shared.key).map_err(damaged)?;
        bytes.truncate(header.batch_bytes());
        Ok(Batch { at, header, bytes: bytes.into() })
    }

    /// All batches that hold records from one position on up to another (exclusive), which must be durable or at least written.
    /// The first may begin before it. Reads as it is iterated; ends after the first error.
    #[must_use]
    pub fn scan(&self, from: u64, until: u64) -> Scan {
        let segment = self.shared.catalog.holding(from);
        let at = segment.map(|Listed { number, .. }| BatchAt { segment: number, offset: DATA_OFFSET });
        Scan { reader: self.clone(), at, next: segment.map_or(0, |segment| segment.first), from, until }
    }

    /// A part of one segment: its batches from one that begins at a known place and position on, up to a position (exclusive).
    #[must_use]
    pub fn scan_part(&self, at: BatchAt, first: u64, until: u64) -> Scan {
        Scan { reader: self.clone(), at: Some(at), next: first, from: first, until }
    }

    /// The number and the first position of each segment, in order. All but the last are complete.
    #[must_use]
    pub fn segments(&self) -> Vec<(u64, u64)> {
        self.shared.catalog.all().into_iter().map(|segment| (segment.number, segment.first)).collect()
    }

    /// All segments in order.
    #[must_use]
    pub fn stretches(&self) -> Vec<Stretch> {
        let all = self.shared.catalog.all().into_iter();
        all.map(|Listed { number, first, end, .. }| Stretch { number, first, end }).collect()
    }

    /// Checks a file that is derived from a segment of this store.
    #[must_use]
    pub fn derived_hash(&self, bytes: &[u8], segment: u64) -> u64 {
        self.shared.key.body_hash(bytes, segment)
    }

    /// A position with nothing before it that is as late as this moment, in unix milliseconds: the
    /// first of the segment in which that begins. The log's time never decreases.
    #[must_use]
    pub fn position_before(&self, unix_ms: u64) -> u64 {
        let segments = self.shared.catalog.all();
        // One that cannot be read, or is empty yet, is not known to be early.
        let early = segments.partition_point(|segment| {
            let at = BatchAt { segment: segment.number, offset: DATA_OFFSET };
            let header = self.file(at.segment).and_then(|file| self.header(&*file, at));
            header.is_ok_and(|header| header.time_ms < unix_ms)
        });
        segments.get(early.saturating_sub(1)).map_or(0, |segment| segment.first)
    }

    /// The first position behind the last segment that was removed from among others; 0 if none was.
    #[must_use]
    pub fn last_gap(&self) -> u64 {
        let segments = self.shared.catalog.all();
        let gap = segments.windows(2).rfind(|pair| pair[0].number + 1 < pair[1].number);
        gap.map_or(0, |pair| pair[1].first)
    }

    /// Whether a segment is part of the log.
    #[must_use]
    pub fn holds(&self, segment: u64) -> bool {
        self.shared.catalog.contains(segment)
    }

    /// What the log consists of.
    #[must_use]
    pub fn extent(&self) -> Extent {
        let segments = self.shared.catalog.all();
        Extent {
            first: segments.first().map_or(1, |first| first.first),
            segments: segments.len() as u64,
            bytes: segments.iter().map(|segment| segment.file_bytes).sum(),
        }
    }

    /// Removes a segment. Who reads it reads on.
    ///
    /// # Errors
    /// What the disk answers.
    pub(super) fn remove(&self, segment: u64) -> io::Result<()> {
        self.shared.catalog.remove(segment);
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| *number != segment);
        match self.shared.disk.remove(&file_name(segment)) {
            // An earlier try could not say so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Notes that a batch could not be read, so that the next opening looks at it.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn suspect(&self, at: BatchAt) -> io::Result<()> {
        suspect(&*self.shared.disk, at)
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    /// The folder of the log: also for files that are derived from it, and never needed.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.shared.disk
    }

    fn header(&self, file: &dyn DiskFile, at: BatchAt) -> Result<BatchHeader, ReadError> {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        file.read_at(at.offset, &mut bytes).map_err(|error| failed(at.segment, error))?;
        let damaged = |fault| ReadError::Damaged { file: file_name(at.segment), offset: at.offset, fault };
        BatchHeader::decode(&bytes, self.shared.key).map_err(damaged)
    }

    fn file(&self, segment: u64) -> Result<Arc<dyn DiskFile>, ReadError> {
        if let Some(file) = self.cached(segment) {
            return Ok(file);
        }
        let file = self.shared.disk.open(&file_name(segment)).map_err(|error| failed(segment, error))?;
        let mut files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= OPEN_FILES_MAX {
            files.remove(0);
        }
        files.push((segment, file.clone()));
        Ok(file)
    }

    /// How many files are open.
    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn cached(&self, segment: u64) -> Option<Arc<dyn DiskFile>> {
        let mut files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        let index = files.iter().rposition(|(number, _)| *number == segment)?;
        let found = files.remove(index);
        let file = found.1.clone();
        files.push(found);
        Some(file)
    }
}

/// See [`Reader::scan`].
#[derive(Debug)]
pub struct Scan {
    reader: Reader,
    /// Where the next batch is looked for; `None` at the end.
    at: Option<BatchAt>,
    /// The next position.
    next: u64,
    from: u64,
    until: u64,
}

impl Iterator for Scan {
    type Item = Result<Batch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.step().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.at = None;
        }
        found
    }
}

impl Scan {
    fn step(&mut self) -> Result<Option<Batch>, ReadError> {
        while let Some(at) = self.at.filter(|_| self.next < self.until) {
            if let Some(segment) = self.reader.shared.catalog.after(at.segment, self.next) {
                self.at = Some(BatchAt { segment: segment.number, offset: DATA_OFFSET });
                self.next = self.next.max(segment.first);
                continue;
            }
            let file = match self.reader.file(at.segment) {
                // It went a moment ago: what is left begins with the next one.
                Err(ReadError::Missing { .. }) if !self.reader.holds(at.segment) => continue,
                file => file?,
            };
            let header = self.reader.header(&*file, at)?;
            if header.position < self.next {
                return Err(ReadError::Damaged {
                    file: file_name(at.segment),
                    offset: at.offset,
                    fault: Fault::Position,
                });
            }
            self.next = header.end();
            self.at = Some(BatchAt { offset: at.offset + header.padded_bytes() as u64, ..at });
            // What is empty, or entirely before the beginning, is passed over without reading it.
            if header.records > 0 && header.end() > self.from && header.position < self.until {
                return self.reader.batch(at).map(Some);
            }
        }
        Ok(None)
    }
}

fn failed(segment: u64, source: io::Error) -> ReadError {
    let file = file_name(segment);
    if source.kind() == io::ErrorKind::NotFound { ReadError::Missing { file } } else { ReadError::Io { file, source } }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("catalog", &self.shared.catalog).finish_non_exhaustive()
    }
}
