//! The cold verbs: queues and agents are declared, deleted and looked at.

use skep_protocol::{
    AgentId, Answer, Ask, Code, Command, Error, Filter, Page, QueueInfo, QueueName, QueueSpec, Status, Topic,
    WorkspaceId,
};

use crate::backend::{Changed, QueueCommand, Read, Seen};
use crate::clock::Now;
use crate::hub::Hub;
use crate::limits::{LOOK_MAX, METADATA_BYTES_MAX};
use crate::policy::{Action, Party};

/// Messages that a purge drops at a time.
const PURGE_PART: u32 = 8_192;

impl Hub {
    /// Runs a command. What it answers is durable.
    ///
    /// # Errors
    /// Why it was refused, or that its outcome is not known.
    pub async fn manage(&self, party: &Party, command: Command, now: Now) -> Result<Answer, Error> {
        self.policy.authorize(party, Action::Manage(&command))?;
        match command {
            Command::Declare(spec) => self.declare(spec.checked()?, now).await,
            Command::Delete { queue, force } => {
                check_name(&queue)?;
                self.change(QueueCommand::Delete(queue, force), now).await.map(done)
            }
            Command::Purge { queue } => self.purge(queue, now).await.map(Answer::Count),
            Command::PurgePicked { queue, pick } => self.purge_picked(queue, &pick, now).await.map(Answer::Picked),
            Command::RedrivePicked { queue, pick } => self.redrive_picked(queue, &pick, now).await.map(Answer::Picked),
            Command::Redrive { queue, limit } => self.change(QueueCommand::Redrive(queue, limit), now).await.map(count),
            Command::Register { agent, metadata } => self.register(&agent, &metadata, now).await,
            Command::Deregister { agent, force } => self.deregister(&agent, force, now).await,
            Command::Join { agent, workspace } => self.join(&agent, &workspace, true, now).await,
            Command::Leave { agent, workspace } => self.join(&agent, &workspace, false, now).await,
        }
    }

    /// Looks. Nothing is taken by looking.
    ///
    /// # Errors
    /// Why it was refused, or `not_found`.
    pub async fn look(&self, party: &Party, ask: Ask, now: Now) -> Result<Page, Error> {
        self.policy.authorize(party, Action::Look(&ask))?;
        let seen = match ask {
            Ask::Queues => return self.all_queues().await.map(Page::Queues),
            Ask::QueuesAfter { after, limit } => {
                let (queues, next) = self.queues_after(after, limit).await?;
                return Ok(Page::QueuesPart { queues, next });
            }
            Ask::Queue { queue } => return Ok(Page::Queues(vec![self.queue(&queue)?])),
            Ask::Peek { queue, limit, from } => {
                let seen = self.backend.read(Read::Peek(queue, from, limit.min(LOOK_MAX))).await;
                seen.map_err(|error| self.damaged_or(error))?
            }
            Ask::Replay { filter, from, limit } => {
                self.backend.read(Read::Replay(filter, from, limit.min(LOOK_MAX))).await?
            }
            Ask::Trace { message, search: None } => return self.history(message).await.map(Page::Trace),
            Ask::Trace { message, search: Some(search) } => {
                return self.search(message, search).await.map(Page::Traced);
            }
            Ask::Agents => return self.all_agents(now).await.map(Page::Agents),
            Ask::AgentsAfter { after, limit } => {
                let (agents, next) = self.agents_after(after, limit, now).await?;
                return Ok(Page::AgentsPart { agents, next });
            }
            Ask::Status => return self.status().await.map(Page::Status),
        };
        Ok(match seen {
            Seen::Queues(queues, next) => Page::QueuesPart { queues, next },
            Seen::Messages(messages, next) => Page::Messages { messages, next },
            Seen::Traced(..) => return Err(Error::new(Code::Internal, "the backend answered another question")),
        })
    }

    async fn declare(&self, spec: QueueSpec, now: Now) -> Result<Answer, Error> {
        check_name(&spec.name)?;
        if let Ok(agent) = AgentId::new(spec.name.as_str())
            && self.registry.is_known(agent.as_str())
        {
            return Err(Error::new(Code::NameTaken, format!("{agent} is an agent: choose another name for the queue")));
        }
        if let Some(filter) = spec.filters.iter().find(|filter| filter.as_str().starts_with('$')) {
            let text = format!("filter {filter}: what the hub publishes under $ cannot be held in a queue");
            return Err(Error::new(Code::Forbidden, text));
        }
        self.change(QueueCommand::Declare(spec), now).await.map(done)
    }

    async fn register(&self, agent: &AgentId, metadata: &str, now: Now) -> Result<Answer, Error> {
        check_metadata(metadata)?;
        if QueueName::new(agent.as_str()).is_ok_and(|queue| self.backend.info(&queue).is_some()) {
            return Err(Error::new(Code::NameTaken, format!("{agent} is a queue: choose another name for the agent")));
        }
        let inbox = QueueName::inbox(agent);
        let changed = self.backend.info(&inbox).is_none();
        // Known before it is: whoever asked may go in between, and the command is on its way all the same.
        self.registry.know(agent, None);
        if changed {
            let filters = vec![Filter::from(Topic::inbox(agent)), Filter::from(Topic::broadcast())];
            let spec = QueueSpec { filters, ..QueueSpec::new(inbox) };
            let declared = self.change(QueueCommand::Declare(spec), now).await;
            declared.inspect_err(|_| {
                self.registry.forget(agent);
            })?;
        }
        // What it said before needs no room, and is no reason to refuse it on a full disk.
        let said = self.facts.get(&metadata_key(agent)).await.ok().flatten();
        if said.is_some_and(|fact| fact.value == metadata.as_bytes()) {
            return Ok(Answer::Done { changed });
        }
        // The inbox first: an agent is known when its inbox exists, whatever is known of it besides.
        self.facts.put(&metadata_key(agent), metadata.as_bytes(), None, None, now).await?;
        // It was deregistered meanwhile: then what it says of itself came too late to be deleted.
        if !self.registry.is_known(agent.as_str()) {
            self.forget_facts(agent, now).await?;
        }
        Ok(Answer::Done { changed: true })
    }

    async fn deregister(&self, agent: &AgentId, force: bool, now: Now) -> Result<Answer, Error> {
        let inbox = QueueName::inbox(agent);
        if !self.registry.is_known(agent.as_str()) && self.backend.info(&inbox).is_none() {
            // What an earlier deregistration left that was cut short.
            self.forget_facts(agent, now).await?;
            return Err(self.unknown_agent(agent.as_str()));
        }
        // Forgotten before it is gone: whoever asked may go in between, and the command is on its way all the same.
        let last_seen_ms = self.registry.forget(agent);
        match self.change(QueueCommand::Delete(inbox.clone(), force), now).await {
            // Somebody else's was faster: gone it is.
            Err(error) if error.code == Code::UnknownQueue => {}
            Err(error) => {
                if self.backend.info(&inbox).is_some() {
                    self.registry.know(agent, last_seen_ms);
                }
                return Err(error);
            }
            Ok(_) => {}
        }
        self.forget_facts(agent, now).await?;
        Ok(Answer::Done { changed: true })
    }

    async fn forget_facts(&self, agent: &AgentId, now: Now) -> Result<(), Error> {
        self.facts.delete(&metadata_key(agent), now).await?;
        self.facts.delete(&crate::hub::seen_key(agent), now).await?;
        Ok(())
    }

    async fn join(&self, agent: &AgentId, workspace: &WorkspaceId, join: bool, now: Now) -> Result<Answer, Error> {
        let Some(inbox) = self.backend.info(&QueueName::inbox(agent)) else {
            return Err(self.unknown_agent(agent.as_str()));
        };
        let (filter, mut spec) = (workspace.filter(), inbox.spec);
        let changed = spec.filters.contains(&filter) != join;
        if changed {
            spec.filters.retain(|known| *known != filter);
            spec.filters.extend(join.then_some(filter));
            self.change(QueueCommand::Declare(spec.checked()?), now).await?;
        }
        Ok(Answer::Done { changed })
    }

    async fn status(&self) -> Result<Status, Error> {
        let (mut queues, mut messages) = (0, 0);
        self.each_queue(|queue| {
            queues += 1;
            messages += queue.held();
        })
        .await?;
        Ok(Status {
            hub: self.options.name.clone(),
            started_ms: self.registry.started().unix_ms,
            sessions: self.sessions(),
            agents: self.registry.known().len() as u64,
            queues,
            messages,
            not_ready: self.trouble().map(|error| error.to_string()),
            recovery: self.backend.recovery(),
        })
    }

    fn queue(&self, name: &QueueName) -> Result<QueueInfo, Error> {
        self.backend.info(name).ok_or_else(|| self.damaged_or(unknown_queue(name)))
    }

    /// Drops what a queue holds now and nobody works on, part by part: others have their turn in between.
    async fn purge(&self, queue: QueueName, now: Now) -> Result<u64, Error> {
        let info = self.queue(&queue)?;
        let (held, mut purged) = (info.ready + info.delayed, 0);
        loop {
            let part = self.change(QueueCommand::Purge(queue.clone(), PURGE_PART), now).await?.count;
            purged += part;
            if part < u64::from(PURGE_PART) || purged >= held {
                return Ok(purged);
            }
        }
    }

    async fn change(&self, command: QueueCommand, now: Now) -> Result<Changed, Error> {
        self.backend.manage(command, now).await
    }
}

/// The error of a queue that does not exist.
#[must_use]
pub fn unknown_queue(name: &QueueName) -> Error {
    let text = match (Topic::agent_of(name.as_str()), name.origin()) {
        (Some(agent), _) => format!("no agent {agent:?}, so no inbox. Add it: skep agents add {agent}"),
        // Nobody can add it.
        (None, Some(origin)) => format!(
            "no queue {:?}: it comes with the first dead letter of {origin}. Look whether there are any: skep queue show \
             {origin}, or GET /v1/queues/{origin}",
            name.as_str()
        ),
        (None, None) => format!("no queue {:?}. Add it: skep queue add {name}", name.as_str()),
    };
    Error::new(Code::UnknownQueue, text)
}

/// Names under the reserved roots are the hub's to give.
fn check_name(name: &QueueName) -> Result<(), Error> {
    let root = name.as_str().split('.').next().unwrap_or_default();
    if root.starts_with('$') || ["agent", "service", "workspace", "broadcast"].contains(&root) {
        let text = format!("queue name {name}: names that begin with {root} are the hub's own; choose another");
        return Err(Error::new(Code::InvalidName, text));
    }
    Ok(())
}

fn check_metadata(metadata: &str) -> Result<(), Error> {
    if metadata.len() > METADATA_BYTES_MAX {
        let text = format!("metadata has {} bytes; at most {METADATA_BYTES_MAX} are taken", metadata.len());
        return Err(Error::new(Code::TooLarge, text));
    }
    Ok(())
}

/// The fact that says what an agent says of itself.
pub(crate) fn metadata_key(agent: &AgentId) -> String {
    format!("agent.{agent}.metadata")
}

fn done(changed: Changed) -> Answer {
    Answer::Done { changed: changed.count > 0 }
}

fn count(changed: Changed) -> Answer {
    Answer::Count(changed.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_for_dead_letters_that_are_not_there_yet_is_not_told_to_add_their_queue() {
        let text = |name: &str| unknown_queue(&QueueName::new(name).unwrap()).text;
        let dead = text("$dead.jobs");
        assert!(dead.contains("first dead letter of jobs") && dead.contains("skep queue show jobs"), "{dead}");
        assert!(!dead.contains("queue add"), "{dead}");
        assert!(text("$dead.agent.bob.inbox").contains("first dead letter of agent.bob.inbox"));
        assert!(text("jobs").ends_with("skep queue add jobs"));
    }
}
