//! A window on a file: recovery reads in large steps and looks at small ones.

use std::io;

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, Fault};
use super::key::StoreKey;
use super::limits::READ_CHUNK_BYTES;
use crate::disk::DiskFile;

/// The window. One allocation for a whole recovery; grows to the largest batch, which is bounded by the format.
#[derive(Debug, Default)]
pub(super) struct Window {
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

/// Why there is no batch, and the header if at least that is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoBatch {
    pub(super) fault: Fault,
    pub(super) header: Option<BatchHeader>,
}

impl Window {
    /// Forgets what it saw: the next look is at another file.
    pub(super) fn leave_file(&mut self) {
        self.filled = 0;
    }

    /// The bytes from the offset; fewer than asked only where the file ends.
    pub(super) fn look(&mut self, file: &dyn DiskFile, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let skipped = offset.checked_sub(self.start).and_then(|skipped| usize::try_from(skipped).ok());
        let skipped = skipped.filter(|skipped| *skipped <= self.filled);
        if let Some(skipped) = skipped
            && self.filled - skipped >= bytes
        {
            return Ok(&self.buffer[skipped..skipped + bytes]);
        }
        self.move_to(file, offset, skipped.unwrap_or(self.filled), bytes)?;
        Ok(&self.buffer[..bytes.min(self.filled)])
    }

    fn move_to(&mut self, file: &dyn DiskFile, offset: u64, skipped: usize, bytes: usize) -> io::Result<()> {
        let kept = self.filled - skipped;
        self.buffer.copy_within(skipped..self.filled, 0);
        let wanted = bytes.max(READ_CHUNK_BYTES);
        if self.buffer.is_empty() {
            // Fresh zeroed memory costs nothing until it is used, and a small log uses little of it.
            self.buffer = vec![0; wanted];
        } else if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        (self.start, self.filled) = (offset, kept);
        self.filled += file.read_at(offset + kept as u64, &mut self.buffer[kept..wanted.max(kept)])?;
        Ok(())
    }

    /// The verified batch at the offset: its header, and its bytes without padding.
    pub(super) fn batch(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        key: StoreKey,
    ) -> io::Result<Result<(BatchHeader, &[u8]), NoBatch>> {
        let header = match self.header(file, offset, key)? {
            Ok(header) => header,
            Err(fault) => return Ok(Err(NoBatch { fault, header: None })),
        };
        let bytes = self.look(file, offset, header.padded_bytes())?;
        let verified = match bytes.get(BATCH_HEADER_BYTES..).filter(|_| bytes.len() == header.padded_bytes()) {
            Some(padded_body) => header.verify_body(padded_body, key),
            None => Err(Fault::Length),
        };
        Ok(match verified {
            Ok(()) => Ok((header, &bytes[..header.batch_bytes()])),
            Err(fault) => Err(NoBatch { fault, header: Some(header) }),
        })
    }

    /// The batch header at the offset.
    pub(super) fn header(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        key: StoreKey,
    ) -> io::Result<Result<BatchHeader, Fault>> {
        let bytes = self.look(file, offset, BATCH_HEADER_BYTES)?;
        Ok(match bytes.first_chunk() {
            Some(header) => BatchHeader::decode(header, key),
            None if bytes.iter().all(|byte| *byte == 0) => Err(Fault::Blank),
            None => Err(Fault::Magic),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::disk::recording::RecordingDisk;

    #[test]
    fn looks_at_any_place_in_any_order_show_the_file() -> io::Result<()> {
        let disk = RecordingDisk::new();
        let size = 3 * READ_CHUNK_BYTES + 17;
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let file = disk.create_zeroed("a", 0)?;
        file.write_at(0, &bytes)?;
        let mut window = Window::default();
        let chunk = READ_CHUNK_BYTES;
        for (offset, len) in
            [(0, 64), (chunk - 10, 64), (chunk, 2 * chunk), (5, 9), (size - 3, 64), (size + 9, 4), (chunk + 7, 1)]
        {
            let end = size.min(offset + len);
            assert_eq!(
                window.look(&*file, offset as u64, len)?,
                bytes.get(offset..end).unwrap_or_default(),
                "{offset} {len}"
            );
        }
        Ok(())
    }
}
