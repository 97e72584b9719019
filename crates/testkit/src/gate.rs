//! A disk whose syncs and reads can be held up.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use skep_embedded::disk::recording::RecordingDisk;
use skep_embedded::disk::{Disk, DiskFile};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The recording disk behind two gates: while one is shut, a sync of a file waits, or a read.
#[derive(Clone, Default)]
pub struct Gated {
    /// The disk itself.
    pub disk: RecordingDisk,
    /// What every sync of a file passes.
    pub syncs: Gate,
    /// What every read passes.
    pub reads: Gate,
}

/// A gate that is open, until it is shut.
#[derive(Clone, Default)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    shut: bool,
    waiting: usize,
}

impl Gate {
    /// Lets nobody through from now on.
    pub fn shut(&self) {
        self.state().shut = true;
    }

    /// Lets everybody through.
    pub fn open(&self) {
        self.state().shut = false;
        self.inner.changed.notify_all();
    }

    /// Waits until somebody is held up.
    pub fn holds_one(&self) {
        let waited = self.inner.changed.wait_timeout_while(self.state(), PATIENCE, |state| state.waiting == 0);
        assert!(!waited.expect(SOUND).1.timed_out(), "nobody came to the gate");
    }

    fn pass(&self) {
        let mut state = self.state();
        state.waiting += 1;
        self.inner.changed.notify_all();
        // A test that failed opens it no more, and is to end all the same.
        state = self.inner.changed.wait_timeout_while(state, 2 * PATIENCE, |state| state.shut).expect(SOUND).0;
        state.waiting -= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect(SOUND)
    }
}

const SOUND: &str = "nobody panics with it";

impl Disk for Gated {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File { file: self.disk.create_zeroed(name, bytes)?, gated: self.clone() }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File { file: self.disk.open(name)?, gated: self.clone() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
}

struct File {
    file: Arc<dyn DiskFile>,
    gated: Gated,
}

impl DiskFile for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.gated.reads.pass();
        self.file.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gated.syncs.pass();
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}
