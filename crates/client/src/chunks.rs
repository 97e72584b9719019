//! Reading a streamed reply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skep_protocol::{Broken, Code, Error, Message, Part, Parts};

use crate::clock::Moment;
use crate::mailbox::Mailbox;
use crate::request::Waiting;

/// The parts of the reply to one request, in order and each once; see [`Parts`] for how they are numbered.
///
/// The stream of whoever began first is read. It goes on over a reconnect to a session that the hub still knows; a live part that was on
/// its way when the link broke is lost, as every live message is, and told as missing with the next one. Parts wait
/// here for their reader, 4,096 of them or 16 MiB at most; who reads more slowly than they come gets those, and then the
/// end with `stream_broken`. Dropped, nobody is told: the responder goes on, and what still comes is dropped.
pub struct Chunks {
    mailbox: Arc<Mailbox<Message>>,
    parts: Parts,
    /// How long one part may take.
    limit: Duration,
    /// Until when the next one must have come.
    due: Moment,
    /// None once nothing more comes.
    waiting: Option<Waiting>,
}

/// Why a streamed reply ended before its end. Each says how many `parts` came before.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StreamError {
    /// It cannot be read on: a part is missing, for example, and which one.
    #[error("{broken}")]
    Broken {
        /// How many parts came.
        parts: u32,
        /// Why.
        broken: Broken,
    },
    /// The responder gave up and says why.
    #[error("the responder ended the streamed reply with an error; parts that came: {parts}")]
    Failed {
        /// How many parts came.
        parts: u32,
        /// Its last word, of the type `error`.
        reply: Message,
    },
    /// The next part did not come in time.
    #[error("the next part of the reply did not come within {waited:?}; parts that came: {parts}")]
    Late {
        /// How many parts came.
        parts: u32,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The request was refused, or nothing more can come: the session was lost, the client is closed, the reader too slow.
    #[error("{}; parts that came: {parts}", .error.text)]
    Ended {
        /// How many parts came.
        parts: u32,
        /// Why.
        error: Error,
    },
}

impl Chunks {
    pub(crate) fn new(waiting: Waiting, mailbox: Arc<Mailbox<Message>>, limit: Duration) -> Self {
        let due = waiting.handle.clock.now() + limit;
        Chunks { mailbox, parts: Parts::default(), limit, due, waiting: Some(waiting) }
    }

    /// The next part; none after the end. After an error there is nothing more.
    ///
    /// It may be cancelled: nothing is lost, and the time for the part runs on.
    pub async fn next(&mut self) -> Option<Result<Message, StreamError>> {
        loop {
            let clock = self.waiting.as_ref()?.handle.clock;
            let reply = tokio::select! {
                biased;
                reply = self.mailbox.next() => reply,
                () = clock.until(self.due) => {
                    self.end();
                    return Some(Err(StreamError::Late { parts: self.taken(), waited: self.limit }));
                }
            };
            let Some(reply) = reply else {
                let error =
                    self.mailbox.ended().unwrap_or_else(|| Error::new(Code::ConnectionLost, "the client ended"));
                self.end();
                return Some(Err(StreamError::Ended { parts: self.taken(), error }));
            };
            match self.parts.take(&reply.view()) {
                Ok(Part::Stray) => {
                    tracing::debug!(reply = reply.id(), "passed over a part that came before, or of another")
                }
                Ok(Part::Chunk) => {
                    self.due = clock.now() + self.limit;
                    return Some(Ok(reply));
                }
                Ok(Part::Last) => {
                    self.end();
                    return Some(Ok(reply));
                }
                Ok(Part::End) => self.end(),
                Err(broken) => {
                    self.end();
                    return Some(Err(self.why(broken, reply)));
                }
            }
        }
    }

    /// How many parts came.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.parts.taken()
    }

    fn why(&self, broken: Broken, reply: Message) -> StreamError {
        let parts = self.taken();
        match broken {
            Broken::Failed { .. } => StreamError::Failed { parts, reply },
            broken => StreamError::Broken { parts, broken },
        }
    }

    /// Nothing more is wanted.
    fn end(&mut self) {
        self.mailbox.desert();
        self.waiting = None;
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunks({} taken)", self.taken())
    }
}

impl StreamError {
    /// How many parts came before it.
    #[must_use]
    pub fn parts(&self) -> u32 {
        match self {
            StreamError::Broken { parts, .. }
            | StreamError::Failed { parts, .. }
            | StreamError::Late { parts, .. }
            | StreamError::Ended { parts, .. } => *parts,
        }
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        let text = error.to_string();
        match error {
            StreamError::Broken { .. } | StreamError::Failed { .. } => Error::new(Code::StreamBroken, text),
            StreamError::Late { .. } => Error::new(Code::Timeout, text),
            StreamError::Ended { parts: 0, error } => error,
            StreamError::Ended { error, .. } => Error { text, ..error },
        }
    }
}
