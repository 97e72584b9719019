//! The Rust client of a Skep hub.
