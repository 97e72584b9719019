//! How a message stands, in one sentence, and what to run next.

use skep_protocol::{Event, Holder, Position, QueueName, Topic};

use crate::output::{until, word};

/// The sentence and the command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) said: String,
    pub(super) next: String,
}

/// What the hub says now, against which the events are held.
#[derive(Clone, Debug, Default)]
pub(super) struct Present {
    /// Since when it runs, in unix milliseconds: no lease is older.
    pub(super) started_ms: u64,
    /// Queues of the events that are no more.
    pub(super) gone: Vec<QueueName>,
    /// From which queue who has the message, and which attempt that is: a lease may not be in the
    /// log yet.
    pub(super) held: Vec<(QueueName, u32, Holder)>,
}

impl Present {
    fn holder(&self, queue: &QueueName) -> Option<(u32, &Holder)> {
        self.held.iter().find(|(of, ..)| of == queue).map(|(_, attempt, holder)| (*attempt, holder))
    }
}

/// How a message stands in one queue, what needs a human first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stand {
    Dead,
    Failed,
    Restarted,
    Waiting,
    Leased,
    Gone,
    Dropped,
    Done,
}

/// The queues of some events, each once, in order.
pub(super) fn queues(events: &[Event]) -> Vec<&QueueName> {
    let mut queues: Vec<&QueueName> = Vec::new();
    for queue in events.iter().filter_map(|event| event.queue.as_ref()) {
        if !queues.contains(&queue) {
            queues.push(queue);
        }
    }
    queues
}

/// The verdict on the queue where the message stands worst.
pub(super) fn of(events: &[Event], present: &Present) -> Option<Verdict> {
    let stored = events.first()?.position;
    let last = |queue: &QueueName| events.iter().rposition(|event| event.queue.as_ref() == Some(queue));
    // What happened to a dead letter counts, not that it became one.
    let moved_on = |queue: &QueueName| queue.dead().is_some_and(|dead| last(&dead) > last(queue));
    let (stand, event, queue) = queues(events)
        .into_iter()
        .filter(|queue| !moved_on(queue))
        .filter_map(|queue| {
            let event = events.get(last(queue)?)?;
            Some((stand(event, queue, present)?, event, queue))
        })
        .min_by_key(|(stand, ..)| *stand)?;
    if let Some((attempt, holder)) = present.holder(queue) {
        let (party, left) = (&holder.party, until(holder.until_ms));
        let said =
            format!("{party} has it from {queue}, attempt {attempt}, for another {left}, and has not settled it.");
        return Some(Verdict { said, next: look(queue) });
    }
    let holder = events
        .iter()
        .rev()
        .filter(|event| event.queue.as_ref() == Some(queue))
        .find_map(|event| (event.what == "leased").then_some(event.party.as_deref()).flatten());
    Some(say(stand, event, queue, holder.unwrap_or("somebody"), stored))
}

fn stand(event: &Event, queue: &QueueName, present: &Present) -> Option<Stand> {
    if present.holder(queue).is_some() {
        return Some(Stand::Leased);
    }
    let gone = present.gone.contains(queue);
    Some(match event.what.as_str() {
        "acked" => Stand::Done,
        "purged" | "dropped" => Stand::Dropped,
        // Its dead letters outlive a queue.
        "dead_lettered" => Stand::Dead,
        "stored" | "redriven" | "nacked" | "returned" | "leased" | "extended" if gone => Stand::Gone,
        "nacked" | "returned" => Stand::Failed,
        "stored" | "redriven" => Stand::Waiting,
        "leased" | "extended" if event.time_ms < present.started_ms => Stand::Restarted,
        "leased" | "extended" => Stand::Leased,
        _ => return None,
    })
}

fn say(stand: Stand, event: &Event, queue: &QueueName, holder: &str, stored: Position) -> Verdict {
    let attempt = event.attempt.map(|attempt| format!("attempt {attempt}")).unwrap_or_else(|| "the attempt".into());
    let why = event.detail.as_deref().unwrap_or("no reason was given");
    let again = format!("replay '>' --from {stored} -n 1");
    let take = format!("receive {}", word(name(queue)));
    let (said, next) = match stand {
        Stand::Dead => (format!("It is in the dead letters of {queue}: {why}."), format!("queue redrive {queue}")),
        Stand::Failed => (format!("It waits in {queue} to be delivered again; {attempt} ended: {why}."), look(queue)),
        Stand::Restarted => (
            format!(
                "It waits in {queue} to be delivered again: the hub started anew while {holder} had it, {attempt}."
            ),
            take,
        ),
        Stand::Waiting => (format!("It waits in {queue}; nobody has taken it yet."), take),
        Stand::Leased => (format!("{holder} has it from {queue}, {attempt}, and has not settled it."), look(queue)),
        Stand::Gone => (format!("It was removed together with {queue}."), again),
        Stand::Dropped => {
            let why = event.detail.as_deref().unwrap_or("the queue was purged");
            (format!("It was dropped from {queue}: {why}."), again)
        }
        Stand::Done => (format!("It is done: {holder} acked it, {attempt}."), again),
    };
    Verdict { said, next }
}

/// The command that shows what is in a queue.
fn look(queue: &QueueName) -> String {
    match Topic::agent_of(queue.as_str()) {
        Some(agent) => format!("inbox {agent}"),
        None => format!("queue peek {}", word(queue.as_str())),
    }
}

/// As `receive` wants it: of an inbox, the agent.
fn name(queue: &QueueName) -> &str {
    Topic::agent_of(queue.as_str()).unwrap_or(queue.as_str())
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
        let verdict = of(events, &Present::default()).unwrap();
        (verdict.said, verdict.next)
    }

    #[test]
    fn a_message_nobody_took_is_told_with_how_to_take_it() {
        let (said, next) = said(&[event("stored", "agent.bob.inbox", None, None)]);
        assert_eq!(said, "It waits in agent.bob.inbox; nobody has taken it yet.");
        assert_eq!(next, "receive bob");
    }

    #[test]
    fn a_message_that_is_done_is_told_with_who_did_it() {
        let events = [
            event("stored", "jobs", None, None),
            event("leased", "jobs", Some(1), None),
            event("acked", "jobs", Some(1), None),
        ];
        assert_eq!(said(&events).0, "It is done: agent/bob acked it, attempt 1.");
        assert_eq!(said(&events).1, "replay '>' --from 7 -n 1");
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
        assert_eq!(next, "queue redrive jobs");
    }

    #[test]
    fn a_redriven_message_waits_again() {
        let events = [event("dead_lettered", "jobs", Some(5), Some("x")), event("redriven", "jobs", None, None)];
        assert!(said(&events).0.starts_with("It waits in jobs"));
        assert_eq!(of(&[], &Present::default()), None);
    }

    #[test]
    fn what_became_of_a_dead_letter_counts_and_not_that_it_was_one() {
        let mut events =
            vec![event("dead_lettered", "jobs", Some(5), Some("x")), event("purged", "$dead.jobs", None, None)];
        assert_eq!(said(&events).0, "It was dropped from $dead.jobs: the queue was purged.");
        events.push(event("redriven", "jobs", None, None));
        assert!(said(&events).0.starts_with("It waits in jobs"));
    }

    #[test]
    fn no_lease_is_older_than_the_hub() {
        let events = [event("stored", "jobs", None, None), event("leased", "jobs", Some(1), None)];
        assert_eq!(said(&events).0, "agent/bob has it from jobs, attempt 1, and has not settled it.");
        assert_eq!(said(&events).1, "queue peek jobs");
        let said = of(&events, &Present { started_ms: 2, ..Present::default() }).unwrap();
        assert!(said.said.contains("the hub started anew while agent/bob had it, attempt 1"), "{said:?}");
        assert_eq!(said.next, "receive jobs");
    }

    #[test]
    fn who_has_it_now_counts_more_than_what_the_log_knows_yet() {
        let held = vec![("jobs".parse().unwrap(), 2, Holder { party: "agent/eve".into(), until_ms: 0 })];
        let events = [event("stored", "jobs", None, None), event("nacked", "jobs", Some(1), None)];
        let verdict = of(&events, &Present { held, ..Present::default() }).unwrap();
        assert_eq!(verdict.said, "agent/eve has it from jobs, attempt 2, for another 0 s, and has not settled it.");
        assert_eq!(verdict.next, "queue peek jobs");
    }

    #[test]
    fn what_went_with_its_queue_waits_nowhere() {
        let gone = Present { gone: vec!["jobs".parse().unwrap()], ..Present::default() };
        let events = [event("stored", "jobs", None, None)];
        assert_eq!(of(&events, &gone).unwrap().said, "It was removed together with jobs.");
        let dead = [event("dead_lettered", "jobs", Some(1), Some("x"))];
        assert!(of(&dead, &gone).unwrap().said.starts_with("It is in the dead letters"));
    }
}
