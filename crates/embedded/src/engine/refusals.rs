//! What is said to who publishes and is refused.

use skep_core::{Now, Outgoing};
use skep_protocol::{Code, Error, MessageRef, Topic};

use super::queue::Queue;
use crate::limits::{DEDUP_MS, ROUTE_STEPS_MAX};

pub(super) fn other_payload(outgoing: &Outgoing<'_>, position: u64) -> Error {
    let id = outgoing.message.id();
    let text = format!(
        "a message with the id {id:.64?} and another payload was published exactly once before, at position {position}; \
         give this one an id of its own, or send it again as it was"
    );
    Error::new(Code::Conflict, text)
}

/// Whether a message says that it was made when ids are known of no more: it may have been stored before.
pub(super) fn is_before_window(message: &MessageRef<'_>, now: Now) -> bool {
    message.made_ms().is_some_and(|made_ms| made_ms.saturating_add(DEDUP_MS) < now.unix_ms)
}

pub(super) fn window_passed(message: &MessageRef<'_>) -> Error {
    let text = format!(
        "it was made at {}, and ids of exactly_once are known for {} min: nobody knows whether it was stored before. Look for it \
         (skep trace), and publish it with another id and a time of now if it was not",
        message.time().unwrap_or_default(),
        DEDUP_MS / 60_000
    );
    Error::new(Code::DedupWindowPassed, text)
}

pub(super) fn no_queue(outgoing: &Outgoing<'_>) -> Error {
    let to = outgoing.message.to().collect::<Vec<_>>().join(", ");
    let text = format!("no durable queue takes {to}, and it is to be stored; add one: skep queue add {to}");
    Error::new(Code::NoQueue, text)
}

pub(super) fn too_far(atomic: bool) -> Error {
    let (what, fewer) = match atomic {
        false => ("message", "it fewer topics"),
        true => ("atomic step", "its messages fewer topics, or it fewer messages"),
    };
    let text = format!(
        "the topics of this {what} and the filters that match them meet more than {ROUTE_STEPS_MAX} times; give {fewer}, \
         or the queues fewer filters that overlap"
    );
    Error::new(Code::TooLarge, text)
}

pub(super) fn queue_full(queue: &Queue) -> Error {
    let name = &queue.name;
    let agent = Topic::agent_of(name.as_str());
    let room = match agent {
        // An inbox is declared by the hub, as large as it is.
        Some(_) => String::new(),
        None => {
            let (bound, flag) = match queue.held >= queue.spec.messages_max {
                true => ("messages_max", "--messages-max"),
                false => ("bytes_max", "--bytes-max"),
            };
            format!("; or let it hold more: skep queue add {name} {flag} N, or PUT /v1/queues/{name} with {bound}")
        }
    };
    let text = format!(
        "queue {name} is full: it holds {} messages and {} bytes of at most {} and {}. Receive from it (skep receive {}), or \
         drop what waits there (skep queue purge {name}, or POST /v1/queues/{name}/purge){room}",
        queue.held,
        queue.held_bytes,
        queue.spec.messages_max,
        queue.spec.bytes_max,
        agent.unwrap_or(name.as_str())
    );
    Error::new(Code::QueueFull, text)
}
