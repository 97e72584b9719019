//! The verdict on many messages: why those that stand worst stand so.

use std::collections::BTreeSet;

use super::one::{due, next, redrivable};
use super::{Takers, Verdict, has_expired, origin, place, why};
use crate::text::word;
use crate::{Fate, QueueName, Traced};

/// The verdict on some messages, which may be not all that are meant, of which one stands worst.
pub(super) fn of(found: &[Traced], worst: &Traced, is_all: bool, takers: Option<Takers>, now_ms: u64) -> Verdict {
    let alike = alike(found, worst);
    let many = how_many(&alike, found.len(), is_all);
    let said = say(worst, &many, &Places::of(&alike), takers.as_ref().map(|takers| takers.said.as_str()), now_ms);
    let next = match (worst.state, takers.and_then(|takers| takers.next)) {
        (_, Some(held_back)) => held_back,
        (Fate::Dead, None) if alike.len() > 1 && !has_expired(worst) => redrivable(worst),
        (Fate::Settled | Fate::Acked, None) => format!("trace {}", word(&worst.id)),
        _ => next(worst),
    };
    Verdict { said, next }
}

/// Those that stand as another does, wherever that is: only of them is the sentence true.
fn alike<'a>(found: &'a [Traced], last: &Traced) -> Vec<&'a Traced> {
    found.iter().filter(|one| one.state == last.state).collect()
}

/// In how many queues some messages stand; the queue is named only if it is one.
struct Places(usize);

impl Places {
    fn of(alike: &[&Traced]) -> Self {
        let queues: BTreeSet<Option<&QueueName>> = alike.iter().map(|traced| traced.queue.as_ref()).collect();
        Places(queues.len())
    }

    /// What one calls the place, if that is one for all.
    fn name(&self, one: String) -> String {
        if self.0 > 1 { format!("{} queues", self.0) } else { one }
    }

    /// Which of them is spoken of, where it is said of the last message only.
    fn last(&self, one: &str) -> String {
        if self.0 > 1 { format!(", the last one in {one}") } else { String::new() }
    }
}

fn how_many(alike: &[&Traced], shown: usize, is_all: bool) -> String {
    match alike.len() {
        1 if shown == 1 && is_all => "The message".into(),
        some if !is_all => format!("{some} of the {shown} shown"),
        some if some == shown => format!("All {shown}"),
        some => format!("{some} of {shown}"),
    }
}

fn say(last: &Traced, many: &str, places: &Places, takers: Option<&str>, now_ms: u64) -> String {
    let is =
        |one: &str, some: &str| if many == "The message" || many.starts_with("1 of") { one } else { some }.to_owned();
    let why = why(last);
    let because = if many == "The message" || many.starts_with("1 of") { ":" } else { ", the last one because:" };
    let queue = places.name(place(last));
    match last.state {
        Fate::Dead if has_expired(last) => {
            let of = places.name(origin(last));
            let last = if because == ":" { "it" } else { "the last one" };
            format!(
                "{many} {} in the dead letters of {of}; {last} expired, and no redrive brings it back: send it again.",
                is("is", "are")
            )
        }
        Fate::Dead => {
            let of = places.name(origin(last));
            format!("{many} {} in the dead letters of {of}{because} {why}.", is("is", "are"))
        }
        Fate::Refused => format!("{many} {} refused and stored nowhere{because} {why}.", is("was", "were")),
        Fate::Unmatched => {
            let meant = takers.map(|said| format!("; {said}")).unwrap_or_default();
            format!("{many} reached nobody: {why}{meant}.")
        }
        Fate::Dropped => format!("{many} {} dropped: {why}.", is("was", "were")),
        Fate::Retrying => {
            let is = is("waits", "wait");
            format!("{many} {is} in {queue} to be delivered again{}; the last attempt ended: {why}.", due(last, now_ms))
        }
        Fate::Waiting => {
            let takers = takers.unwrap_or("nobody has taken it yet");
            let which = places.last(&place(last));
            format!("{many} {} in {queue}{which}: {takers}.", is("waits", "wait"))
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
        let said = say(&dead, "2 of 5", &Places(1), None, 0);
        assert_eq!(said, "2 of 5 are in the dead letters of jobs, the last one because: no such customer.");
        let waits = traced(Fate::Waiting, "agent.bob.inbox", None);
        let said = say(&waits, "The message", &Places(1), Some("bob is not here, never connected"), 0);
        assert_eq!(said, "The message waits in agent.bob.inbox: bob is not here, never connected.");
    }

    #[test]
    fn those_that_stand_alike_are_counted_wherever_that_is_and_a_queue_is_named_only_if_it_is_one() {
        let [here, there] = ["agent.bob.inbox", "agent.eve.inbox"].map(|queue| traced(Fate::Waiting, queue, None));
        let found = [there, traced(Fate::Acked, "agent.bob.inbox", None), here];
        let verdict = of(&found, &found[2], true, None, 0);
        let said = "2 of 3 wait in 2 queues, the last one in agent.bob.inbox: nobody has taken it yet.";
        assert_eq!((verdict.said.as_str(), verdict.next.as_str()), (said, "receive bob"));
        let all = of(&found[1..], &found[2], true, None, 0).said;
        assert_eq!(all, "1 of 2 waits in agent.bob.inbox: nobody has taken it yet.");
    }

    #[test]
    fn of_several_dead_letters_it_is_first_said_which_would_go_back_and_of_one_only_that_one_goes() {
        let dead = |id: &str, queue| Traced { id: id.into(), ..traced(Fate::Dead, queue, Some("no")) };
        let found = [dead("a", "$dead.jobs"), dead("b", "$dead.jobs"), traced(Fate::Acked, "jobs", None)];
        let verdict = of(&found, &found[1], true, None, 0);
        assert_eq!(verdict.said, "2 of 3 are in the dead letters of jobs, the last one because: no.");
        assert_eq!(verdict.next, "queue redrive jobs --dry-run");
        assert_eq!(of(&found[1..], &found[1], true, None, 0).next, "queue redrive jobs --message b");
        let apart = [dead("a", "$dead.jobs"), dead("b", "$dead.images")];
        let said = of(&apart, &apart[1], true, None, 0).said;
        assert_eq!(said, "All 2 are in the dead letters of 2 queues, the last one because: no.");
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
