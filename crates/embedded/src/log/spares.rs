//! The next segment, prepared before it is needed: zero-filled and synced, so that rolling costs no time and needs no room.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::LogError;
use super::segment::{SegmentSizes, file_bytes_for, file_name};
use crate::disk::{Disk, DiskFile, is_full, is_out_of_files};

/// How much zero is written at a time when a spare must grow.
const ZERO_BYTES: usize = 64 << 10;

/// At most one spare. Shared by the writer, which takes it, and by a thread that prepares it.
///
/// With a spare in hand a full disk still takes acks: refuse publishes while [`Spares::prepare`] answers an error.
pub struct Spares {
    disk: Arc<dyn Disk>,
    sizes: SegmentSizes,
    /// Held while a file is created: a writer that needs the very file waits for it, which is shorter than creating it twice.
    next: Mutex<Next>,
    ready: AtomicBool,
}

struct Next {
    number: u64,
    file_bytes: u64,
    spare: Option<Arc<dyn DiskFile>>,
}

/// A file ready to become a segment.
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) file_bytes: u64,
}

impl Spares {
    /// The spares after the segment with this number and this length.
    pub(super) fn after(disk: Arc<dyn Disk>, sizes: SegmentSizes, number: u64, file_bytes: u64) -> Self {
        let next = Next { number: number + 1, file_bytes: sizes.file_after(file_bytes), spare: None };
        Self { disk, sizes, next: Mutex::new(next), ready: AtomicBool::new(false) }
    }

    /// Whether a spare is ready. Never waits.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Prepares the spare if there is none. Blocks for as long as it takes to write and sync a segment; call it off the hot path,
    /// soon after opening and after each roll.
    ///
    /// # Errors
    /// `DiskFull`, `OutOfFiles` or `Io`; the log itself is untouched by all, and the call may be repeated.
    pub fn prepare(&self) -> Result<(), LogError> {
        let mut next = self.lock();
        if next.spare.is_none() {
            next.spare = Some(self.create(next.number, next.file_bytes)?);
            self.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Takes the spare, or creates the file when none is ready; it holds at least so many data bytes. After an error the spare,
    /// if there was one, is still there.
    pub(super) fn take(&self, data_bytes: u64) -> Result<Prepared, LogError> {
        let mut next = self.lock();
        let (number, name) = (next.number, file_name(next.number));
        let file_bytes = next.file_bytes.max(file_bytes_for(data_bytes));
        let file = match &next.spare {
            None => self.create(number, file_bytes)?,
            Some(spare) => {
                grow(&**spare, next.file_bytes, file_bytes)
                    .map_err(|source| failed("growing", &name, file_bytes, source))?;
                spare.clone()
            }
        };
        *next = Next { number: number + 1, file_bytes: self.sizes.file_after(file_bytes), spare: None };
        self.ready.store(false, Ordering::Release);
        Ok(Prepared { number, name, file, file_bytes })
    }

    fn create(&self, number: u64, file_bytes: u64) -> Result<Arc<dyn DiskFile>, LogError> {
        let name = file_name(number);
        self.disk.create_zeroed(&name, file_bytes).map_err(|source| failed("creating", &name, file_bytes, source))
    }

    fn lock(&self) -> MutexGuard<'_, Next> {
        // Every change is one assignment, so a thread that panicked left it whole.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn grow(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    if from >= to {
        return Ok(());
    }
    let zeros = [0; ZERO_BYTES];
    let mut offset = from;
    while offset < to {
        let part = (to - offset).min(ZERO_BYTES as u64);
        file.write_at(offset, &zeros[..part as usize])?;
        offset += part;
    }
    file.sync_data()
}

fn failed(doing: &'static str, name: &str, bytes: u64, source: io::Error) -> LogError {
    let file = name.to_owned();
    if is_full(&source) {
        LogError::DiskFull { file, bytes }
    } else if is_out_of_files(&source) {
        LogError::OutOfFiles { file }
    } else {
        LogError::Io { doing, file, source }
    }
}

impl std::fmt::Debug for Spares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spares").field("ready", &self.ready()).finish_non_exhaustive()
    }
}
