//! Writes past the cache of the file system, where it lets them.
//!
//! What is synced at once gains nothing from that cache: each byte would be copied into it, into pages that the kernel must find
//! first, and be read from the log's own memory or not for long. Such writes take whole blocks at their places. The block in which
//! a file's content ends is kept here, and written again with what follows; behind it a file that was created here is zero.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Blocks in which disks and file systems take such writes: of more than that none is known to ask, of less some.
const BLOCK_BYTES: usize = 4096;
/// How much one write takes at most: memory that is at its place, into which all is copied first.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// A file that was created as zeros, for writes that go to its end.
pub(super) struct Direct {
    file: File,
    bytes: u64,
    /// Nothing was written from here on.
    end: u64,
    /// What the block holds in which the end lies.
    last: Vec<u8>,
    /// Where writes are put together.
    aside: Aligned,
}

impl Direct {
    /// None where the file system takes no such writes.
    pub(super) fn open(path: &Path, bytes: u64) -> Option<Self> {
        let file = open(path)?;
        Some(Direct { file, bytes, end: 0, last: vec![0; BLOCK_BYTES], aside: Aligned::default() })
    }

    /// Writes it; answers false when that is none for here, and nothing was written.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        let from = block_of(offset);
        let to = offset.saturating_add(bytes.len() as u64).next_multiple_of(BLOCK_BYTES as u64);
        if offset < self.end || to > self.bytes || bytes.is_empty() {
            return Ok(false);
        }
        // What is before it in its first block: zero, where the end is in another one.
        let before = (offset - from) as usize;
        let mut at = from;
        let mut rest = bytes;
        while at < to {
            let length = (to - at).min(WRITE_BYTES_MAX as u64) as usize;
            let aside = self.aside.of(length);
            let mut skip = 0;
            if at == from {
                skip = before;
                let known = if block_of(self.end) == from { self.last.get(..before) } else { None };
                match known {
                    Some(known) => aside[..before].copy_from_slice(known),
                    None => aside[..before].fill(0),
                }
            }
            let part = rest.len().min(length - skip);
            let (now, later) = rest.split_at(part);
            aside[skip..skip + part].copy_from_slice(now);
            aside[skip + part..].fill(0);
            match self.file.write_all_at(aside, at) {
                Err(error) if at == from && error.kind() == io::ErrorKind::InvalidInput => return Ok(false),
                written => written?,
            }
            (rest, at) = (later, at + length as u64);
        }
        self.note(offset, bytes);
        Ok(true)
    }

    /// These bytes were written; answers whether the end is still known.
    pub(super) fn note(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let end = offset.saturating_add(bytes.len() as u64);
        let (block, known) = (block_of(end), block_of(self.end));
        if end <= known {
            return true;
        }
        if offset < self.end {
            return false;
        }
        if block != known {
            self.last.fill(0);
        }
        let first = block.saturating_sub(offset) as usize;
        let at = offset.saturating_sub(block) as usize;
        if let (Some(part), Some(last)) = (bytes.get(first..), self.last.get_mut(at..)) {
            last[..part.len()].copy_from_slice(part);
        }
        self.end = end;
        true
    }
}

/// Writes zeros from the begin of a file on, whole blocks of them; answers how many bytes.
pub(super) fn write_zeros(path: &Path, bytes: u64) -> io::Result<u64> {
    let Some(file) = open(path) else { return Ok(0) };
    let whole = block_of(bytes);
    let mut zeros = Aligned::default();
    let mut at = 0;
    while at < whole {
        let length = (whole - at).min(WRITE_BYTES_MAX as u64) as usize;
        match file.write_all_at(zeros.of(length), at) {
            Err(error) if at == 0 && error.kind() == io::ErrorKind::InvalidInput => return Ok(0),
            written => written?,
        }
        at += length as u64;
    }
    Ok(whole)
}

fn block_of(offset: u64) -> u64 {
    offset - offset % BLOCK_BYTES as u64
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open(path: &Path) -> Option<File> {
    OpenOptions::new().write(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open(_: &Path) -> Option<File> {
    None
}

/// Memory that begins where such writes must.
#[derive(Default)]
struct Aligned(Vec<u8>);

impl Aligned {
    fn of(&mut self, length: usize) -> &mut [u8] {
        if self.0.len() < length + BLOCK_BYTES {
            self.0 = vec![0; length + BLOCK_BYTES];
        }
        let at = self.0.as_ptr().align_offset(BLOCK_BYTES);
        &mut self.0[at..at + length]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn zeros(folder: &Path, bytes: u64) -> (std::path::PathBuf, Direct) {
        let path = folder.join("a");
        fs::write(&path, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
        let direct = Direct::open(&path, bytes).expect("the folder of tests is on a disk that takes such writes");
        (path, direct)
    }

    proptest! {
        #[test]
        fn what_is_written_in_any_parts_stands_there_and_nothing_else(
            parts in prop::collection::vec((0_usize..3, 1_usize..20_000, any::<bool>()), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let bytes = 1 << 20;
            let (path, mut direct) = zeros(folder.path(), bytes);
            let cached = OpenOptions::new().write(true).open(&path).unwrap();
            let mut expected = vec![0; bytes as usize];
            let mut at = 0;
            for (n, (gap, length, through)) in (1_u8..).zip(parts) {
                let at_now = at + gap * 3_000;
                let part = vec![n; length];
                expected[at_now..at_now + length].copy_from_slice(&part);
                let is_through = through && direct.write(at_now as u64, &part).unwrap();
                prop_assert_eq!(is_through, through);
                if !is_through {
                    cached.write_all_at(&part, at_now as u64).unwrap();
                    prop_assert!(direct.note(at_now as u64, &part));
                }
                at = at_now + length;
            }
            prop_assert!(fs::read(&path).unwrap() == expected);
        }
    }

    #[test]
    fn a_write_over_what_stands_there_or_past_the_end_is_none_for_here() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut direct) = zeros(folder.path(), 10_000);
        assert!(direct.write(0, &[1; 5_000]).unwrap());
        assert!(!direct.write(4_999, &[2; 10]).unwrap(), "over what stands there");
        assert!(!direct.write(5_000, &[2; 4_000]).unwrap(), "its last block is not whole in the file");
        assert!(direct.write(5_000, &[3; 3_000]).unwrap());
        assert!(direct.note(0, &[9; 100]), "the block of the end is as it was");
        assert!(!direct.note(7_999, &[9; 2]), "it is not");
        let all = fs::read(&path).unwrap();
        assert_eq!((all.len(), all[4_999], all[5_000], all[7_999], all[8_000]), (10_000, 1, 3, 3, 0));
    }
}
