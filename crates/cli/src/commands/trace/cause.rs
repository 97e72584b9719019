//! Of many messages: why those that stand worst stand so, in one sentence, and what to run next.

use skep_client::Client;
use skep_protocol::{Ask, Behind, Consumers, Error, Fate, Page, QueueInfo, QueueName, Topic, Traced};

use super::verdict::{Takers, Verdict, due, has_expired, look, next, origin, place, why};
use crate::output::{counted, until, word};
use crate::receipt::presence;

/// The verdict on some messages, which may be not all that are meant; none on none.
pub(super) async fn of(client: &Client, found: &[Traced], is_all: bool) -> Result<Option<Verdict>, Error> {
    let Some(state) = found.iter().map(|traced| traced.state).min() else { return Ok(None) };
    let Some(last) = found.iter().rfind(|traced| traced.state == state) else { return Ok(None) };
    let alike = alike(found, last);
    let takers = takers_of(client, last).await;
    let said =
        say(state, last, &how_many(&alike, found.len(), is_all), takers.as_ref().map(|takers| takers.said.as_str()));
    let next = match (state, takers.and_then(|takers| takers.next)) {
        (_, Some(held_back)) => held_back,
        (Fate::Settled | Fate::Acked, None) => format!("trace {}", word(&last.id)),
        _ => next(last),
    };
    Ok(Some(Verdict { said, next }))
}

/// Why nobody takes a message that waits; none of one that does not, or if nothing is known.
pub(super) async fn takers_of(client: &Client, traced: &Traced) -> Option<Takers> {
    let queue = traced.queue.clone().filter(|_| traced.state == Fate::Waiting)?;
    if let Some(behind) = &traced.behind {
        return Some(held_by(&queue, behind, key(traced)));
    }
    // A queue that has gone meanwhile has no takers either.
    let Ok(Page::Queues(queues)) = client.query(Ask::Queue { queue }).await else { return None };
    takers(client, queues.first()).await
}

async fn takers(client: &Client, queue: Option<&QueueInfo>) -> Option<Takers> {
    let queue = queue?;
    if let Some(held_back) = held_back(queue) {
        return Some(held_back);
    }
    let said = if queue.consumers > 0 {
        // They may be busy, or wait for the one that is active.
        format!("{} attached", counted(queue.consumers, "consumer is", "consumers are"))
    } else if let Some(agent) = Topic::agent_of(queue.spec.name.as_str()) {
        let Ok(Page::Agents(agents)) = client.query(Ask::Agents).await else { return None };
        let info = agents.iter().find(|info| info.agent.as_str() == agent)?;
        match presence(info.connected, info.last_seen_ms).as_str() {
            "connected" => format!("{agent} is connected and does not receive"),
            seen => format!("{agent} is not here, {seen}"),
        }
    } else {
        "no consumer is attached".to_owned()
    };
    Some(Takers { said, next: None })
}

/// The one of its key that a message waits for, and what brings that one on.
fn held_by(queue: &QueueName, behind: &Behind, key: Option<&str>) -> Takers {
    let position = behind.position;
    let (said, next) = match &behind.holder {
        _ if behind.dead => {
            let of = key.map(|key| format!(" --key {}", word(key))).unwrap_or_default();
            let next = format!("queue redrive {}{of}", word(queue.as_str()));
            (format!("its key is parked behind the dead letter at position {position}"), next)
        }
        Some(holder) => {
            let (party, left) = (&holder.party, until(holder.until_ms));
            (format!("behind position {position} of the same key, leased to {party} for another {left}"), look(queue))
        }
        None => (format!("behind position {position} of the same key, which waits itself"), look(queue)),
    };
    Takers { said, next: Some(next) }
}

/// Its key, if it was asked for whole.
fn key(traced: &Traced) -> Option<&str> {
    traced.message.as_ref()?.view().text_attribute("partitionkey")
}

/// What stands before messages that nobody could take now.
fn held_back(queue: &QueueInfo) -> Option<Takers> {
    if queue.ready > 0 || queue.leased == 0 || queue.spec.consumers == Consumers::Shared {
        return None;
    }
    let said = "only one may take from it, and leases on it are open".to_owned();
    Some(Takers { said, next: Some(format!("queue show {}", word(queue.spec.name.as_str()))) })
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

fn say(state: Fate, last: &Traced, many: &str, takers: Option<&str>) -> String {
    let is =
        |one: &str, some: &str| if many == "The message" || many.starts_with("1 of") { one } else { some }.to_owned();
    let why = why(last);
    let because = if many == "The message" || many.starts_with("1 of") { ":" } else { ", the last one because:" };
    let queue = place(last);
    match state {
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
            format!("{many} {is} in {queue} to be delivered again{}; the last attempt ended: {why}.", due(last))
        }
        Fate::Waiting => {
            let takers = takers.unwrap_or("nobody has taken it yet");
            format!("{many} {} in {queue}: {takers}.", is("waits", "wait"))
        }
        Fate::Delayed => {
            let is = is("waits", "wait");
            format!("{many} {is} in {queue} for the moment that the sender named, the last one{}.", due(last))
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
    use super::super::verdict::tests::traced;
    use super::*;

    #[test]
    fn one_sentence_says_how_many_stand_so_and_why() {
        let dead = traced(Fate::Dead, "$dead.jobs", Some("no such customer"));
        let said = say(Fate::Dead, &dead, "2 of 5", None);
        assert_eq!(said, "2 of 5 are in the dead letters of jobs, the last one because: no such customer.");
        let waits = traced(Fate::Waiting, "agent.bob.inbox", None);
        let said = say(Fate::Waiting, &waits, "The message", Some("bob is not here, never connected"));
        assert_eq!(said, "The message waits in agent.bob.inbox: bob is not here, never connected.");
    }

    #[test]
    fn what_waits_for_another_of_its_key_is_not_to_be_received() {
        let queue = "jobs".parse().expect("a name");
        let behind = |dead, holder| Behind { position: skep_protocol::Position::Number(7), dead, holder };
        let parked = held_by(&queue, &behind(true, None), Some("a b"));
        assert_eq!(parked.said, "its key is parked behind the dead letter at position 7");
        assert_eq!(parked.next.as_deref(), Some("queue redrive jobs --key 'a b'"));
        let holder = Some(skep_protocol::Holder { party: "agent/eve".into(), until_ms: 0 });
        let leased = held_by(&queue, &behind(false, holder), None);
        assert_eq!(leased.said, "behind position 7 of the same key, leased to agent/eve for another 0 s");
        assert_eq!(leased.next.as_deref(), Some("queue peek jobs"));
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
