//! Attempts are bounded.

use super::books::Books;
use super::{Facts, Violation};
use crate::queues::QUEUES;

pub(super) fn check(books: &Books<'_>, facts: Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, queues) in &books.sights {
        for queue in QUEUES.iter().filter(|queue| queue.attempts_max > 0) {
            let Some(sights) = queues.get(queue.name) else { continue };
            let max = queue.attempts_max;
            if let Some(sight) = sights.iter().find(|sight| sight.seen.attempt > max) {
                let what = format!("{id} came from queue {} as attempt {} of {max}", queue.name, sight.seen.attempt);
                violations.push(Violation::new(what, books.lines(id)));
            }
            // A restart may forget the latest lease; a client whose settle failed may have given the message back.
            let unsure = books.settled(id, queue.name).filter(|settle| !settle.told.is_ok()).count() as u64;
            let most = u64::from(max) + facts.restarts + unsure;
            if sights.len() as u64 > most {
                let what = format!(
                    "{id} came {} times from queue {}, and at most {most} are explained",
                    sights.len(),
                    queue.name
                );
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

    #[test]
    fn an_attempt_beyond_the_limit_is_seen() {
        let mut story = Story::new();
        story.published("m", "plain", 7);
        story.delivered("m", "plain", 7, 4, 1);
        assert_eq!(story.judge(check), []);
        story.delivered("m", "plain", 7, 5, 1);
        assert!(story.judge(check)[0].what.contains("attempt 5 of 4"));
    }

    #[test]
    fn more_deliveries_than_attempts_and_restarts_are_seen() {
        let mut story = Story::new();
        story.published("m", "plain", 7);
        (1..=5).for_each(|n: u32| {
            story.delivered("m", "plain", 7, n.min(4), 1);
        });
        assert!(story.judge(check)[0].what.contains("came 5 times"));
        story.restarts = 1;
        assert_eq!(story.judge(check), []);
    }
}
