//! The error model: a stable code, whether it happened, and whether to try again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether the refused thing may have happened all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It certainly did not happen.
    Refused,
    /// It may have happened: resend unchanged, and it is recognised.
    Unknown,
}

/// When trying again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Not without changing something first.
    Never,
    /// After this many milliseconds.
    After(u64),
    /// At once, byte for byte the same, so that it is recognised as a resend.
    Unchanged,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident $text:literal $outcome:ident $retry:expr;)+) => {
        /// What went wrong, as a stable name: the text may change, the code never does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl Code {
            /// All codes, in the order of the documentation.
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            /// The stable name, as it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)+ }
            }

            /// Whether an error of this code may have happened all the same.
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self { $(Code::$variant => Outcome::$outcome,)+ }
            }

            /// When trying again makes sense, unless the error says otherwise.
            #[must_use]
            pub const fn retry(self) -> Retry {
                use Retry::{After, Never, Unchanged};
                match self { $(Code::$variant => $retry,)+ }
            }
        }
    };
}

codes! {
    /// The frame cannot be read, or is not allowed now.
    InvalidFrame "invalid_frame" Refused Never;
    /// The message breaks a rule of its form.
    InvalidMessage "invalid_message" Refused Never;
    /// The topic breaks a rule of its form.
    InvalidTopic "invalid_topic" Refused Never;
    /// The filter breaks a rule of its form.
    InvalidFilter "invalid_filter" Refused Never;
    /// A name of an agent, queue or workspace breaks a rule of its form.
    InvalidName "invalid_name" Refused Never;
    /// A sequence lies further ahead than the window of a producer.
    InvalidSequence "invalid_sequence" Refused Never;
    /// A configuration or an argument is out of its range.
    InvalidArgument "invalid_argument" Refused Never;
    /// Larger than the limit that the text names.
    TooLarge "too_large" Refused Never;
    /// Known, but not built here; nothing was done.
    Unsupported "unsupported" Refused Never;
    /// The two sides have no protocol version in common.
    UnsupportedVersion "unsupported_version" Refused Never;
    /// No token, or a wrong one.
    Unauthenticated "unauthenticated" Refused Never;
    /// The party may not do this.
    Forbidden "forbidden" Refused Never;
    /// No agent of that name has an inbox here.
    UnknownAgent "unknown_agent" Refused Never;
    /// No queue of that name.
    UnknownQueue "unknown_queue" Refused Never;
    /// No subscription of that number in this session.
    UnknownSubscription "unknown_subscription" Refused Never;
    /// At least once was asked for, and no durable queue matches.
    NoQueue "no_queue" Refused Never;
    /// The message names no topic.
    NoDestination "no_destination" Refused Never;
    /// A request, and nobody there to answer it.
    NoResponders "no_responders" Refused After(1000);
    /// The queue that the text names is full.
    QueueFull "queue_full" Refused After(1000);
    /// The hub has no room just now.
    Busy "busy" Refused After(50);
    /// Too old to be told from a duplicate: it was not stored now, and may have been before.
    DedupWindowPassed "dedup_window_passed" Unknown Never;
    /// The lease ended before this settle.
    LeaseLost "lease_lost" Refused Never;
    /// A queue or an agent already has that name.
    NameTaken "name_taken" Refused Never;
    /// It still holds messages or consumers, or has the one consumer that it takes.
    InUse "in_use" Refused Never;
    /// Each message was caused by one before it, and there are too many: a loop.
    HopsExceeded "hops_exceeded" Refused Never;
    /// The conversation has had all the messages, or all the time, that one may have.
    ConversationExhausted "conversation_exhausted" Refused After(1000);
    /// The sender publishes faster than the hub was told to take from one.
    RateExceeded "rate_exceeded" Refused After(1000);
    /// Its `expirytime` has passed.
    Expired "expired" Refused Never;
    /// A fact has another revision than expected, or an id that is published exactly once another payload.
    Conflict "conflict" Refused Never;
    /// No such thing.
    NotFound "not_found" Refused Never;
    /// No answer within the time allowed.
    Timeout "timeout" Unknown Unchanged;
    /// The reply comes in parts, and one message was asked for.
    Streamed "streamed" Unknown Never;
    /// A streamed reply cannot be read to its end: a part is missing, or the responder gave up.
    StreamBroken "stream_broken" Unknown Never;
    /// The store opened read-only because it is damaged.
    ReadOnly "read_only" Refused Never;
    /// The disk has no room; acks are still taken.
    DiskFull "disk_full" Refused After(1000);
    /// The log failed while this was on its way to disk.
    StoreFailed "store_failed" Unknown Unchanged;
    /// The hub is closing.
    ShuttingDown "shutting_down" Refused After(1000);
    /// The connection went before the answer came.
    ConnectionLost "connection_lost" Unknown Unchanged;
    /// No hub answers at the address that the text names.
    NoHub "no_hub" Refused After(1000);
    /// A fault of the hub itself.
    Internal "internal" Unknown Unchanged;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A coded error, as it stands on the wire. The text is for people: it names the
/// thing, what was expected and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// For people; never parsed.
    pub text: String,
    /// Whether it may have happened all the same.
    pub outcome: Outcome,
    /// When trying again makes sense.
    pub retry: Retry,
}

impl Error {
    /// An error with the outcome and retry of its code.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Error { code, text: text.into(), outcome: code.outcome(), retry: code.retry() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_stable_name_in_every_encoding() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
