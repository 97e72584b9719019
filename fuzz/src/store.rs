//! A log that lives as a script says, on a disk in memory, and what was promised of it.

mod harm;
mod life;
mod verdict;

pub use harm::{Harm, harm};
pub use life::{Life, Seen, open_log, plan_repair, scripts};
pub use verdict::{image, judge, what};
