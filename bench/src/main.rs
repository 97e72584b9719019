//! Skep measured.
fn main() {}
