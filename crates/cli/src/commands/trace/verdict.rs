//! How a message stands, in one sentence, and what to run next.

use skep_protocol::{Event, Position, QueueName};

/// The sentence and the command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) said: String,
    pub(super) next: String,
}

/// How a message stands in one queue, what needs a human first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stand {
    Dead,
    Failed,
    Waiting,
    Leased,
    Dropped,
    Done,
}

/// The verdict on the queue where the message stands worst.
pub(super) fn of(events: &[Event]) -> Option<Verdict> {
    let stored = events.first()?.position;
    let mut queues: Vec<&QueueName> = Vec::new();
    for queue in events.iter().filter_map(|event| event.queue.as_ref()) {
        if !queues.contains(&queue) {
            queues.push(queue);
        }
    }
    let last = |queue: &QueueName| events.iter().rev().find(|event| event.queue.as_ref() == Some(queue));
    let (stand, event, queue) = queues
        .into_iter()
        .filter_map(|queue| last(queue).and_then(|event| Some((stand(&event.what)?, event, queue))))
        .min_by_key(|(stand, ..)| *stand)?;
    let holder = events
        .iter()
        .rev()
        .filter(|event| event.queue.as_ref() == Some(queue))
        .find_map(|event| (event.what == "leased").then_some(event.party.as_deref()).flatten());
    Some(say(stand, event, queue, holder.unwrap_or("somebody"), stored))
}

fn stand(what: &str) -> Option<Stand> {
    Some(match what {
        "dead_lettered" => Stand::Dead,
        "nacked" | "returned" => Stand::Failed,
        "stored" | "redriven" => Stand::Waiting,
        "leased" | "extended" => Stand::Leased,
        "purged" => Stand::Dropped,
        "acked" => Stand::Done,
        _ => return None,
    })
}

fn say(stand: Stand, event: &Event, queue: &QueueName, holder: &str, stored: Position) -> Verdict {
    let attempt = event.attempt.map(|attempt| format!("attempt {attempt}")).unwrap_or_else(|| "the attempt".into());
    let why = event.detail.as_deref().unwrap_or("no reason was given");
    let again = format!("skep replay '>' --from {stored} -n 1");
    let (said, next) = match stand {
        Stand::Dead => (format!("It is in the dead letters of {queue}: {why}."), format!("skep queue redrive {queue}")),
        Stand::Failed => (
            format!("It waits in {queue} to be delivered again; {attempt} ended: {why}."),
            format!("skep queue peek {queue}"),
        ),
        Stand::Waiting => {
            (format!("It waits in {queue}; nobody has taken it yet."), format!("skep receive {}", name(queue)))
        }
        Stand::Leased => (
            format!("{holder} has it from {queue}, {attempt}, and has not settled it."),
            format!("skep queue show {queue}"),
        ),
        Stand::Dropped => (format!("It was dropped from {queue} by a purge."), again),
        Stand::Done => (format!("It is done: {holder} acked it, {attempt}."), again),
    };
    Verdict { said, next }
}

/// As `receive` wants it: of an inbox, the agent.
fn name(queue: &QueueName) -> &str {
    let agent = queue.as_str().strip_prefix("agent.").and_then(|rest| rest.strip_suffix(".inbox"));
    agent.unwrap_or(queue.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: &str, queue: &str, attempt: Option<u32>, detail: Option<&str>) -> Event {
        Event {
            time_ms: 1,
            position: Position::Number(7),
            what: what.into(),
            queue: Some(queue.parse().unwrap()),
            attempt,
            party: (what == "leased").then(|| "agent/bob".into()),
            detail: detail.map(Into::into),
        }
    }

    fn said(events: &[Event]) -> (String, String) {
        let verdict = of(events).unwrap();
        (verdict.said, verdict.next)
    }

    #[test]
    fn a_message_nobody_took_is_told_with_how_to_take_it() {
        let (said, next) = said(&[event("stored", "agent.bob.inbox", None, None)]);
        assert_eq!(said, "It waits in agent.bob.inbox; nobody has taken it yet.");
        assert_eq!(next, "skep receive bob");
    }

    #[test]
    fn a_message_that_is_done_is_told_with_who_did_it() {
        let events = [
            event("stored", "jobs", None, None),
            event("leased", "jobs", Some(1), None),
            event("acked", "jobs", Some(1), None),
        ];
        assert_eq!(said(&events).0, "It is done: agent/bob acked it, attempt 1.");
        assert_eq!(said(&events).1, "skep replay '>' --from 7 -n 1");
    }

    #[test]
    fn of_several_queues_the_worst_is_told() {
        let events = [
            event("stored", "done", None, None),
            event("stored", "jobs", None, None),
            event("acked", "done", Some(1), None),
            event("dead_lettered", "jobs", Some(5), Some("no such customer")),
        ];
        let (said, next) = said(&events);
        assert_eq!(said, "It is in the dead letters of jobs: no such customer.");
        assert_eq!(next, "skep queue redrive jobs");
    }

    #[test]
    fn a_redriven_message_waits_again() {
        let events = [event("dead_lettered", "jobs", Some(5), Some("x")), event("redriven", "jobs", None, None)];
        assert!(said(&events).0.starts_with("It waits in jobs"));
        assert_eq!(of(&[]), None);
    }
}
