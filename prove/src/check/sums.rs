//! Exactly once: an input that is handed over has one output. Everything is consumed at the end, so an output that
//! was stored is seen.

use std::collections::{BTreeMap, BTreeSet};

use super::books::Books;
use super::{Facts, Violation};
use crate::queues::of_topic;

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    // The outputs that were tried of each input.
    let mut outputs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (id, tries) in &books.tries {
        if let Some(cause) = tries.first().and_then(|tried| tried.sent.cause.as_deref()) {
            outputs.entry(cause).or_default().insert(id);
        }
    }
    outputs
        .iter()
        .filter_map(|(input, tried)| {
            let made: Vec<&str> = tried.iter().copied().filter(|output| books.exists(output)).collect();
            let fault = fault(books, input, made.len())?;
            let lines = books.lines(input).into_iter().chain(tried.iter().flat_map(|output| books.lines(output)));
            Some(Violation::new(format!("{input} has the outputs {made:?}: {fault}"), lines))
        })
        .collect()
}

fn fault(books: &Books<'_>, input: &str, made: usize) -> Option<&'static str> {
    if made > 1 {
        return Some("more than one");
    }
    let to = books.tries.get(input).and_then(|tries| tries.first()).map_or("", |tried| &tried.sent.to);
    let queue = of_topic(to).next().map_or("", |queue| queue.name);
    let handed = |atomic| {
        books.settled(input, queue).any(|settle| settle.is_atomic == atomic && settle.is_last() && settle.told.is_ok())
    };
    match made {
        0 if handed(true) => Some("none, although its hand-over was answered"),
        0 if is_gone(books, input, queue) => Some("none, and is gone itself"),
        1 if handed(false) => Some("one, although it was acked alone"),
        1 if books.is_dead(input, queue) => Some("one, although it is dead"),
        _ => None,
    }
}

/// It has a receipt, and nothing but hand-overs that were not answered can have ended it.
fn is_gone(books: &Books<'_>, input: &str, queue: &str) -> bool {
    let has_receipt = books.tries.get(input).into_iter().flatten().any(|tried| tried.position().is_some());
    let alone =
        books.settled(input, queue).any(|settle| !settle.is_atomic && settle.is_last() && !settle.told.is_refused());
    has_receipt && !alone && !books.is_dead(input, queue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::{Story, at};
    use crate::history::Told;

    fn judged(story: &Story) -> String {
        story.judge(check).into_iter().map(|violation| violation.what).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn one_output_is_right_and_two_are_not() {
        let mut story = Story::new();
        story.published("in", "work", 7);
        let lease = story.delivered("in", "work", 7, 1, 1);
        story.hand_over(lease, "in", "out1", [Told::DONE, at(8)]);
        assert_eq!(judged(&story), "");
        let again = story.delivered("in", "work", 7, 1, 2);
        let unknown = Told::Unknown("connection_lost".into());
        story.hand_over(again, "in", "out2", [unknown.clone(), unknown]);
        assert_eq!(judged(&story), "");
        story.delivered("out2", "refined", 9, 1, 2);
        assert!(judged(&story).contains("more than one"));
    }

    #[test]
    fn an_answered_hand_over_has_an_output() {
        let mut story = Story::new();
        story.published("in", "work", 7);
        let lease = story.delivered("in", "work", 7, 1, 1);
        story.hand_over(lease, "in", "out", [Told::DONE, Told::Unknown("no_receipt".into())]);
        assert!(judged(&story).contains("none, although"));
    }

    #[test]
    fn an_input_does_not_vanish_in_an_unanswered_hand_over() {
        let mut story = Story::new();
        story.published("in", "work", 7);
        let lease = story.delivered("in", "work", 7, 1, 1);
        let unknown = Told::Unknown("connection_lost".into());
        story.hand_over(lease, "in", "out", [unknown.clone(), unknown]);
        assert!(judged(&story).contains("none, and is gone itself"));
        story.delivered("in", "$dead.work", 7, 1, 1);
        assert_eq!(judged(&story), "");
    }

    #[test]
    fn an_input_that_was_acked_alone_or_died_has_no_output() {
        for dies in [false, true] {
            let mut story = Story::new();
            story.published("in", "work", 7);
            let lease = story.delivered("in", "work", 7, 1, 1);
            let unknown = Told::Unknown("connection_lost".into());
            story.hand_over(lease, "in", "out", [unknown.clone(), unknown]);
            story.delivered("out", "refined", 8, 1, 1);
            if dies {
                story.delivered("in", "$dead.work", 7, 1, 1);
            } else {
                let again = story.delivered("in", "work", 7, 2, 1);
                story.settle(again, "ack", Told::DONE);
            }
            assert!(judged(&story).contains("one, although"), "{dies}");
        }
    }
}
