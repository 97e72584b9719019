//! `skep queue add`: what is said of a queue, put over what it is.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use skep_protocol::{Consumers, DeadKey, Expired, Filter, QueueName, QueueSpec};

use crate::duration;

/// What is said of a queue. What is not said stays as it is; of a new queue it is as the defaults have it.
#[derive(clap::Args)]
pub(super) struct Add {
    /// Its name, such as jobs or jobs.urgent
    queue: QueueName,
    /// Take what is published to topics that match; may be repeated; for a new queue, its own name
    #[arg(long, value_name = "FILTER")]
    filter: Vec<Filter>,
    /// How long a consumer may hold a message [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    lease: Option<Duration>,
    /// Deliveries before a message goes to the dead letters, 0 for without end [default: 5]
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// Shortest wait before a message is delivered again; it doubles [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_min: Option<Duration>,
    /// Longest such wait [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_max: Option<Duration>,
    /// Most messages held [default: 1000000]
    #[arg(long, value_name = "N")]
    messages_max: Option<u64>,
    /// Most bytes of messages held [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    bytes_max: Option<u64>,
    /// Drop messages that expire, instead of making dead letters of them; =false takes it back
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    drop_expired: Option<bool>,
    /// When a message has become a dead letter: park those of its key until it is redriven or dropped, or continue with them [default: park]
    #[arg(long, value_name = "WHAT", value_parser = dead_key())]
    on_dead_key: Option<DeadKey>,
    /// Who gets messages: shared, all consumers in turn; exclusive, one, and a second is refused; single-active, the first, and the others stand by [default: shared]
    #[arg(long, value_name = "HOW", value_parser = consumers())]
    consumers: Option<Consumers>,
}

fn dead_key() -> impl TypedValueParser<Value = DeadKey> {
    let known = PossibleValuesParser::new(["park", "continue"]);
    known.map(|said| if said == "park" { DeadKey::Park } else { DeadKey::Continue })
}

fn consumers() -> impl TypedValueParser<Value = Consumers> {
    PossibleValuesParser::new(["shared", "exclusive", "single-active"]).map(|said| match said.as_str() {
        "exclusive" => Consumers::Exclusive,
        "single-active" => Consumers::SingleActive,
        _ => Consumers::Shared,
    })
}

impl Add {
    /// Its name.
    pub(super) fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// What is said, over what the queue is.
    pub(super) fn spec(&self, present: QueueSpec) -> QueueSpec {
        let expired = self.drop_expired.map(|drop| if drop { Expired::Drop } else { Expired::DeadLetter });
        QueueSpec {
            filters: if self.filter.is_empty() { present.filters } else { self.filter.clone() },
            lease_ms: self.lease.map_or(present.lease_ms, duration::millis),
            attempts_max: self.attempts.unwrap_or(present.attempts_max),
            backoff_min_ms: self.backoff_min.map_or(present.backoff_min_ms, duration::millis),
            backoff_max_ms: self.backoff_max.map_or(present.backoff_max_ms, duration::millis),
            messages_max: self.messages_max.unwrap_or(present.messages_max),
            bytes_max: self.bytes_max.unwrap_or(present.bytes_max),
            expired: expired.unwrap_or(present.expired),
            on_dead_key: self.on_dead_key.unwrap_or(present.on_dead_key),
            consumers: self.consumers.unwrap_or(present.consumers),
            name: present.name,
        }
    }
}
