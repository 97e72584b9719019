//! The store of a data folder in which no hub runs: looked through, and repaired.
//!
//! Both hold the locks of the folder and of its log meanwhile, so that no hub starts in it, and refuse while one runs.

use std::path::Path;

pub use crate::wiring::offline::{Checked, Cost, Damage, Done, Lost, LostPiece, Progress, Repair, TornTail};

use crate::folder::DataFolder;
use crate::running::ServerError;
use crate::wiring::offline;

/// Reads the whole store, and changes nothing.
///
/// # Errors
/// `Folder` while a hub runs there, or when there is no log; `Store` when the disk answers an error. Damage is no error.
pub fn verify(data: &Path, progress: &mut Progress<'_>) -> Result<Checked, ServerError> {
    let mut folder = DataFolder::hold(data)?;
    folder.check_log()?;
    folder.take_log()?;
    Ok(offline::verify(&folder.store(), progress)?)
}

/// Repairs the store if something is wrong with it and its loss is accepted; else only says what would be lost. What is touched is
/// copied first, into a folder beside the segments that bears the time, in unix seconds.
///
/// # Errors
/// As [`verify`]; and `Store` with `disk_full`, with nothing changed.
pub fn repair(data: &Path, accept_loss: bool, unix_s: u64, progress: &mut Progress<'_>) -> Result<Repair, ServerError> {
    let mut folder = DataFolder::hold(data)?;
    folder.check_log()?;
    folder.take_log()?;
    Ok(offline::repair(&folder.store(), accept_loss, unix_s, progress)?)
}
