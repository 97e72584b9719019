//! Room that is kept for the time when the disk is full: files of zeros, given up when settles need a segment then, or a snapshot
//! needs room.
//!
//! File name: ten decimal digits, counted up, then `.ballast`. They are no part of the log: nothing is read from them, and without
//! them only the room is missing. Where more is to be kept, another file is made.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::segment::numbered;
use crate::disk::Disk;

const SUFFIX: &str = ".ballast";

pub(super) struct Ballast {
    disk: Arc<dyn Disk>,
    /// The files, once it was looked for them: number and bytes.
    files: Mutex<Option<Vec<(u64, u64)>>>,
}

/// Which file could not be had, of how many bytes, and why.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) source: io::Error,
}

impl Ballast {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, files: Mutex::default() }
    }

    /// Sees to it that at least so many bytes are kept, and not many times more; where a file must be made for it, so many.
    pub(super) fn keep(&self, least: u64, bytes: u64) -> Result<(), Failed> {
        let mut known = self.lock();
        let failed = |number, bytes, source| Failed { name: file_name(number), bytes, source };
        let files = self.look(&mut known).map_err(|error| failed(1, least, error))?;
        let mut kept: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        // What cannot be given back just now is kept: there is no harm in that.
        while kept / 4 > bytes
            && let Some(&(number, of_it)) = files.last()
            && self.is_removed(number)
        {
            files.pop();
            kept -= of_it;
        }
        if kept < least {
            let (number, missing) = (files.last().map_or(1, |(number, _)| number + 1), bytes - kept);
            let made = self.disk.create_zeroed(&file_name(number), missing);
            made.map_err(|error| failed(number, missing, error))?;
            files.push((number, missing));
        }
        Ok(())
    }

    /// Gives up what is kept; answers whether something was.
    pub(super) fn give_up(&self) -> bool {
        let mut known = self.lock();
        let Ok(files) = self.look(&mut known) else { return false };
        let before = files.len();
        files.retain(|(number, _)| !self.is_removed(*number));
        files.len() < before
    }

    /// Removes a file; also one that is gone already, of which an earlier try could not say so.
    fn is_removed(&self, number: u64) -> bool {
        match self.disk.remove(&file_name(number)) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn look<'k>(&self, known: &'k mut Option<Vec<(u64, u64)>>) -> io::Result<&'k mut Vec<(u64, u64)>> {
        if let Some(files) = known {
            return Ok(files);
        }
        let mut files = Vec::new();
        for name in self.disk.list()? {
            if let Some(number) = numbered(&name, SUFFIX).filter(|number| name == file_name(*number)) {
                files.push((number, self.disk.open(&name)?.size()?));
            }
        }
        files.sort_unstable();
        Ok(known.insert(files))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<(u64, u64)>>> {
        // A file that a thread which panicked left out is found by the next opening.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up what is kept, of a log that is not open; answers whether something was.
pub(crate) fn give_up_ballast(disk: &Arc<dyn Disk>) -> bool {
    Ballast::new(disk.clone()).give_up()
}

fn file_name(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::recording::{Call, RecordingDisk};

    fn files(disk: &RecordingDisk) -> Vec<(String, usize)> {
        let size = |name: &String| disk.contents(name).map_or(0, |bytes| bytes.len());
        disk.list().expect("names").into_iter().map(|name| (name.clone(), size(&name))).collect()
    }

    fn ballast(disk: &RecordingDisk) -> Ballast {
        Ballast::new(Arc::new(disk.clone()))
    }

    #[test]
    fn it_grows_by_what_is_missing_and_shrinks_when_it_is_many_times_what_is_asked_for() {
        let disk = RecordingDisk::new();
        let kept = ballast(&disk);
        let steps: [(u64, &[(u64, usize)]); 5] = [
            (1_000, &[(1, 1_000)]),
            (900, &[(1, 1_000)]),
            (1_100, &[(1, 1_000), (2, 100)]),
            (275, &[(1, 1_000), (2, 100)]),
            (200, &[(1, 200)]),
        ];
        for (asked, files_then) in steps {
            assert!(kept.keep(asked, asked).is_ok());
            let files_then: Vec<_> = files_then.iter().map(|(number, bytes)| (file_name(*number), *bytes)).collect();
            assert_eq!(files(&disk), files_then, "after {asked}");
        }
    }

    #[test]
    fn given_up_it_is_gone_once_and_can_be_had_again() {
        let disk = RecordingDisk::new();
        let kept = ballast(&disk);
        assert!(kept.keep(1_000, 1_000).is_ok() && kept.keep(2_000, 3_000).is_ok());
        assert_eq!(files(&disk), [(file_name(1), 1_000), (file_name(2), 2_000)]);
        assert!(kept.give_up() && !kept.give_up() && files(&disk).is_empty());
        assert!(kept.keep(1_000, 1_000).is_ok());
        assert_eq!(files(&disk), [(file_name(1), 1_000)]);
    }

    #[test]
    fn more_that_cannot_be_had_leaves_what_there_is_and_names_what_was_missing() {
        let disk = RecordingDisk::new();
        let kept = ballast(&disk);
        disk.set_room(Some(1_300));
        assert!(kept.keep(1_000, 1_000).is_ok());
        let failed = kept.keep(1_400, 1_400).expect_err("there is no room for more");
        assert_eq!((failed.name, failed.bytes), (file_name(2), 400));
        assert_eq!(files(&disk), [(file_name(1), 1_000)]);
    }

    #[test]
    fn what_cannot_be_removed_is_kept_and_removed_another_time() {
        let disk = RecordingDisk::new();
        let kept = ballast(&disk);
        assert!(kept.keep(1_000, 1_000).is_ok());
        disk.fail_after(Call::Remove, 0);
        assert!(kept.keep(10, 10).is_ok());
        assert_eq!(files(&disk), [(file_name(1), 1_000)]);
        assert!(kept.keep(10, 10).is_ok());
        assert_eq!(files(&disk), [(file_name(1), 10)]);
        // It is gone, and nobody can say so.
        disk.fail_sync_after(0);
        assert!(!kept.give_up() && files(&disk).is_empty());
        assert!(kept.give_up() && !kept.give_up());
    }

    #[test]
    fn what_an_opening_finds_counts_and_can_be_given_up() {
        let disk = RecordingDisk::new();
        for (number, bytes) in [(3, 10), (4, 30)] {
            disk.create_zeroed(&file_name(number), bytes).expect("a file");
        }
        let kept = ballast(&disk);
        assert!(kept.keep(50, 50).is_ok());
        assert_eq!(files(&disk), [(file_name(3), 10), (file_name(4), 30), (file_name(5), 10)]);
        assert!(ballast(&disk).give_up() && files(&disk).is_empty());
    }
}
