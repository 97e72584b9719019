//! Where damage was met while the store was open. An opening does not read what a snapshot covers; there it looks again.
//!
//! The file `suspects` is a hint and no evidence: pairs of segment and offset, 8 bytes each, little-endian. Without it, or with any
//! other content, an opening is as it is without a hint.

use std::io;

use super::limits::SUSPECTS_MAX;
use super::record::BatchAt;
use crate::disk::Disk;

/// Its name.
pub(super) const SUSPECTS_FILE: &str = "suspects";

const ENTRY_BYTES: usize = 16;

/// The batches of which it was noted.
///
/// # Errors
/// What the disk answers.
pub(super) fn suspects(disk: &dyn Disk) -> io::Result<Vec<BatchAt>> {
    let file = match disk.open(SUSPECTS_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut bytes = vec![0; SUSPECTS_MAX * ENTRY_BYTES];
    let filled = file.read_at(0, &mut bytes)?;
    bytes.truncate(filled);
    let (words, _) = bytes.as_chunks::<8>();
    let (entries, _) = words.as_chunks::<2>();
    let at = |[segment, offset]: &[[u8; 8]; 2]| BatchAt {
        segment: u64::from_le_bytes(*segment),
        offset: u64::from_le_bytes(*offset),
    };
    // No segment has number 0.
    Ok(entries.iter().map(at).filter(|at| at.segment > 0).collect())
}

/// Notes that a batch could not be read. With as many as are kept, the others say enough.
///
/// # Errors
/// What the disk answers.
pub(super) fn suspect(disk: &dyn Disk, at: BatchAt) -> io::Result<()> {
    let mut known = suspects(disk)?;
    if known.contains(&at) || known.len() >= SUSPECTS_MAX {
        return Ok(());
    }
    known.push(at);
    forget(disk)?;
    let bytes: Vec<u8> = known.iter().flat_map(|at| [at.segment, at.offset]).flat_map(u64::to_le_bytes).collect();
    let file = disk.create_zeroed(SUSPECTS_FILE, bytes.len() as u64)?;
    file.write_at(0, &bytes)?;
    file.sync_data()
}

/// They were looked at, and nothing that is needed is lost.
///
/// # Errors
/// What the disk answers.
pub(super) fn forget(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(SUSPECTS_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
