//! What to do about a topic that nobody took: what was probably meant, and the command that reaches somebody.

use std::collections::BTreeMap;

use super::Takers;
use crate::text::word;
use crate::{AgentId, Filter, QueueInfo, QueueName, WorkspaceId, nearest};

/// What a topic probably meant, by the queues that there are; none if a queue of its name is what is missing.
pub(super) fn meant(topic: &str, queues: &BTreeMap<QueueName, QueueInfo>) -> Option<Takers> {
    let filters: Vec<&Filter> = queues.values().flat_map(|info| &info.spec.filters).collect();
    let told = |said: String, next: String| Some(Takers { said, next: Some(next) });
    if AgentId::new(topic).is_ok_and(|agent| queues.contains_key(&QueueName::inbox(&agent))) {
        return told(format!("{topic} is an agent, and takes what is sent to it"), format!("send {topic} TEXT"));
    }
    if filters.iter().any(|filter| filter.matches(topic)) {
        return told(format!("a queue takes {topic} now"), format!("publish {} TEXT", word(topic)));
    }
    if let Some(workspace) = workspace(topic) {
        let said = format!("the workspace {workspace} takes the topics below it");
        return told(said, next(topic));
    }
    if is_reserved(topic) {
        return None;
    }
    if QueueName::new(topic).is_ok_and(|queue| queues.contains_key(&queue)) {
        return told(format!("the queue {topic} takes other topics"), format!("queue show {topic}"));
    }
    let literal = filters.into_iter().filter(|filter| filter.is_literal() && !is_reserved(filter.as_str()));
    let near = *nearest(topic, literal.map(Filter::as_str)).first()?;
    told(format!("by {topic} perhaps {near} was meant"), format!("publish {} TEXT", word(near)))
}

/// The command that takes a topic, or reaches who does, as far as the topic tells.
pub(super) fn next(topic: &str) -> String {
    match workspace(topic) {
        Some(_) => format!("publish {topic}.news TEXT"),
        // No queue can be called so.
        None if is_reserved(topic) || QueueName::new(topic).is_err() => format!("subscribe {}", word(topic)),
        None => format!("queue add {topic}"),
    }
}

/// The workspace whose bare name a topic is: what is said in it is said below.
fn workspace(topic: &str) -> Option<&str> {
    topic.strip_prefix("workspace.").filter(|rest| WorkspaceId::new(rest).is_ok())
}

/// Whether the hub keeps the names that begin so to itself.
fn is_reserved(topic: &str) -> bool {
    let root = topic.split('.').next().unwrap_or_default();
    root.starts_with('$') || ["agent", "service", "workspace", "broadcast"].contains(&root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueSpec;

    /// A hub with an agent and queues, each with its filters.
    fn queues() -> BTreeMap<QueueName, QueueInfo> {
        let all = [("agent.bob.inbox", "agent.bob.inbox"), ("jobs", "jobs"), ("images", "img.*"), ("old", "a.late")];
        let info = |(name, filter): (&str, &str)| {
            let name: QueueName = name.parse().unwrap();
            let spec = QueueSpec { filters: vec![filter.parse().unwrap()], ..QueueSpec::new(name.clone()) };
            let info = serde_json::json!({
                "spec": spec, "ready": 0, "leased": 0, "delayed": 0, "bytes": 0, "consumers": 0, "dead": 0,
            });
            (name, serde_json::from_value(info).unwrap())
        };
        all.map(info).into()
    }

    #[test]
    fn what_reached_nobody_is_told_with_a_command_that_is_not_refused() {
        for (topic, said, next) in [
            ("bob", "bob is an agent, and takes what is sent to it", "send bob TEXT"),
            ("workspace.docs", "the workspace docs takes the topics below it", "publish workspace.docs.news TEXT"),
            ("Jobs", "by Jobs perhaps jobs was meant", "publish jobs TEXT"),
            ("images", "the queue images takes other topics", "queue show images"),
            ("img.x", "a queue takes img.x now", "publish img.x TEXT"),
        ] {
            let meant = meant(topic, &queues()).unwrap();
            assert_eq!((meant.said.as_str(), meant.next.as_deref()), (said, Some(next)), "{topic}");
        }
        for (topic, expected) in [
            ("elsewhere", "queue add elsewhere"),
            ("service.sum", "subscribe service.sum"),
            ("workspace.docs.news", "subscribe workspace.docs.news"),
            ("broadcast", "subscribe broadcast"),
            ("é", "subscribe 'é'"),
        ] {
            assert_eq!((meant(topic, &queues()), next(topic).as_str()), (None, expected), "{topic}");
        }
    }
}
