//! Whether a result has its effect for the first time. Nothing is dropped silently here: a second
//! effect is told as what it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a result is to one who collects results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The first of its task: it has its effect.
    First,
    /// The very message that was here before, and whose ack was not confirmed: at least once allows
    /// that. Known by its id, it has no second effect.
    Again,
    /// Another result of the same task, or a message whose ack had been confirmed. This must not be.
    Duplicate,
}

/// The results so far, by task. Bounded by the number of tasks.
#[derive(Debug, Default)]
pub(super) struct Collector {
    known: BTreeMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    message: String,
    confirmed: bool,
}

impl Collector {
    /// A result of a task came, in this message.
    pub(super) fn take(&mut self, number: u32, message: &str) -> Verdict {
        match self.known.get(&number) {
            None => {
                self.known.insert(number, Known { message: message.into(), confirmed: false });
                Verdict::First
            }
            Some(known) if known.message == message && !known.confirmed => Verdict::Again,
            Some(_) => Verdict::Duplicate,
        }
    }

    /// The hub confirmed the ack of that message: it must not come again.
    pub(super) fn confirm(&mut self, number: u32, message: &str) {
        if let Some(known) = self.known.get_mut(&number).filter(|known| known.message == message) {
            known.confirmed = true;
        }
    }

    /// How many tasks have a result.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_whose_ack_was_not_confirmed_may_come_again() {
        let mut collector = Collector::default();
        assert_eq!(collector.take(1, "a"), Verdict::First);
        assert_eq!(collector.take(1, "a"), Verdict::Again);
        assert_eq!(collector.take(2, "b"), Verdict::First);
        assert_eq!(collector.count(), 2);
    }

    #[test]
    fn a_message_that_comes_after_its_ack_was_confirmed_is_a_duplicate() {
        let mut collector = Collector::default();
        collector.take(1, "a");
        collector.confirm(1, "a");
        assert_eq!(collector.take(1, "a"), Verdict::Duplicate);
    }

    #[test]
    fn a_second_result_of_a_task_is_a_duplicate_also_under_another_id() {
        let mut collector = Collector::default();
        collector.take(1, "a");
        assert_eq!(collector.take(1, "b"), Verdict::Duplicate);
        collector.confirm(1, "b");
        assert_eq!(collector.take(1, "a"), Verdict::Again);
    }
}
