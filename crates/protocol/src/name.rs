//! Names of agents, workspaces and queues.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{AGENT_BYTES_MAX, QUEUE_NAME_BYTES_MAX};
use crate::topic::text_type;
use crate::{Code, Error, Filter};

/// The id of an agent: 1 to 64 of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId(Box<str>);

/// The id of a workspace: 1 to 64 of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspaceId(Box<str>);

/// The name of a queue: dotted tokens of `[A-Za-z0-9_-]`, at most 200 bytes, such as `jobs`
/// or `agent.alice.inbox`. Names that begin with `$` are the hub's own, such as `$dead.jobs`.
///
/// A clone shares the text: every delivery carries one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(Arc<str>);

/// Prefix of the queue that holds another queue's dead letters.
const DEAD: &str = "$dead.";

impl AgentId {
    /// Parses an agent's id.
    ///
    /// # Errors
    /// `invalid_name`, naming the rule.
    pub fn new(text: &str) -> Result<Self, Error> {
        check_id("agent", text)?;
        Ok(AgentId(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The greatest id before this one, so that a list of those behind it begins with this one; none of the least.
    #[must_use]
    pub fn before(&self) -> Option<Self> {
        let last = *self.0.as_bytes().last()?;
        let head = self.0.strip_suffix(char::from(last))?;
        match (0..last).rev().find(|b| is_id_byte(*b)).map(char::from) {
            Some(previous) => {
                let greatest = "z".repeat(AGENT_BYTES_MAX - self.0.len());
                Some(AgentId(format!("{head}{previous}{greatest}").into()))
            }
            None => (!head.is_empty()).then(|| AgentId(head.into())),
        }
    }

    /// The `source` of what this agent publishes: `agent/<id>`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("agent/{self}")
    }
}

impl WorkspaceId {
    /// Parses a workspace's id.
    ///
    /// # Errors
    /// `invalid_name`, naming the rule.
    pub fn new(text: &str) -> Result<Self, Error> {
        check_id("workspace", text)?;
        Ok(WorkspaceId(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is said in this workspace: `workspace.<id>.>`.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter::new(&format!("workspace.{self}.>")).expect("a workspace id is one valid token")
    }
}

impl QueueName {
    /// Parses a queue's name.
    ///
    /// # Errors
    /// `invalid_name`, naming the rule.
    pub fn new(text: &str) -> Result<Self, Error> {
        let plain = text.strip_prefix('$').unwrap_or(text);
        let token = |t: &str| !t.is_empty() && t.bytes().all(is_id_byte);
        if text.len() > QUEUE_NAME_BYTES_MAX || !plain.split('.').all(token) {
            let rule = "expected dotted tokens of letters, digits, '_' and '-', at most 200 bytes, such as jobs.urgent";
            return Err(Error::new(Code::InvalidName, format!("queue name {text:?}: {rule}")));
        }
        Ok(QueueName(text.into()))
    }

    /// The inbox of an agent.
    #[must_use]
    pub fn inbox(agent: &AgentId) -> Self {
        QueueName(format!("agent.{agent}.inbox").into())
    }

    /// Where this queue's dead letters go; of such a queue itself, none.
    #[must_use]
    pub fn dead(&self) -> Option<Self> {
        (!self.is_dead()).then(|| QueueName(format!("{DEAD}{self}").into()))
    }

    /// Whether it holds another queue's dead letters.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.starts_with(DEAD)
    }

    /// The queue whose dead letters this one holds.
    #[must_use]
    pub fn origin(&self) -> Option<Self> {
        self.0.strip_prefix(DEAD).map(|name| QueueName(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AgentId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn is_id_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

fn check_id(what: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.len() > AGENT_BYTES_MAX || !text.bytes().all(is_id_byte) {
        let rule = "expected 1 to 64 of letters, digits, '_' and '-'";
        return Err(Error::new(Code::InvalidName, format!("{what} id {text:?}: {rule}")));
    }
    Ok(())
}

text_type!(AgentId);
text_type!(WorkspaceId);
text_type!(QueueName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_their_rules() {
        assert!(AgentId::new("coder-2").is_ok());
        assert!(AgentId::new("a.b").is_err());
        assert!(AgentId::new("").is_err());
        assert!(QueueName::new("$dead.agent.bob.inbox").is_ok());
        assert!(QueueName::new("jobs.$x").is_err());
        assert!(QueueName::new("jobs..x").is_err());
        assert!(QueueName::new("jobs.>").is_err());
    }

    #[test]
    fn nothing_lies_between_an_id_and_the_one_before_it() {
        let before = |id: &str| AgentId::new(id).unwrap().before().map(|id| id.to_string());
        let z = |count: usize| "z".repeat(count);
        assert_eq!(before("bob"), Some(format!("boa{}", z(61))));
        for (id, previous) in [("a", '_'), ("_", 'Z'), ("A", '9'), ("0", '-')] {
            assert_eq!(before(id), Some(format!("{previous}{}", z(63))), "{id}");
        }
        assert_eq!(before("bob-").as_deref(), Some("bob"));
        assert_eq!(before(&format!("b{}", z(63))), Some(format!("b{}y", z(62))));
        assert_eq!(before("-"), None);
    }

    #[test]
    fn dead_letters_have_no_dead_letters() {
        let dead = QueueName::new("jobs").unwrap().dead().unwrap();
        assert_eq!(dead.as_str(), "$dead.jobs");
        assert_eq!(dead.dead(), None);
        assert_eq!(dead.origin().unwrap().as_str(), "jobs");
    }
}
