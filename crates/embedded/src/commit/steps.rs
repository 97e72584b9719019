//! The work of a store's threads, step by step, in whatever order somebody chooses.
//!
//! A simulation of a whole hub has no threads: it takes these steps, which are those of the threads, and everything else may
//! happen between any two of them.

use std::sync::Arc;

use super::preparer::{Asked, Preparer};
use super::{Choice, Committer, Next, engine_failed, failed};
use crate::cold::Cold;
use crate::log::{LogBuffer, LogError, Written};
use crate::look;
use crate::snapshot::Taker;
use crate::store::Store;

/// What the threads of a store are to do.
pub(crate) struct Work {
    /// None where nothing is written.
    pub(crate) writing: Option<Writing>,
    pub(crate) asked: [look::Asked; 2],
}

/// What the threads of a store that is written do.
pub(crate) struct Writing {
    pub(crate) committer: Committer,
    pub(crate) preparer: Arc<Preparer>,
    pub(crate) taker: Arc<Taker>,
}

/// See the module. Each step answers whether there was something to do.
#[doc(hidden)]
pub struct Steps {
    store: Arc<Store>,
    writing: Option<Writing>,
    at: At,
    cold: Option<Cold>,
    asked: [look::Asked; 2],
}

/// How far the writer is with a batch.
enum At {
    Nothing,
    /// And whether it is to be synced.
    Taken(LogBuffer, bool),
    Written(Written, LogBuffer),
    Kept(Written),
}

impl Steps {
    pub(crate) fn new(store: Arc<Store>, work: Work) -> Self {
        let Work { writing, asked } = work;
        Steps { store, writing, at: At::Nothing, cold: None, asked }
    }

    /// The writer takes a batch; or writes it, and syncs it if it is to be; or lets some of it take effect; or proves, or ends.
    pub fn write(&mut self) -> bool {
        let Some(Writing { committer, .. }) = &mut self.writing else { return false };
        self.at = match std::mem::replace(&mut self.at, At::Nothing) {
            At::Nothing => {
                let store = committer.store.clone();
                let next = match committer.choose(&store, store.lock()) {
                    Choice::Sleep(..) => return false,
                    Choice::Do(next) => next,
                };
                match next {
                    Next::Write(buffer, sync) => At::Taken(buffer, sync),
                    Next::Sync | Next::Prove => {
                        let done = if matches!(next, Next::Sync) { committer.sync() } else { committer.prove(false) };
                        done.map_or_else(|error| self.over(&error), |()| At::Nothing)
                    }
                    Next::Close => {
                        let why = committer.last_word();
                        self.end(&why);
                        At::Nothing
                    }
                    Next::Stop => {
                        self.end(&engine_failed());
                        At::Nothing
                    }
                }
            }
            At::Taken(mut buffer, sync) => match committer.try_write(&mut buffer, sync) {
                Ok(written) => At::Written(written, buffer),
                Err(short) if short.is_shortage() => match committer.is_short(&short) {
                    Ok(true) => At::Taken(buffer, sync),
                    Ok(false) => self.over(&short),
                    Err(error) => self.over(&error),
                },
                Err(error) => self.over(&error),
            },
            At::Written(written, buffer) => {
                committer.keep(written, buffer);
                At::Kept(written)
            }
            At::Kept(written) if committer.advance(written) => At::Kept(written),
            At::Kept(written) => {
                committer.is_written(written);
                At::Nothing
            }
        };
        true
    }

    /// The reader learns what to read; or brings it.
    pub fn read(&mut self) -> bool {
        let Some(cold) = self.cold.take() else {
            self.cold = self.store.next_cold();
            return self.cold.is_some();
        };
        drop(self.store.read(cold));
        true
    }

    /// The next segment is prepared, if it was asked for.
    pub fn prepare(&mut self) -> bool {
        let Some(Writing { preparer, taker, .. }) = &self.writing else { return false };
        let is_asked = preparer.asked() == Asked::Spare;
        if is_asked {
            preparer.ask(Asked::Nothing);
            if preparer.prepare(&self.store, taker) {
                preparer.hurry();
            }
        }
        is_asked
    }

    /// A snapshot is taken, if one is due.
    pub fn snapshot(&mut self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.taker.step(&self.store))
    }

    /// A look is answered.
    pub fn look(&mut self) -> bool {
        self.asked.iter().any(|asked| look::step(&self.store, asked))
    }

    /// Whether the writer is in the middle of a batch.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !matches!(self.at, At::Nothing)
    }

    /// Whether nothing is written any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.writing.is_none()
    }

    fn over(&mut self, error: &LogError) -> At {
        self.end(&failed(error));
        At::Nothing
    }

    fn end(&mut self, why: &skep_protocol::Error) {
        if let Some(Writing { committer, .. }) = self.writing.take() {
            tracing::info!(%why, "the writer ends");
            committer.end(why.clone());
        }
    }
}
