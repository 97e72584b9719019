//! Of many messages: why those that stand worst stand so, in one sentence, and what to run next.

use skep_client::Client;
use skep_protocol::{Ask, Error, Fate, Page, QueueInfo, Topic, Traced};

use super::verdict::{Verdict, due, next, origin, place, why};
use crate::output::{counted, word};
use crate::receipt::presence;

/// The verdict on some messages; none on none.
pub(super) async fn of(client: &Client, found: &[Traced]) -> Result<Option<Verdict>, Error> {
    let Some(state) = found.iter().map(|traced| traced.state).min() else { return Ok(None) };
    let Some(last) = found.iter().rfind(|traced| traced.state == state) else { return Ok(None) };
    let alike = alike(found, last);
    let takers = takers_of(client, last).await;
    let said = say(state, last, &how_many(&alike, found.len()), takers.as_deref());
    Ok(Some(Verdict {
        said,
        next: if state == Fate::Acked { format!("trace {}", word(&last.id)) } else { next(last) },
    }))
}

/// Why nobody takes a message that waits; none of one that does not, or if nothing is known.
pub(super) async fn takers_of(client: &Client, traced: &Traced) -> Option<String> {
    let queue = traced.queue.clone().filter(|_| traced.state == Fate::Waiting)?;
    // A queue that has gone meanwhile has no takers either.
    let Ok(Page::Queues(queues)) = client.query(Ask::Queue { queue }).await else { return None };
    takers(client, queues.first()).await
}

async fn takers(client: &Client, queue: Option<&QueueInfo>) -> Option<String> {
    let queue = queue?;
    if queue.consumers > 0 {
        let consumers = counted(queue.consumers, "consumer is", "consumers are");
        return Some(format!("{consumers} attached and takes no more just now"));
    }
    let agent = Topic::agent_of(queue.spec.name.as_str());
    let Some(agent) = agent else { return Some("no consumer is attached".into()) };
    let Ok(Page::Agents(agents)) = client.query(Ask::Agents).await else { return None };
    let info = agents.iter().find(|info| info.agent.as_str() == agent)?;
    Some(match presence(info.connected, info.last_seen_ms).as_str() {
        "connected" => format!("{agent} is connected and does not receive"),
        seen => format!("{agent} is not here, {seen}"),
    })
}

/// Those that stand where another does: only of them is the sentence true.
fn alike<'a>(found: &'a [Traced], last: &Traced) -> Vec<&'a Traced> {
    found.iter().filter(|traced| (traced.state, &traced.queue) == (last.state, &last.queue)).collect()
}

fn how_many(alike: &[&Traced], all: usize) -> String {
    match (alike.len(), all) {
        (1, 1) => "The message".into(),
        (some, all) if some == all => format!("All {all}"),
        (some, all) => format!("{some} of {all}"),
    }
}

fn say(state: Fate, last: &Traced, many: &str, takers: Option<&str>) -> String {
    let is =
        |one: &str, some: &str| if many == "The message" || many.starts_with("1 of") { one } else { some }.to_owned();
    let why = why(last);
    let because = if many == "The message" || many.starts_with("1 of") { ":" } else { ", the last one because:" };
    let queue = place(last);
    match state {
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
    fn those_that_wait_elsewhere_are_not_counted() {
        let [here, there] = ["agent.bob.inbox", "agent.eve.inbox"].map(|queue| traced(Fate::Waiting, queue, None));
        let found = [there, traced(Fate::Acked, "agent.bob.inbox", None), here];
        assert_eq!(how_many(&alike(&found, &found[2]), found.len()), "1 of 3");
    }

    #[test]
    fn how_many_are_meant_is_said_as_one_says_it() {
        let one = traced(Fate::Acked, "jobs", None);
        assert_eq!(how_many(&[&one], 1), "The message");
        assert_eq!(how_many(&[&one, &one], 2), "All 2");
        assert_eq!(how_many(&[&one], 2), "1 of 2");
    }
}
