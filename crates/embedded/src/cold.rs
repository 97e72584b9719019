//! What needs bytes that are not in memory, and the thread that reads them.
//!
//! Deliveries stand in a line for each consumer, in their order; the notices that are owed stand in one of their own. The thread takes
//! from the lines in turn: who asks for much of the past is not in the way of others.

use std::collections::VecDeque;
use std::sync::PoisonError;

use bytes::Bytes;
use foldhash::HashMap;

use crate::engine::entry::Place;
use crate::engine::{ConsumerId, Due, Effects};
use crate::log::{BatchAt, ReadError};
use crate::notice;
use crate::store::{Shared, State, Store, record};
use crate::sync::MutexGuard;

/// Something that needs bytes which are not in memory.
pub(crate) enum Cold {
    Due(Due),
    /// What the sender of a dead letter is owed, and where the message lies.
    Notice(u64, Place),
}

/// Whose line: a consumer's, or that of the notices.
type Whose = Option<ConsumerId>;

/// The lines.
#[derive(Default)]
pub(crate) struct ColdLines {
    /// None of them is empty.
    lines: HashMap<Whose, VecDeque<Cold>>,
    /// All of them, once each: whose turn it is.
    turns: VecDeque<Whose>,
    /// Whose it is that is being read, and stands in no line any more.
    reading: Option<Whose>,
}

impl Cold {
    fn whose(&self) -> Whose {
        match self {
            Cold::Due(due) => Some(due.consumer),
            Cold::Notice(..) => None,
        }
    }
}

impl ColdLines {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether something is on its way to a consumer that what comes now would overtake.
    pub(crate) fn holds(&self, consumer: ConsumerId) -> bool {
        self.reading == Some(Some(consumer)) || self.lines.contains_key(&Some(consumer))
    }

    pub(crate) fn push(&mut self, cold: Cold) {
        let whose = cold.whose();
        let line = self.lines.entry(whose).or_default();
        if line.is_empty() {
            self.turns.push_back(whose);
        }
        line.push_back(cold);
    }

    /// The next that is not gone; what was read before is where it belongs.
    fn next(&mut self, is_gone: impl Fn(&Cold) -> bool) -> Option<Cold> {
        self.reading = None;
        while let Some(whose) = self.turns.pop_front() {
            let Some(line) = self.lines.get_mut(&whose) else { continue };
            while line.pop_front_if(|cold| is_gone(cold)).is_some() {}
            let next = line.pop_front();
            if line.is_empty() {
                self.lines.remove(&whose);
            } else {
                self.turns.push_back(whose);
            }
            if next.is_some() {
                self.reading = Some(whose);
                return next;
            }
        }
        None
    }
}

/// What ended meanwhile is not read: its consumer went, or its queue.
fn next(shared: &mut Shared) -> Option<Cold> {
    let Shared { engine, cold, .. } = shared;
    cold.next(|cold| matches!(cold, Cold::Due(due) if !engine.is_leased(due.token)))
}

impl Store {
    /// The reading thread: brings messages that are not in memory to their consumers, in order.
    pub(crate) fn read_cold(&self) {
        let mut shared = self.lock();
        loop {
            let Some(cold) = next(&mut shared) else {
                if !matches!(shared.state, State::Open) {
                    return;
                }
                shared = self.to_read.wait(shared).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(shared);
            shared = self.read(cold);
        }
    }

    /// What the reading thread is to read next, for who takes its steps.
    pub(crate) fn next_cold(&self) -> Option<Cold> {
        next(&mut self.lock())
    }

    /// Reads what something needs, and brings it to its consumer.
    pub(crate) fn read(&self, cold: Cold) -> MutexGuard<'_, Shared> {
        let at = match &cold {
            Cold::Due(due) => due.place.batch(),
            Cold::Notice(_, place) => place.batch(),
        };
        let cached = self.lock().cache.get(at).cloned();
        let batch = match cached {
            Some(batch) => Ok(batch),
            None => self.reader.batch(at).map(|batch| batch.bytes),
        };
        self.bring(cold, at, batch)
    }

    /// Stops the reading thread once its work is done.
    pub(crate) fn stop_reading(&self) {
        self.to_read.notify_all();
    }

    fn bring(&self, cold: Cold, at: BatchAt, batch: Result<Bytes, ReadError>) -> MutexGuard<'_, Shared> {
        let mut fx = Effects::default();
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                self.unread(&cold, at, &error);
                // Its lease ends at its deadline, and it is tried again.
                let mut shared = self.lock();
                match cold {
                    Cold::Due(due) => shared.engine.begin_lease(due.token, due.lease_ms, self.clock.now()),
                    Cold::Notice(at, _) => shared.engine.pay_later(at, self.clock.now()),
                }
                self.settle_effects(shared, &mut fx);
                return self.lock();
            }
        };
        let mut shared = self.lock();
        shared.cache.insert(at, batch.clone());
        match cold {
            Cold::Due(due) => shared.hand_over(due, &batch, self.clock.now(), &mut fx),
            Cold::Notice(at, place) => {
                let now = self.clock.now();
                notice::tell(&mut shared.engine, at, record(&batch, &place), now, &mut fx);
            }
        }
        self.settle_effects(shared, &mut fx);
        self.lock()
    }

    /// A batch that was to be brought to somebody cannot be read.
    fn unread(&self, cold: &Cold, at: BatchAt, error: &ReadError) {
        if let ReadError::Io { .. } = error {
            // A person must look at the disk.
            return tracing::error!(%error, "a stored message cannot be read");
        }
        let shared = self.lock();
        // Settled meanwhile, it may have been removed.
        let needed = match cold {
            Cold::Due(due) => shared.engine.is_leased(due.token).then_some(due.position),
            Cold::Notice(dead, _) => shared.engine.owed(*dead).map(|notice| notice.position),
        };
        drop(shared);
        needed.into_iter().for_each(|position| self.damaged(position, at, error));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skep_core::{Mailbox, Outlet};
    use skep_protocol::{LeaseToken, QueueName};

    use super::*;
    use crate::journal::Token;

    fn due(consumer: ConsumerId, position: u64) -> Cold {
        Cold::Due(Due {
            consumer,
            outlet: Outlet { mailbox: Arc::new(Mailbox::default()), subscription: 1, nth: 1 },
            queue: QueueName::new("jobs").expect("a name"),
            position,
            place: Place::new(BatchAt { segment: 1, offset: 0 }, 0, 0).expect("a place"),
            attempt: 1,
            token: Token::default(),
            lease: LeaseToken([0; 16]),
            lease_ms: 1,
            previous: None,
        })
    }

    fn position(cold: &Cold) -> u64 {
        match cold {
            Cold::Due(due) => due.position,
            Cold::Notice(at, _) => *at,
        }
    }

    #[test]
    fn consumers_take_turns_and_none_of_one_overtakes_another() {
        let mut lines = ColdLines::default();
        for (consumer, position) in [(1, 1), (1, 2), (1, 3), (1, 4), (2, 5), (2, 6), (3, 7)] {
            lines.push(due(consumer, position));
        }
        let mut taken = Vec::new();
        while let Some(cold) = lines.next(|cold| position(cold) == 6) {
            taken.push(position(&cold));
            assert!(lines.holds(1), "the last of it is read, too");
        }
        assert_eq!(taken, [1, 5, 7, 2, 3, 4]);
        assert!(lines.is_empty() && !lines.holds(1));
    }

    #[test]
    fn what_comes_while_the_last_of_its_consumer_is_read_stands_behind_it() {
        let mut lines = ColdLines::default();
        lines.push(due(1, 1));
        assert!(lines.next(|_| false).is_some() && lines.is_empty());
        assert!(lines.holds(1) && !lines.holds(2));
        assert!(lines.next(|_| false).is_none() && !lines.holds(1));
    }
}
