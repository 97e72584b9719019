//! The log of a data folder, locked by itself.
//!
//! The lock of the data folder says nothing of a log to which two of them lead, by a symbolic link or a mount. So the
//! folder of the log is locked, too: whatever leads there, it is one folder. That makes no file, and writes nothing.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::{DataFolder, FolderError, failed, make_private, try_lock};

impl DataFolder {
    /// Takes the log for this data folder alone, until that is dropped.
    ///
    /// # Errors
    /// `LogTaken` while another data folder's hub, or a look at its store, has it; `Io`.
    pub(crate) fn take_log(&mut self) -> Result<(), FolderError> {
        let log = self.store();
        self.log = match File::open(&log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(failed(&log))?),
        };
        let Some(folder) = &self.log else { return Ok(()) };
        match try_lock(folder) {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let at = fs::canonicalize(&log).unwrap_or_else(|_| log.clone());
                Err(FolderError::LogTaken { log, at })
            }
            // Network file systems lock files, and some of them no folders; there the lock of the data folder must do.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, log = %log.display(), "the log's folder cannot be locked; no other data folder may lead to it");
                Ok(())
            }
        }
    }

    /// The same, and makes the log's folder if there is none.
    pub(crate) fn make_log(&mut self) -> Result<(), FolderError> {
        let log = self.store();
        match make_private(&log) {
            // Its name must stay, as what will be acknowledged lies below it.
            Ok(()) => sync(&self.path).map_err(failed(&self.path))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&log)(error)),
        }
        self.take_log()
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn taken(path: &Path) -> Result<DataFolder, FolderError> {
        let mut folder = DataFolder::take(path)?;
        folder.make_log().map(|()| folder)
    }

    #[test]
    fn a_log_to_which_two_data_folders_lead_is_had_by_one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        let first = taken(&one).unwrap();
        drop(DataFolder::take(&two).unwrap());
        symlink(one.join("log"), two.join("log")).unwrap();
        let log = fs::canonicalize(one.join("log")).unwrap();
        let error = taken(&two).unwrap_err();
        assert!(matches!(&error, FolderError::LogTaken { at, .. } if *at == log), "{error}");
        let mut looks = DataFolder::hold(&two).unwrap();
        assert!(matches!(looks.take_log(), Err(FolderError::LogTaken { .. })));
        drop((first, looks));
        taken(&two).unwrap();
    }

    #[test]
    fn a_look_at_a_data_folder_without_a_log_makes_none() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = DataFolder::take(root.path()).unwrap();
        folder.take_log().unwrap();
        assert!(!folder.store().exists());
    }
}
