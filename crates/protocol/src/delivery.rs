//! One message handed to one consumer, and how that ends.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{DELAY_MS_MAX, LEASE_MS_MAX, LEASE_MS_MIN, PROGRESS_BYTES_MAX, REASON_BYTES_MAX};
use crate::{Code, Error, LeaseToken, Message, Position, QueueName, SubscriptionId};

/// One message handed to one consumer under a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The subscription it answers.
    pub subscription: SubscriptionId,
    /// The queue it comes from.
    pub queue: QueueName,
    /// Where the message stands.
    pub position: Position,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Proof of the lease; every settle names it.
    pub lease: LeaseToken,
    /// How long the lease lasts from when it was given, in milliseconds.
    pub lease_ms: u64,
    /// How the attempt before this one ended, if there was one.
    #[serde(default)]
    pub previous: Option<Ended>,
    /// The message.
    pub message: Message,
}

/// How an attempt ended without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Why: the consumer's own words, or `lease_expired`, `consumer_lost`, `hub_restarted`.
    pub reason: String,
    /// The last progress it reported.
    #[serde(default)]
    pub progress: Option<String>,
}

/// A message as a look at a queue or a replay shows it: no lease, nothing is taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stored {
    /// Where the message stands.
    pub position: Position,
    /// When it was stored, in unix milliseconds.
    pub time_ms: u64,
    /// Deliveries so far.
    pub attempts: u32,
    /// How the last attempt ended; of a dead letter, why it died.
    #[serde(default)]
    pub previous: Option<Ended>,
    /// The message.
    pub message: Message,
    /// Who has it now; none while it waits, or where nobody asked.
    #[serde(default)]
    pub holder: Option<Holder>,
    /// Until when it waits, in unix milliseconds, if it is delayed.
    #[serde(default)]
    pub due_ms: Option<u64>,
    /// When it died, in unix milliseconds, if it is a dead letter.
    #[serde(default)]
    pub died_ms: Option<u64>,
    /// Which one of its key it waits for, if it waits for one.
    #[serde(default)]
    pub behind: Option<Behind>,
}

impl Serialize for Stored {
    /// What is none at the end is left out. In the compact form, where elements have no names, one
    /// that is none before one that is not stays.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let is_compact = !s.is_human_readable();
        let waits_for_one = self.behind.is_some();
        let dies = self.died_ms.is_some() || (waits_for_one && is_compact);
        let waits = self.due_ms.is_some() || (dies && is_compact);
        let holds = self.holder.is_some() || (waits && is_compact);
        let count = 5 + usize::from(holds) + usize::from(waits) + usize::from(dies) + usize::from(waits_for_one);
        let mut out = s.serialize_struct("Stored", count)?;
        out.serialize_field("position", &self.position)?;
        out.serialize_field("time_ms", &self.time_ms)?;
        out.serialize_field("attempts", &self.attempts)?;
        out.serialize_field("previous", &self.previous)?;
        out.serialize_field("message", &self.message)?;
        if holds {
            out.serialize_field("holder", &self.holder)?;
        }
        if waits {
            out.serialize_field("due_ms", &self.due_ms)?;
        }
        if dies {
            out.serialize_field("died_ms", &self.died_ms)?;
        }
        if waits_for_one {
            out.serialize_field("behind", &self.behind)?;
        }
        out.end()
    }
}

/// Who has a message under a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The party that received it.
    pub party: String,
    /// When the lease ends unless it is extended, in unix milliseconds.
    pub until_ms: u64,
}

/// The one that a message waits for because both have the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Where it stands.
    pub position: Position,
    /// Whether it is a dead letter: then the key is parked until it comes back or is dropped.
    pub dead: bool,
    /// Who has it.
    pub holder: Option<Holder>,
}

/// What is to become of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// The lease.
    pub lease: LeaseToken,
    /// What to do.
    pub action: Action,
}

/// The ways to settle a delivery, and to extend its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Done: it never comes back.
    Ack,
    /// Not done: deliver again.
    Nack {
        /// After this many milliseconds; unsaid, after the queue's backoff.
        after_ms: Option<u64>,
        /// Why, for the next attempt and the trace.
        reason: String,
    },
    /// Never to be done: to the dead letters.
    Reject {
        /// Why, for whoever looks at the dead letters, and for the sender.
        reason: String,
    },
    /// Not yet done: the lease lasts this much longer from now.
    Extend {
        /// In milliseconds; unsaid, the queue's lease.
        lease_ms: Option<u64>,
        /// How far it came, for the next attempt if this one fails.
        progress: Option<String>,
    },
    /// Never begun: deliver again at once, uncharged.
    Return,
}

impl Action {
    /// Bytes of the free text it carries.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self {
            Action::Nack { reason, .. } | Action::Reject { reason } => reason.len(),
            Action::Extend { progress, .. } => progress.as_ref().map_or(0, String::len),
            Action::Ack | Action::Return => 0,
        }
    }

    /// Checks the bounds on reason, progress and times.
    ///
    /// # Errors
    /// `too_large` or `invalid_argument`, naming the bound.
    pub fn check(&self) -> Result<(), Error> {
        let (name, ms, range) = match self {
            Action::Nack { after_ms: Some(ms), .. } => ("after_ms", *ms, 0..=DELAY_MS_MAX),
            Action::Extend { lease_ms: Some(ms), .. } => ("lease_ms", *ms, LEASE_MS_MIN..=LEASE_MS_MAX),
            _ => ("", 0, 0..=0),
        };
        if !range.contains(&ms) {
            let text = format!("{name} is {ms}; expected {} to {}", range.start(), range.end());
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let (what, bytes, max) = match self {
            Action::Nack { reason, .. } | Action::Reject { reason } => ("reason", reason.len(), REASON_BYTES_MAX),
            Action::Extend { progress: Some(text), .. } => ("progress", text.len(), PROGRESS_BYTES_MAX),
            _ => return Ok(()),
        };
        if bytes > max {
            return Err(Error::new(Code::TooLarge, format!("{what} has {bytes} bytes; at most {max} are taken")));
        }
        Ok(())
    }
}
