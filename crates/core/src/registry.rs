//! Which agents are known, and which are here. To be known is durable (the inbox exists);
//! to be here is not: for a minute after its start the hub says that it cannot know.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use skep_protocol::{AgentId, Recipient, nearest};

use crate::clock::Now;
use crate::limits::PRESENCE_UNKNOWN_MS;

/// Agents of which is kept at once when they were last seen.
const UNKEPT_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Registry {
    agents: RwLock<BTreeMap<AgentId, Presence>>,
    started: Now,
}

#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    known: bool,
    sessions: u32,
    last_seen_ms: Option<u64>,
    /// When it was last seen is not yet kept as a fact.
    unkept: bool,
}

impl Registry {
    pub(crate) fn new(started: Now) -> Self {
        Registry { agents: RwLock::default(), started }
    }

    pub(crate) fn started(&self) -> Now {
        self.started
    }

    /// An agent is known from now on.
    pub(crate) fn know(&self, agent: &AgentId, last_seen_ms: Option<u64>) {
        self.change(agent, |presence| {
            presence.known = true;
            presence.last_seen_ms = presence.last_seen_ms.or(last_seen_ms);
        });
    }

    /// An agent is known no more. Answers when it was last seen, for who may have to take that back.
    pub(crate) fn forget(&self, agent: &AgentId) -> Option<u64> {
        self.change(agent, |presence| {
            presence.known = false;
            presence.last_seen_ms
        })
    }

    /// A session acts as an agent from now on.
    pub(crate) fn arrive(&self, agent: &AgentId, now: Now) {
        self.change(agent, |presence| {
            presence.sessions += 1;
            presence.last_seen_ms = Some(now.unix_ms);
        });
    }

    /// And no more.
    pub(crate) fn leave(&self, agent: &AgentId, now: Now) {
        self.change(agent, |presence| {
            presence.sessions = presence.sessions.saturating_sub(1);
            presence.last_seen_ms = Some(now.unix_ms);
            presence.unkept = presence.known;
        });
    }

    pub(crate) fn is_known(&self, agent: &str) -> bool {
        self.read(|agents| agents.get(agent).is_some_and(|presence| presence.known))
    }

    pub(crate) fn known(&self) -> Vec<AgentId> {
        self.read(|agents| {
            agents.iter().filter(|(_, presence)| presence.known).map(|(agent, _)| agent.clone()).collect()
        })
    }

    /// Known agents behind one, by id, at most so many.
    pub(crate) fn known_after(&self, after: Option<&AgentId>, limit: usize) -> Vec<AgentId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|agents| {
            let behind = agents.range::<AgentId, _>((from, Bound::Unbounded)).filter(|(_, presence)| presence.known);
            behind.take(limit).map(|(agent, _)| agent.clone()).collect()
        })
    }

    /// When agents that left were last seen, to be kept as facts; each is told once, unless it was not kept.
    pub(crate) fn take_unkept(&self) -> Vec<(AgentId, u64)> {
        if self.read(|agents| !agents.values().any(|presence| presence.unkept)) {
            return Vec::new();
        }
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        let take = |(agent, presence): (&AgentId, &mut Presence)| {
            std::mem::take(&mut presence.unkept).then_some(())?;
            Some((agent.clone(), presence.last_seen_ms?))
        };
        agents.iter_mut().filter_map(take).take(UNKEPT_MAX).collect()
    }

    /// When an agent was last seen could not be kept; it is told again.
    pub(crate) fn not_kept(&self, agent: &AgentId) {
        self.change(agent, |presence| presence.unkept = presence.known);
    }

    /// An agent as a receipt shows it.
    pub(crate) fn recipient(&self, agent: &AgentId, waiting: u64, now: Now) -> Recipient {
        let presence = self.read(|agents| agents.get(agent).copied()).unwrap_or_default();
        let early = now.mono_ms.saturating_sub(self.started.mono_ms) < PRESENCE_UNKNOWN_MS;
        let connected = match presence.sessions {
            // An agent that never was here cannot come back: only for one seen before the start nobody knows yet.
            0 if early && presence.last_seen_ms.is_some_and(|seen| seen < self.started.unix_ms) => None,
            sessions => Some(sessions > 0),
        };
        Recipient { agent: agent.clone(), waiting, connected, last_seen_ms: presence.last_seen_ms }
    }

    /// The known agent whose name is nearest to a name that is not known, if one is near.
    pub(crate) fn nearest(&self, name: &str) -> Option<AgentId> {
        let known = self.known();
        nearest(name, known.iter().map(AgentId::as_str)).first().and_then(|near| AgentId::new(near).ok())
    }

    fn change<T>(&self, agent: &AgentId, change: impl FnOnce(&mut Presence) -> T) -> T {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        let presence = agents.entry(agent.clone()).or_default();
        let changed = change(presence);
        // Of agents that never registered nothing is kept once they are gone.
        if !presence.known && presence.sessions == 0 {
            agents.remove(agent);
        }
        changed
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<AgentId, Presence>) -> T) -> T {
        look(&self.agents.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentId {
        AgentId::new(name).unwrap()
    }

    fn at(ms: u64) -> Now {
        Now { mono_ms: ms, unix_ms: 1_000_000 + ms }
    }

    #[test]
    fn the_nearest_known_name_is_offered_and_a_far_one_is_not() {
        let registry = Registry::new(at(0));
        registry.know(&agent("coder-1"), None);
        registry.know(&agent("reviewer"), None);
        assert_eq!(registry.nearest("codr-1"), Some(agent("coder-1")));
        assert_eq!(registry.nearest("zzz"), None);
    }

    #[test]
    fn presence_is_unknown_for_a_minute_of_who_was_seen_before_the_start() {
        let registry = Registry::new(at(0));
        registry.know(&agent("bob"), Some(5));
        registry.know(&agent("eve"), None);
        assert_eq!(registry.recipient(&agent("bob"), 1, at(10)).connected, None);
        assert_eq!(registry.recipient(&agent("eve"), 1, at(10)).connected, Some(false));
        assert_eq!(registry.recipient(&agent("bob"), 1, at(PRESENCE_UNKNOWN_MS)).connected, Some(false));
        registry.arrive(&agent("bob"), at(20));
        assert_eq!(registry.recipient(&agent("bob"), 1, at(30)).connected, Some(true));
        registry.leave(&agent("bob"), at(40));
        assert_eq!(registry.recipient(&agent("bob"), 1, at(50)).last_seen_ms, Some(1_000_040));
    }
}
