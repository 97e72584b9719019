//! What a queue is declared as, and what it is seen to hold.

use serde::{Deserialize, Serialize};

use crate::limits::{DELAY_MS_MAX, FILTERS_MAX, LEASE_MS_MAX, LEASE_MS_MIN};
use crate::{Code, Error, Filter, QueueName};

/// The declaration of a durable queue. Its defaults suit work that takes seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSpec {
    /// Its name.
    pub name: QueueName,
    /// Messages to a matching topic are held; empty means the queue's own name.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// How long a consumer may hold a message before it counts as lost, in milliseconds.
    #[serde(default = "QueueSpec::default_lease_ms")]
    pub lease_ms: u64,
    /// Deliveries before a message goes to the dead letters; 0 is without end.
    #[serde(default = "QueueSpec::default_attempts_max")]
    pub attempts_max: u32,
    /// Shortest wait before a message is delivered again after a nack, in milliseconds; it doubles.
    #[serde(default = "QueueSpec::default_backoff_min_ms")]
    pub backoff_min_ms: u64,
    /// Longest such wait, in milliseconds.
    #[serde(default = "QueueSpec::default_backoff_max_ms")]
    pub backoff_max_ms: u64,
    /// Most messages held, ready and leased.
    #[serde(default = "QueueSpec::default_messages_max")]
    pub messages_max: u64,
    /// Most bytes of messages held.
    #[serde(default = "QueueSpec::default_bytes_max")]
    pub bytes_max: u64,
    /// Where messages go whose `expirytime` has passed.
    #[serde(default, skip_serializing_if = "Expired::is_default")]
    pub expired: Expired,
    /// What a dead letter means for the messages that have its `partitionkey`.
    #[serde(default, skip_serializing_if = "DeadKey::is_default")]
    pub on_dead_key: DeadKey,
    /// How many of its consumers get messages.
    #[serde(default, skip_serializing_if = "Consumers::is_default")]
    pub consumers: Consumers,
}

/// What becomes of a message whose `expirytime` has passed before it was handed to a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expired {
    /// It goes to the dead letters with the reason `expired`, and its sender is told.
    #[default]
    DeadLetter,
    /// It is dropped; the log and the trace tell, and nobody else is told.
    Drop,
}

/// What becomes of the messages of a `partitionkey` when one of them has become a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadKey {
    /// They wait until it is redriven, dropped or expired: order is kept.
    #[default]
    Park,
    /// They go on without it; if it is redriven, it goes before those that wait then.
    Continue,
}

/// How many of the consumers of a queue get messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumers {
    /// All of them, in turn.
    #[default]
    Shared,
    /// One: a second is refused while the first is there.
    Exclusive,
    /// The first; the others stand by, and when it goes the next takes over.
    SingleActive,
}

impl DeadKey {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    fn is_default(&self) -> bool {
        *self == DeadKey::default()
    }
}

impl Consumers {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    fn is_default(&self) -> bool {
        *self == Consumers::default()
    }
}

impl Expired {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    fn is_default(&self) -> bool {
        *self == Expired::default()
    }
}

impl QueueSpec {
    /// A queue with all defaults, that takes what is published to its own name.
    #[must_use]
    pub fn new(name: QueueName) -> Self {
        QueueSpec {
            filters: vec![Filter::from(&name)],
            name,
            lease_ms: Self::default_lease_ms(),
            attempts_max: Self::default_attempts_max(),
            backoff_min_ms: Self::default_backoff_min_ms(),
            backoff_max_ms: Self::default_backoff_max_ms(),
            messages_max: Self::default_messages_max(),
            bytes_max: Self::default_bytes_max(),
            expired: Expired::default(),
            on_dead_key: DeadKey::default(),
            consumers: Consumers::default(),
        }
    }

    /// Fills what is left empty and checks every bound.
    ///
    /// # Errors
    /// `invalid_argument`, naming the field and its range.
    pub fn checked(mut self) -> Result<Self, Error> {
        if self.filters.is_empty() {
            self.filters.push(Filter::from(&self.name));
        }
        for (field, value, min, max) in [
            ("filters", self.filters.len() as u64, 1, FILTERS_MAX as u64),
            ("lease_ms", self.lease_ms, LEASE_MS_MIN, LEASE_MS_MAX),
            ("attempts_max", u64::from(self.attempts_max), 0, 10_000),
            ("backoff_min_ms", self.backoff_min_ms, 0, self.backoff_max_ms),
            ("backoff_max_ms", self.backoff_max_ms, 0, DELAY_MS_MAX),
            ("messages_max", self.messages_max, 1, u64::from(u32::MAX)),
            ("bytes_max", self.bytes_max, 1, 1 << 50),
        ] {
            if value < min || value > max {
                let text = format!("queue {}: {field} is {value}; expected {min} to {max}", self.name);
                return Err(Error::new(Code::InvalidArgument, text));
            }
        }
        Ok(self)
    }

    fn default_lease_ms() -> u64 {
        60_000
    }
    fn default_attempts_max() -> u32 {
        5
    }
    fn default_backoff_min_ms() -> u64 {
        1_000
    }
    fn default_backoff_max_ms() -> u64 {
        300_000
    }
    fn default_messages_max() -> u64 {
        1_000_000
    }
    fn default_bytes_max() -> u64 {
        1 << 30
    }
}

/// What a queue or an agent takes on the wire besides its texts, about.
pub(crate) const INFO_BYTES: usize = 400;

/// What a queue holds at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// Its declaration.
    pub spec: QueueSpec,
    /// Messages ready to be delivered.
    pub ready: u64,
    /// Messages a consumer holds under a lease.
    pub leased: u64,
    /// Messages that wait for their backoff to pass, or for the moment that their sender named.
    pub delayed: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Consumers attached now.
    pub consumers: u64,
    /// Messages in its dead letters.
    pub dead: u64,
    /// Messages that wait because a dead letter has their `partitionkey`; they are in none of the other counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parked: u64,
    /// How many keys that concerns, those included of which none waits just now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parked_keys: u64,
    /// Who gets its messages, where that is one consumer only; the others stand by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
}

impl QueueInfo {
    /// All messages it holds.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.ready + self.leased + self.delayed + self.parked
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl QueueInfo {
    /// About how many bytes it takes on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let filters: usize = self.spec.filters.iter().map(|filter| filter.as_str().len() + 4).sum();
        INFO_BYTES + self.spec.name.as_str().len() + filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_of_only_a_name_takes_the_defaults() {
        let spec: QueueSpec = serde_json::from_str(r#"{"name":"jobs"}"#).unwrap();
        assert_eq!(spec.checked().unwrap(), QueueSpec::new(QueueName::new("jobs").unwrap()));
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let spec = QueueSpec { lease_ms: 5, ..QueueSpec::new(QueueName::new("jobs").unwrap()) };
        let error = spec.checked().unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.text.contains("lease_ms is 5; expected 100 to"), "{error}");
    }
}
