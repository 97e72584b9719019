//! What the fuzz targets share. A target is one file in `src/bin`: what it feeds, and what must hold of everything it feeds.
//!
//! The targets are libFuzzer programs, built by stable Rust with the coverage flags of `.cargo/config.toml`;
//! `cargo xtask fuzz` runs them.

pub mod frames;
pub mod script;
pub mod seeds;
pub mod store;
