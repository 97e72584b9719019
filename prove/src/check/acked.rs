//! What was acked, rejected or handed over never comes again.

use super::books::Books;
use super::{Facts, Violation};

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, queues) in &books.sights {
        for (queue, sights) in queues {
            let ended = sights.iter().find_map(|sight| {
                let settles = books.settles.get(&sight.seen.lease)?;
                let last = settles.iter().find(|settle| settle.is_last() && settle.told.is_ok())?;
                Some((sight, last.op.end?))
            });
            let Some((last, end)) = ended else { continue };
            let again = sights.iter().find(|sight| sight.at > end && sight.seen.is_newer_than(&last.seen));
            if again.is_some() {
                let what = format!("{id} came again from queue {queue} after it was settled for good");
                violations.push(Violation::new(what, books.lines(id)));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::Story;
    use crate::history::Told;

    #[test]
    fn a_delivery_after_an_ack_is_seen_in_the_same_life_and_in_the_next() {
        for (attempt, life) in [(2, 1), (1, 2)] {
            let mut story = Story::new();
            story.published("m", "plain", 7);
            story.consumed("m", "plain", 7);
            assert_eq!(story.judge(check), []);
            story.delivered("m", "plain", 7, attempt, life);
            assert!(story.judge(check)[0].what.contains("came again"), "attempt {attempt} in life {life}");
        }
    }

    #[test]
    fn an_older_lease_may_be_read_late() {
        let mut story = Story::new();
        story.published("m", "plain", 7);
        let lease = story.delivered("m", "plain", 7, 2, 1);
        story.settle(lease, "ack", Told::DONE);
        story.delivered("m", "plain", 7, 1, 1);
        assert_eq!(story.judge(check), []);
    }

    #[test]
    fn after_a_nack_or_an_unanswered_ack_it_may_come_again() {
        for (action, told) in [("nack", Told::DONE), ("ack", Told::Unknown("connection_lost".into()))] {
            let mut story = Story::new();
            story.published("m", "plain", 7);
            let lease = story.delivered("m", "plain", 7, 1, 1);
            story.settle(lease, action, told);
            story.delivered("m", "plain", 7, 2, 1);
            assert_eq!(story.judge(check), []);
        }
    }
}
