//! The locks of the store's threads; in the workspace `loom`, such whose every order is tried.

#[cfg(skep_loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(skep_loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

/// Whether somebody panicked under the lock. Where every order is tried, a panic ends the trial.
#[cfg(not(skep_loom))]
pub(crate) fn is_poisoned<T>(mutex: &Mutex<T>) -> bool {
    mutex.is_poisoned()
}

#[cfg(skep_loom)]
pub(crate) fn is_poisoned<T>(_: &Mutex<T>) -> bool {
    false
}
