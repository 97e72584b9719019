//! The promise to answer a write exactly once.

use std::fmt;
use std::sync::Arc;

use skep_protocol::{Code, Error, Message, Outcome};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::backend::{Completion, Kept, Outgoing, Run};
use crate::mailbox::{Entry, Mailbox, Wakes};

/// The answer to a write, as it arrives in a mailbox.
#[derive(Debug)]
pub struct Answer {
    /// What it answers.
    pub to: Asked,
    /// What became of it.
    pub completion: Completion,
    /// How many live sessions each publish went to, by its index in the write, if to any.
    pub live: Vec<(u32, u32)>,
    /// Those that live listeners were to hear, and did not for want of room.
    pub(crate) missed: Vec<Message>,
    /// Those of its messages that no queue took, in order.
    pub(crate) left: Vec<LeftOut>,
    /// Bytes of messages that were unanswered until now.
    pub(crate) bytes: usize,
    /// How many messages and settles.
    pub(crate) messages: usize,
}

/// A message of a write that no queue took.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// In the write.
    pub(crate) index: u32,
    /// Without payload.
    pub(crate) message: Message,
    /// The hub let it pass, and its guards counted it.
    pub(crate) was_admitted: bool,
}

/// What was asked of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To store messages, the first with this sequence.
    Publish {
        /// The first sequence.
        sequence: u64,
    },
    /// To settle leases, and perhaps to publish.
    Settle {
        /// The number the client gave it.
        tag: u64,
        /// The first sequence of what it publishes.
        sequence: u64,
    },
}

/// A promise to answer a write. Dropped without an answer, it answers `unknown`.
pub struct Reply(Option<Inner>);

enum Inner {
    Mailbox(Promise),
    Call(Box<dyn FnOnce(Completion) + Send>),
}

/// What is needed to answer into a mailbox.
pub(crate) struct Promise {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) asked: Asked,
    pub(crate) settles: usize,
    /// How many messages. They are not kept until then: each would keep what was read with it.
    pub(crate) messages: usize,
    pub(crate) left: Vec<LeftOut>,
    pub(crate) bytes: usize,
    /// Messages to copy to live listeners once they are stored: index, listeners, message.
    pub(crate) copies: Vec<(u32, u32, Message)>,
    pub(crate) tap: mpsc::Sender<Message>,
}

impl Reply {
    pub(crate) fn to(promise: Promise) -> Self {
        Reply(Some(Inner::Mailbox(promise)))
    }

    /// A reply that calls a function, for tests and callers outside a session. If the write
    /// is lost it is called with nothing in it.
    #[must_use]
    pub fn call(answer: impl FnOnce(Completion) + Send + 'static) -> Self {
        Reply(Some(Inner::Call(Box::new(answer))))
    }

    /// Remembers of what no queue takes what it was, for who asks later. Backends say it as soon as they know it, while they have the
    /// messages: those from a place in the write on, and what became of all until now.
    pub fn note_left(&mut self, first: u32, publishes: &[Outgoing<'_>], runs: &[Run]) {
        let Some(Inner::Mailbox(promise)) = &mut self.0 else { return };
        let mut begin: u32 = 0;
        for run in runs {
            let end = begin.saturating_add(run.count);
            let is_left = run.result.as_ref().map_or_else(|error| error.outcome == Outcome::Refused, Kept::is_left);
            if is_left {
                let here = begin.max(first)..end;
                let (skip, count) = ((here.start - first) as usize, here.len());
                let these = here.zip(publishes.iter().skip(skip).take(count));
                promise.left.extend(these.map(|(index, outgoing)| LeftOut {
                    index,
                    message: outgoing.message.bare(),
                    was_admitted: outgoing.refusal.is_none(),
                }));
            }
            begin = end;
        }
    }

    /// The same where all of them are refused.
    pub fn note_all_left(&mut self, publishes: &[Outgoing<'_>], error: &Error) {
        let count = u32::try_from(publishes.len()).unwrap_or(u32::MAX);
        self.note_left(0, publishes, &[Run { count, result: Err(error.clone()) }]);
    }

    /// Answers. The mailbox is woken with the others of the batch.
    pub fn complete(mut self, completion: Completion, wakes: &mut Wakes) {
        match self.0.take() {
            Some(Inner::Mailbox(promise)) => promise.complete(completion, wakes),
            Some(Inner::Call(answer)) => answer(completion),
            None => {}
        }
    }

    /// Answers every item with the same error.
    pub fn fail(mut self, error: &Error, wakes: &mut Wakes) {
        match self.0.take() {
            Some(Inner::Mailbox(promise)) => {
                let completion = promise.all(error);
                promise.complete(completion, wakes);
            }
            Some(Inner::Call(answer)) => {
                let run = Run { count: 1, result: Err(error.clone()) };
                answer(Completion { settles: vec![Err(error.clone())], publishes: vec![run] });
            }
            None => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            let mut wakes = Wakes::default();
            let error = Error::new(Code::StoreFailed, "the hub lost this write before it was known to be durable");
            Reply(Some(inner)).fail(&error, &mut wakes);
            wakes.wake();
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

impl Promise {
    fn all(&self, error: &Error) -> Completion {
        let publishes = u32::try_from(self.messages).unwrap_or(u32::MAX);
        Completion {
            settles: vec![Err(error.clone()); self.settles],
            publishes: (publishes > 0)
                .then(|| Run { count: publishes, result: Err(error.clone()) })
                .into_iter()
                .collect(),
        }
    }

    fn complete(self, completion: Completion, wakes: &mut Wakes) {
        let mut live = Vec::with_capacity(self.copies.len());
        let mut missed = Vec::new();
        for (index, listeners, message) in self.copies {
            if !is_new(&completion.publishes, index) {
                continue;
            }
            // Full: the copy is dropped. The message is safe in its queues, and live listeners may miss.
            match self.tap.try_send(message) {
                Ok(()) => live.push((index, listeners)),
                Err(TrySendError::Full(message) | TrySendError::Closed(message)) => missed.push(message),
            }
        }
        let messages = self.messages + self.settles;
        let answer = Answer { to: self.asked, completion, live, missed, left: self.left, bytes: self.bytes, messages };
        if self.mailbox.push(Entry::Answer(answer)) {
            wakes.add(&self.mailbox);
        }
    }
}

/// Whether the publish of that index was taken, and for the first time.
fn is_new(runs: &[Run], index: u32) -> bool {
    let mut first = 0;
    for run in runs {
        if index < first + run.count {
            return run.result.as_ref().is_ok_and(|kept| !kept.duplicate);
        }
        first += run.count;
    }
    false
}
