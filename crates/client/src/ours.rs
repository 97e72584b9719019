//! What is ours alone: a `.skep/`, and files in it, that no other user of this machine can have put there.
//!
//! The hub judges its own folder by the same rules. Who could put something into the folder could
//! name his own hub in it, and be told the token.

use std::fs::{File, TryLockError};
use std::io::Read;
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

#[cfg(unix)]
use rustix::fs::OFlags;

use crate::limits::HUB_FILE_BYTES_MAX;

#[cfg(unix)]
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The effective user of this process.
#[cfg(unix)]
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Why a folder is not ours alone; none when it is. It may be reached through a link of ours or of root's.
#[cfg(unix)]
pub(crate) fn not_ours(folder: &Path) -> Option<String> {
    let (Ok(link), Ok(found)) = (folder.symlink_metadata(), folder.metadata()) else {
        return Some("it cannot be looked at".into());
    };
    let others_link = Some(link.uid()).filter(|owner| link.is_symlink() && *owner != 0 && *owner != user());
    if let Some(owner) = others_link.or(Some(found.uid()).filter(|owner| *owner != user())) {
        return Some(format!("it belongs to user {owner}, and this is user {}", user()));
    }
    let mode = found.mode() & 0o7777;
    (mode & WRITABLE_BY_OTHERS != 0).then(|| format!("others may change it, its mode is {mode:04o}"))
}

/// The text of a regular file of ours; none when there is no such file.
pub(crate) fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    open(file)?.take(HUB_FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether somebody holds the lock of a data folder, as its hub does for as long as it runs. Where
/// locks cannot be asked for, that is taken for granted.
pub(crate) fn is_held(lock: &Path) -> bool {
    // Shared, so that two who look do not take each other for a hub.
    let held = |lock: File| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock | TryLockError::Error(_)));
    open(lock).is_some_and(held)
}

#[cfg(unix)]
fn open(file: &Path) -> Option<File> {
    // Not through a link, and without waiting for a pipe.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(file).ok()?;
    let found = file.metadata().ok()?;
    (found.is_file() && found.uid() == user() && found.mode() & WRITABLE_BY_OTHERS == 0).then_some(file)
}

#[cfg(not(unix))]
pub(crate) fn not_ours(_: &Path) -> Option<String> {
    None
}

#[cfg(not(unix))]
fn open(file: &Path) -> Option<File> {
    File::open(file).ok()
}
