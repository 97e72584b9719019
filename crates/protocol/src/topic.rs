//! Topics, and the filters that match them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{TOPIC_BYTES_MAX, TOPIC_TOKENS_MAX};
use crate::{AgentId, Code, Error, QueueName};

/// A dotted name that a message is published to, such as `agent.alice.inbox`.
///
/// Tokens are separated by `.`, none is empty, and none holds white space, control
/// characters, `,`, `*` or `>`. A topic whose first token begins with `$` belongs to the hub.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Box<str>);

/// A topic in which `*` stands for one token and a last `>` for one token or more.
///
/// A leading wildcard never matches a topic that begins with `$`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Box<str>);

/// The topic that reaches everyone.
pub(crate) const BROADCAST: &str = "broadcast";

impl Topic {
    /// Parses a topic.
    ///
    /// # Errors
    /// `invalid_topic`, naming the rule that is broken.
    pub fn new(text: &str) -> Result<Self, Error> {
        check_topic(text)?;
        Ok(Topic(text.into()))
    }

    /// The topic of an agent's inbox.
    #[must_use]
    pub fn inbox(agent: &AgentId) -> Self {
        Topic(format!("agent.{agent}.inbox").into())
    }

    /// The topic that reaches every agent's inbox.
    #[must_use]
    pub fn broadcast() -> Self {
        Topic(BROADCAST.into())
    }

    /// The topic as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The agent whose inbox a topic is, if it is one: `agent.<id>.inbox`.
    #[must_use]
    pub fn agent_of(topic: &str) -> Option<&str> {
        let id = topic.strip_prefix("agent.")?.strip_suffix(".inbox")?;
        (!id.is_empty() && !id.contains('.')).then_some(id)
    }

    /// Whether only the hub may publish to a topic: its first token begins with `$`.
    #[must_use]
    pub fn is_reserved(topic: &str) -> bool {
        topic.starts_with('$')
    }
}

impl Filter {
    /// Parses a filter. Every topic is one.
    ///
    /// # Errors
    /// `invalid_filter`, naming the rule that is broken.
    pub fn new(text: &str) -> Result<Self, Error> {
        let fail = |why: &str| Err(Error::new(Code::InvalidFilter, format!("filter {text:?}: {why}")));
        if let Err(why) = check_tokens(text, true) {
            return fail(why);
        }
        let mut tokens = text.split('.').peekable();
        while let Some(token) = tokens.next() {
            if token == ">" && tokens.peek().is_some() {
                return fail("'>' stands for the rest, so it must be the last token");
            }
            if token.len() > 1 && token.contains(['*', '>']) {
                return fail("'*' and '>' must be whole tokens, as in events.*.done");
            }
        }
        Ok(Filter(text.into()))
    }

    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it holds no wildcard, and so is a topic.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['*', '>'])
    }

    /// Whether it matches a topic.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if Topic::is_reserved(topic) && self.0.starts_with(['*', '>']) {
            return false;
        }
        let mut wanted = self.0.split('.');
        let mut tokens = topic.split('.');
        loop {
            match (wanted.next(), tokens.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) => return true,
                (Some("*"), Some(_)) => {}
                (Some(w), Some(t)) if w == t => {}
                _ => return false,
            }
        }
    }
}

/// Checks a topic without keeping it: the hot path's form of [`Topic::new`].
pub(crate) fn check_topic(text: &str) -> Result<(), Error> {
    check_tokens(text, false).map_err(|why| Error::new(Code::InvalidTopic, format!("topic {text:?}: {why}")))
}

fn check_tokens(text: &str, wildcards: bool) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty; expected dotted tokens such as agent.alice.inbox");
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err("it is longer than 256 bytes");
    }
    let (mut tokens, mut token_bytes) = (1, 0);
    for c in text.chars() {
        match c {
            '.' if token_bytes == 0 => return Err("it has an empty token"),
            '.' => (tokens, token_bytes) = (tokens + 1, 0),
            '*' | '>' if !wildcards => return Err("'*' and '>' belong in filters, not in topics"),
            ',' => return Err("',' separates topics and cannot stand inside one"),
            c if c.is_ascii_graphic() => token_bytes += 1,
            c if c.is_whitespace() || c.is_control() => return Err("it holds white space or a control character"),
            _ => token_bytes += c.len_utf8(),
        }
    }
    match (token_bytes, tokens) {
        (0, _) => Err("it has an empty token"),
        (_, n) if n > TOPIC_TOKENS_MAX => Err("it has more than 32 tokens"),
        _ => Ok(()),
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                $name::new(text)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                $name::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_type;

text_type!(Topic);
text_type!(Filter);

impl From<Topic> for Filter {
    fn from(topic: Topic) -> Self {
        Filter(topic.0)
    }
}

impl From<&QueueName> for Filter {
    /// The filter that takes what is published to the queue's own name.
    fn from(queue: &QueueName) -> Self {
        Filter(queue.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_the_rule_it_breaks() {
        for (text, rule) in [
            ("", "empty"),
            ("a..b", "empty token"),
            (".a", "empty token"),
            ("a.", "empty token"),
            ("a.*", "belong in filters"),
            ("a b", "white space"),
            ("a,b", "separates topics"),
        ] {
            let error = Topic::new(text).unwrap_err();
            assert_eq!(error.code, Code::InvalidTopic);
            assert!(error.text.contains(rule), "{text}: {error}");
        }
        assert!(Topic::new(&"a".repeat(257)).is_err());
        assert!(Topic::new(&["a"; 33].join(".")).is_err());
        assert!(Topic::new("agent.Zoë.inbox").is_ok());
    }

    #[test]
    fn a_filter_matches_by_tokens() {
        for (filter, topic, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*.c", "a.b.c", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a.b", true),
            (">", "$sys.a", false),
            ("*.a", "$sys.a", false),
            ("$sys.>", "$sys.a", true),
        ] {
            assert_eq!(Filter::new(filter).unwrap().matches(topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn a_wildcard_must_be_a_whole_token_and_the_rest_last() {
        assert!(Filter::new("a*.b").is_err());
        assert!(Filter::new(">.b").is_err());
        assert!(Filter::new("a.>").is_ok());
    }

    #[test]
    fn an_inbox_topic_names_its_agent() {
        assert_eq!(Topic::agent_of("agent.bob.inbox"), Some("bob"));
        assert_eq!(Topic::agent_of("agent.bob.x.inbox"), None);
        assert_eq!(Topic::agent_of("agent.inbox"), None);
    }
}
