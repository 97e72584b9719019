//! Snapshots: made behind the writer, by replaying what it has left behind into an engine of their own, and used when the store opens.
//!
//! The engine that serves is never asked: making one stalls nobody, and proves again that replay works.

mod base;
mod by_trees;
mod retention;
mod taker;

#[cfg(test)]
mod tests;

pub(crate) use self::base::{CheckedLog, Recovered, checked, load, recover, recover_without};
pub use self::retention::Retention;
pub(crate) use self::taker::Taker;
