//! The one way the log reaches storage: a flat folder of files, written at offsets and synced.
//!
//! Two implementations, one contract: [`real::RealDisk`] on a folder, [`recording::RecordingDisk`] in memory, which records
//! every operation and rebuilds what a crash could have left. Nothing above this seam calls the file system.

mod direct;
pub mod real;
pub mod recording;

use std::io;
use std::sync::Arc;

/// A folder of files.
///
/// Calls may come from several threads. None retries by itself, and none may be retried by the caller when it was a sync.
pub trait Disk: Send + Sync + 'static {
    /// The names of all files, in no order. Read-only; called when a log is opened, and when one of its indexes is built.
    ///
    /// # Errors
    /// Whatever the folder answers.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file of `bytes` zeros. When it returns, the zeros and the name are durable.
    ///
    /// # Errors
    /// `AlreadyExists`, or `StorageFull` when there is no room; then the file is gone again as far as that was possible.
    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing; for reading alone when the folder may not be written.
    ///
    /// # Errors
    /// `NotFound`, or what the file system answers.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file. When it returns, its absence is durable. Open handles stay readable.
    ///
    /// # Errors
    /// `NotFound`, or what the file system answers.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names of all files durable. A file found when a log is opened may have been made by a process that was killed
    /// before [`Disk::create_zeroed`] returned.
    ///
    /// # Errors
    /// What the file system answers.
    fn sync_names(&self) -> io::Result<()>;
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Writes all bytes at the offset, extending the file when needed. Durable only after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// Any part of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// The same for bytes that are synced at once: where it can, it keeps them out of the file system's cache.
    ///
    /// # Errors
    /// Any part of the bytes may have been written.
    fn write_through_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }

    /// Fills the buffer from the offset. Returns fewer bytes than asked only where the file ends.
    ///
    /// # Errors
    /// What the file system answers; end of file is not an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// After an error nobody knows what is durable, and a second call may answer success although the bytes are lost:
    /// never retry, never go on with this file.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the file system answers.
    fn size(&self) -> io::Result<u64>;
}

/// The error numbers of Linux, macOS and the BSDs for too many open files: of the process, and of the machine.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Whether the error says that no more files can be opened. Nothing has happened then, and a caller can try again.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// Whether the error says that there is no room, which a caller can survive, unlike other errors.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
