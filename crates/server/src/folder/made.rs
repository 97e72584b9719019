//! What a start made, so that one that comes to nothing leaves nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{FolderError, LOCK, failed, lock, make_private};

/// What a start puts into a data folder before it opens the store.
const FILES: [&str; 5] = [super::IGNORE, super::LOG, super::TOKEN, "token.new", LOCK];

/// The folders that were made for a data folder, the outermost first; none where it was there.
#[derive(Debug, Default)]
pub struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a folder that only its owner may enter, and those above it.
    pub(super) fn folder(path: &Path) -> Result<Self, FolderError> {
        let missing = |path: &&Path| fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        let mut made = Made::default();
        let above: Vec<&Path> = path.ancestors().skip(1).take_while(missing).collect();
        for folder in above.into_iter().rev() {
            made.add(folder, fs::create_dir(folder))?;
        }
        made.add(path, make_private(path))?;
        Ok(made)
    }

    fn add(&mut self, folder: &Path, done: io::Result<()>) -> Result<(), FolderError> {
        match done {
            Ok(()) => self.0.push(folder.into()),
            // Also when somebody makes it at the same time: then it is theirs.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(folder)(error)),
        }
        Ok(())
    }

    pub(super) fn join(&mut self, later: Made) {
        self.0.extend(later.0);
    }

    /// Takes away what was made, unless there is more in it by now, or a hub runs there.
    pub fn undo(self) {
        let Some(folder) = self.0.last() else { return };
        if let Ok(Some(_held)) = lock(folder) {
            self.undo_locked();
        }
    }

    /// The same for the owner of the lock. What does not go stays: it is a few empty files at most.
    pub(super) fn undo_locked(self) {
        let Some(folder) = self.0.last() else { return };
        if !holds_only_ours(folder) {
            return;
        }
        for name in FILES {
            let _ = fs::remove_file(folder.join(name));
        }
        // Fails where somebody put something meanwhile, and so it should.
        let _ = self.0.iter().rev().try_for_each(fs::remove_dir);
    }
}

fn holds_only_ours(folder: &Path) -> bool {
    let ours = |name: &OsStr| FILES.iter().any(|file| name == *file);
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| ours(&entry.file_name()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{DataFolder, create};

    #[test]
    fn what_a_start_made_is_gone_again_with_the_folders_above_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(&root.path().join("a/b/.skep")).unwrap();
        folder.token(&[1; 32]).unwrap();
        folder.give_back();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_was_there_or_holds_something_else_stays() {
        let root = tempfile::tempdir().unwrap();
        let (there, fresh) = (root.path().join("there"), root.path().join("fresh"));
        make_private(&there).unwrap();
        DataFolder::take(&there).unwrap().give_back();
        assert!(there.join(LOCK).exists());
        let folder = DataFolder::take(&fresh).unwrap();
        fs::write(fresh.join("notes"), "mine").unwrap();
        folder.give_back();
        assert!(fresh.join("notes").exists() && fresh.join(LOCK).exists());
    }

    #[test]
    fn a_folder_in_which_a_hub_runs_by_now_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(".skep");
        let made = create(&path).unwrap();
        let running = DataFolder::take(&path).unwrap();
        made.undo();
        assert!(path.join(LOCK).exists());
        drop(running);
    }

    #[test]
    fn a_lock_that_was_taken_away_meanwhile_locks_nothing() {
        let root = tempfile::tempdir().unwrap();
        let first = super::super::open_lock(root.path()).unwrap();
        fs::remove_file(root.path().join(LOCK)).unwrap();
        assert!(!super::super::is_still_there(&first, root.path()));
        let again = super::super::open_lock(root.path()).unwrap();
        assert!(super::super::is_still_there(&again, root.path()));
    }
}
