//! A disk in memory that records what was asked of it, fails on demand, and rebuilds what a crash could have left.
//!
//! What a process reads is the *page cache*: everything written. What survives a crash is decided by [`RecordingDisk::crash`]:
//! a write survives for certain only once its file was synced, a name only once the folder was. A failed sync loses its writes
//! for good: no later sync of the same file brings them back, as on Linux.

mod failing;
mod image;
mod sparse;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::failing::Failing;
use self::sparse::Sparse;
use super::{Disk, DiskFile, EMFILE};

pub use self::failing::{CALLS, Call};
pub use self::image::Image;

/// The error numbers of Linux, which the standard library maps to its kinds.
const ENOSPC: i32 = 28;

/// A file, whatever its name is or was.
type Inode = u64;

/// One recorded operation.
#[derive(Debug, Clone)]
pub enum Operation {
    /// A name was given to a new, empty file.
    Create {
        /// The name.
        name: String,
        /// The file.
        inode: u64,
    },
    /// A file was extended by zeros.
    Zero {
        /// The file.
        inode: u64,
        /// Its new length.
        bytes: u64,
    },
    /// Bytes were written.
    Write {
        /// The file.
        inode: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// A file was synced.
    Sync {
        /// The file.
        inode: u64,
    },
    /// A sync of a file answered an error.
    SyncFailed {
        /// The file.
        inode: u64,
    },
    /// A name was removed.
    Remove {
        /// The name.
        name: String,
    },
    /// The folder was synced.
    SyncFolder,
}

/// Names and contents, without history.
#[derive(Debug, Clone, Default)]
struct Contents {
    names: BTreeMap<String, Inode>,
    files: BTreeMap<Inode, Sparse>,
}

#[derive(Debug, Default)]
struct State {
    /// What was durable when this disk was made.
    base: Contents,
    /// What a reader sees now.
    now: Contents,
    trace: Vec<Operation>,
    last_inode: Inode,
    failing: Failing,
    bytes_until_full: Option<u64>,
    /// What becomes free is gone at once.
    shared: bool,
    out_of_files: bool,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct RecordingDisk {
    state: Arc<Mutex<State>>,
}

impl RecordingDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn holding(contents: Contents) -> Self {
        let last_inode = contents.files.keys().next_back().copied().unwrap_or(0);
        let state = State { base: contents.clone(), now: contents, last_inode, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// How many operations were recorded: the name of a moment for [`RecordingDisk::crash`].
    #[must_use]
    pub fn operations(&self) -> usize {
        self.lock().trace.len()
    }

    /// All operations recorded so far.
    #[must_use]
    pub fn trace(&self) -> Vec<Operation> {
        self.lock().trace.clone()
    }

    /// A new disk holding what a power loss after the first `operations` operations could have left.
    #[must_use]
    pub fn crash(&self, operations: usize, image: Image) -> Self {
        let state = self.lock();
        let trace = state.trace.get(..operations).unwrap_or(&state.trace);
        Self::holding(image::rebuild(&state.base, trace, image))
    }

    /// Makes one sync answer EIO: the next (`0`), or the one after `skip` more. Syncs of the folder and of new files count.
    pub fn fail_sync_after(&self, skip: u64) {
        self.fail_after(Call::Sync, skip);
    }

    /// Makes one call answer EIO: the next (`0`), or the one after `skip` more.
    pub fn fail_after(&self, call: Call, skip: u64) {
        self.lock().failing.set(call, Some(skip));
    }

    /// No call fails any more that has not failed.
    pub fn fail_no_more(&self) {
        let mut state = self.lock();
        CALLS.into_iter().for_each(|call| state.failing.set(call, None));
    }

    /// How many calls have failed, in the order of [`CALLS`].
    #[must_use]
    pub fn failures(&self) -> [u64; CALLS.len()] {
        self.lock().failing.failed
    }

    /// Lets files grow by this many bytes in sum, then answers ENOSPC; `None` lifts the limit. Removing gives room back.
    pub fn set_room(&self, bytes: Option<u64>) {
        let mut state = self.lock();
        (state.bytes_until_full, state.shared) = (bytes, false);
    }

    /// Lets no file grow, and gives no room back: others wait for it, and take what becomes free. [`RecordingDisk::set_room`] ends it.
    pub fn fill(&self) {
        let mut state = self.lock();
        (state.bytes_until_full, state.shared) = (Some(0), true);
    }

    /// While it is so, creating and opening files answers EMFILE.
    pub fn set_out_of_files(&self, out: bool) {
        self.lock().out_of_files = out;
    }

    /// The contents of a file.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let file = state.now.files.get(state.now.names.get(name)?)?;
        let mut bytes = vec![0; usize::try_from(file.size()).ok()?];
        file.read(0, &mut bytes);
        Some(bytes)
    }

    /// Changes bytes behind the program's back, durably and without a trace: a flipped bit, a foreign file, a previous life.
    /// Creates the file when it is absent.
    pub fn tamper(&self, name: &str, offset: u64, bytes: &[u8]) {
        let state = &mut *self.lock();
        let next = state.last_inode + 1;
        let inode = *state.now.names.entry(name.to_owned()).or_insert(next);
        state.last_inode = state.last_inode.max(inode);
        for contents in [&mut state.base, &mut state.now] {
            contents.names.insert(name.to_owned(), inode);
            contents.files.entry(inode).or_default().write(offset, bytes);
        }
    }

    /// Loses a file behind the program's back, durably and without a trace.
    pub fn lose(&self, name: &str) {
        let mut state = self.lock();
        state.base.names.remove(name);
        state.now.names.remove(name);
    }

    /// Cuts a file to a length behind the program's back, durably and without a trace.
    pub fn shorten(&self, name: &str, bytes: u64) {
        let kept = self.contents(name).unwrap_or_default();
        self.lose(name);
        self.tamper(name, 0, kept.get(..bytes as usize).unwrap_or(&kept));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked while holding the lock has failed already; its images are still worth reading.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, operation: Operation) {
        match &operation {
            Operation::Create { name, inode } => {
                self.now.names.insert(name.clone(), *inode);
                self.now.files.insert(*inode, Sparse::default());
            }
            Operation::Zero { inode, bytes } => self.now.file(*inode).extend_to(*bytes),
            Operation::Write { inode, offset, bytes } => self.now.file(*inode).write(*offset, bytes),
            Operation::Remove { name } => {
                self.now.names.remove(name);
            }
            Operation::Sync { .. } | Operation::SyncFailed { .. } | Operation::SyncFolder => {}
        }
        self.trace.push(operation);
    }

    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        match &mut self.bytes_until_full {
            Some(room) if *room < bytes => Err(io::Error::from_raw_os_error(ENOSPC)),
            Some(room) => {
                *room -= bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn take_file(&self) -> io::Result<()> {
        if self.out_of_files { Err(io::Error::from_raw_os_error(EMFILE)) } else { Ok(()) }
    }

    fn sync(&mut self, inode: Inode) -> io::Result<()> {
        let answer = self.failing.take(Call::Sync);
        self.record(if answer.is_ok() { Operation::Sync { inode } } else { Operation::SyncFailed { inode } });
        answer
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.failing.take(Call::Sync)?;
        self.record(Operation::SyncFolder);
        Ok(())
    }
}

impl Contents {
    fn file(&mut self, inode: Inode) -> &mut Sparse {
        self.files.entry(inode).or_default()
    }
}

impl Disk for RecordingDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().now.names.keys().cloned().collect())
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        if state.now.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.take_file()?;
        state.failing.take(Call::Create)?;
        state.take_room(bytes)?;
        state.last_inode += 1;
        let inode = state.last_inode;
        state.record(Operation::Create { name: name.to_owned(), inode });
        state.record(Operation::Zero { inode, bytes });
        if let Err(error) = state.sync(inode).and_then(|()| state.sync_folder()) {
            state.record(Operation::Remove { name: name.to_owned() });
            return Err(error);
        }
        Ok(Arc::new(RecordingFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.lock();
        state.take_file()?;
        let inode = state.now.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(RecordingFile { disk: self.clone(), inode }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.now.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        state.failing.take(Call::Remove)?;
        let bytes = state.now.file(inode).size();
        let shared = state.shared;
        if let Some(room) = state.bytes_until_full.as_mut().filter(|_| !shared) {
            *room += bytes;
        }
        state.record(Operation::Remove { name: name.to_owned() });
        state.sync_folder()
    }

    fn sync_names(&self) -> io::Result<()> {
        self.lock().sync_folder()
    }
}

#[derive(Debug)]
struct RecordingFile {
    disk: RecordingDisk,
    inode: Inode,
}

impl DiskFile for RecordingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let size = state.now.file(self.inode).size();
        state.take_room((offset + bytes.len() as u64).saturating_sub(size))?;
        let answer = state.failing.take(Call::Write);
        let bytes = if answer.is_ok() { bytes } else { bytes.get(..bytes.len() / 2).unwrap_or_default() };
        state.record(Operation::Write { inode: self.inode, offset, bytes: bytes.into() });
        answer
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.failing.take(Call::Read)?;
        Ok(state.now.file(self.inode).read(offset, buffer))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().sync(self.inode)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().now.file(self.inode).size())
    }
}

#[cfg(test)]
mod tests;
