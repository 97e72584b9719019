//! What the agents say to each other: tasks, questions, results.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skep_protocol::{AgentId, Priority, QueueName, Topic, WorkspaceId};

use super::input::Input;
use super::statistics::Statistics;

/// The queue of tasks, and the topic that leads to it.
pub(super) const TASKS: &str = "demo.tasks";
/// Where the service is asked.
pub(super) const SERVICE: &str = "service.languages";
/// The workspace in which progress is told.
pub(super) const WORKSPACE: &str = "demo";
/// Where in it.
pub(super) const PROGRESS: &str = "workspace.demo.progress";
/// The agents that there is one of each.
pub(super) const COORDINATOR: &str = "coordinator";
pub(super) const LEDGER: &str = "ledger";
pub(super) const LANGUAGES: &str = "languages";

/// One in so many tasks is published over HTTP, the rest over WebSocket.
const HTTP_EVERY: u32 = 5;

/// Count this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// Its number, from 0; that of a result is the same.
    pub(super) number: u32,
    /// The file.
    pub(super) path: PathBuf,
}

/// A task, and how it is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) task: Task,
    pub(super) priority: Priority,
    pub(super) over_http: bool,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// The task's number.
    pub(super) number: u32,
    /// Which attempt it was.
    pub(super) attempt: u32,
    /// The statistics of its file.
    pub(super) statistics: Statistics,
}

/// What is asked of the service; its answer is a [`Language`](super::language::Language).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Question {
    /// The extension of a file's name; empty if it has none.
    pub(super) extension: String,
}

/// A file that no worker can ever count, and where in the order its task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Poison {
    pub(super) path: PathBuf,
    pub(super) place: usize,
}

/// Splits an input into tasks, in the order in which they are published. A file's number is its
/// place in the input; the poison has the number after the last.
pub(super) fn split(input: &Input, poison: Option<&Poison>) -> Vec<Planned> {
    let planned = |number: u32, path: PathBuf, bytes: u64| Planned {
        task: Task { number, path },
        priority: priority(bytes),
        over_http: number.is_multiple_of(HTTP_EVERY),
    };
    let files = input.files.iter().zip(0..);
    let mut tasks: Vec<Planned> =
        files.map(|(file, number)| planned(number, input.root.join(&file.path), file.bytes)).collect();
    if let Some(poison) = poison {
        let number = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let task = Planned { over_http: false, ..planned(number, poison.path.clone(), 0) };
        tasks.insert(poison.place.min(tasks.len()), task);
    }
    tasks
}

/// Small files first: their results come soon.
fn priority(bytes: u64) -> Priority {
    match bytes {
        0..1_024 => Priority::Critical,
        1_024..4_096 => Priority::High,
        4_096..16_384 => Priority::Normal,
        16_384..65_536 => Priority::Low,
        _ => Priority::Bulk,
    }
}

/// The extension by which the service knows a file.
pub(super) fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_owned()
}

/// A name of ours, as what it is.
pub(super) fn agent(id: &str) -> AgentId {
    AgentId::new(id).expect("the demo's agents have valid ids")
}

pub(super) fn topic(topic: &str) -> Topic {
    Topic::new(topic).expect("the demo's topics are valid")
}

pub(super) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("the demo's queues have valid names")
}

pub(super) fn workspace() -> WorkspaceId {
    WorkspaceId::new(WORKSPACE).expect("the demo's workspace has a valid id")
}

#[cfg(test)]
mod tests {
    use super::super::input::InputFile;
    use super::*;

    fn input(sizes: &[u64]) -> Input {
        let file = |(at, bytes): (usize, &u64)| InputFile { path: format!("f{at}.rs"), bytes: *bytes };
        let files = sizes.iter().enumerate().map(file).collect();
        Input { root: "/r".into(), files, cut: false }
    }

    #[test]
    fn every_file_is_one_task_with_a_priority_by_its_size() {
        let tasks = split(&input(&[10, 2_000, 10_000, 20_000, 70_000]), None);
        let priorities: Vec<Priority> = tasks.iter().map(|planned| planned.priority).collect();
        assert_eq!(priorities, Priority::ALL);
        let numbers: Vec<u32> = tasks.iter().map(|planned| planned.task.number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!(tasks[1].task.path, Path::new("/r/f1.rs"));
    }

    #[test]
    fn the_poison_stands_where_it_was_put_and_takes_no_files_number() {
        let poison = Poison { path: "/p".into(), place: 1 };
        let tasks = split(&input(&[1, 1, 1]), Some(&poison));
        let numbers: Vec<u32> = tasks.iter().map(|planned| planned.task.number).collect();
        assert_eq!(numbers, [0, 3, 1, 2]);
        assert_eq!(split(&input(&[1]), Some(&Poison { path: "/p".into(), place: 9 })).len(), 2);
    }

    #[test]
    fn some_tasks_go_over_http() {
        let tasks = split(&input(&[1; 11]), None);
        let http: Vec<u32> =
            tasks.iter().filter(|planned| planned.over_http).map(|planned| planned.task.number).collect();
        assert_eq!(http, [0, 5, 10]);
    }
}
