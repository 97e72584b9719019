//! The bytes of one file in memory; blocks that are all zero take no room.

use std::collections::BTreeMap;

/// The unit a disk writes as a whole.
pub(super) const BLOCK_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Sparse {
    size: u64,
    blocks: BTreeMap<u64, [u8; BLOCK_BYTES]>,
}

impl Sparse {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn extend_to(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.extend_to(offset + bytes.len() as u64);
        for (offset, piece) in pieces(offset, bytes) {
            let block = self.blocks.entry(offset / BLOCK_BYTES as u64).or_insert([0; BLOCK_BYTES]);
            let start = (offset % BLOCK_BYTES as u64) as usize;
            block[start..start + piece.len()].copy_from_slice(piece);
        }
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let end = self.size.min(offset.saturating_add(buffer.len() as u64));
        let bytes = end.saturating_sub(offset) as usize;
        buffer[..bytes].fill(0);
        if bytes == 0 {
            return 0;
        }
        let first = offset / BLOCK_BYTES as u64;
        let last = (end - 1) / BLOCK_BYTES as u64;
        for (number, block) in self.blocks.range(first..=last) {
            let at = number * BLOCK_BYTES as u64;
            let (from, to) = (at.max(offset), (at + BLOCK_BYTES as u64).min(end));
            buffer[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&block[(from - at) as usize..(to - at) as usize]);
        }
        bytes
    }
}

/// Cuts a write into the parts that lie in one block each.
pub(super) fn pieces(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut offset = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let room = BLOCK_BYTES - (offset % BLOCK_BYTES as u64) as usize;
        let (piece, after) = rest.split_at(room.min(rest.len()));
        let at = offset;
        offset += piece.len() as u64;
        rest = after;
        Some((at, piece))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sparse_file_reads_like_a_plain_vector(
            writes in prop::collection::vec((0_u64..3000, prop::collection::vec(any::<u8>(), 0..1500)), 1..6),
            offset in 0_u64..5000, bytes in 0_usize..5000,
        ) {
            let (mut sparse, mut plain) = (Sparse::default(), Vec::new());
            for (offset, bytes) in &writes {
                sparse.write(*offset, bytes);
                let end = *offset as usize + bytes.len();
                if plain.len() < end {
                    plain.resize(end, 0);
                }
                plain[*offset as usize..end].copy_from_slice(bytes);
            }
            let mut buffer = vec![7; bytes];
            let read = sparse.read(offset, &mut buffer);
            let expected = plain.get(offset as usize..).unwrap_or_default();
            prop_assert_eq!(&buffer[..read], &expected[..expected.len().min(bytes)]);
        }
    }
}
