//! One line of a history.

use serde::{Deserialize, Serialize};
use skep_protocol::{Accepted, Delivery, Error, LeaseToken, Message, Outcome};

/// What a client writes down before its next step. Times are nanoseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// An operation is about to be sent.
    Begin {
        at: u64,
        op: u64,
        /// It reaches this life of the hub or a later one.
        life: u64,
        what: What,
    },
    /// It was answered, or certainly will not be. An operation without an end is unknown.
    End { at: u64, op: u64, results: Vec<Told> },
    /// A message came under a lease.
    Delivered { at: u64, seen: Seen },
}

/// What is asked of the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// One result for each message.
    Publish { messages: Vec<Sent> },
    /// One result for each settle, then one for each message. Atomic: all or nothing.
    Settle { settles: Vec<Settling>, atomic: bool, messages: Vec<Sent> },
    /// One result, with the hash of the reply; `reply` is what it must be.
    Request { message: Sent, reply: u64 },
}

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) id: Box<str>,
    pub(crate) to: Box<str>,
    /// Of the payload.
    pub(crate) hash: u64,
    pub(crate) priority: u8,
    /// Who numbers it, and its number: they grow.
    pub(crate) producer: Box<str>,
    pub(crate) number: u64,
    /// The input it is made of, if it is handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Box<str>>,
}

/// What is asked for one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settling {
    pub(crate) lease: LeaseToken,
    /// `ack`, `nack`, `reject` or `extend`.
    pub(crate) action: Box<str>,
}

/// What the hub said of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// It is so.
    Ok {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<u64>,
        #[serde(default, skip_serializing_if = "is_false")]
        duplicate: bool,
        #[serde(default, skip_serializing_if = "is_zero")]
        queues: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
    },
    /// It certainly did not happen.
    Refused(Box<str>),
    /// It may have happened.
    Unknown(Box<str>),
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) queue: Box<str>,
    pub(crate) id: Box<str>,
    pub(crate) position: u64,
    pub(crate) attempt: u32,
    pub(crate) lease: LeaseToken,
    pub(crate) hash: u64,
    pub(crate) priority: u8,
    /// The life of the hub that gave the lease: from the first to the second, both included.
    pub(crate) lives: (u64, u64),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The hash by which payloads are compared.
pub(crate) fn hash(payload: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(payload)
}

impl Told {
    /// Done, and there is nothing else to say.
    pub(crate) const DONE: Told = Told::Ok { position: None, duplicate: false, queues: 0, reply: None };

    pub(crate) fn accepted(accepted: &Accepted, behind: u64) -> Self {
        let position = accepted.position.and_then(skep_protocol::Position::number).map(|first| first + behind);
        Told::Ok { position, duplicate: accepted.duplicate, queues: accepted.queues, reply: None }
    }

    pub(crate) fn replied(reply: &Message) -> Self {
        Told::Ok { position: None, duplicate: false, queues: 0, reply: Some(hash(&reply.payload())) }
    }

    pub(crate) fn error(error: &Error) -> Self {
        let code = error.code.as_str().into();
        match error.outcome {
            Outcome::Refused => Told::Refused(code),
            Outcome::Unknown => Told::Unknown(code),
        }
    }

    pub(crate) fn settled(result: Result<(), Error>) -> Self {
        result.map_or_else(|error| Told::error(&error), |()| Told::DONE)
    }

    pub(crate) fn is_ok(&self) -> bool {
        matches!(self, Told::Ok { .. })
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Told::Refused(_))
    }
}

impl Seen {
    pub(crate) fn of(delivery: &Delivery, lives: (u64, u64)) -> Self {
        let message = &delivery.message;
        Seen {
            queue: delivery.queue.as_str().into(),
            id: message.id().into(),
            position: delivery.position.number().unwrap_or(0),
            attempt: delivery.attempt,
            lease: delivery.lease,
            hash: hash(&message.payload()),
            priority: priority(message),
            lives,
        }
    }

    /// Whether this lease was certainly given after the other one, of the same message in the same queue.
    pub(crate) fn is_newer_than(&self, other: &Seen) -> bool {
        let same_life = self.lives.0 == self.lives.1 && self.lives == other.lives;
        self.lives.0 > other.lives.1 || same_life && self.attempt > other.attempt
    }
}

fn priority(message: &Message) -> u8 {
    message.view().priority().number()
}

impl Sent {
    /// What is written down of a message.
    pub(crate) fn of(message: &Message, producer: &str, number: u64) -> Self {
        Sent {
            id: message.id().into(),
            to: message.view().to().next().unwrap_or_default().into(),
            hash: hash(&message.payload()),
            priority: priority(message),
            producer: producer.into(),
            number,
            cause: None,
        }
    }

    /// The same, made of an input.
    pub(crate) fn caused_by(self, input: &str) -> Self {
        Sent { cause: Some(input.into()), ..self }
    }
}
