//! What passes between the demo and its agents beside the hub, one JSON value a line: orders on an
//! agent's standard input, reports on its standard output. It is how the demo watches; the work
//! itself passes through the hub alone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::collector::Verdict;
use super::input::Input;
use super::task::{Counted, Poison};

/// What an agent is told. When its standard input ends without [`Stop`](Order::Stop), so does the agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// To the coordinator: split this, and publish the tasks.
    Split {
        input: Input,
        poison: Option<Poison>,
        /// So many tasks are published a second time, as by one who did not hear the receipt.
        resends: u32,
    },
    /// To a worker that holds a task: go on with it.
    GoOn,
    /// To everyone: take leave of the hub, and end.
    Stop,
}

/// What an agent tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// It is attached, and what it needs is declared.
    Ready,
    /// The coordinator has the receipt of a task.
    Published { number: u32, message: String, over_http: bool, duplicate: bool },
    /// A result reached the coordinator or the ledger.
    Effect(Effect),
    /// The coordinator heard that the hub gave up on one of its messages.
    Dead { message: String, reason: String, attempts: u32 },
    /// The coordinator heard so many progress messages until now: live, and in its inbox.
    Heard { live: u64, kept: u64 },
    /// A worker begins a task, and how the attempt before ended, if there was one.
    Begun { number: u32, attempt: u32, previous: Option<String> },
    /// A worker holds a task, and waits for an order or its end.
    Held { message: String, path: PathBuf, attempt: u32 },
    /// A worker's hand-over was confirmed.
    Settled { duplicate: bool, asked_us: u64 },
    /// It was not, or the task failed: the hub gives it to somebody again.
    Unsettled { why: String },
    /// The service answered so many questions, and so many answers reached nobody.
    Answered { count: u64, unheard: u64 },
    /// The agent cannot go on.
    Failed { why: String },
}

/// A result that reached whom it was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Effect {
    /// The id of the message that brought it.
    pub(super) message: String,
    /// Whether it came before.
    pub(super) verdict: Verdict,
    /// From the task's publish to here, in microseconds, where that is known.
    pub(super) latency_us: Option<u64>,
    /// The result.
    pub(super) counted: Counted,
}
