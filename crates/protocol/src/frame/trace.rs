//! What became of messages: which are meant, and what is known of each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::{Behind, Code, Error, Holder, Message, MessageRef, Position, QueueName, Topic};

/// Which messages are meant; what is unsaid holds of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// Of this conversation.
    pub conversation: Option<String>,
    /// From this agent, source or party.
    pub from: Option<String>,
    /// To this agent, topic or queue.
    pub to: Option<String>,
    /// Stored at this moment or later, in unix milliseconds.
    pub since_ms: Option<u64>,
    /// Stored at this moment or earlier, in unix milliseconds.
    pub until_ms: Option<u64>,
    /// Of which that is true now.
    pub outcome: Option<Wanted>,
    /// At most so many; unsaid, 100.
    pub limit: Option<u32>,
    /// From this position on: where the last answer said to go on.
    pub next: Option<Position>,
    /// With the message itself, and with all that happened to it.
    pub whole: bool,
}

/// What there is to see of messages, in order of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The messages. Those that were never stored have no position: a search from one that is named shows none of them.
    pub messages: Vec<Traced>,
    /// Ask from here for more, even if this page is empty; none when this was the end.
    pub next: Option<Position>,
    /// Messages that were never stored are kept in memory only, and those since this moment, in
    /// unix milliseconds, are known.
    pub unstored_since_ms: u64,
}

/// A message, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// Its id; empty if it could not be read.
    pub id: String,
    /// Where it stands; none if it was never stored.
    pub position: Option<Position>,
    /// When it was stored, or refused, in unix milliseconds.
    pub time_ms: u64,
    /// Its conversation.
    pub conversation: String,
    /// Its type.
    pub kind: String,
    /// Its source.
    pub source: String,
    /// The party that published it.
    pub party: String,
    /// The topics it was published to.
    pub to: Vec<String>,
    /// How it stands now: of several queues, where it stands worst.
    pub state: Fate,
    /// Since when, in unix milliseconds.
    pub state_ms: u64,
    /// In which queue, if in one.
    pub queue: Option<QueueName>,
    /// Deliveries from that queue so far.
    pub attempts: u32,
    /// Why it stands so: how the last attempt ended, why it was refused.
    pub reason: Option<String>,
    /// Who has it.
    pub holder: Option<Holder>,
    /// The message, if it was asked for whole and is stored.
    pub message: Option<Message>,
    /// What happened to it, in order, if it was asked for whole; of very many the first and the last.
    pub events: Vec<Event>,
    /// When it will be delivered at the earliest, in unix milliseconds, if it waits for that moment.
    #[serde(default)]
    pub due_ms: Option<u64>,
    /// Which one of its key it waits for, if it waits for one. It is left out of the compact form where there is none, so
    /// nothing before it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
}

macro_rules! fates {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal;)+) => {
        /// How a message stands. Those that need a person's eye come first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Fate { $($(#[doc = $doc])+ $variant,)+ }

        impl Fate {
            /// All of them, the worst first.
            pub const ALL: &[Fate] = &[$(Fate::$variant,)+];

            /// Its name, as it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Fate::$variant => $text,)+ }
            }
        }
    };
}

fates! {
    /// In the dead letters.
    Dead = "dead";
    /// Refused, and stored nowhere.
    Refused = "refused";
    /// No queue matched and nobody listened.
    Unmatched = "unmatched";
    /// Dropped: for want of room, live or as the oldest of the dead letters; or as a dead letter that died again.
    Dropped = "dropped";
    /// Its expiry passed before anybody had done it, and its queue drops what expired.
    Expired = "expired";
    /// It waits to be delivered again: an attempt ended without success.
    Retrying = "retrying";
    /// It waits, and nobody has taken it yet.
    Waiting = "waiting";
    /// It waits for the moment that its sender named.
    Delayed = "delayed";
    /// Somebody has it.
    Leased = "leased";
    /// It went with its queue, which was deleted.
    Removed = "removed";
    /// A purge dropped it.
    Purged = "purged";
    /// In its queue no more; the part of the log that told how was removed with age.
    Settled = "settled";
    /// Done.
    Acked = "acked";
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Messages of which outcome are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Wanted {
    /// All that nobody has and nobody has done.
    Undelivered,
    /// All that somebody has or has done.
    Delivered,
    /// Those that stand so.
    Fate(Fate),
}

impl Wanted {
    /// Whether a message that stands so is meant.
    #[must_use]
    pub fn takes(self, fate: Fate) -> bool {
        match self {
            Wanted::Undelivered => !Wanted::Delivered.takes(fate),
            Wanted::Delivered => matches!(fate, Fate::Leased | Fate::Settled | Fate::Acked),
            Wanted::Fate(wanted) => wanted == fate,
        }
    }

    /// Whether a message is meant that stands so for this reason: a dead letter that expired has expired, too.
    #[must_use]
    pub fn means(self, fate: Fate, reason: Option<&str>) -> bool {
        let has_expired = fate == Fate::Dead && reason == Some(Fate::Expired.as_str());
        self.takes(fate) || (self == Wanted::Fate(Fate::Expired) && has_expired)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Wanted::Undelivered => "undelivered",
            Wanted::Delivered => "delivered",
            Wanted::Fate(fate) => fate.as_str(),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Wanted {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut all =
            [Wanted::Undelivered, Wanted::Delivered].into_iter().chain(Fate::ALL.iter().copied().map(Wanted::Fate));
        if let Some(wanted) = all.find(|wanted| wanted.as_str() == text) {
            return Ok(wanted);
        }
        let fates: Vec<&str> = Fate::ALL.iter().map(|fate| fate.as_str()).collect();
        let text = format!("outcome {text:?}: expected one of undelivered, delivered, {}", fates.join(", "));
        Err(Error::new(Code::InvalidArgument, text))
    }
}

impl TryFrom<String> for Wanted {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Wanted> for String {
    fn from(wanted: Wanted) -> String {
        wanted.as_str().to_owned()
    }
}

impl Search {
    /// Whether a message that a party published is meant, as far as conversation, sender and
    /// receiver go. `taken` says whether a queue that is called like the receiver took it.
    #[must_use]
    pub fn meets(&self, message: &MessageRef<'_>, party: &str, taken: bool) -> bool {
        let of = self.conversation.as_deref().is_none_or(|wanted| message.conversation() == wanted);
        let from =
            self.from.as_deref().is_none_or(|wanted| [message.source(), party].iter().any(|who| names(who, wanted)));
        let to = self.to.as_deref();
        of && from && to.is_none_or(|wanted| taken || message.to().any(|topic| leads_to(topic, wanted)))
    }

    /// Whether a moment lies within what is meant.
    #[must_use]
    pub fn is_then(&self, time_ms: u64) -> bool {
        self.since_ms.is_none_or(|since| time_ms >= since) && self.until_ms.is_none_or(|until| time_ms <= until)
    }
}

/// An agent is named by its id, too.
fn names(who: &str, wanted: &str) -> bool {
    who == wanted || who.strip_prefix("agent/") == Some(wanted)
}

fn leads_to(topic: &str, wanted: &str) -> bool {
    topic == wanted || Topic::agent_of(topic) == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgentId, MessageId};

    #[test]
    fn an_outcome_is_read_as_it_is_written_and_an_unknown_one_is_told_which_there_are() {
        for text in ["undelivered", "delivered", "dead", "acked", "unmatched"] {
            assert_eq!(text.parse::<Wanted>().unwrap().to_string(), text);
        }
        let error = "done".parse::<Wanted>().unwrap_err();
        assert!(error.text.contains("undelivered") && error.text.contains("retrying"), "{error}");
    }

    #[test]
    fn every_message_is_either_delivered_or_undelivered() {
        for fate in Fate::ALL {
            assert_ne!(Wanted::Delivered.takes(*fate), Wanted::Undelivered.takes(*fate));
            assert!(Wanted::Fate(*fate).takes(*fate));
        }
        assert!(Wanted::Undelivered.takes(Fate::Dead) && Wanted::Delivered.takes(Fate::Leased));
    }

    #[test]
    fn a_dead_letter_that_expired_is_found_as_dead_and_as_expired() {
        let [dead, expired] = [Fate::Dead, Fate::Expired].map(Wanted::Fate);
        assert!(dead.means(Fate::Dead, Some("expired")) && expired.means(Fate::Dead, Some("expired")));
        assert!(!expired.means(Fate::Dead, Some("no such customer")) && !expired.means(Fate::Dead, None));
        assert!(expired.means(Fate::Expired, None) && !expired.means(Fate::Acked, Some("expired")));
    }

    #[test]
    fn sender_and_receiver_are_meant_by_the_id_of_an_agent_and_by_their_full_names() {
        let bob = Topic::inbox(&AgentId::new("bob").unwrap());
        let message = Message::build(&MessageId::new("1").unwrap(), "agent/alice", "t").to(&bob).finish().unwrap();
        let meets = |search: Search| search.meets(&message.view(), "agent/carol", false);
        for from in ["alice", "agent/alice", "carol", "agent/carol"] {
            assert!(meets(Search { from: Some(from.into()), ..Search::default() }), "{from}");
        }
        for to in ["bob", "agent.bob.inbox"] {
            assert!(meets(Search { to: Some(to.into()), ..Search::default() }), "{to}");
        }
        assert!(!meets(Search { from: Some("bob".into()), ..Search::default() }));
        let jobs = Search { to: Some("jobs".into()), ..Search::default() };
        assert!(!meets(jobs.clone()) && jobs.meets(&message.view(), "p", true));
        assert!(meets(Search { conversation: Some("1".into()), ..Search::default() }), "it is its own root");
    }
}
