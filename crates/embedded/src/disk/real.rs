//! A folder of the file system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::direct::{self, Direct};
use super::{Disk, DiskFile};

/// How much is zero-filled by one write.
const ZERO_BYTES: usize = 1 << 20;

/// A folder that only its owner may enter (0700), of files that only their owner may read (0600).
#[derive(Debug)]
pub struct RealDisk {
    folder: PathBuf,
}

impl RealDisk {
    /// Uses the folder, creating it (but not its parents) when it is absent.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => sync_folder(parent_of(&folder))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(error),
        }
        Ok(Self { folder })
    }

    fn fill(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        // Others on a disk that is nearly full are not to find it full while it is tried, again and again.
        if let Ok(free) = rustix::fs::statvfs(&self.folder)
            && free.f_bavail.saturating_mul(free.f_frsize) < bytes
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let done =
            write_zeros(path, &file, bytes).and_then(|()| file.sync_all()).and_then(|()| sync_folder(&self.folder));
        if let Err(error) = done {
            // Best effort: the first error is the one that tells something, and a left-over is removed by the next open.
            drop(std::fs::remove_file(path));
            return Err(error);
        }
        Ok(Arc::new(RealFile { file, direct: Mutex::new(Direct::open(path, bytes)) }))
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.fill(&self.folder.join(name), bytes)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.folder.join(name);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if is_forbidden(&error) => File::open(&path)?,
            opened => opened?,
        };
        Ok(Arc::new(RealFile { file, direct: Mutex::default() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(name))?;
        sync_folder(&self.folder)
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.folder)
    }
}

struct RealFile {
    file: File,
    /// Of one that was created here, as long as it is known how it ends.
    direct: Mutex<Option<Direct>>,
}

impl RealFile {
    fn direct(&self) -> MutexGuard<'_, Option<Direct>> {
        self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut direct = self.direct();
        // Also when it fails half-way, its end is not what it was.
        if direct.as_mut().is_some_and(|direct| !direct.note(offset, bytes)) {
            *direct = None;
        }
        self.file.write_all_at(bytes, offset)
    }

    fn write_through_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(direct) = &mut *self.direct()
            && direct.write(offset, bytes)?
        {
            return Ok(());
        }
        self.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Zeros are written, not promised by a sparse length, so that a later sync has no block to allocate and cannot meet a full disk.
fn write_zeros(path: &Path, file: &File, bytes: u64) -> io::Result<()> {
    let mut offset = direct::write_zeros(path, bytes)?;
    let zeros = vec![0; (bytes - offset).min(ZERO_BYTES as u64) as usize];
    while offset < bytes {
        let part = (bytes - offset).min(ZERO_BYTES as u64);
        file.write_all_at(&zeros[..part as usize], offset)?;
        offset += part;
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent_of(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_created_file_is_zero_private_and_listed() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let disk = RealDisk::new(folder.path().join("log"))?;
        let file = disk.create_zeroed("a", ZERO_BYTES as u64 + 5)?;
        assert_eq!(file.size()?, ZERO_BYTES as u64 + 5);
        assert_eq!(disk.list()?, ["a"]);
        let mode = std::fs::metadata(folder.path().join("log/a"))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mode = std::fs::metadata(folder.path().join("log"))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        disk.remove("a")?;
        assert!(disk.list()?.is_empty());
        Ok(())
    }

    #[test]
    fn a_read_past_the_end_is_short_and_not_an_error() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let disk = RealDisk::new(folder.path().join("log"))?;
        let file = disk.create_zeroed("a", 10)?;
        file.write_at(8, b"xy")?;
        let mut buffer = [1; 8];
        assert_eq!(file.read_at(6, &mut buffer)?, 4);
        assert_eq!(&buffer[..4], b"\0\0xy");
        assert_eq!(file.read_at(100, &mut buffer)?, 0);
        Ok(())
    }

    #[test]
    fn an_existing_file_is_never_created_over() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let disk = RealDisk::new(folder.path().join("log"))?;
        disk.create_zeroed("a", 10)?.write_at(0, b"kept")?;
        let error = disk.create_zeroed("a", 10).err().map(|error| error.kind());
        assert_eq!(error, Some(io::ErrorKind::AlreadyExists));
        let mut buffer = [0; 4];
        disk.open("a")?.read_at(0, &mut buffer)?;
        assert_eq!(&buffer, b"kept");
        Ok(())
    }
}
