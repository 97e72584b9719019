//! The verdict on one message.

use super::{Takers, Verdict, has_expired, look, origin, place, unmatched, why};
use crate::text::{left, word};
use crate::{Fate, QueueName, Topic, Traced, format_time, text};

/// The verdict on one message. `takers` says who might take it from its queue, if that is known.
pub(super) fn of(traced: &Traced, takers: Option<&Takers>, now_ms: u64) -> Verdict {
    let (queue, attempt) = (place(traced), attempt(traced));
    let who = holder(traced).unwrap_or("somebody");
    let why = why(traced);
    let said = match traced.state {
        Fate::Dead if has_expired(traced) => {
            format!(
                "It is in the dead letters of {}: it expired, and no redrive brings it back; send it again.",
                origin(traced)
            )
        }
        Fate::Dead => format!("It is in the dead letters of {}: {why}.", origin(traced)),
        Fate::Refused => format!("It was refused and is stored nowhere: {why}."),
        Fate::Unmatched => {
            let meant = takers.map(|takers| format!("; {}", takers.said)).unwrap_or_default();
            format!("It reached nobody: {why}{meant}.")
        }
        Fate::Dropped => format!("It was dropped: {why}."),
        Fate::Retrying if restarted(traced) => {
            format!("It waits in {queue} to be delivered again: the hub started anew while {who} had it, {attempt}.")
        }
        Fate::Retrying => {
            format!("It waits in {queue} to be delivered again{}; {attempt} ended: {why}.", due(traced, now_ms))
        }
        Fate::Waiting => {
            let takers = takers.map(|takers| format!(": {}", takers.said)).unwrap_or_default();
            format!("It waits in {queue}; nobody has taken it yet{takers}.")
        }
        Fate::Delayed => format!("It waits in {queue} for the moment that its sender named{}.", due(traced, now_ms)),
        Fate::Expired => {
            format!("It expired in {queue} before anybody was done with it, and {queue} drops what expires.")
        }
        Fate::Leased => match &traced.holder {
            Some(holder) => format!(
                "{} has it from {queue}, {attempt}, for another {}, and has not settled it.",
                holder.party,
                left(holder.until_ms, now_ms)
            ),
            None => format!("{who} has it from {queue}, {attempt}, and has not settled it."),
        },
        Fate::Removed => format!("It was removed together with {queue}."),
        Fate::Purged => format!("It was dropped from {queue} by a purge."),
        Fate::Settled => format!("{queue} holds it no more; what told how is of an age at which the log lets go."),
        Fate::Acked => match holder(traced) {
            Some(who) => format!("It is done: {who} acked it, {attempt}."),
            None => format!("It is done: it was acked, {attempt}."),
        },
    };
    let held_back = takers.and_then(|takers| takers.next.clone());
    Verdict { said, next: held_back.unwrap_or_else(|| next(traced)) }
}

/// The command that brings on a message that stands so.
pub(super) fn next(traced: &Traced) -> String {
    let again = || match traced.position {
        Some(stored) => format!("replay '>' --from {stored} -n 1"),
        None => "status".to_owned(),
    };
    let Some(queue) = &traced.queue else {
        let reason = traced.reason.as_deref().unwrap_or_default();
        if let Some(named) = named(reason).filter(|_| traced.state == Fate::Refused) {
            return named.to_owned();
        }
        return match (traced.state, traced.to.first()) {
            (Fate::Unmatched, Some(topic)) => unmatched::next(topic),
            // Somebody has to listen before it is asked again; where a reply goes nobody else can.
            (Fate::Refused, Some(topic)) if reason.starts_with("no_responders") && !Topic::is_reserved(topic) => {
                format!("subscribe {}", word(topic))
            }
            (Fate::Refused, _) if reason.starts_with("read_only") => "verify".to_owned(),
            (Fate::Refused, _) if reason.starts_with("unknown_agent") => "agents ls".to_owned(),
            (Fate::Refused, _) if reason.starts_with("queue_full") || reason.starts_with("no_queue") => {
                "queue ls".to_owned()
            }
            _ => again(),
        };
    };
    match traced.state {
        Fate::Dead if has_expired(traced) => look(queue),
        // Only this one: the others that died there are none of whose fate was asked.
        Fate::Dead if !traced.id.is_empty() => {
            format!("queue redrive {} --message {}", word(&origin(traced)), word(&traced.id))
        }
        Fate::Dead => redrivable(traced),
        Fate::Waiting => format!("receive {}", word(name(queue))),
        Fate::Retrying if restarted(traced) => format!("receive {}", word(name(queue))),
        Fate::Retrying | Fate::Leased | Fate::Delayed => look(queue),
        _ => again(),
    }
}

/// The command that shows which dead letters of its queue would go back, and moves none.
pub(super) fn redrivable(traced: &Traced) -> String {
    format!("queue redrive {} --dry-run", word(&origin(traced)))
}

/// The command that a refusal ends with: `Add it: skep agents add bob`. A name in it may be anybody's word, so only what a
/// shell takes as it stands is passed on.
fn named(reason: &str) -> Option<&str> {
    let (_, command) = reason.rsplit_once(": skep ")?;
    let is_plain = |word: &str| text::word(word) == word;
    command.split(' ').all(is_plain).then_some(command)
}

/// When it is due, if it waits for a moment.
pub(super) fn due(traced: &Traced, now_ms: u64) -> String {
    let due = |due_ms| format!(", due in {}, at {}", left(due_ms, now_ms), format_time(due_ms));
    traced.due_ms.map(due).unwrap_or_default()
}

/// Whether nothing but a new start of the hub ended the last attempt.
fn restarted(traced: &Traced) -> bool {
    traced.reason.as_deref() == Some("hub_restarted")
}

/// Who has it, or had it last in that queue.
fn holder(traced: &Traced) -> Option<&str> {
    let leased = traced.events.iter().rev().filter(|event| event.what == "leased" && event.queue == traced.queue);
    traced.holder.as_ref().map(|holder| holder.party.as_str()).or_else(|| {
        let mut parties = leased.filter_map(|event| event.party.as_deref());
        parties.next()
    })
}

fn attempt(traced: &Traced) -> String {
    if traced.attempts == 0 { "the attempt".into() } else { format!("attempt {}", traced.attempts) }
}

/// As `receive` wants it: of an inbox, the agent.
fn name(queue: &QueueName) -> &str {
    Topic::agent_of(queue.as_str()).unwrap_or(queue.as_str())
}

#[cfg(test)]
pub(super) mod tests {
    use crate::{Event, Holder, Position};

    use super::*;

    /// A message in a queue, tried once by bob.
    pub(in crate::verdict) fn traced(state: Fate, queue: &str, reason: Option<&str>) -> Traced {
        let queue: Option<QueueName> = queue.parse().ok();
        let leased = Event {
            time_ms: 1,
            position: Position::Number(8),
            what: "leased".into(),
            queue: queue.clone(),
            attempt: Some(1),
            party: Some("agent/bob".into()),
            detail: None,
        };
        Traced {
            id: "m-1".into(),
            position: Some(Position::Number(7)),
            time_ms: 1,
            conversation: "m-1".into(),
            kind: "task".into(),
            source: "agent/alice".into(),
            party: "agent/alice".into(),
            to: vec!["jobs".into()],
            state,
            state_ms: 1,
            queue,
            attempts: 1,
            reason: reason.map(Into::into),
            holder: None,
            message: None,
            events: vec![leased],
            due_ms: None,
            behind: None,
        }
    }

    fn said(traced: &Traced) -> (String, String) {
        let verdict = of(traced, None, 0);
        (verdict.said, verdict.next)
    }

    #[test]
    fn a_message_nobody_took_is_told_with_how_to_take_it() {
        let (said, next) = said(&traced(Fate::Waiting, "agent.bob.inbox", None));
        assert_eq!(said, "It waits in agent.bob.inbox; nobody has taken it yet.");
        assert_eq!(next, "receive bob");
    }

    #[test]
    fn a_message_nobody_can_take_is_told_with_why() {
        let waits = traced(Fate::Waiting, "jobs", None);
        let said = of(&waits, Some(&Takers { said: "no consumer is attached".into(), next: None }), 0).said;
        assert_eq!(said, "It waits in jobs; nobody has taken it yet: no consumer is attached.");
    }

    #[test]
    fn a_delayed_message_is_told_with_when_it_is_due() {
        let delayed = Traced { due_ms: Some(0), ..traced(Fate::Delayed, "jobs", None) };
        let (said, next) = said(&delayed);
        let expected = "It waits in jobs for the moment that its sender named, due in 0 s, at 1970-01-01T00:00:00Z.";
        assert_eq!((said.as_str(), next.as_str()), (expected, "queue peek jobs"));
        let again = Traced { due_ms: Some(0), ..traced(Fate::Retrying, "jobs", Some("busy")) };
        assert!(
            of(&again, None, 0).said.contains("to be delivered again, due in 0 s, at 1970-01-01T00:00:00Z; attempt 1")
        );
    }

    #[test]
    fn a_message_that_is_done_is_told_with_who_did_it() {
        let (said, next) = said(&traced(Fate::Acked, "jobs", None));
        assert_eq!(said, "It is done: agent/bob acked it, attempt 1.");
        assert_eq!(next, "replay '>' --from 7 -n 1");
        // A list does not tell what happened to each, and so not who did it.
        let listed = Traced { events: Vec::new(), ..traced(Fate::Acked, "jobs", None) };
        assert_eq!(of(&listed, None, 0).said, "It is done: it was acked, attempt 1.");
    }

    #[test]
    fn a_dead_letter_is_told_with_where_it_died_and_how_to_bring_it_back() {
        let (said, next) = said(&traced(Fate::Dead, "$dead.jobs", Some("no such customer")));
        assert_eq!(said, "It is in the dead letters of jobs: no such customer.");
        assert_eq!(next, "queue redrive jobs --message m-1");
        let unreadable = Traced { id: String::new(), ..traced(Fate::Dead, "$dead.jobs", Some("no")) };
        assert_eq!(self::said(&unreadable).1, "queue redrive jobs --dry-run");
    }

    #[test]
    fn an_expired_dead_letter_is_not_to_be_redriven() {
        let (said, next) = said(&traced(Fate::Dead, "$dead.jobs", Some("expired")));
        assert!(said.contains("it expired, and no redrive brings it back; send it again"), "{said}");
        assert_eq!(next, "queue peek '$dead.jobs'");
    }

    #[test]
    fn a_lease_that_ended_with_the_hub_is_told_so() {
        let (said, next) = said(&traced(Fate::Retrying, "jobs", Some("hub_restarted")));
        assert!(said.contains("the hub started anew while agent/bob had it, attempt 1"), "{said}");
        assert_eq!(next, "receive jobs");
    }

    #[test]
    fn who_has_it_is_told_with_until_when() {
        let holder = Some(Holder { party: "agent/eve".into(), until_ms: 0 });
        let (said, next) = said(&Traced { holder, attempts: 2, ..traced(Fate::Leased, "jobs", None) });
        assert_eq!(said, "agent/eve has it from jobs, attempt 2, for another 0 s, and has not settled it.");
        assert_eq!(next, "queue peek jobs");
    }

    #[test]
    fn what_was_refused_is_told_with_why() {
        let refused = Traced { queue: None, position: None, ..traced(Fate::Refused, "x", Some("forbidden: no")) };
        assert_eq!(said(&refused).0, "It was refused and is stored nowhere: forbidden: no.");
        assert_eq!(said(&refused).1, "status");
        let unmatched = Traced { queue: None, ..traced(Fate::Unmatched, "x", Some("no queue matched it")) };
        assert_eq!(said(&unmatched).1, "queue add jobs");
    }

    #[test]
    fn the_command_that_a_refusal_names_is_the_next_one() {
        let next = |reason| said(&Traced { queue: None, position: None, ..traced(Fate::Refused, "x", Some(reason)) }).1;
        assert_eq!(next("unknown_agent: no agent \"bob\". Add it: skep agents add bob"), "agents add bob");
        assert_eq!(next("no_queue: no durable queue takes jobs; add one: skep queue add jobs"), "queue add jobs");
        // What a shell would obey is nobody's advice.
        assert_eq!(next("forbidden: no: skep agents add bob; rm -r x"), "status");
        assert_eq!(next("read_only: damaged; see all of it with `skep verify`; restore it"), "verify");
        assert_eq!(next("queue_full: jobs holds 1 message"), "queue ls");
        assert_eq!(next("no_responders: nobody listens at jobs to answer this request"), "subscribe jobs");
    }
}
