//! Message types: a closed list of standard ones, and free names beside them.

use std::fmt;

/// A standard message type. A type that is not in the list is a free name, and as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(&'static str);

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        impl Kind { $($(#[doc = $doc])+ pub const $name: Kind = Kind($text);)+ }
        /// Every standard type.
        pub const STANDARD_KINDS: &[Kind] = &[$(Kind::$name,)+];
    };
}

kinds! {
    /// Plain words from one agent to another.
    MESSAGE = "message";
    /// An agent came into being.
    AGENT_SPAWNED = "agent.spawned";
    /// An agent registered with the hub.
    AGENT_REGISTERED = "agent.registered";
    /// An agent ended.
    AGENT_TERMINATED = "agent.terminated";
    /// An agent's health is now another.
    AGENT_HEALTH_CHANGED = "agent.health.changed";
    /// A sign of life.
    HEARTBEAT = "heartbeat";
    /// Work to be done.
    TASK = "task";
    /// Work was begun.
    TASK_STARTED = "task.started";
    /// Work goes on.
    TASK_PROGRESS = "task.progress";
    /// Work was done.
    TASK_COMPLETED = "task.completed";
    /// Work ended without success.
    TASK_FAILED = "task.failed";
    /// Work is no longer wanted.
    TASK_CANCELLED = "task.cancelled";
    /// Something happened.
    EVENT = "event";
    /// A question that wants a response.
    REQUEST = "request";
    /// The answer to a request.
    RESPONSE = "response";
    /// An order.
    COMMAND = "command";
    /// A question that changes nothing.
    QUERY = "query";
    /// News that wants no answer.
    NOTIFICATION = "notification";
    /// Several agents agree on who does what.
    COORDINATION = "coordination";
    /// One agent hands its work to another.
    COORDINATION_HANDOVER = "coordination.handover";
    /// One vote of several.
    COORDINATION_VOTE = "coordination.vote";
    /// Something went wrong.
    ERROR = "error";
    /// A part of a streamed reply; see [`Parts`](crate::Parts) for how they are numbered.
    STREAM_CHUNK = "stream.chunk";
    /// The last part of a streamed reply, or only its end.
    STREAM_END = "stream.end";
    /// The hub gave up on a message: sent to its sender.
    DELIVERY_DEAD_LETTERED = "delivery.dead_lettered";
    /// Word from the hub itself.
    SYSTEM = "system";
    /// The system grows or shrinks.
    SYSTEM_SCALING = "system.scaling";
    /// A part of the system failed.
    SYSTEM_FAILURE = "system.failure";
    /// A part of the system works again.
    SYSTEM_RECOVERY = "system.recovery";
}

impl Kind {
    /// The type as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The standard type of that text, if it is one.
    #[must_use]
    pub fn standard(text: &str) -> Option<Kind> {
        STANDARD_KINDS.iter().copied().find(|kind| kind.0 == text)
    }
}

impl AsRef<str> for Kind {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_least_25_standard_types_and_each_is_found_by_its_text() {
        assert!(STANDARD_KINDS.len() >= 25);
        for kind in STANDARD_KINDS {
            assert_eq!(Kind::standard(kind.as_str()), Some(*kind));
        }
        assert_eq!(Kind::standard("free.name"), None);
    }
}
