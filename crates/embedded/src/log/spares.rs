//! The next segment, prepared before it is needed: zero-filled and synced, so that rolling costs no time and needs no room.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ballast::{Ballast, Failed};
use super::error::LogError;
use super::limits::{BALLAST_SEGMENTS, PROOF_ROOM_BYTES, SHORTEST_ROOM_BYTES};
use super::room::room_beside_settles;
use super::segment::{DATA_OFFSET, SegmentSizes, file_bytes_for, file_name};
use crate::disk::{Disk, DiskFile, is_full, is_out_of_files};

/// How much zero is written at a time when a spare must grow.
const ZERO_BYTES: usize = 64 << 10;

/// At most one spare. Shared by the writer, which takes it, and by a thread that prepares it.
///
/// Refuse publishes while [`Spares::prepare`] or [`Spares::keep`] answers that there is no room: it is tried when a segment has just
/// been begun, and what is left of that one is then for acks and openings alone.
pub struct Spares {
    disk: Arc<dyn Disk>,
    sizes: SegmentSizes,
    ballast: Ballast,
    /// Held while a file is created: a writer that needs the very file waits for it, which is shorter than creating it twice.
    next: Mutex<Next>,
    /// What batches may take of the spare; 0 where there is none.
    room: AtomicU64,
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
    /// The spares after this segment; one may have been found.
    pub(super) fn after(disk: Arc<dyn Disk>, sizes: SegmentSizes, segment: &Prepared, found: Option<Prepared>) -> Self {
        let next = match found {
            Some(Prepared { number, file, file_bytes, .. }) => Next { number, file_bytes, spare: Some(file) },
            None => Next { number: segment.number + 1, file_bytes: sizes.file_after(segment.file_bytes), spare: None },
        };
        let ballast = Ballast::new(disk.clone());
        let spares = Self { disk, sizes, ballast, next: Mutex::new(next), room: AtomicU64::new(0) };
        spares.tell(&spares.lock());
        spares
    }

    /// Bytes at a segment's end that only proofs and openings may take.
    pub(super) fn kept_bytes(&self) -> u64 {
        PROOF_ROOM_BYTES + self.sizes.openings_room()
    }

    /// What batches may take of a segment of this length.
    pub(super) fn room_of(&self, file_bytes: u64) -> u64 {
        file_bytes.saturating_sub(DATA_OFFSET + self.kept_bytes())
    }

    /// Whether a spare is ready. Never waits.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.room() > 0
    }

    /// What batches may take of the spare; 0 where there is none. Never waits.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.room.load(Ordering::Acquire)
    }

    /// Prepares the spare if there is none.
    ///
    /// # Errors
    /// As [`Spares::prepare_for`].
    pub fn prepare(&self) -> Result<(), LogError> {
        self.prepare_for(0)
    }

    /// Prepares the spare if there is none, a shorter one where the disk has no room for a long one; and lets one grow in which a
    /// batch of so many bytes would leave too little for settles. Blocks for as long as it takes to write and sync a segment; call it
    /// off the hot path, soon after opening and after each roll.
    ///
    /// # Errors
    /// `DiskFull`, `OutOfFiles` or `Io`; the log itself is untouched by all, and the call may be repeated.
    pub fn prepare_for(&self, batch_bytes: u64) -> Result<(), LogError> {
        let mut next = self.lock();
        let needed = file_bytes_for(room_beside_settles(batch_bytes.max(1)) + self.kept_bytes());
        let most = needed.max(next.file_bytes);
        let short = file_bytes_for(self.sizes.first).min(most);
        let Some(spare) = &next.spare else { return self.create_spare(&mut next, needed.max(short), most) };
        let (name, grown) = (file_name(next.number), grow(&**spare, next.file_bytes, needed));
        if let Err(error) = grown.map_err(|source| failed("growing", &name, needed, source)) {
            if !error.is_shortage() {
                // What a failed sync left of it nobody knows. Another is created under its name.
                next.spare = None;
                self.tell(&next);
                drop(self.disk.remove(&name));
            }
            return Err(error);
        }
        next.file_bytes = most;
        self.tell(&next);
        Ok(())
    }

    /// Prepares a short spare if there is none; one that is `shortest` is for the last room there is.
    ///
    /// # Errors
    /// As [`Spares::prepare_for`].
    pub fn prepare_short(&self, shortest: bool) -> Result<(), LogError> {
        let mut next = self.lock();
        if next.spare.is_some() {
            return Ok(());
        }
        let shortest_bytes = (self.sizes.first / 4).max(self.kept_bytes() + SHORTEST_ROOM_BYTES).min(self.sizes.first);
        let bytes = file_bytes_for(if shortest { shortest_bytes } else { self.sizes.first });
        self.create_spare(&mut next, bytes, bytes)
    }

    /// Keeps so many bytes of the disk for the time when it is full, beside short segments for settles. Where more must be made,
    /// a quarter more than that is: the store may grow.
    ///
    /// # Errors
    /// As [`Spares::prepare_for`].
    pub fn keep(&self, bytes: u64) -> Result<(), LogError> {
        let of = |bytes| file_bytes_for(BALLAST_SEGMENTS * self.sizes.first + bytes);
        let failed = |Failed { name, bytes, source }| failed("creating", &name, bytes, source);
        self.ballast.keep(of(bytes), of(bytes + bytes / 4)).map_err(failed)
    }

    /// Gives up what was kept; answers whether something was.
    pub fn give_up(&self) -> bool {
        self.ballast.give_up()
    }

    /// Bytes that a full disk is to have free before it is full no more: two segments.
    #[must_use]
    pub fn ease_bytes(&self) -> u64 {
        2 * self.sizes.max
    }

    /// Creates a spare of so many bytes at most and at least.
    fn create_spare(&self, next: &mut Next, least: u64, most: u64) -> Result<(), LogError> {
        let mut bytes = most;
        let spare = loop {
            match self.create(next.number, bytes) {
                Err(LogError::DiskFull { .. }) if bytes > least => {
                    bytes = file_bytes_for((bytes - DATA_OFFSET) / 2).max(least);
                }
                created => break created?,
            }
        };
        (next.spare, next.file_bytes) = (Some(spare), bytes);
        self.tell(next);
        Ok(())
    }

    /// Takes the spare, or creates the file when none is ready; a batch of so many bytes fits into it. One that must be larger for
    /// that has room beside the batch: no spare may follow soon, and acks shall go on. After an error the spare, if there was one,
    /// is still there.
    pub(super) fn take(&self, batch_bytes: u64) -> Result<Prepared, LogError> {
        let mut next = self.lock();
        let (number, name) = (next.number, file_name(next.number));
        let file_bytes = if file_bytes_for(batch_bytes + self.kept_bytes()) <= next.file_bytes {
            next.file_bytes
        } else {
            file_bytes_for(batch_bytes + self.kept_bytes() + self.sizes.first)
        };
        let file = match &next.spare {
            None => self.create(number, file_bytes)?,
            Some(spare) => {
                grow(&**spare, next.file_bytes, file_bytes)
                    .map_err(|source| failed("growing", &name, file_bytes, source))?;
                spare.clone()
            }
        };
        *next = Next { number: number + 1, file_bytes: self.sizes.file_after(file_bytes), spare: None };
        self.tell(&next);
        Ok(Prepared { number, name, file, file_bytes })
    }

    fn tell(&self, next: &Next) {
        let room = if next.spare.is_some() { self.room_of(next.file_bytes) } else { 0 };
        self.room.store(room, Ordering::Release);
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
