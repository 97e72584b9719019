//! Order of first deliveries, where one consumer takes from a queue.

use std::collections::{BTreeMap, HashSet};

use super::books::Books;
use super::{Facts, Violation};
use crate::history::Sight;
use crate::queues::QUEUES;

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    QUEUES.iter().filter(|queue| queue.is_ordered).flat_map(|queue| of_queue(books, queue.name)).collect()
}

fn of_queue(books: &Books<'_>, queue: &str) -> Vec<Violation> {
    let mut met: HashSet<&str> = HashSet::new();
    // By producer and priority: the highest number so far, and where it was seen.
    let mut newest: BTreeMap<(&str, u8), (u64, &Sight)> = BTreeMap::new();
    let mut violations = Vec::new();
    for sight in books.history.sights.iter().filter(|sight| &*sight.seen.queue == queue) {
        let id = &*sight.seen.id;
        if !met.insert(id) {
            continue;
        }
        // Refused once and sent again, it has lost its place.
        let Some(tries) = books.tries.get(id).filter(|tries| !tries.iter().any(|tried| tried.told.is_refused())) else {
            continue;
        };
        let Some(sent) = tries.first().map(|tried| tried.sent) else { continue };
        let (highest, before) = *newest.entry((&sent.producer, sent.priority)).or_insert((sent.number, sight));
        if sent.number < highest {
            let what = format!("{id} first came from queue {queue} after {}, which was sent after it", before.seen.id);
            violations.push(Violation::new(what, [before.line(), sight.line()].into_iter().chain(books.lines(id))));
        } else {
            newest.insert((&sent.producer, sent.priority), (sent.number, sight));
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
    fn a_first_delivery_that_overtakes_is_seen() {
        let mut story = Story::new();
        (1..=3).for_each(|n| story.published(&format!("m{n}"), "ordered", n));
        for n in [1, 3, 1, 2] {
            story.delivered(&format!("m{n}"), "ordered", n, 1, 1);
        }
        let violations = story.judge(check);
        assert!(violations.len() == 1 && violations[0].what.contains("m2 first came from queue ordered after m3"));
    }

    #[test]
    fn redeliveries_and_queues_with_many_consumers_have_no_order() {
        let mut story = Story::new();
        (1..=3).for_each(|n| story.published(&format!("m{n}"), "ordered", n));
        [1, 2, 1, 3, 2].into_iter().for_each(|n| {
            story.delivered(&format!("m{n}"), "ordered", n, 1, 1);
        });
        [3, 2].into_iter().for_each(|n| {
            story.delivered(&format!("m{n}"), "mirror", n, 1, 1);
        });
        assert_eq!(story.judge(check), []);
    }

    #[test]
    fn what_was_refused_and_sent_again_may_come_late() {
        let mut story = Story::new();
        story.publish("m1", "ordered", Told::Refused("busy".into()));
        story.published("m2", "ordered", 2);
        story.published("m1", "ordered", 3);
        [2, 1].into_iter().for_each(|n| {
            story.delivered(&format!("m{n}"), "ordered", n, 1, 1);
        });
        assert_eq!(story.judge(check), []);
    }
}
