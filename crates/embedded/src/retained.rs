//! Topic trees whose messages are kept for looks by bounds of their own, settled or not, and also where no queue takes them.
//!
//! A message beyond the bounds of its trees is shown by no look, unless a queue still holds it; and a segment goes when each tree
//! of which something lies in it lets it go. What lies in a segment is counted once, in a file that is derived from it and never evidence.

mod figures;
mod horizon;
mod trees;

pub(crate) use self::figures::Figures;
pub(crate) use self::horizon::Horizons;
pub use self::trees::TreeRetention;
pub(crate) use self::trees::{Trees, each};
