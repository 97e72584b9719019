//! The body of a snapshot as it passes by: its hash is counted on the way, so that nobody needs all of it at once.

use std::io::{self, Read, Write};

use xxhash_rust::xxh3::Xxh3;

use super::HEADER_BYTES;
use crate::disk::DiskFile;

/// Writes a body behind the header block.
pub(super) struct BodyWriter<'f> {
    file: &'f dyn DiskFile,
    bytes: u64,
    hash: Xxh3,
}

impl<'f> BodyWriter<'f> {
    pub(super) fn new(file: &'f dyn DiskFile, hash: Xxh3) -> Self {
        Self { file, bytes: 0, hash }
    }

    /// How many bytes were written, and their hash.
    pub(super) fn written(&self) -> (u64, u64) {
        (self.bytes, self.hash.digest())
    }
}

impl Write for BodyWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(HEADER_BYTES as u64 + self.bytes, bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a body of which the length is known.
pub(super) struct BodyReader<'f> {
    file: &'f dyn DiskFile,
    read: u64,
    bytes: u64,
    hash: Xxh3,
    /// The first error of the disk: whoever decodes cannot tell it from an end.
    failed: Option<io::Error>,
}

impl<'f> BodyReader<'f> {
    pub(super) fn new(file: &'f dyn DiskFile, bytes: u64, hash: Xxh3) -> Self {
        Self { file, read: 0, bytes, hash, failed: None }
    }

    /// Reads what is left; answers the hash of all that was read.
    ///
    /// # Errors
    /// The first of the disk, whoever saw it.
    pub(super) fn finish(mut self, buffer: &mut [u8]) -> io::Result<u64> {
        // What fails is kept.
        while self.failed.is_none() && self.read(buffer).is_ok_and(|read| read > 0) {}
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.hash.digest()),
        }
    }
}

impl Read for BodyReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes - self.read).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let Some(part) = buffer.get_mut(..most).filter(|part| !part.is_empty()) else { return Ok(0) };
        match self.file.read_at(HEADER_BYTES as u64 + self.read, part) {
            Ok(read) => {
                self.hash.update(part.get(..read).unwrap_or_default());
                self.read += read as u64;
                Ok(read)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed.get_or_insert(error);
                Err(kind.into())
            }
        }
    }
}
