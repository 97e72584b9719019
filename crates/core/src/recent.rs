//! What was said of the last sequences of a producer, as long as it may resend them: receipts of
//! what a session passed on live, since nothing of it is stored; positions of what a store keeps.

use std::collections::VecDeque;

use skep_protocol::limits::{PRODUCER_WINDOW, SEQUENCE_MAX};

/// Values by sequence, as runs of which the same can be said; of the last 4,096 sequences.
#[derive(Debug)]
pub struct Recent<T> {
    /// In order of sequence; they do not overlap.
    runs: VecDeque<Run<T>>,
    highest: u64,
}

#[derive(Debug)]
struct Run<T> {
    first: u64,
    count: u64,
    value: T,
}

/// What is known of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a, T> {
    /// Nothing: it never came, or it was refused.
    New,
    /// The value of its run, and how far into the run it is.
    Known(&'a T, u64),
    /// It lies so far behind the highest that it may have been forgotten.
    Passed {
        /// The highest of all.
        highest: u64,
    },
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { runs: VecDeque::new(), highest: 0 }
    }
}

impl<T> Recent<T> {
    /// The highest sequence, and the runs in order: where each begins, how long it is, and its value.
    pub fn runs(&self) -> (u64, impl ExactSizeIterator<Item = (u64, u64, &T)>) {
        (self.highest, self.runs.iter().map(|run| (run.first, run.count, &run.value)))
    }

    /// The same again, from what [`runs`](Self::runs) gave; none when nothing can have given it.
    pub fn from_runs(highest: u64, runs: impl IntoIterator<Item = (u64, u64, T)>) -> Option<Self> {
        let mut recent = Recent { runs: VecDeque::new(), highest };
        let mut free_from = 0;
        for (first, count, value) in runs {
            let end = first.checked_add(count)?;
            if count == 0 || first < free_from || end - 1 > highest {
                return None;
            }
            free_from = end;
            recent.runs.push_back(Run { first, count, value });
        }
        (highest <= SEQUENCE_MAX).then_some(recent)
    }
}

impl<T: Clone> Recent<T> {
    /// What was said of a sequence.
    #[must_use]
    pub fn look(&self, sequence: u64) -> Look<'_, T> {
        if sequence > self.highest {
            return Look::New;
        }
        let after = self.runs.partition_point(|run| run.first <= sequence);
        match after.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some(run) if sequence - run.first < run.count => Look::Known(&run.value, sequence - run.first),
            _ if self.highest - sequence >= PRODUCER_WINDOW => Look::Passed { highest: self.highest },
            _ => Look::New,
        }
    }

    /// Whether a sequence, and with it every later one, is new.
    #[must_use]
    pub fn is_ahead(&self, sequence: u64) -> bool {
        sequence > self.highest
    }

    /// Remembers what is said of so many sequences from one on that [is ahead](Self::is_ahead), or of one that may not be. They join
    /// the run before as in [`remember`](Self::remember).
    pub fn remember_run(&mut self, sequence: u64, count: u64, value: &T, joins: impl FnOnce(&T, u64) -> bool) {
        self.remember(sequence, value, joins);
        let (Some(last), true) = (self.runs.back_mut(), count > 1) else { return };
        last.count += count - 1;
        self.highest = self.highest.saturating_add(count - 1);
        self.forget_oldest();
    }

    /// Remembers what is said of a new sequence. It joins the run before it if `joins` holds of
    /// that run's value and of how far into the run it would be.
    pub fn remember(&mut self, sequence: u64, value: &T, joins: impl FnOnce(&T, u64) -> bool) {
        if !matches!(self.look(sequence), Look::New) {
            return;
        }
        self.highest = self.highest.max(sequence);
        let after = self.runs.partition_point(|run| run.first < sequence);
        match after.checked_sub(1).and_then(|at| self.runs.get_mut(at)) {
            Some(run) if sequence - run.first == run.count && joins(&run.value, run.count) => run.count += 1,
            _ => self.runs.insert(after, Run { first: sequence, count: 1, value: value.clone() }),
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        let oldest = self.highest.saturating_sub(PRODUCER_WINDOW);
        while self.runs.front().is_some_and(|run| oldest.saturating_sub(run.first) >= run.count) {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(recent: &mut Recent<&'static str>, sequence: u64, value: &'static str) {
        recent.remember(sequence, &value, |known, _| *known == value);
    }

    #[test]
    fn what_was_said_is_known_for_a_window_and_what_was_not_is_new() {
        let mut recent = Recent::default();
        let value = |n| if n > 9_000 { "late" } else { "early" };
        (1..=10_000).filter(|n| n % 5 != 0).for_each(|n| said(&mut recent, n, value(n)));
        assert_eq!(recent.look(9_999), Look::Known(&"late", 3));
        assert_eq!(recent.look(8_996), Look::Known(&"early", 0));
        assert_eq!(recent.look(9_995), Look::New, "it was refused, so it is judged again");
        assert_eq!(recent.look(10_001), Look::New);
        assert_eq!(recent.look(5_000), Look::Passed { highest: 9_999 });
    }

    #[test]
    fn runs_that_overlap_or_pass_the_highest_are_none() {
        let recent = Recent::from_runs(9, [(1, 3, "a"), (7, 3, "b")]).expect("in order");
        assert_eq!(recent.look(8), Look::Known(&"b", 1));
        assert_eq!(recent.runs().1.collect::<Vec<_>>(), [(1, 3, &"a"), (7, 3, &"b")]);
        for runs in [vec![(1, 3, "a"), (3, 1, "b")], vec![(7, 4, "a")], vec![(7, 0, "a")], vec![(u64::MAX, 2, "a")]] {
            assert!(Recent::from_runs(9, runs).is_none());
        }
    }

    #[test]
    fn what_comes_out_of_order_is_known_as_well_and_takes_no_more_room() {
        let mut recent = Recent::default();
        (1..=PRODUCER_WINDOW).rev().for_each(|n| said(&mut recent, n, "a"));
        assert!((1..=PRODUCER_WINDOW).all(|n| matches!(recent.look(n), Look::Known(..))));
        said(&mut recent, 3 * PRODUCER_WINDOW, "a");
        assert_eq!(recent.runs.len(), 1);
    }

    #[test]
    fn the_highest_number_there_is_is_known_like_any_other() {
        let mut recent = Recent::default();
        for sequence in [u64::MAX - 1, u64::MAX, u64::MAX - 2] {
            said(&mut recent, sequence, "a");
            assert!(matches!(recent.look(sequence), Look::Known(..)), "{sequence}");
        }
        assert_eq!(recent.look(1), Look::Passed { highest: u64::MAX });
        assert_eq!(recent.look(u64::MAX - PRODUCER_WINDOW + 1), Look::New);
    }
}
