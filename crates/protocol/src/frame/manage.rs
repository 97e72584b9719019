//! The cold verbs: to declare and delete, and to look.

use serde::{Deserialize, Serialize};

use super::Settlement;
use super::pick::{Pick, Picked};
use super::trace::{Found, Search};
use crate::queue::INFO_BYTES;
use crate::{AgentId, Filter, Position, QueueInfo, QueueName, QueueSpec, Stored, WorkspaceId};

/// A command, and a number that comes back in its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manage {
    /// Comes back in the answer.
    pub tag: u64,
    /// What to do.
    pub command: Command,
}

/// What can be done to queues and agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Declares a queue; one of that name gets the new declaration and keeps its messages.
    Declare(QueueSpec),
    /// Deletes a queue.
    Delete {
        /// Which.
        queue: QueueName,
        /// Even if it holds messages.
        force: bool,
    },
    /// Drops what waits in a queue, ready or delayed, and nobody works on.
    Purge {
        /// Which.
        queue: QueueName,
    },
    /// Moves dead letters back to where they came from.
    Redrive {
        /// The queue they came from.
        queue: QueueName,
        /// At most so many, oldest first.
        limit: u32,
    },
    /// Makes an agent known: it has an inbox from now on.
    Register {
        /// Its id.
        agent: AgentId,
        /// What it says of itself, a JSON object.
        metadata: String,
    },
    /// Forgets an agent, and its inbox.
    Deregister {
        /// Its id.
        agent: AgentId,
        /// Even if its inbox holds messages.
        force: bool,
    },
    /// A workspace's messages reach the agent's inbox from now on.
    Join {
        /// The agent.
        agent: AgentId,
        /// The workspace.
        workspace: WorkspaceId,
    },
    /// And no more.
    Leave {
        /// The agent.
        agent: AgentId,
        /// The workspace.
        workspace: WorkspaceId,
    },
    /// Moves those dead letters back that are meant: a bounded piece of the work, oldest first. Those that expired stay.
    RedrivePicked {
        /// The queue they came from.
        queue: QueueName,
        /// Which.
        pick: Box<Pick>,
    },
    /// Drops those messages of a queue that are meant, ready or delayed: a bounded piece of the work, oldest first.
    PurgePicked {
        /// Which queue.
        queue: QueueName,
        /// Which of its messages.
        pick: Box<Pick>,
    },
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    /// As asked.
    pub tag: u64,
    /// What became of it.
    pub result: Settlement<Answer>,
}

/// What a command says when it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is so now; whether it was not so before.
    Done {
        /// Whether anything changed.
        changed: bool,
    },
    /// So many messages.
    Count(u64),
    /// So many of those that were meant, and where to go on.
    Picked(Picked),
}

/// A question, and a number that comes back in its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Comes back in the answer.
    pub tag: u64,
    /// What to look at.
    pub ask: Ask,
}

/// What can be looked at. Nothing is taken by looking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// All queues, as long as they fit into one answer; beyond that `too_large`.
    Queues,
    /// A page of the queues, in order of their names.
    QueuesAfter {
        /// Those behind this name; unsaid, from the first on. It need not exist any more.
        #[serde(default)]
        after: Option<QueueName>,
        /// At most so many; fewer where they are large.
        limit: u32,
    },
    /// One queue.
    Queue {
        /// Which.
        queue: QueueName,
    },
    /// The messages in a queue, oldest first.
    Peek {
        /// Which.
        queue: QueueName,
        /// At most so many.
        limit: u32,
        /// From this position on; unsaid, from the oldest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Position>,
    },
    /// All agents, as long as they fit into one answer; beyond that `too_large`.
    Agents,
    /// A page of the agents, in order of their ids.
    AgentsAfter {
        /// Those behind this id; unsaid, from the first on. It need not exist any more.
        #[serde(default)]
        after: Option<AgentId>,
        /// At most so many; fewer where they are large.
        limit: u32,
    },
    /// The stored messages whose topic matches, settled or not.
    Replay {
        /// Which topics.
        filter: Filter,
        /// From this position on.
        from: Position,
        /// At most so many.
        limit: u32,
    },
    /// What became of messages: without a search the history of one.
    Trace {
        /// The id of the message; with a search, empty means all.
        #[serde(default)]
        message: String,
        /// Which messages, and how much of each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        search: Option<Search>,
    },
    /// The hub itself.
    Status,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// As asked.
    pub tag: u64,
    /// What there is to see.
    pub result: Settlement<Page>,
}

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// Queues.
    Queues(Vec<QueueInfo>),
    /// Messages, and where to go on.
    Messages {
        /// In order.
        messages: Vec<Stored>,
        /// Ask from here for more; none when this was the end.
        next: Option<Position>,
    },
    /// Agents.
    Agents(Vec<AgentInfo>),
    /// A page of the queues, and where to go on.
    QueuesPart {
        /// In order of their names.
        queues: Vec<QueueInfo>,
        /// Ask for those after it; none when this was the end.
        next: Option<QueueName>,
    },
    /// A page of the agents, and where to go on.
    AgentsPart {
        /// In order of their ids.
        agents: Vec<AgentInfo>,
        /// Ask for those after it; none when this was the end.
        next: Option<AgentId>,
    },
    /// What happened to a message, in order.
    Trace(Vec<Event>),
    /// The hub.
    Status(Status),
    /// What became of the messages that were searched for.
    Traced(Found),
}

/// An agent, as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Its id.
    pub agent: AgentId,
    /// What it says of itself, a JSON object.
    pub metadata: String,
    /// Whether it is connected; none while the hub cannot know yet, shortly after a start.
    pub connected: Option<bool>,
    /// When it was last seen, in unix milliseconds; none if never.
    pub last_seen_ms: Option<u64>,
    /// Messages in its inbox.
    pub waiting: u64,
    /// The workspaces whose messages reach its inbox.
    pub workspaces: Vec<WorkspaceId>,
}

impl AgentInfo {
    /// About how many bytes it takes on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let workspaces: usize = self.workspaces.iter().map(|workspace| workspace.as_str().len() + 4).sum();
        INFO_BYTES + self.agent.as_str().len() + self.metadata.len() + workspaces
    }
}

/// One thing that happened to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in unix milliseconds.
    pub time_ms: u64,
    /// Where its record stands; 0 of what has none.
    pub position: Position,
    /// What: `stored`, `leased`, `returned`, `extended`, `acked`, `nacked`, `dead_lettered`, `redriven`, `purged`,
    /// `removed` with its queue; and of what was never stored `refused`, `unmatched`, `dropped`.
    pub what: String,
    /// In which queue, if in one.
    pub queue: Option<QueueName>,
    /// Which attempt, if one.
    pub attempt: Option<u32>,
    /// Whom it concerns: the publishing or consuming party.
    pub party: Option<String>,
    /// Why, or what else is to be said.
    pub detail: Option<String>,
}

/// The hub at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name and version.
    pub hub: String,
    /// Since when, in unix milliseconds.
    pub started_ms: u64,
    /// Sessions attached.
    pub sessions: u64,
    /// Agents known.
    pub agents: u64,
    /// Queues declared.
    pub queues: u64,
    /// Messages held in queues.
    pub messages: u64,
    /// Why it is not ready; none when it is.
    pub not_ready: Option<String>,
    /// What was found when the store was opened.
    pub recovery: String,
}
