//! The thread that prepares the next segment, and tells whether there is room for it.

use std::mem;
use std::sync::{Arc, PoisonError};

use skep_protocol::{Code, Error, Outcome};

use super::FULL_RETRY;
use crate::log::{LogError, Spares};
use crate::snapshot::Taker;
use crate::store::Store;
use crate::sync::{Condvar, Mutex};

/// Prepares the next segment ahead of need, on its own thread.
pub(crate) struct Preparer {
    spares: Arc<Spares>,
    asked: Mutex<Asked>,
    wake: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Spare,
    Stop,
}

impl Preparer {
    pub(crate) fn new(spares: Arc<Spares>) -> Self {
        // One is prepared at once: the first roll should not wait.
        Preparer { spares, asked: Mutex::new(Asked::Spare), wake: Condvar::new() }
    }

    pub(crate) fn hurry(&self) {
        self.ask(Asked::Spare);
    }

    pub(super) fn stop(&self) {
        self.ask(Asked::Stop);
    }

    pub(super) fn asked(&self) -> Asked {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self, what: Asked) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if *asked != Asked::Stop {
            *asked = what;
            self.wake.notify_one();
        }
    }

    /// Runs until it is stopped. A shortage is told to the store, and tried again.
    pub(crate) fn run(&self, store: &Store, taker: &Taker) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *asked {
                Asked::Stop => return,
                Asked::Nothing => asked = self.wake.wait(asked).unwrap_or_else(PoisonError::into_inner),
                Asked::Spare => {
                    *asked = Asked::Nothing;
                    drop(asked);
                    let is_full = self.prepare(store, taker);
                    asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                    if is_full && *asked == Asked::Nothing {
                        *asked = Asked::Spare;
                        asked = self.wake.wait_timeout(asked, FULL_RETRY).unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            }
        }
    }

    /// Prepares one; answers whether there is no room for it.
    pub(super) fn prepare(&self, store: &Store, taker: &Taker) -> bool {
        let wanted = store.lock().wanted_spare();
        let prepared = self.spares.prepare_for(wanted);
        let full = prepared.as_ref().err().map(refusal);
        let mut shared = store.lock();
        shared.engine.staging().prepared(self.spares.room());
        let was_full = mem::replace(&mut shared.full, full.clone()).is_some();
        drop(shared);
        store.let_in();
        let is_full = full.is_some() && !self.spares.ready();
        if full.is_some() && !is_full {
            // What waited for a larger one was refused; for all else there is room.
            store.lock().full = None;
        }
        // Not before: the next segment has the first claim to what room there is. On a full disk once, for
        // what it may let go.
        if full.is_none() || !was_full {
            taker.look();
        }
        is_full
    }
}

/// What a publish is answered while the next segment cannot be prepared.
pub(super) fn refusal(error: &LogError) -> Error {
    let (code, what) = match error {
        LogError::OutOfFiles { .. } => (Code::Busy, error.to_string()),
        LogError::DiskFull { .. } => (Code::DiskFull, error.to_string()),
        // The log itself has not stopped.
        LogError::Io { doing, file, source } => {
            (Code::StoreFailed, format!("{doing} {file} failed: {source}; check the disk"))
        }
        _ => (Code::StoreFailed, error.to_string()),
    };
    let text = format!("{what}; publishes are refused, acks are taken");
    Error { outcome: Outcome::Refused, ..Error::new(code, text) }
}
