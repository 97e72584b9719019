//! What was said of the last sequences of a producer, as long as it may resend them: receipts of
//! what a session passed on live, since nothing of it is stored; positions of what a store keeps.
//!
//! Beside that, for a store, by what each one's message is told from another: whoever numbers two messages alike is to
//! learn that the second was not taken, and not to be told of the first. What is passed on live is known by number alone.

use std::collections::VecDeque;
use std::iter::repeat_n;

use skep_protocol::limits::{PRODUCER_WINDOW, SEQUENCE_MAX};
use skep_protocol::{Code, Error};

/// As many are known, in a size of memory.
const WINDOW: usize = PRODUCER_WINDOW as usize;
/// Of a sequence that never came, or of which nothing else is known any more.
pub(crate) const UNKNOWN: u32 = 0;

/// Values by sequence, as runs of which the same can be said; of the last 4,096 sequences.
#[derive(Debug)]
pub struct Recent<T> {
    /// In order of sequence; they do not overlap.
    runs: VecDeque<Run<T>>,
    highest: u64,
    /// Of as many sequences up to the highest, at most of a window.
    fingerprints: VecDeque<u32>,
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
    /// The same of another message that had it.
    Other(&'a T, u64),
    /// It lies so far behind the highest that it may have been forgotten.
    Passed {
        /// The highest of all.
        highest: u64,
    },
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { runs: VecDeque::new(), highest: 0, fingerprints: VecDeque::new() }
    }
}

/// A fingerprint of a message, from a hash of what tells it from others: 32 bits, and never what stands for an unknown one.
#[must_use]
pub fn fingerprint(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(u32::MAX).max(UNKNOWN + 1)
}

/// What is said to who gives a message the number of another one, of which is told what became of it.
#[must_use]
pub fn other_message(sequence: u64, other: &str) -> Error {
    let text = format!(
        "sequence {sequence} was another message's, {other}; this one was not taken. Send it again under a new number: each \
         message takes the next one, a batch of n takes n"
    );
    Error::new(Code::Conflict, text)
}

impl<T> Recent<T> {
    /// The highest sequence, and the runs in order: where each begins, how long it is, and its value.
    pub fn runs(&self) -> (u64, impl ExactSizeIterator<Item = (u64, u64, &T)>) {
        (self.highest, self.runs.iter().map(|run| (run.first, run.count, &run.value)))
    }

    /// The same again, from what [`runs`](Self::runs) gave; none when nothing can have given it.
    pub fn from_runs(highest: u64, runs: impl IntoIterator<Item = (u64, u64, T)>) -> Option<Self> {
        let mut recent = Recent { highest, ..Recent::default() };
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

    /// The fingerprints that are known, up to that of the highest sequence; 0 for one that is not.
    pub fn fingerprints(&self) -> impl ExactSizeIterator<Item = u32> {
        self.fingerprints.iter().copied()
    }

    /// The same again, from what [`fingerprints`](Self::fingerprints) gave; false when nothing can have given it.
    #[must_use]
    pub fn set_fingerprints(&mut self, fingerprints: VecDeque<u32>) -> bool {
        let is_possible = fingerprints.len() <= WINDOW && fingerprints.len() as u64 <= self.highest;
        if is_possible {
            self.fingerprints = fingerprints;
        }
        is_possible
    }

    /// From here on messages that came are known by their sequence alone.
    pub fn forget_fingerprints(&mut self) {
        self.fingerprints = VecDeque::new();
    }

    /// Keeps the fingerprint of a sequence; one that is the highest makes room for itself.
    fn keep(&mut self, sequence: u64, fingerprint: u32) {
        let known = &mut self.fingerprints;
        if fingerprint == UNKNOWN && known.is_empty() {
            self.highest = self.highest.max(sequence);
            return;
        }
        if let Some(ahead) = sequence.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.highest = sequence;
            let between = usize::try_from(ahead - 1).unwrap_or(WINDOW);
            if known.is_empty() || between >= WINDOW - 1 {
                known.clear();
            } else {
                let more = (known.len() + between + 1).saturating_sub(WINDOW);
                known.drain(..more.min(known.len()));
                known.extend(repeat_n(UNKNOWN, between));
            }
            known.push_back(fingerprint);
            return;
        }
        let behind = usize::try_from(self.highest - sequence).unwrap_or(WINDOW);
        if behind < WINDOW {
            (known.len()..=behind).for_each(|_| known.push_front(UNKNOWN));
            let at = known.len() - 1 - behind;
            known.get_mut(at).into_iter().for_each(|kept| *kept = fingerprint);
        }
    }

    /// Whether a sequence was that of another message.
    fn is_other(&self, sequence: u64, fingerprint: u32) -> bool {
        let behind = usize::try_from(self.highest - sequence).unwrap_or(WINDOW);
        let known = self.fingerprints.len().checked_sub(behind + 1).and_then(|at| self.fingerprints.get(at));
        fingerprint != UNKNOWN && known.is_some_and(|known| *known != UNKNOWN && *known != fingerprint)
    }
}

impl<T: Clone> Recent<T> {
    /// What was said of a sequence, and whether of this message.
    #[must_use]
    pub fn look(&self, sequence: u64, fingerprint: u32) -> Look<'_, T> {
        if sequence > self.highest {
            return Look::New;
        }
        if self.highest - sequence >= PRODUCER_WINDOW {
            return Look::Passed { highest: self.highest };
        }
        let after = self.runs.partition_point(|run| run.first <= sequence);
        match after.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some(run) if sequence - run.first < run.count => match self.is_other(sequence, fingerprint) {
                true => Look::Other(&run.value, sequence - run.first),
                false => Look::Known(&run.value, sequence - run.first),
            },
            _ => Look::New,
        }
    }

    /// Whether a sequence, and with it every later one, is new.
    #[must_use]
    pub fn is_ahead(&self, sequence: u64) -> bool {
        sequence > self.highest
    }

    /// Remembers what is said of so many sequences from one on that [is ahead](Self::is_ahead), or of one that may not be, and no
    /// fingerprints of them. They join the run before as in [`remember`](Self::remember).
    pub fn remember_run(&mut self, sequence: u64, count: u64, value: &T, joins: impl FnOnce(&T, u64) -> bool) {
        self.remember(sequence, UNKNOWN, value, joins);
        let (Some(last), true) = (self.runs.back_mut(), count > 1) else { return };
        last.count += count - 1;
        self.highest = self.highest.saturating_add(count - 1);
        self.forget_oldest();
    }

    /// Remembers what is said of a new sequence. It joins the run before it if `joins` holds of
    /// that run's value and of how far into the run it would be.
    pub fn remember(&mut self, sequence: u64, fingerprint: u32, value: &T, joins: impl FnOnce(&T, u64) -> bool) {
        if !matches!(self.look(sequence, fingerprint), Look::New) {
            return;
        }
        self.keep(sequence, fingerprint);
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

    /// A message's, and another's.
    const A: u32 = 7;
    const B: u32 = 8;

    fn said(recent: &mut Recent<&'static str>, sequence: u64, value: &'static str) {
        recent.remember(sequence, A, &value, |known, _| *known == value);
    }

    #[test]
    fn what_was_said_is_known_for_a_window_and_what_was_not_is_new() {
        let mut recent = Recent::default();
        let value = |n| if n > 9_000 { "late" } else { "early" };
        (1..=10_000).filter(|n| n % 5 != 0).for_each(|n| said(&mut recent, n, value(n)));
        assert_eq!(recent.look(9_999, A), Look::Known(&"late", 3));
        assert_eq!(recent.look(8_996, A), Look::Known(&"early", 0));
        assert_eq!(recent.look(9_995, A), Look::New, "it was refused, so it is judged again");
        assert_eq!(recent.look(10_001, A), Look::New);
        assert_eq!(recent.look(5_000, A), Look::Passed { highest: 9_999 });
    }

    #[test]
    fn runs_that_overlap_or_pass_the_highest_are_none() {
        let recent = Recent::from_runs(9, [(1, 3, "a"), (7, 3, "b")]).expect("in order");
        assert_eq!(recent.look(8, A), Look::Known(&"b", 1));
        assert_eq!(recent.runs().1.collect::<Vec<_>>(), [(1, 3, &"a"), (7, 3, &"b")]);
        for runs in [vec![(1, 3, "a"), (3, 1, "b")], vec![(7, 4, "a")], vec![(7, 0, "a")], vec![(u64::MAX, 2, "a")]] {
            assert!(Recent::from_runs(9, runs).is_none());
        }
    }

    #[test]
    fn what_comes_out_of_order_is_known_as_well_and_takes_no_more_room() {
        let mut recent = Recent::default();
        (1..=PRODUCER_WINDOW).rev().for_each(|n| said(&mut recent, n, "a"));
        assert!((1..=PRODUCER_WINDOW).all(|n| matches!(recent.look(n, A), Look::Known(..))));
        said(&mut recent, 3 * PRODUCER_WINDOW, "a");
        assert_eq!(recent.runs.len(), 1);
    }

    #[test]
    fn the_highest_number_there_is_is_known_like_any_other() {
        let mut recent = Recent::default();
        for sequence in [u64::MAX - 1, u64::MAX, u64::MAX - 2] {
            said(&mut recent, sequence, "a");
            assert!(matches!(recent.look(sequence, A), Look::Known(..)), "{sequence}");
        }
        assert_eq!(recent.look(1, A), Look::Passed { highest: u64::MAX });
        assert_eq!(recent.look(u64::MAX - PRODUCER_WINDOW + 1, A), Look::New);
    }

    /// Those of these sequences that are known to be another message's.
    fn others(recent: &Recent<&'static str>, sequences: &[u64]) -> Vec<u64> {
        let is_other = |n: &u64| matches!(recent.look(*n, B), Look::Other(..));
        sequences.iter().copied().filter(is_other).collect()
    }

    #[test]
    fn another_message_is_told_from_a_resend_for_a_window_whatever_the_order() {
        let last = 3 * PRODUCER_WINDOW;
        for orders in [[10, 11, 5, last], [5, 10, 11, last], [11, 10, 5, last]] {
            let mut recent = Recent::default();
            orders[..3].iter().for_each(|n| said(&mut recent, *n, "a"));
            assert_eq!(others(&recent, &[4, 5, 6, 10, 11, 12]), [5, 10, 11], "{orders:?}");
            said(&mut recent, 10 + PRODUCER_WINDOW, "a");
            assert_eq!(others(&recent, &[5, 10, 11, 10 + PRODUCER_WINDOW]), [11, 10 + PRODUCER_WINDOW]);
            assert_eq!(recent.look(10, B), Look::Passed { highest: 10 + PRODUCER_WINDOW });
            assert_eq!(recent.fingerprints.len(), WINDOW);
            said(&mut recent, last, "a");
            assert_eq!((others(&recent, &[last]), recent.fingerprints.len()), (vec![last], 1));
        }
    }

    #[test]
    fn of_a_long_run_another_message_is_known_for_a_window_and_refused_before_it() {
        let mut recent = Recent::default();
        (1..=10_000).for_each(|n| said(&mut recent, n, "a"));
        assert_eq!((recent.runs.len(), recent.fingerprints.len()), (1, WINDOW));
        let oldest = 10_001 - PRODUCER_WINDOW;
        assert_eq!(recent.look(oldest, A), Look::Known(&"a", oldest - 1));
        assert_eq!(recent.look(oldest, B), Look::Other(&"a", oldest - 1));
        assert_eq!(recent.look(oldest - 1, A), Look::Passed { highest: 10_000 });
    }

    #[test]
    fn without_fingerprints_a_sequence_is_known_by_its_number_alone_until_they_come_again() {
        let mut recent = Recent::default();
        [1, 2].into_iter().for_each(|n| said(&mut recent, n, "a"));
        let kept: VecDeque<u32> = recent.fingerprints().collect();
        recent.forget_fingerprints();
        said(&mut recent, 3, "a");
        assert_eq!(others(&recent, &[1, 2, 3]), [3]);
        assert_eq!(recent.look(1, B), Look::Known(&"a", 0));
        let mut again = Recent::from_runs(2, [(1, 2, "a")]).expect("in order");
        assert!(again.set_fingerprints(kept) && others(&again, &[1, 2]) == [1, 2]);
        assert!(!again.set_fingerprints(repeat_n(A, 3).collect()), "more than came");
    }

    #[test]
    fn no_hash_is_the_fingerprint_of_what_is_not_known() {
        assert_eq!([0, 1, 1 << 32, u64::MAX].map(fingerprint), [1, 1, 1, u32::MAX]);
    }
}
