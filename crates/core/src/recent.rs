//! What a session passed on live of late. Nothing of it is stored, so the session itself
//! remembers, as long as a client may resend it after a lost connection.

use std::collections::VecDeque;

use skep_protocol::Accepted;
use skep_protocol::limits::PRODUCER_WINDOW;

/// Receipts by sequence, as runs of which the same can be said; of the last 4,096 sequences.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    runs: VecDeque<(u64, u64, Accepted)>,
    highest: u64,
}

impl Recent {
    /// What was said of a sequence.
    pub(crate) fn look(&self, sequence: u64) -> Option<&Accepted> {
        if sequence > self.highest {
            return None;
        }
        let run = self.runs.iter().rev().find(|(first, count, _)| (*first..first + count).contains(&sequence));
        run.map(|(_, _, accepted)| accepted)
    }

    /// Remembers what is said of a sequence.
    pub(crate) fn remember(&mut self, sequence: u64, accepted: &Accepted) {
        self.highest = self.highest.max(sequence);
        if sequence + PRODUCER_WINDOW <= self.highest {
            return;
        }
        match self.runs.back_mut() {
            Some((first, count, last)) if *first + *count == sequence && last == accepted => *count += 1,
            _ => self.runs.push_back((sequence, 1, accepted.clone())),
        }
        let oldest = self.highest.saturating_sub(PRODUCER_WINDOW);
        while self.runs.front().is_some_and(|(first, count, _)| first + count <= oldest) {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::Guarantee;

    use super::*;

    fn heard_by(live: u32) -> Accepted {
        Accepted {
            position: None,
            durability: None,
            guarantee: Guarantee::BestEffort,
            queues: 0,
            skipped: 0,
            live,
            duplicate: false,
            recipient: None,
        }
    }

    #[test]
    fn what_was_passed_on_is_known_for_a_window_and_what_was_not_is_new() {
        let mut recent = Recent::default();
        (1..=10_000).filter(|n| n % 5 != 0).for_each(|n| recent.remember(n, &heard_by(u32::from(n > 9_000))));
        assert_eq!(recent.look(9_999), Some(&heard_by(1)));
        assert_eq!(recent.look(8_999), Some(&heard_by(0)));
        assert_eq!(recent.look(9_995), None, "it was refused, so it is judged again");
        assert_eq!(recent.look(10_001), None);
        assert_eq!(recent.look(5_000), None, "too long ago");
    }
}
