//! Who might take what waits: what must be asked of the hub to say so, and what it answered.

use std::collections::{BTreeMap, BTreeSet};

use super::{Takers, Verdict, look, many, one, one_at_a_time, unmatched};
use crate::text::{counted, left, presence, word};
use crate::{AgentId, AgentInfo, Ask, Behind, Consumers, Fate, Page, QueueInfo, QueueName, Stored, Topic, Traced};

/// Messages of a queue among which those under a lease are looked for.
const LOOK: u32 = 100;

/// Questions to the hub about messages, at most three for each queue they wait in, and which queues there are where
/// one reached nobody; then the verdicts on them.
///
/// Whoever has a hub to ask asks what [`ask`](Self::ask) names, until it names nothing more, and
/// lets it [`learn`](Self::learn) what is answered. What the hub refuses to tell is left unsaid.
#[derive(Clone, Debug)]
pub struct Inquiry {
    now_ms: u64,
    asks: Vec<Ask>,
    /// The queues in which some of the messages wait.
    waited_in: BTreeSet<QueueName>,
    queues: BTreeMap<QueueName, QueueInfo>,
    agents: BTreeMap<AgentId, AgentInfo>,
    /// The queue whose messages were asked for last.
    looked_into: Option<QueueName>,
    /// The first messages of queues that one consumer reads at a time.
    seen: BTreeMap<QueueName, Vec<Stored>>,
}

impl Inquiry {
    /// About these messages, at a moment in unix milliseconds.
    pub fn about<'a>(messages: impl IntoIterator<Item = &'a Traced>, now_ms: u64) -> Self {
        let waits = |traced: &&Traced| traced.state == Fate::Waiting && traced.behind.is_none();
        let mut reached_nobody = false;
        let messages = messages.into_iter().inspect(|traced| reached_nobody |= traced.state == Fate::Unmatched);
        let queues = messages.filter(waits).filter_map(|traced| traced.queue.clone());
        let queues: BTreeSet<QueueName> = queues.collect();
        let mut asks: Vec<Ask> = queues.iter().map(|queue| Ask::Queue { queue: queue.clone() }).collect();
        if reached_nobody {
            asks.insert(0, Ask::Queues);
        }
        Inquiry {
            now_ms,
            asks,
            waited_in: queues,
            queues: BTreeMap::new(),
            agents: BTreeMap::new(),
            looked_into: None,
            seen: BTreeMap::new(),
        }
    }

    /// What to ask next; none if all is asked.
    pub fn ask(&mut self) -> Option<Ask> {
        let ask = self.asks.pop();
        if let Some(Ask::Peek { queue, .. }) = &ask {
            self.looked_into = Some(queue.clone());
        }
        ask
    }

    /// What the hub answered.
    pub fn learn(&mut self, page: Page) {
        match page {
            Page::Queues(queues) => queues.into_iter().for_each(|queue| self.learn_queue(queue)),
            Page::AgentsPart { agents, .. } => {
                self.agents.extend(agents.into_iter().map(|info| (info.agent.clone(), info)));
            }
            Page::Messages { messages, .. } => {
                self.seen.extend(self.looked_into.take().map(|queue| (queue, messages)));
            }
            _ => {}
        }
    }

    fn learn_queue(&mut self, queue: QueueInfo) {
        let name = &queue.spec.name;
        // Once is enough.
        let is_news = self.waited_in.contains(name) && !self.queues.contains_key(name);
        let agent = Topic::agent_of(name.as_str()).filter(|_| is_news && queue.consumers == 0);
        if let Some(agent) = agent.and_then(|agent| AgentId::new(agent).ok()) {
            // A page of one, which begins with this agent.
            self.asks.push(Ask::AgentsAfter { after: agent.before(), limit: 1 });
        }
        if is_news && queue.spec.consumers != Consumers::Shared && queue.leased > 0 {
            self.asks.push(Ask::Peek { queue: name.clone(), limit: LOOK, from: None });
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

    /// Why nobody takes a message that waits, or what one meant that reached nobody; none of others, or if nothing is
    /// known.
    fn takers(&self, traced: &Traced) -> Option<Takers> {
        if traced.state == Fate::Unmatched {
            return unmatched::meant(traced.to.first()?, &self.queues);
        }
        let queue = traced.queue.as_ref().filter(|_| traced.state == Fate::Waiting)?;
        if let Some(behind) = &traced.behind {
            return Some(held_by(queue, behind, key(traced), self.now_ms));
        }
        // A queue that has gone meanwhile has no takers either.
        let info = self.queues.get(queue)?;
        if let Some(held_back) = held_back(info, self.seen.get(queue).map_or(&[], Vec::as_slice), self.now_ms) {
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

/// What stands before messages that nobody could take now: the lease of somebody who is not the one that reads.
fn held_back(queue: &QueueInfo, messages: &[Stored], now_ms: u64) -> Option<Takers> {
    if queue.leased == 0 || queue.spec.consumers == Consumers::Shared {
        return None;
    }
    let mut holders = messages.iter().filter_map(|stored| stored.holder.as_ref());
    let is_gone = queue.consumers == 0 || holders.any(|holder| queue.active.as_ref() != Some(&holder.party));
    (is_gone || queue.ready == 0)
        .then(|| Takers { said: one_at_a_time(messages, now_ms), next: Some(look(&queue.spec.name)) })
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
    fn what_the_lease_of_one_who_has_gone_keeps_back_is_not_to_be_received() {
        let waits = [traced(Fate::Waiting, "e9", None)];
        let mut inquiry = Inquiry::about(&waits, 5_000);
        let queue: QueueName = "e9".parse().unwrap();
        assert_eq!(inquiry.ask(), Some(Ask::Queue { queue: queue.clone() }));
        let spec = QueueSpec { consumers: Consumers::Exclusive, ..QueueSpec::new(queue.clone()) };
        let info = serde_json::json!({
            "spec": spec, "ready": 1, "leased": 1, "delayed": 0, "bytes": 9, "consumers": 0, "dead": 0,
        });
        inquiry.learn(Page::Queues(vec![serde_json::from_value(info).unwrap()]));
        assert_eq!(inquiry.ask(), Some(Ask::Peek { queue, limit: LOOK, from: None }));
        let message = crate::Message::build(&"m-0".parse().unwrap(), "agent/alice", "t").finish().unwrap();
        let stored = serde_json::json!({
            "position": 3, "time_ms": 1, "attempts": 1, "message": message,
            "holder": Holder { party: "agent/eve".into(), until_ms: 9_000 },
        });
        inquiry.learn(Page::Messages { messages: vec![serde_json::from_value(stored).unwrap()], next: None });
        assert_eq!(inquiry.ask(), None);
        let verdict = inquiry.of(&waits[0]);
        let said = "one consumer at a time reads it, and the lease of agent/eve on position 3 keeps it for another 4 s, \
                    unless it is settled";
        assert_eq!(verdict.said, format!("It waits in e9; nobody has taken it yet: {said}."));
        assert_eq!(verdict.next, "queue peek e9");
    }

    #[test]
    fn what_reached_nobody_is_asked_about_once_and_no_agent_for_it() {
        let lost = Traced { queue: None, to: vec!["bob".into()], ..traced(Fate::Unmatched, "x", Some("no queue")) };
        let found = [lost.clone(), lost];
        let mut inquiry = Inquiry::about(&found, 0);
        assert_eq!((inquiry.ask(), inquiry.ask()), (Some(Ask::Queues), None));
        let inbox: QueueName = "agent.bob.inbox".parse().unwrap();
        let info = serde_json::json!({
            "spec": QueueSpec::new(inbox), "ready": 0, "leased": 0, "delayed": 0, "bytes": 0, "consumers": 0, "dead": 0,
        });
        inquiry.learn(Page::Queues(vec![serde_json::from_value(info).unwrap()]));
        assert_eq!(inquiry.ask(), None);
        let said = "reached nobody: no queue; bob is an agent, and takes what is sent to it.";
        for (how, verdict) in [("It", inquiry.of(&found[0])), ("All 2", inquiry.of_many(&found, true).unwrap())] {
            assert_eq!((verdict.said, verdict.next.as_str()), (format!("{how} {said}"), "send bob TEXT"));
        }
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
