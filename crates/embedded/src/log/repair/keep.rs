//! The copy of what a repair touches.

use std::io;

use crate::disk::{Disk, is_full};
use crate::log::error::OpenError;
use crate::log::limits::READ_CHUNK_BYTES;

/// The file that says what the copies are.
const REPORT_FILE: &str = "report.txt";

/// Copies files, with a report of these words, and syncs the copies. When that fails, what was copied is removed again, as far as
/// possible.
///
/// # Errors
/// `DiskFull` or `Io`.
pub fn copy(from: &dyn Disk, to: &dyn Disk, names: &[String], words: Option<&str>) -> Result<(), OpenError> {
    let done = copy_all(from, to, names, words);
    if done.is_err() {
        remove(to, names);
    }
    done
}

/// Removes the copies. Best effort: the error that led here is the one that tells something.
pub(super) fn remove(to: &dyn Disk, names: &[String]) {
    names.iter().for_each(|name| drop(to.remove(name)));
    drop(to.remove(REPORT_FILE));
}

fn copy_all(from: &dyn Disk, to: &dyn Disk, names: &[String], words: Option<&str>) -> Result<(), OpenError> {
    for name in names {
        let size = from.open(name).and_then(|file| file.size()).map_err(OpenError::io("reading", name))?;
        copy_file(from, to, name, size).map_err(|source| failed(name, size, source))?;
    }
    let Some(words) = words else { return Ok(()) };
    let bytes = words.as_bytes();
    let report = || {
        let file = to.create_zeroed(REPORT_FILE, bytes.len() as u64)?;
        file.write_at(0, bytes)?;
        file.sync_data()
    };
    report().map_err(|source| failed(REPORT_FILE, bytes.len() as u64, source))
}

fn copy_file(from: &dyn Disk, to: &dyn Disk, name: &str, size: u64) -> io::Result<()> {
    let (source, copy) = (from.open(name)?, to.create_zeroed(name, size)?);
    let mut buffer = vec![0; READ_CHUNK_BYTES];
    let mut offset = 0;
    while offset < size {
        let filled = source.read_at(offset, &mut buffer)?;
        let part = buffer.get(..filled).filter(|part| !part.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
        copy.write_at(offset, part)?;
        offset += filled as u64;
    }
    copy.sync_data()
}

fn failed(name: &str, bytes: u64, source: io::Error) -> OpenError {
    let file = format!("the copy of {name}");
    if is_full(&source) {
        OpenError::DiskFull { file, bytes }
    } else {
        OpenError::Io { doing: "writing", file, source }
    }
}
