//! Who might take what waits: what must be asked of the hub to say so, and what it answered.

use std::collections::{BTreeMap, BTreeSet};

use super::{Takers, Verdict, look, many, one};
use crate::text::{counted, left, presence, word};
use crate::{AgentId, AgentInfo, Ask, Behind, Consumers, Fate, Page, QueueInfo, QueueName, Topic, Traced};

/// Questions to the hub about messages, at most two for each queue they wait in; then the verdicts on them.
///
/// Whoever has a hub to ask asks what [`ask`](Self::ask) names, until it names nothing more, and
/// lets it [`learn`](Self::learn) what is answered. What the hub refuses to tell is left unsaid.
#[derive(Clone, Debug)]
pub struct Inquiry {
    now_ms: u64,
    asks: Vec<Ask>,
    queues: BTreeMap<QueueName, QueueInfo>,
    agents: BTreeMap<AgentId, AgentInfo>,
}

impl Inquiry {
    /// About these messages, at a moment in unix milliseconds.
    pub fn about<'a>(messages: impl IntoIterator<Item = &'a Traced>, now_ms: u64) -> Self {
        let waits = |traced: &&Traced| traced.state == Fate::Waiting && traced.behind.is_none();
        let queues = messages.into_iter().filter(waits).filter_map(|traced| traced.queue.clone());
        let queues: BTreeSet<QueueName> = queues.collect();
        let asks = queues.into_iter().map(|queue| Ask::Queue { queue }).collect();
        Inquiry { now_ms, asks, queues: BTreeMap::new(), agents: BTreeMap::new() }
    }

    /// What to ask next; none if all is asked.
    pub fn ask(&mut self) -> Option<Ask> {
        self.asks.pop()
    }

    /// What the hub answered.
    pub fn learn(&mut self, page: Page) {
        match page {
            Page::Queues(queues) => queues.into_iter().for_each(|queue| self.learn_queue(queue)),
            Page::AgentsPart { agents, .. } => {
                self.agents.extend(agents.into_iter().map(|info| (info.agent.clone(), info)));
            }
            _ => {}
        }
    }

    fn learn_queue(&mut self, queue: QueueInfo) {
        let agent = Topic::agent_of(queue.spec.name.as_str()).filter(|_| queue.consumers == 0);
        if let Some(agent) = agent.and_then(|agent| AgentId::new(agent).ok()) {
            // A page of one, which begins with this agent.
            self.asks.push(Ask::AgentsAfter { after: agent.before(), limit: 1 });
        }
        self.queues.insert(queue.spec.name.clone(), queue);
    }

    /// How one message stands.
    #[must_use]
    pub fn of(&self, traced: &Traced) -> Verdict {
        one::of(traced, self.takers(traced).as_ref(), self.now_ms)
    }

    /// How messages of one id stand; none on none.
    #[must_use]
    pub fn of_same_id(&self, messages: &[Traced]) -> Option<Verdict> {
        let worst = super::worst(messages)?;
        let verdict = self.of(worst);
        if messages.len() == 1 {
            return Some(verdict);
        }
        let said = verdict.said.strip_prefix("It ").map_or(verdict.said.clone(), |said| format!("it {said}"));
        let (count, who) = (messages.len(), super::sender(worst));
        let said = format!("Of {count} messages with this id, that from {who} stands worst: {said}");
        Some(Verdict { said, ..verdict })
    }

    /// How those stand that stand worst of some messages, which may be not all that are meant; none on none.
    #[must_use]
    pub fn of_many(&self, found: &[Traced], is_all: bool) -> Option<Verdict> {
        let worst = super::worst(found)?;
        Some(many::of(found, worst, is_all, self.takers(worst), self.now_ms))
    }

    /// Why nobody takes a message that waits; none of one that does not, or if nothing is known.
    fn takers(&self, traced: &Traced) -> Option<Takers> {
        let queue = traced.queue.as_ref().filter(|_| traced.state == Fate::Waiting)?;
        if let Some(behind) = &traced.behind {
            return Some(held_by(queue, behind, key(traced), self.now_ms));
        }
        // A queue that has gone meanwhile has no takers either.
        let info = self.queues.get(queue)?;
        if let Some(held_back) = held_back(info) {
            return Some(held_back);
        }
        let said = if info.consumers > 0 {
            // They may be busy, or wait for the one that is active.
            format!("{} attached", counted(info.consumers, "consumer is", "consumers are"))
        } else if let Some(agent) = Topic::agent_of(queue.as_str()) {
            let info = self.agents.get(&AgentId::new(agent).ok()?)?;
            match presence(info.connected, info.last_seen_ms, self.now_ms).as_str() {
                "connected" => format!("{agent} is connected and does not receive"),
                seen => format!("{agent} is not here, {seen}"),
            }
        } else {
            "no consumer is attached".to_owned()
        };
        Some(Takers { said, next: None })
    }
}

/// The one of its key that a message waits for, and what brings that one on.
fn held_by(queue: &QueueName, behind: &Behind, key: Option<&str>, now_ms: u64) -> Takers {
    let position = behind.position;
    let (said, next) = match &behind.holder {
        _ if behind.dead => {
            let of = key.map(|key| format!(" --key {}", word(key))).unwrap_or_default();
            let next = format!("queue redrive {}{of}", word(queue.as_str()));
            (format!("its key is parked behind the dead letter at position {position}"), next)
        }
        Some(holder) => {
            let (party, left) = (&holder.party, left(holder.until_ms, now_ms));
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

#[cfg(test)]
mod tests {
    use super::super::one::tests::traced;
    use super::*;
    use crate::{Holder, Position, QueueSpec};

    #[test]
    fn what_waits_for_another_of_its_key_is_not_to_be_received() {
        let queue = "jobs".parse().expect("a name");
        let behind = |dead, holder| Behind { position: Position::Number(7), dead, holder };
        let parked = held_by(&queue, &behind(true, None), Some("a b"), 0);
        assert_eq!(parked.said, "its key is parked behind the dead letter at position 7");
        assert_eq!(parked.next.as_deref(), Some("queue redrive jobs --key 'a b'"));
        let holder = Some(Holder { party: "agent/eve".into(), until_ms: 9_000 });
        let leased = held_by(&queue, &behind(false, holder), None, 5_000);
        assert_eq!(leased.said, "behind position 7 of the same key, leased to agent/eve for another 4 s");
        assert_eq!(leased.next.as_deref(), Some("queue peek jobs"));
    }

    #[test]
    fn each_queue_is_asked_about_once_and_of_an_inbox_without_consumers_its_agent() {
        let waits = |queue| traced(Fate::Waiting, queue, None);
        let found = [waits("agent.bob.inbox"), waits("agent.bob.inbox"), traced(Fate::Acked, "jobs", None)];
        let mut inquiry = Inquiry::about(&found, 60_000);
        let queue: QueueName = "agent.bob.inbox".parse().unwrap();
        assert_eq!(inquiry.ask(), Some(Ask::Queue { queue: queue.clone() }));
        assert_eq!(inquiry.ask(), None);
        assert_eq!(inquiry.of(&found[0]).said, "It waits in agent.bob.inbox; nobody has taken it yet.");
        let info = serde_json::json!({
            "spec": QueueSpec::new(queue), "ready": 2, "leased": 0, "delayed": 0, "bytes": 9, "consumers": 0, "dead": 0,
        });
        inquiry.learn(Page::Queues(vec![serde_json::from_value(info).unwrap()]));
        let bob: AgentId = "bob".parse().unwrap();
        assert_eq!(inquiry.ask(), Some(Ask::AgentsAfter { after: bob.before(), limit: 1 }));
        let info = AgentInfo {
            agent: bob,
            metadata: "{}".into(),
            connected: Some(false),
            last_seen_ms: Some(1),
            waiting: 2,
            workspaces: Vec::new(),
        };
        inquiry.learn(Page::AgentsPart { agents: vec![info], next: None });
        let said = "bob is not here, last seen 59 s ago";
        let one = inquiry.of(&found[0]);
        assert_eq!(one.said, format!("It waits in agent.bob.inbox; nobody has taken it yet: {said}."));
        let many = inquiry.of_many(&found, true).unwrap();
        assert_eq!(many.said, format!("2 of 3 wait in agent.bob.inbox: {said}."));
        assert_eq!((one.next.as_str(), many.next.as_str()), ("receive bob", "receive bob"));
    }

    #[test]
    fn of_several_messages_of_one_id_the_worst_is_told_and_by_whom_it_was_sent() {
        let [dead, acked] = [(Fate::Dead, "$dead.jobs"), (Fate::Acked, "jobs")].map(|(f, q)| traced(f, q, Some("no")));
        let found = [dead, acked];
        let said = Inquiry::about(&found, 0).of_same_id(&found).unwrap().said;
        let end = "that from alice stands worst: it is in the dead letters of jobs: no.";
        assert_eq!(said, format!("Of 2 messages with this id, {end}"));
        assert_eq!(Inquiry::about(&[], 0).of_same_id(&[]), None);
    }
}
