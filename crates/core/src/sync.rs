//! The lock of what several threads hand to each other; in the workspace `loom`, one whose every order is tried.

#[cfg(skep_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(skep_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};
