//! A disk that does not keep what was written into a snapshot, and says nothing.

use std::io;

use super::*;
use crate::disk::DiskFile;

struct Lying(RecordingDisk);

impl Disk for Lying {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.0.create_zeroed(name, bytes)?;
        Ok(if name.ends_with(".snap") { Arc::new(Flipped(file)) } else { file })
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_names()
    }
}

/// A file whose body has another last byte than was written.
struct Flipped(Arc<dyn DiskFile>);

impl DiskFile for Flipped {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes.to_vec();
        bytes.last_mut().filter(|_| offset > 0).into_iter().for_each(|last| *last ^= 1);
        self.0.write_at(offset, &bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

#[test]
fn a_snapshot_that_is_not_what_was_written_is_told_of_and_no_segment_goes_for_it() {
    let disk = RecordingDisk::new();
    let mut life = Life::open_on(&disk, Arc::new(Lying(disk.clone())), NONE);
    life.declare();
    let mut untaken = 0;
    for _ in 0..60 {
        let position = life.publish();
        life.sync();
        life.ack(position);
        life.sync();
        if let Err(error) = life.take() {
            assert!(matches!(&error, Untaken::Changed(name, _) if name.ends_with(".snap")), "{error}");
            untaken += 1;
        }
    }
    let segments = life.names(".seg");
    assert!(untaken > 3 && segments.len() > 4, "{untaken} were not taken, of {} segments", segments.len());
    assert_eq!((segments.first(), life.taker.newest()), (Some(&file_name(1)), None));
    drop(life);
    assert_eq!(Life::open(&disk, NONE).found, BTreeSet::new());
}
