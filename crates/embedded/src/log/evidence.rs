//! Looking beyond the first bad batch: does anything prove that what should be there had been durable?
//!
//! Headers are found at any aligned offset, whether or not they continue anything: their checksums are keyed by the store, and
//! what a header knows to be durable was true when it was written, however old, stale or unsynced it is itself.

use std::io;
use std::ops::Range;

use super::batch::{BATCH_ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, MAGIC};
use super::key::StoreKey;
use super::limits::READ_CHUNK_BYTES;
use super::window::Window;
use crate::disk::DiskFile;

/// What a stretch of a file shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    /// The highest known durable position of any header, and where that header lies.
    pub(super) known_durable: Option<(u64, u64)>,
    /// The first header of a position beyond the one asked for: where it lies, and its position.
    pub(super) resumes: Option<(u64, u64)>,
    /// Where the bytes that are not zero end; `None` when all are zero.
    pub(super) end: Option<u64>,
}

/// Reads the stretch, which begins at an aligned offset, looking for headers beyond the position.
pub(super) fn look_beyond(
    window: &mut Window,
    file: &dyn DiskFile,
    stretch: Range<u64>,
    key: StoreKey,
    position: u64,
) -> io::Result<Evidence> {
    let mut evidence = Evidence::default();
    let mut offset = stretch.start;
    while offset < stretch.end {
        // Each step sees a header's length more than it moves, so that no header is cut in two.
        let step = (stretch.end - offset).min((READ_CHUNK_BYTES - BATCH_HEADER_BYTES) as u64);
        let bytes = window.look(file, offset, step as usize + BATCH_HEADER_BYTES)?;
        if bytes.is_empty() {
            break;
        }
        evidence.note(bytes, offset, step as usize, key, position);
        offset += step;
    }
    Ok(evidence)
}

impl Evidence {
    fn note(&mut self, bytes: &[u8], offset: u64, step: usize, key: StoreKey, position: u64) {
        let (moved, _) = bytes.split_at(step.min(bytes.len()));
        for (index, word) in moved.chunks(BATCH_ALIGNMENT as usize).enumerate() {
            // Almost all of what is looked at here is zero.
            if word.iter().all(|byte| *byte == 0) {
                continue;
            }
            let at = index * BATCH_ALIGNMENT as usize;
            let used = word.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            self.end = Some(offset + (at + used) as u64);
            if word.starts_with(&MAGIC.to_le_bytes())
                && let Some(header) = bytes.get(at..).and_then(<[u8]>::first_chunk)
                && let Ok(header) = BatchHeader::decode(header, key)
            {
                self.note_header(&header, offset + at as u64, position);
            }
        }
    }

    fn note_header(&mut self, header: &BatchHeader, offset: u64, position: u64) {
        if self.known_durable.is_none_or(|(known, _)| header.known_durable > known) {
            self.known_durable = Some((header.known_durable, offset));
        }
        if self.resumes.is_none() && header.position > position {
            self.resumes = Some((offset, header.position));
        }
    }

    /// What is known durable, if that is beyond the position.
    pub(super) fn proof_beyond(&self, position: u64) -> Option<(u64, u64)> {
        self.known_durable.filter(|(known, _)| *known > position)
    }
}
