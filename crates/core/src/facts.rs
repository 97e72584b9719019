//! The seam to small durable facts: registrations, and later locks and leaders.

use std::time::Duration;

use skep_protocol::Error;

use crate::backend::BoxFuture;
use crate::clock::Now;
use crate::watch::Watch;

/// A fact: a value, and how often it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its key, dotted like a topic.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// Grows with every put; never reused for the same key.
    pub revision: u64,
    /// When it ends, in milliseconds of unix time; none: it stays until it is deleted.
    pub until_ms: Option<u64>,
}

/// Facts whose keys follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactPage {
    /// By key.
    pub facts: Vec<Fact>,
    /// The key behind which the next page begins; none: these were the last.
    pub next: Option<String>,
}

/// Small durable facts under dotted keys.
pub trait Facts: Send + Sync + 'static {
    /// The fact under a key. Shows only what is durable.
    ///
    /// # Errors
    /// Why it cannot serve now.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>>;

    /// The facts whose keys begin with a prefix, by key, behind `after` if it is given: at most so many, and fewer where they are
    /// large, but one if there is one. Shows only what is durable.
    ///
    /// # Errors
    /// Why it cannot serve now.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> BoxFuture<'_, Result<FactPage, Error>>;

    /// Tells from now on what changes under keys with a prefix; what is there already, [`list`](Self::list) shows afterwards.
    ///
    /// # Errors
    /// `busy` when too many watch.
    fn watch(&self, prefix: &str) -> BoxFuture<'_, Result<Watch, Error>>;

    /// Puts a value; with `expected`, only over that revision (0: only if there is none); with `ttl`, for so long, across restarts.
    /// Without it the fact stays, whatever was said before. Durable when it returns the new revision.
    ///
    /// # Errors
    /// `conflict` when the revision is another.
    fn put(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        ttl: Option<Duration>,
        now: Now,
    ) -> BoxFuture<'_, Result<u64, Error>>;

    /// Deletes; answers whether there was one. Durable when it returns.
    ///
    /// # Errors
    /// Why it cannot serve now.
    fn delete(&self, key: &str, now: Now) -> BoxFuture<'_, Result<bool, Error>>;
}
