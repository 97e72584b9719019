//! One position a message, one message a position, and time does not run backwards.

use std::collections::{BTreeMap, HashMap};

use super::books::{Books, Try};
use super::{Facts, Violation};

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut whose: HashMap<u64, &str> = HashMap::new();
    let mut stands: BTreeMap<&str, u64> = BTreeMap::new();
    let told =
        books.tries.iter().flat_map(|(id, tries)| tries.iter().filter_map(|tried| Some((*id, tried.position()?))));
    let seen = books.history.sights.iter().map(|sight| (&*sight.seen.id, sight.seen.position));
    for (id, position) in told.chain(seen) {
        let other = *whose.entry(position).or_insert(id);
        if other != id {
            let lines = books.lines(id).into_iter().chain(books.lines(other));
            violations.push(Violation::new(format!("position {position} belongs to {other} and to {id}"), lines));
        }
        let known = *stands.entry(id).or_insert(position);
        if known != position {
            violations.push(Violation::new(format!("{id} stands at {known} and at {position}"), books.lines(id)));
        }
    }
    violations.extend(backwards(books));
    violations
}

/// What was stored after another message's receipt had come stands behind it.
fn backwards(books: &Books<'_>) -> Vec<Violation> {
    let mut stored: Vec<&Try<'_>> = books.tries.values().flatten().filter(|tried| tried.is_new()).collect();
    let mut ended = stored.clone();
    stored.sort_by_key(|tried| tried.op.begin);
    ended.sort_by_key(|tried| tried.op.end);
    let (mut ended, mut highest, mut violations) = (ended.into_iter().peekable(), None::<&Try<'_>>, Vec::new());
    for tried in stored {
        while let Some(before) = ended.next_if(|before| before.op.end.is_some_and(|end| end < tried.op.begin)) {
            if highest.is_none_or(|highest| before.position() > highest.position()) {
                highest = Some(before);
            }
        }
        if let Some(before) = highest.filter(|before| before.position() > tried.position()) {
            let (id, other) = (&tried.sent.id, &before.sent.id);
            let what = format!("{id} was stored after the receipt of {other} had come, and stands before it");
            violations.push(Violation::new(what, [before.line(), tried.line()]));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::{Story, at, sent};
    use crate::history::What;

    #[test]
    fn a_position_that_is_given_twice_is_seen() {
        let mut story = Story::new();
        story.published("a", "plain", 7);
        story.published("b", "plain", 7);
        assert!(story.judge(check)[0].what.contains("position 7 belongs to a and to b"));
    }

    #[test]
    fn a_message_that_is_stored_twice_is_seen_also_if_only_a_delivery_shows_it() {
        let mut story = Story::new();
        story.published("a", "plain", 7);
        story.delivered("a", "plain", 7, 1, 1);
        assert_eq!(story.judge(check), []);
        story.delivered("a", "plain", 9, 1, 1);
        assert!(story.judge(check)[0].what.contains("a stands at 7 and at 9"));
    }

    #[test]
    fn a_later_publish_may_not_stand_before_one_whose_receipt_came() {
        let mut story = Story::new();
        story.published("a", "plain", 8);
        story.published("b", "plain", 7);
        assert!(story.judge(check)[0].what.contains("b was stored after the receipt of a had come"));
    }

    #[test]
    fn publishes_at_the_same_time_may_stand_in_any_order() {
        let mut story = Story::new();
        let a = story.begin(What::Publish { messages: vec![sent("a", "plain")] });
        let b = story.begin(What::Publish { messages: vec![sent("b", "plain")] });
        story.end(a, vec![at(8)]);
        story.end(b, vec![at(7)]);
        assert_eq!(story.judge(check), []);
    }
}
