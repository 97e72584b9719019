//! One test suite for each seam of Skep, and what tests share.
//!
//! A suite is a list of cases; an implementation is one constructor plus the suite. A bug
//! found in one implementation becomes a case for all.

#![allow(clippy::missing_panics_doc, reason = "a test panics when a fact does not hold")]

pub mod backend_suite;
pub mod connection_suite;
mod gate;
mod peer;

pub use gate::{Gate, Gated};
pub use peer::{Anyone, Peer, message, topic};
