//! The seam to small durable facts: registrations, and later locks and leaders.

use skep_protocol::Error;

use crate::backend::BoxFuture;
use crate::clock::Now;

/// A fact: a value, and how often it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its key, dotted like a topic.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// Grows with every put; never reused for the same key.
    pub revision: u64,
}

/// Small durable facts under dotted keys.
pub trait Facts: Send + Sync + 'static {
    /// The fact under a key. Shows only what is durable.
    ///
    /// # Errors
    /// Why it cannot serve now.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>>;

    /// Puts a value; with `expected`, only over that revision (0: only if there is none).
    /// Durable when it returns the new revision.
    ///
    /// # Errors
    /// `conflict` when the revision is another.
    fn put(&self, key: &str, value: &[u8], expected: Option<u64>, now: Now) -> BoxFuture<'_, Result<u64, Error>>;

    /// Deletes; answers whether there was one. Durable when it returns.
    ///
    /// # Errors
    /// Why it cannot serve now.
    fn delete(&self, key: &str, now: Now) -> BoxFuture<'_, Result<bool, Error>>;
}
