//! Which messages of a queue a command means: dead letters to be moved back, messages to be dropped.

use serde::{Deserialize, Serialize};

use crate::{Attribute, Code, Error, Position, Stored};

/// Which messages of a queue are meant; what is unsaid holds of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pick {
    /// Those of this id.
    pub message: Option<String>,
    /// The one that stands here.
    pub position: Option<Position>,
    /// Those whose last attempt ended with a reason in which this stands; of dead letters, why they died.
    pub reason: Option<String>,
    /// Those of this type.
    pub kind: Option<String>,
    /// Those of this source.
    pub source: Option<String>,
    /// Those of this `partitionkey`.
    pub partitionkey: Option<String>,
    /// Those that died, or where that is not known were stored, at this moment or later, in unix milliseconds.
    pub since_ms: Option<u64>,
    /// The same at this moment or earlier.
    pub until_ms: Option<u64>,
    /// Only those from this position on: where the last answer said to go on.
    pub from: Option<Position>,
    /// At most so many, oldest first; unsaid, as many as one answer takes, which is no more than 1,000.
    pub limit: Option<u32>,
    /// Nothing is changed: the answer says what would be.
    pub dry_run: bool,
}

/// What became of the messages that were meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// So many were moved or dropped; in a dry run, would be.
    pub count: u64,
    /// So many were gone, or had been taken by somebody, when it came to it.
    pub skipped: u64,
    /// Ask from here for more, even if the count is 0; none when this was the end.
    pub next: Option<Position>,
    /// In a dry run, the first of them.
    pub first: Vec<Stored>,
}

impl Pick {
    /// The same, unless a text of it is empty.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] names what is empty: it was to choose something, such as a variable that is not set, and
    /// would choose everything or nothing.
    pub fn checked(&self) -> Result<&Self, Error> {
        let said = [
            ("message", &self.message),
            ("reason", &self.reason),
            ("type", &self.kind),
            ("source", &self.source),
            ("partitionkey", &self.partitionkey),
        ];
        match said.into_iter().find(|(_, text)| text.as_deref().is_some_and(str::is_empty)) {
            None => Ok(self),
            Some((name, _)) => {
                let text = format!("{name} is empty, so it picks no messages; say which it means, or leave it out");
                Err(Error::new(Code::InvalidArgument, text))
            }
        }
    }

    /// Whether a message is meant, by all but where it stands.
    #[must_use]
    pub fn means(&self, stored: &Stored) -> bool {
        let view = stored.message.view();
        let reason = stored.previous.as_ref().map_or("", |ended| ended.reason.as_str());
        let time_ms = stored.died_ms.unwrap_or(stored.time_ms);
        let is = |said: &Option<String>, value: &str| said.as_deref().is_none_or(|said| said == value);
        let of_key = |key: &str| view.attribute("partitionkey") == Some(Attribute::Text(key));
        is(&self.message, view.id())
            && is(&self.kind, view.kind())
            && is(&self.source, view.source())
            && self.partitionkey.as_deref().is_none_or(of_key)
            && self.reason.as_deref().is_none_or(|part| reason.contains(part))
            && self.since_ms.is_none_or(|since_ms| time_ms >= since_ms)
            && self.until_ms.is_none_or(|until_ms| time_ms <= until_ms)
    }
}
