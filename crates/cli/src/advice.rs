//! Refusals in the words of who typed the command: what was probably meant, and what to type next.
//!
//! The hub speaks to programs in every language; of a command line more is known: which word was
//! typed, and as what. So a refusal that hangs on a name is told again here, after a look at the
//! names that there are.

use skep_client::{Client, Error};
use skep_protocol::{AgentId, Ask, Code, Filter, Page, QueueInfo, QueueName, Topic, nearest};

use crate::context::{Context, Global};
use crate::output::counted;

/// What a command named, as what.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named<'a> {
    Queue(&'a QueueName),
    Agent(&'a AgentId),
    /// A queue, to remove it.
    GoneQueue(&'a QueueName),
    /// An agent, to remove it.
    GoneAgent(&'a AgentId),
    /// A queue, else an agent.
    Either(&'a QueueName),
    Topic(&'a Topic),
}

/// Waits for the hub's word about what was named; a refusal is told with what to type next.
pub(crate) async fn advised<T>(
    context: &Context,
    client: &Client,
    named: Named<'_>,
    word: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match word.await {
        Err(error) => Err(advise(context, client, named, error).await),
        done => done,
    }
}

/// The refusal, told again if more can be said of it.
pub(crate) async fn advise(context: &Context, client: &Client, named: Named<'_>, error: Error) -> Error {
    let hangs_on_a_name = [Code::UnknownQueue, Code::UnknownAgent, Code::NoQueue, Code::NoResponders, Code::InUse];
    if !hangs_on_a_name.contains(&error.code) {
        return error;
    }
    // A hub that cannot be asked has at least said something itself.
    let Ok(Page::Queues(queues)) = client.query(Ask::Queues).await else { return error };
    let text = Names { queues: &queues, global: context.global() }.tell(error.code, named);
    // An agent that nobody knows is told by one code, whether one wrote to it or looked into its inbox.
    let code =
        if error.code == Code::UnknownQueue && named.may_be_an_agent() { Code::UnknownAgent } else { error.code };
    Error { code, text: text.unwrap_or(error.text), ..error }
}

impl Named<'_> {
    fn may_be_an_agent(self) -> bool {
        match self {
            Named::Agent(_) | Named::GoneAgent(_) => true,
            Named::Either(name) => AgentId::new(name.as_str()).is_ok(),
            Named::Queue(name) | Named::GoneQueue(name) => Topic::agent_of(name.as_str()).is_some(),
            Named::Topic(_) => false,
        }
    }
}

/// What was probably meant by a topic that nobody takes; none if nothing is near.
pub(crate) async fn near_topic(client: &Client, topic: &str) -> Option<String> {
    let Ok(Page::Queues(queues)) = client.query(Ask::Queues).await else { return None };
    let filters = queues.iter().flat_map(|info| &info.spec.filters).filter(|filter| filter.is_literal());
    let filters: Vec<&str> = filters.map(Filter::as_str).collect();
    // What there is was not mistyped.
    if filters.contains(&topic) { None } else { did_you_mean(topic, filters.into_iter()) }
}

/// That nobody has a name, agent, queue or topic, and what was probably meant by it; none if somebody has it, or that is not known.
pub(crate) async fn unknown_receiver(client: &Client, name: &str) -> Option<String> {
    let Ok(Page::Queues(queues)) = client.query(Ask::Queues).await else { return None };
    let takes = |filter: &Filter| filter.matches(name);
    if queues.iter().any(|info| info.spec.filters.iter().any(takes)) {
        return None;
    }
    let known = queues.iter().flat_map(|info| {
        let filters = info.spec.filters.iter().filter(|filter| filter.is_literal()).map(Filter::as_str);
        let queue = info.spec.name.as_str();
        filters.chain([queue]).map(|name| Topic::agent_of(name).unwrap_or(name)).chain([queue])
    });
    let known: Vec<&str> = known.collect();
    if known.contains(&name) {
        return None;
    }
    let near = did_you_mean(name, known.into_iter().filter(|name| !name.starts_with('$')));
    let text = format!("no agent and no queue is called {name:?}, and none takes that topic.");
    Some(near.map_or(text.clone(), |near| format!("{text} {near}")))
}

/// That no agent is called so, of somebody from whom nothing came; none if one is, or that is not known. A source is free
/// text, so only what could be an agent's name is spoken of as one.
pub(crate) async fn unknown_sender(client: &Client, name: &str) -> Option<String> {
    AgentId::new(name).ok()?;
    let Ok(Page::Queues(queues)) = client.query(Ask::Queues).await else { return None };
    let agents: Vec<&str> = queues.iter().filter_map(|info| Topic::agent_of(info.spec.name.as_str())).collect();
    if agents.contains(&name) {
        return None;
    }
    let text = format!("no agent is called {name:?}.");
    let near = did_you_mean(name, agents.into_iter());
    Some(near.map_or(text.clone(), |near| format!("{text} {near}")))
}

/// The names that there are.
struct Names<'a> {
    queues: &'a [QueueInfo],
    global: &'a Global,
}

impl Names<'_> {
    fn tell(&self, code: Code, named: Named<'_>) -> Option<String> {
        Some(match (code, named) {
            (Code::UnknownQueue, Named::Queue(name)) => self.no_queue(name),
            (Code::UnknownQueue, Named::GoneQueue(name)) => {
                self.nothing_to_remove("queue", name.as_str(), self.queue_names())
            }
            (Code::UnknownQueue | Code::UnknownAgent, Named::GoneAgent(agent)) => {
                self.nothing_to_remove("agent", agent.as_str(), self.agents())
            }
            (Code::UnknownQueue, Named::Either(name)) => self.neither(name),
            (Code::UnknownQueue | Code::UnknownAgent, Named::Agent(agent)) => self.no_agent(agent),
            (Code::UnknownAgent, Named::Topic(topic)) => self.no_agent(&agent_of(topic.as_str())?),
            (Code::NoResponders, Named::Topic(topic)) if !topic.as_str().starts_with('$') => self.nobody_answers(topic),
            (Code::NoQueue, Named::Topic(topic)) => self.no_taker(topic),
            (Code::InUse, Named::Queue(name) | Named::GoneQueue(name)) => {
                self.in_use(self.info(name)?, &format!("queue rm {name} --force"))
            }
            (Code::InUse, Named::Agent(agent) | Named::GoneAgent(agent)) => {
                self.in_use(self.info(&QueueName::inbox(agent))?, &format!("agents rm {agent} --force"))
            }
            _ => return None,
        })
    }

    /// Nobody wants to add what was to be removed.
    fn nothing_to_remove<'n>(&self, what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
        let list = self.global.command(if what == "agent" { "agents ls" } else { "queue ls" });
        format!("no {what} {name:?}. {}: {list}", or_else(did_you_mean(name, known), "see which there are"))
    }

    fn no_queue(&self, name: &QueueName) -> String {
        if let Some(origin) = name.origin() {
            return match self.info(&origin) {
                Some(_) => format!("{origin} has no dead letters yet; {name} comes with the first"),
                None => format!("no dead letters: {}", self.no_queue(&origin)),
            };
        }
        if let Some(agent) = agent_of(name.as_str()) {
            return self.no_agent(&agent);
        }
        if let Some(inbox) = AgentId::new(name.as_str()).ok().map(|agent| QueueName::inbox(&agent))
            && self.info(&inbox).is_some()
        {
            return format!("{:?} is an agent, not a queue; its inbox is the queue {inbox}", name.as_str());
        }
        let near = did_you_mean(name.as_str(), self.queue_names());
        let add = self.global.command(&format!("queue add {name}"));
        if near.is_none() && self.queue_names().next().is_some() {
            let list = self.global.command("queue ls");
            return format!("no queue {:?}. See which there are: {list}; or add it: {add}", name.as_str());
        }
        format!("no queue {:?}. {}: {add}", name.as_str(), or_else(near, "add it"))
    }

    fn no_agent(&self, agent: &AgentId) -> String {
        let queue = QueueName::new(agent.as_str()).ok();
        if let Some(info) = queue.and_then(|queue| self.info(&queue)) {
            let topic = info.spec.filters.iter().find(|filter| filter.is_literal());
            let filters: Vec<&str> = info.spec.filters.iter().map(Filter::as_str).collect();
            let words = match topic {
                Some(topic) => format!("publish {topic} TEXT"),
                None => format!("publish TOPIC TEXT, with a topic that matches {}", filters.join(" or ")),
            };
            let name = agent.as_str();
            return format!("{name:?} is a queue, not an agent. Publish to it: {}", self.global.command(&words));
        }
        let near = did_you_mean(agent.as_str(), self.agents());
        let add = self.global.command(&format!("agents add {agent}"));
        format!("no agent {:?}. {}: {add}", agent.as_str(), or_else(near, "add it"))
    }

    fn neither(&self, name: &QueueName) -> String {
        let Ok(agent) = AgentId::new(name.as_str()) else { return self.no_queue(name) };
        let near = did_you_mean(name.as_str(), self.queue_names().chain(self.agents()));
        let queue = self.global.command(&format!("queue add {name}"));
        let agent = self.global.command(&format!("agents add {agent}"));
        format!("no queue and no agent {:?}. {}: {queue}, or {agent}", name.as_str(), or_else(near, "add it"))
    }

    fn nobody_answers(&self, topic: &Topic) -> String {
        let text = format!("nobody listens at {topic} to answer");
        if AgentId::new(topic.as_str()).is_err() {
            return format!("{text}. Listen there: {}", self.global.command(&format!("subscribe {topic}")));
        }
        let near = did_you_mean(topic.as_str(), self.agents());
        let list = self.global.command("agents ls");
        format!(
            "{text}, and there is no agent {:?} either. {}: {list}",
            topic.as_str(),
            or_else(near, "see who is here")
        )
    }

    fn no_taker(&self, topic: &Topic) -> String {
        let filters = self.queues.iter().flat_map(|info| &info.spec.filters).filter(|filter| filter.is_literal());
        let near = did_you_mean(topic.as_str(), filters.map(Filter::as_str));
        let add = self.global.command(&format!("queue add {topic}"));
        format!("no durable queue takes {topic}, as the guarantee wants. {}: {add}", or_else(near, "add one"))
    }

    fn in_use(&self, info: &QueueInfo, remove: &str) -> String {
        let messages = counted(info.ready + info.leased + info.delayed, "message", "messages");
        let consumers = counted(info.consumers, "consumer", "consumers");
        let (name, remove) = (&info.spec.name, self.global.command(remove));
        format!("queue {name} holds {messages} and has {consumers}. To remove it and lose what it holds: {remove}")
    }

    fn info(&self, name: &QueueName) -> Option<&QueueInfo> {
        self.queues.iter().find(|info| info.spec.name == *name)
    }

    /// Inboxes and dead letters go by other names.
    fn queue_names(&self) -> impl Iterator<Item = &str> {
        let names = self.queues.iter().map(|info| info.spec.name.as_str());
        names.filter(|name| !name.starts_with('$') && Topic::agent_of(name).is_none())
    }

    fn agents(&self) -> impl Iterator<Item = &str> {
        self.queues.iter().filter_map(|info| Topic::agent_of(info.spec.name.as_str()))
    }
}

fn agent_of(topic: &str) -> Option<AgentId> {
    Topic::agent_of(topic).and_then(|agent| AgentId::new(agent).ok())
}

/// `Did you mean "jobs" or "job-2"?`
fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let near: Vec<String> = nearest(name, known).iter().map(|near| format!("{near:?}")).collect();
    (!near.is_empty()).then(|| format!("Did you mean {}?", near.join(" or ")))
}

/// What was probably meant goes first; to add what was mistyped helps nobody.
fn or_else(near: Option<String>, otherwise: &str) -> String {
    match near {
        Some(near) => format!("{near} Else {otherwise}"),
        None => {
            let mut letters = otherwise.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

#[cfg(test)]
mod tests;
