//! What was reported so far.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Effect, Report};
use super::task::{COORDINATOR, LEDGER};

/// The reports of all agents, added up. It grows with the tasks and their attempts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Tasks that the hub took, and the id of the message of each.
    pub(super) published: BTreeMap<u32, String>,
    pub(super) over_http: usize,
    /// Receipts that said: known before.
    pub(super) recognised: u64,
    /// Of them, those of tasks that were published twice on purpose.
    pub(super) recognised_resends: u64,
    /// Tasks that were begun on a second attempt or later, by how the attempt before had ended.
    pub(super) redelivered: BTreeMap<String, u64>,
    /// Hand-overs that the hub confirmed.
    pub(super) confirmed: u64,
    /// What reached the coordinator.
    pub(super) effects: Vec<Effect>,
    /// What the ledger booked.
    pub(super) booked: Vec<Effect>,
    /// Messages of which the coordinator heard that the hub gave up on them.
    pub(super) dead: BTreeSet<String>,
    pub(super) asked_us: Vec<u64>,
    pub(super) progress_live: u64,
    pub(super) progress_kept: u64,
    pub(super) answered: u64,
    pub(super) unheard: u64,
    /// Why tasks were not settled, for who wants to know why there is no end.
    pub(super) last_unsettled: Option<String>,
    done: BTreeSet<u32>,
    in_books: BTreeSet<u32>,
}

impl Tally {
    /// Takes note of a report of that agent.
    pub(super) fn note(&mut self, from: &str, report: Report) {
        match report {
            Report::Published { number, message, over_http, duplicate } => {
                let again = self.published.insert(number, message).is_some();
                self.over_http += usize::from(over_http && !again);
                self.recognised += u64::from(duplicate);
                self.recognised_resends += u64::from(duplicate && again);
            }
            Report::Effect(effect) if from == LEDGER => {
                self.in_books.insert(effect.counted.number);
                self.booked.push(effect);
            }
            Report::Effect(effect) => {
                debug_assert_eq!(from, COORDINATOR);
                self.done.insert(effect.counted.number);
                self.effects.push(effect);
            }
            Report::Dead { message, .. } => drop(self.dead.insert(message)),
            Report::Heard { live, kept } => (self.progress_live, self.progress_kept) = (live, kept),
            Report::Begun { attempt, previous, .. } if attempt > 1 => {
                *self.redelivered.entry(ending(previous.as_deref())).or_default() += 1;
            }
            Report::Settled { duplicate, asked_us } => {
                self.confirmed += 1;
                self.recognised += u64::from(duplicate);
                self.asked_us.push(asked_us);
            }
            Report::Unsettled { why } => self.last_unsettled = Some(format!("{from}: {why}")),
            Report::Answered { count, unheard } => (self.answered, self.unheard) = (count, unheard),
            Report::Begun { .. } | Report::Ready | Report::Held { .. } | Report::Failed { .. } => {}
        }
    }

    /// Tasks with a result at the coordinator.
    pub(super) fn done(&self) -> usize {
        self.done.len()
    }

    /// Tasks with a result in the books.
    pub(super) fn in_books(&self) -> usize {
        self.in_books.len()
    }

    pub(super) fn redelivered(&self) -> u64 {
        self.redelivered.values().sum()
    }
}

/// The hub's own words for how an attempt ended; a worker's words are all one here.
fn ending(previous: Option<&str>) -> String {
    match previous {
        Some(known @ ("consumer_lost" | "hub_restarted" | "lease_expired")) => known.into(),
        _ => "nacked".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_published_twice_is_one_task_and_the_second_receipt_a_duplicate() {
        let mut tally = Tally::default();
        let published = |duplicate| Report::Published { number: 5, message: "m".into(), over_http: true, duplicate };
        tally.note(COORDINATOR, published(false));
        tally.note(COORDINATOR, published(true));
        assert_eq!((tally.published.len(), tally.over_http), (1, 1));
        assert_eq!((tally.recognised, tally.recognised_resends), (1, 1));
    }

    #[test]
    fn only_attempts_after_the_first_are_redelivered() {
        let mut tally = Tally::default();
        let begun =
            |attempt, previous: Option<&str>| Report::Begun { number: 1, attempt, previous: previous.map(Into::into) };
        tally.note("worker-1", begun(1, None));
        tally.note("worker-1", begun(2, Some("consumer_lost")));
        tally.note("worker-1", begun(3, Some("poison.txt: not text")));
        assert_eq!(tally.redelivered(), 2);
        assert_eq!(tally.redelivered["nacked"], 1);
    }
}
