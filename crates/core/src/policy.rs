//! The seam to who a party is and what it may do. It judges and never alters.

use skep_protocol::{AgentId, Ask, Command, Error, Filter, QueueName};

use crate::backend::BoxFuture;

/// Who is attached, as the policy found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its name in histories: `agent/<id>`, or what the credential says.
    pub name: String,
    /// The agent it acts as.
    pub agent: Option<AgentId>,
}

/// What somebody brings to be known by.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The token.
    pub token: Option<String>,
    /// The agent to act as.
    pub agent: Option<AgentId>,
}

/// What a party wants to do.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// To publish to a topic.
    Publish(&'a str),
    /// To listen live.
    Listen(&'a Filter),
    /// To take from a queue.
    Consume(&'a QueueName),
    /// To change queues or agents.
    Manage(&'a Command),
    /// To look.
    Look(&'a Ask),
}

/// Who a party is and what it may do.
pub trait Policy: Send + Sync + 'static {
    /// Called once a connection or HTTP request. May be cancelled.
    ///
    /// # Errors
    /// `unauthenticated` or `forbidden`.
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Party, Error>>;

    /// Called for every verb, on the hot path: no I/O. For messages of one batch that differ in nothing but id and payload, once.
    ///
    /// # Errors
    /// `forbidden`, naming what and to whom.
    fn authorize(&self, party: &Party, action: Action<'_>) -> Result<(), Error>;
}
