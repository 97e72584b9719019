//! What a queue is declared as, and what it is seen to hold.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{ATTEMPTS_MAX, DELAY_MS_MAX, FILTERS_MAX, LEASE_MS_MAX, LEASE_MS_MIN};
use crate::{Code, Error, Filter, QueueName};

/// The declaration of a durable queue. Its defaults suit work that takes seconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
    #[serde(default)]
    pub expired: Expired,
    /// What a dead letter means for the messages that have its `partitionkey`.
    #[serde(default)]
    pub on_dead_key: DeadKey,
    /// How many of its consumers get messages.
    #[serde(default)]
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

impl QueueSpec {
    /// The members of a declaration, as they are written in JSON.
    pub const MEMBERS: [&'static str; 11] = [
        "name",
        "filters",
        "lease_ms",
        "attempts_max",
        "backoff_min_ms",
        "backoff_max_ms",
        "messages_max",
        "bytes_max",
        "expired",
        "on_dead_key",
        "consumers",
    ];

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
            ("attempts_max", u64::from(self.attempts_max), 0, u64::from(ATTEMPTS_MAX)),
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

/// What is as it is by default is left out of the members that came later, so that older readers understand the rest. In MessagePack a
/// declaration is a list, and only its end can be left out.
impl Serialize for QueueSpec {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let said = [
            self.expired != Expired::default(),
            self.on_dead_key != DeadKey::default(),
            self.consumers != Consumers::default(),
        ];
        let last = said.iter().rposition(|said| *said);
        let is_list = !to.is_human_readable();
        let written: [bool; 3] = std::array::from_fn(|n| said[n] || is_list && last.is_some_and(|last| n < last));
        let count = Self::MEMBERS.len() - written.iter().filter(|written| !**written).count();
        let mut to = to.serialize_struct("QueueSpec", count)?;
        to.serialize_field("name", &self.name)?;
        to.serialize_field("filters", &self.filters)?;
        to.serialize_field("lease_ms", &self.lease_ms)?;
        to.serialize_field("attempts_max", &self.attempts_max)?;
        to.serialize_field("backoff_min_ms", &self.backoff_min_ms)?;
        to.serialize_field("backoff_max_ms", &self.backoff_max_ms)?;
        to.serialize_field("messages_max", &self.messages_max)?;
        to.serialize_field("bytes_max", &self.bytes_max)?;
        if written[0] {
            to.serialize_field("expired", &self.expired)?;
        }
        if written[1] {
            to.serialize_field("on_dead_key", &self.on_dead_key)?;
        }
        if written[2] {
            to.serialize_field("consumers", &self.consumers)?;
        }
        to.end()
    }
}

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
    #[serde(default)]
    pub parked: u64,
    /// How many keys that concerns, those included of which none waits just now.
    #[serde(default)]
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
    fn every_member_of_a_declaration_is_named() {
        let spec = QueueSpec {
            expired: Expired::Drop,
            on_dead_key: DeadKey::Continue,
            consumers: Consumers::SingleActive,
            ..QueueSpec::new(QueueName::new("jobs").unwrap())
        };
        let written = serde_json::to_value(&spec).unwrap();
        let mut names: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = QueueSpec::MEMBERS;
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
        assert_eq!(written["consumers"], "single_active");
    }

    #[test]
    fn a_declaration_is_read_as_it_was_written_whatever_is_left_out() {
        for said in 0..8 {
            let spec = QueueSpec {
                expired: if said & 1 > 0 { Expired::Drop } else { Expired::DeadLetter },
                on_dead_key: if said & 2 > 0 { DeadKey::Continue } else { DeadKey::Park },
                consumers: if said & 4 > 0 { Consumers::Exclusive } else { Consumers::Shared },
                ..QueueSpec::new(QueueName::new("jobs").unwrap())
            };
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<QueueSpec>(&json).unwrap(), spec);
            assert_eq!(json.contains("expired"), said & 1 > 0, "{json}");
            assert_eq!(rmp_serde::from_slice::<QueueSpec>(&rmp_serde::to_vec(&spec).unwrap()).unwrap(), spec);
            let active = (said & 4 > 0).then(|| "agent/bob".to_owned());
            let (parked_keys, bytes) = (said, 0);
            let info = QueueInfo {
                spec,
                ready: 1,
                leased: 2,
                delayed: 3,
                bytes,
                consumers: 4,
                dead: 5,
                parked: 0,
                parked_keys,
                active,
            };
            assert_eq!(rmp_serde::from_slice::<QueueInfo>(&rmp_serde::to_vec(&info).unwrap()).unwrap(), info);
        }
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let spec = QueueSpec { lease_ms: 5, ..QueueSpec::new(QueueName::new("jobs").unwrap()) };
        let error = spec.checked().unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.text.contains("lease_ms is 5; expected 100 to"), "{error}");
    }
}
