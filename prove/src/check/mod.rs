//! The promises, each as a pure function from a history to what breaks it.

mod acked;
mod atomic;
mod attempts;
mod books;
mod fencing;
mod loss;
mod order;
mod phantom;
mod position;
mod sums;
mod taken;

#[cfg(test)]
mod story;

use serde::Serialize;

pub(crate) use books::Books;

use crate::limits::{EXCERPT_LINES_MAX, TOLD_MAX};

/// What is known of a run beside its history.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// How often the hub died without closing in order, or was closed.
    pub(crate) restarts: u64,
}

/// A promise that was broken, and the lines of the history that show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    pub(crate) what: String,
    pub(crate) lines: Vec<String>,
}

/// What a checker found.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    /// What was promised.
    pub(crate) promise: &'static str,
    pub(crate) violations_total: usize,
    /// The first few.
    pub(crate) violations: Vec<Violation>,
}

/// A checker: what breaks its promise in these books.
type Check = fn(&Books<'_>, Facts) -> Vec<Violation>;

const CHECKS: [(&str, &str, Check); 10] = [
    (
        "no acked loss",
        "every message with a receipt is acked, or held, or dead-lettered, in every queue that took it",
        loss::check,
    ),
    ("no phantom", "nothing is delivered that was not sent, or was refused, or with another payload", phantom::check),
    (
        "positions",
        "a message has one position, a position one message, and later publishes have higher ones",
        position::check,
    ),
    (
        "order",
        "first deliveries of a producer's messages of one priority keep their order in a queue with one consumer",
        order::check,
    ),
    (
        "attempts",
        "a message is delivered no more often than its queue allows, and once more for each restart",
        attempts::check,
    ),
    ("acked is acked", "a message is never delivered after its ack, reject or hand-over was answered", acked::check),
    ("exactly once", "each input that is handed over has exactly one output", sums::check),
    (
        "fencing",
        "a lease settles once, no token is given twice, and a lease that is over settles nothing",
        fencing::check,
    ),
    ("atomic", "of a hand-over all is done or nothing", atomic::check),
    (
        "settles are taken",
        "an ack, a nack or a reject is refused only when its lease is lost, also on a full disk",
        taken::check,
    ),
];

/// Asks all checkers.
pub(crate) fn all(books: &Books<'_>, facts: Facts) -> Vec<Verdict> {
    let verdict = |&(name, promise, check): &(&'static str, &'static str, Check)| {
        let mut violations = check(books, facts);
        let violations_total = violations.len();
        violations.truncate(TOLD_MAX);
        Verdict { name, promise, violations_total, violations }
    };
    CHECKS.iter().map(verdict).collect()
}

impl Violation {
    fn new(what: String, lines: impl IntoIterator<Item = String>) -> Self {
        let mut lines: Vec<String> = lines.into_iter().collect();
        lines.sort();
        lines.dedup();
        if lines.len() > EXCERPT_LINES_MAX {
            let more = lines.len() - EXCERPT_LINES_MAX;
            lines.truncate(EXCERPT_LINES_MAX);
            lines.push(format!("and {more} lines more"));
        }
        Violation { what, lines }
    }
}

impl Verdict {
    /// What the nemesis saw of the hub itself.
    pub(crate) fn recovery(problems: &[String]) -> Self {
        let violations = problems.iter().take(TOLD_MAX).map(|what| Violation { what: what.clone(), lines: Vec::new() });
        Verdict {
            name: "recovery",
            promise: "the hub ends only when it is ended, starts again, names damage and changes nothing then, and all work is done at the end",
            violations_total: problems.len(),
            violations: violations.collect(),
        }
    }
}
