//! Queues and agents, page by page: what one hold of a lock and one answer may ask is bounded.

use skep_protocol::{AgentId, AgentInfo, Code, Error, Filter, QueueInfo, QueueName, WorkspaceId};

use crate::backend::{Read, Seen};
use crate::clock::Now;
use crate::command::metadata_key;
use crate::hub::Hub;
use crate::limits::{LIST_BYTES_MAX, LIST_MAX, LIST_WHOLE_BYTES_MAX};

impl Hub {
    /// Queues behind one, by name, and behind which to go on.
    pub(crate) async fn queues_after(
        &self,
        after: Option<QueueName>,
        limit: u32,
    ) -> Result<(Vec<QueueInfo>, Option<QueueName>), Error> {
        match self.backend.read(Read::Queues(after, limit.clamp(1, LIST_MAX))).await? {
            Seen::Queues(queues, next) => Ok((queues, next)),
            _ => Err(Error::new(Code::Internal, "the backend answered another question")),
        }
    }

    /// Shows every queue once that is there all the while.
    pub(crate) async fn each_queue(&self, mut show: impl FnMut(QueueInfo) + Send) -> Result<(), Error> {
        let mut after = None;
        loop {
            let (queues, next) = self.queues_after(after, LIST_MAX).await?;
            queues.into_iter().for_each(&mut show);
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }

    pub(crate) async fn all_queues(&self) -> Result<Vec<QueueInfo>, Error> {
        let (mut all, mut bytes, mut after) = (Vec::new(), 0, None);
        loop {
            let (queues, next) = self.queues_after(after, LIST_MAX).await?;
            bytes += queues.iter().map(QueueInfo::bytes).sum::<usize>();
            check_whole(bytes, "queues")?;
            all.extend(queues);
            if next.is_none() {
                return Ok(all);
            }
            after = next;
        }
    }

    /// Agents behind one, by id, and behind which to go on.
    pub(crate) async fn agents_after(
        &self,
        after: Option<AgentId>,
        limit: u32,
        now: Now,
    ) -> Result<(Vec<AgentInfo>, Option<AgentId>), Error> {
        let limit = limit.clamp(1, LIST_MAX) as usize;
        // One more, to know whether there are more.
        let mut known = self.registry.known_after(after.as_ref(), limit + 1).into_iter().peekable();
        let (mut agents, mut bytes, mut last) = (Vec::new(), 0, None);
        for agent in known.by_ref().take(limit) {
            last = Some(agent.clone());
            let Some(info) = self.agent(agent, now).await else { continue };
            bytes += info.bytes();
            agents.push(info);
            if bytes >= LIST_BYTES_MAX {
                break;
            }
        }
        Ok((agents, known.peek().and(last)))
    }

    pub(crate) async fn all_agents(&self, now: Now) -> Result<Vec<AgentInfo>, Error> {
        let (mut all, mut bytes, mut after) = (Vec::new(), 0, None);
        loop {
            let (agents, next) = self.agents_after(after, LIST_MAX, now).await?;
            bytes += agents.iter().map(AgentInfo::bytes).sum::<usize>();
            check_whole(bytes, "agents")?;
            all.extend(agents);
            if next.is_none() {
                return Ok(all);
            }
            after = next;
        }
    }

    /// A known agent; none if it has no inbox any more.
    async fn agent(&self, agent: AgentId, now: Now) -> Option<AgentInfo> {
        let inbox = self.backend.info(&QueueName::inbox(&agent))?;
        let fact = self.facts.get(&metadata_key(&agent)).await.ok().flatten();
        let metadata = fact.and_then(|fact| String::from_utf8(fact.value).ok()).unwrap_or_else(|| "{}".into());
        let waiting = inbox.held();
        let seen = self.registry.recipient(&agent, waiting, now);
        let workspaces = inbox.spec.filters.iter().filter_map(workspace_of).collect();
        let (connected, last_seen_ms) = (seen.connected, seen.last_seen_ms);
        Some(AgentInfo { agent, metadata, connected, last_seen_ms, waiting, workspaces })
    }
}

/// Checks that all of them fit into one answer.
fn check_whole(bytes: usize, what: &str) -> Result<(), Error> {
    if bytes <= LIST_WHOLE_BYTES_MAX {
        return Ok(());
    }
    let text = format!(
        "the {what} take more than {LIST_WHOLE_BYTES_MAX} bytes, the most that is shown at once; ask for them page by \
         page: {what}_after, or GET /v1/{what}?after="
    );
    Err(Error::new(Code::TooLarge, text))
}

fn workspace_of(filter: &Filter) -> Option<WorkspaceId> {
    let id = filter.as_str().strip_prefix("workspace.")?.strip_suffix(".>")?;
    WorkspaceId::new(id).ok()
}
