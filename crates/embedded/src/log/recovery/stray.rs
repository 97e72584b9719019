//! Files behind the log that are no part of it: spares, and segments whose header was never finished.
//!
//! One of them is room that a full disk would not give again, so the next one in line is taken over, and only the others are removed.

use std::io;

use super::Recovery;
use crate::disk::DiskFile;
use crate::log::error::OpenError;
use crate::log::limits::READ_CHUNK_BYTES;
use crate::log::spares::Prepared;

impl Recovery<'_> {
    /// Takes over the file that is next in line, empty and durable, if it is so long; without a length, as long as a spare is.
    /// Removes the others: their names are needed, and whether they are durable is not known.
    pub(super) fn take_spare(&self, file_bytes: Option<u64>) -> Result<Option<Prepared>, OpenError> {
        let last = self.survey.segments.last();
        let file_bytes = file_bytes.unwrap_or(self.with.sizes.file_after(last.map_or(0, |last| last.file_bytes)));
        let number = last.map_or(0, |last| last.number) + 1;
        let mut found = None;
        for stray in self.survey.strays_behind() {
            if stray.number != number || stray.file_bytes < file_bytes {
                self.disk.remove(&stray.name).map_err(OpenError::io("removing", &stray.name))?;
                continue;
            }
            let take = || {
                let file = self.disk.open(&stray.name)?;
                wipe(&*file)?;
                self.disk.sync_names()?;
                Ok(file)
            };
            let file = take().map_err(OpenError::io("emptying", &stray.name))?;
            found = Some(Prepared { number, name: stray.name.clone(), file, file_bytes: stray.file_bytes });
        }
        Ok(found)
    }
}

/// Zeroes what is not zero, and syncs all: even zeros may be in the page cache alone.
fn wipe(file: &dyn DiskFile) -> io::Result<()> {
    let mut bytes = vec![0; READ_CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let read = file.read_at(offset, &mut bytes)?;
        let (read_bytes, _) = bytes.split_at_mut(read);
        if read_bytes.is_empty() {
            return file.sync_data();
        }
        if read_bytes.iter().any(|byte| *byte != 0) {
            read_bytes.fill(0);
            file.write_at(offset, read_bytes)?;
        }
        offset += read as u64;
    }
}
