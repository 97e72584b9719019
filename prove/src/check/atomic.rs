//! Atomic: of a hand-over all is done or nothing.

use super::books::Books;
use super::{Facts, Violation};
use crate::history::{Op, Told, What};

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    let atomic = books.history.ops.iter().filter(|op| matches!(op.what, What::Settle { atomic: true, .. }));
    atomic
        .filter_map(|op| {
            let what = fault(books, op)?;
            let lines = (0..op.results.len()).map(|item| op.line(item));
            let (messages, _) = op.what.messages();
            let named = messages.iter().flat_map(|sent| {
                let cause = sent.cause.as_deref().map(|cause| books.lines(cause)).unwrap_or_default();
                books.lines(&sent.id).into_iter().chain(cause)
            });
            Some(Violation::new(format!("a hand-over by {} {what}", op.client), lines.chain(named)))
        })
        .collect()
}

fn fault(books: &Books<'_>, op: &Op) -> Option<String> {
    let done = op.results.iter().filter(|told| told.is_ok()).count();
    if done > 0 && done < op.results.len() {
        return Some("was done in part, by its answer".into());
    }
    let (messages, settles) = op.what.messages();
    // Of several tries of one step, one may have been done: then all of it exists.
    let exists: Vec<bool> = messages.iter().map(|sent| books.exists(&sent.id)).collect();
    if exists.iter().any(|one| *one != exists[0]) {
        return Some("was done in part: some of its messages exist and some do not".into());
    }
    let is_made = exists.first().is_some_and(|made| *made);
    let elsewhere = messages.first().is_some_and(|sent| is_tried_elsewhere(books, op, &sent.id));
    if op.results.iter().all(Told::is_refused) && is_made && !elsewhere {
        return Some("was refused, and its messages exist".into());
    }
    let What::Settle { settles: asked, .. } = &op.what else { return None };
    let leases = asked.iter().take(settles).map(|settling| settling.lease);
    if is_made && !op.results.iter().all(Told::is_refused) {
        let back = leases.clone().filter_map(|lease| books.leases.get(&lease)).find(|given| {
            let sights = books.seen(&given.seen.id, &given.seen.queue);
            sights.iter().any(|sight| sight.seen.is_newer_than(&given.seen))
        });
        return back.map(|given| format!("was done, and its input {} came again", given.seen.id));
    }
    None
}

/// Whether a message was sent by another operation that was not refused.
fn is_tried_elsewhere(books: &Books<'_>, op: &Op, id: &str) -> bool {
    let tries = books.tries.get(id).into_iter().flatten();
    tries.clone().any(|tried| !std::ptr::eq(tried.op, op) && !tried.told.is_refused())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::{Story, at, sent};
    use crate::history::Settling;

    fn judged(story: &Story) -> String {
        story.judge(check).into_iter().map(|violation| violation.what).collect::<Vec<_>>().join("; ")
    }

    fn begun() -> (Story, skep_protocol::LeaseToken) {
        let mut story = Story::new();
        story.published("in", "work", 7);
        let lease = story.delivered("in", "work", 7, 1, 1);
        (story, lease)
    }

    #[test]
    fn an_answer_that_is_half_a_yes_is_seen() {
        let (mut story, lease) = begun();
        story.hand_over(lease, "in", "out", [Told::Refused("lease_lost".into()), at(8)]);
        assert!(judged(&story).contains("in part, by its answer"));
    }

    #[test]
    fn a_refused_hand_over_leaves_nothing() {
        let (mut story, lease) = begun();
        let refused = Told::Refused("lease_lost".into());
        story.hand_over(lease, "in", "out", [refused.clone(), refused]);
        assert_eq!(judged(&story), "");
        story.delivered("out", "refined", 8, 1, 1);
        assert!(judged(&story).contains("was refused, and its messages exist"));
    }

    #[test]
    fn an_input_does_not_come_again_when_its_output_exists() {
        let (mut story, lease) = begun();
        let unknown = Told::Unknown("connection_lost".into());
        story.hand_over(lease, "in", "out", [unknown.clone(), unknown]);
        story.delivered("in", "work", 7, 1, 2);
        assert_eq!(judged(&story), "");
        story.delivered("out", "refined", 8, 1, 2);
        assert!(judged(&story).contains("its input in came again"));
    }

    #[test]
    fn of_two_outputs_both_exist_or_neither() {
        let (mut story, lease) = begun();
        let messages = ["out1", "out2"].map(|id| sent(id, "refined").caused_by("in")).to_vec();
        let settles = vec![Settling { lease, action: "ack".into() }];
        story.begin(What::Settle { settles, atomic: true, messages });
        story.delivered("out1", "refined", 8, 1, 1);
        assert!(judged(&story).contains("some of its messages exist and some do not"));
    }
}
