//! The store's key: every checksum of the log is seeded by it.

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Derived from the store id.
///
/// A payload that contains the bytes of a batch of another store, or of no store, can never pass for a batch of this one.
/// A payload that repeats a batch of this very store can, but only an older one, which proves nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreKey(u64);

impl StoreKey {
    /// The key of the store with this id: `xxh3_64(store id)`.
    #[must_use]
    pub fn new(store_id: [u8; 16]) -> Self {
        Self(xxh3_64(&store_id))
    }

    /// Checks a batch header: the low half of `xxh3_64(bytes, seed = key)`.
    #[must_use]
    pub(super) fn header_checksum(self, bytes: &[u8]) -> u32 {
        low_half(xxh3_64_with_seed(bytes, self.0))
    }

    /// Checks a body: `xxh3_64(bytes, seed = key ^ position)`, so that even empty bodies differ by their place.
    #[must_use]
    pub(super) fn body_hash(self, bytes: &[u8], position: u64) -> u64 {
        xxh3_64_with_seed(bytes, self.0 ^ position)
    }

    /// The same hash, of bytes that come by and by.
    #[must_use]
    pub(super) fn body_hasher(self, position: u64) -> Xxh3 {
        Xxh3::with_seed(self.0 ^ position)
    }
}

/// The lower 32 bits.
pub(super) fn low_half(hash: u64) -> u32 {
    (hash & u64::from(u32::MAX)) as u32
}

/// The little-endian `u32` at an offset of a header whose length is fixed.
pub(super) fn u32_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(field)
}

/// The little-endian `u64` at an offset of a header whose length is fixed.
pub(super) fn u64_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(field)
}
