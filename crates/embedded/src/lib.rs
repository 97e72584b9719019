//! Skep's default backend: durable queues and facts on one own log, in one folder.
//!
//! The log is the database. Queues, leases, dedup and facts are one pure engine, rebuilt
//! from the log at every open; one thread writes what the engine stages, syncs it, and lets
//! it take effect. A receipt is given when the record it speaks of is synced.

mod backend;
mod cache;
mod cold;
mod commit;
#[doc(hidden)]
pub mod disk;
mod durably;
mod engine;
mod facts;
mod journal;
mod ledger;
mod limits;
#[doc(hidden)]
pub mod log;
mod look;
mod notice;
pub mod offline;
mod retained;
mod snapshot;
mod status;
mod store;
mod sync;
mod threads;
mod unstaged;

#[cfg(skep_loom)]
pub use commit::models as commit_models;

pub use backend::{Embedded, EmbeddedOptions};
#[doc(hidden)]
pub use commit::steps::Steps;
pub use retained::TreeRetention;
pub use snapshot::Retention;
