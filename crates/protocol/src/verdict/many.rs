//! The verdict on many messages: why those that stand worst stand so.

use super::one::{due, next};
use super::{Takers, Verdict, has_expired, origin, place, why};
use crate::text::word;
use crate::{Fate, Traced};

/// The verdict on some messages, which may be not all that are meant, of which one stands worst.
pub(super) fn of(found: &[Traced], worst: &Traced, is_all: bool, takers: Option<Takers>, now_ms: u64) -> Verdict {
    let alike = alike(found, worst);
    let many = how_many(&alike, found.len(), is_all);
    let said = say(worst, &many, takers.as_ref().map(|takers| takers.said.as_str()), now_ms);
    let next = match (worst.state, takers.and_then(|takers| takers.next)) {
        (_, Some(held_back)) => held_back,
        (Fate::Settled | Fate::Acked, None) => format!("trace {}", word(&worst.id)),
        _ => next(worst),
    };
    Verdict { said, next }
}

/// Those that stand where another does: only of them is the sentence true. What is done is done anywhere.
fn alike<'a>(found: &'a [Traced], last: &Traced) -> Vec<&'a Traced> {
    let anywhere = last.state == Fate::Acked;
    found.iter().filter(|one| one.state == last.state && (anywhere || one.queue == last.queue)).collect()
}

fn how_many(alike: &[&Traced], shown: usize, is_all: bool) -> String {
    match alike.len() {
        1 if shown == 1 && is_all => "The message".into(),
        some if !is_all => format!("{some} of the {shown} shown"),
        some if some == shown => format!("All {shown}"),
        some => format!("{some} of {shown}"),
    }
}

fn say(last: &Traced, many: &str, takers: Option<&str>, now_ms: u64) -> String {
    let is =
        |one: &str, some: &str| if many == "The message" || many.starts_with("1 of") { one } else { some }.to_owned();
    let why = why(last);
    let because = if many == "The message" || many.starts_with("1 of") { ":" } else { ", the last one because:" };
    let queue = place(last);
    match last.state {
        Fate::Dead if has_expired(last) => {
            let of = origin(last);
            let last = if because == ":" { "it" } else { "the last one" };
            format!(
                "{many} {} in the dead letters of {of}; {last} expired, and no redrive brings it back: send it again.",
                is("is", "are")
            )
        }
        Fate::Dead => {
            let of = origin(last);
            format!("{many} {} in the dead letters of {of}{because} {why}.", is("is", "are"))
        }
        Fate::Refused => format!("{many} {} refused and stored nowhere{because} {why}.", is("was", "were")),
        Fate::Unmatched => format!("{many} reached nobody: {why}."),
        Fate::Dropped => format!("{many} {} dropped: {why}.", is("was", "were")),
        Fate::Retrying => {
            let is = is("waits", "wait");
            format!("{many} {is} in {queue} to be delivered again{}; the last attempt ended: {why}.", due(last, now_ms))
        }
        Fate::Waiting => {
            let takers = takers.unwrap_or("nobody has taken it yet");
            format!("{many} {} in {queue}: {takers}.", is("waits", "wait"))
        }
        Fate::Delayed => {
            let is = is("waits", "wait");
            format!("{many} {is} in {queue} for the moment that the sender named, the last one{}.", due(last, now_ms))
        }
        Fate::Expired => format!("{many} expired in {queue}, which drops what expires."),
        Fate::Leased => {
            let who = last.holder.as_ref().map_or("somebody", |holder| &holder.party);
            format!("{many} {} with consumers and not settled, the last one with {who}.", is("is", "are"))
        }
        Fate::Removed => format!("{many} went with {queue}, which was deleted."),
        Fate::Purged => format!("{many} {} dropped from {queue} by a purge.", is("was", "were")),
        Fate::Settled => format!("{many} left {queue}; what told how is of an age at which the log lets go."),
        Fate::Acked => format!("{many} {} done.", is("is", "are")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::one::tests::traced;
    use super::*;

    #[test]
    fn one_sentence_says_how_many_stand_so_and_why() {
        let dead = traced(Fate::Dead, "$dead.jobs", Some("no such customer"));
        let said = say(&dead, "2 of 5", None, 0);
        assert_eq!(said, "2 of 5 are in the dead letters of jobs, the last one because: no such customer.");
        let waits = traced(Fate::Waiting, "agent.bob.inbox", None);
        let said = say(&waits, "The message", Some("bob is not here, never connected"), 0);
        assert_eq!(said, "The message waits in agent.bob.inbox: bob is not here, never connected.");
    }

    #[test]
    fn those_that_wait_elsewhere_are_not_counted() {
        let [here, there] = ["agent.bob.inbox", "agent.eve.inbox"].map(|queue| traced(Fate::Waiting, queue, None));
        let found = [there, traced(Fate::Acked, "agent.bob.inbox", None), here];
        assert_eq!(how_many(&alike(&found, &found[2]), found.len(), true), "1 of 3");
    }

    #[test]
    fn how_many_are_meant_is_said_as_one_says_it() {
        let one = traced(Fate::Acked, "jobs", None);
        assert_eq!(how_many(&[&one], 1, true), "The message");
        assert_eq!(how_many(&[&one, &one], 2, true), "All 2");
        assert_eq!(how_many(&[&one], 2, true), "1 of 2");
        assert_eq!(how_many(&[&one, &one], 2, false), "2 of the 2 shown");
    }
}
