//! No acked loss. At the end of a run everything that is still held is consumed, so what is neither settled nor dead is lost.

use super::books::{Books, Try};
use super::{Facts, Violation};
use crate::history::Told;
use crate::queues::of_topic;

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, tries) in &books.tries {
        let Some(receipt) = tries.iter().find(|tried| tried.position().is_some()) else { continue };
        violations.extend(too_few_queues(id, receipt));
        for queue in of_topic(&receipt.sent.to) {
            if books.is_dead(id, queue.name)
                || books.settled(id, queue.name).any(|settle| ends(&settle.told.clone(), settle.action))
            {
                continue;
            }
            let rejected = books.settled(id, queue.name).any(|settle| settle.action == "reject" && settle.told.is_ok());
            let how = if rejected {
                "was rejected and is not in the dead letters"
            } else {
                "was never settled and is not there any more"
            };
            violations.push(Violation::new(
                format!("{id} has a receipt; from queue {} it {how}", queue.name),
                books.lines(id),
            ));
        }
    }
    violations
}

/// It was acked, or may have been; or it may have been rejected, and then died unseen only if the reject was not answered.
fn ends(told: &Told, action: &str) -> bool {
    action == "ack" && !told.is_refused()
}

/// No queue of a run can be full.
fn too_few_queues(id: &str, receipt: &Try<'_>) -> Option<Violation> {
    let expected = of_topic(&receipt.sent.to).count();
    match receipt.told {
        Told::Ok { queues, .. } if *queues as usize != expected => {
            let what = format!("{id} was taken by {queues} queues, and {expected} match");
            Some(Violation::new(what, [receipt.line()]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::Story;

    #[test]
    fn a_receipt_without_a_later_ack_is_a_loss() {
        let mut story = Story::new();
        story.published("m", "plain", 7);
        let violations = story.judge(check);
        assert!(violations.len() == 1 && violations[0].what.contains("from queue plain"), "{violations:?}");
    }

    #[test]
    fn a_receipt_names_as_many_queues_as_match_whether_it_is_the_first_or_not() {
        for (duplicate, queues, count) in [(false, 1, 1), (true, 1, 1), (true, 2, 0)] {
            let receipt = Told::Ok { position: Some(7), duplicate, queues, reply: None };
            let mut story = Story::new();
            story.publish("m", "ordered", receipt);
            let found = story.judge(check).into_iter().filter(|violation| violation.what.contains("match"));
            assert_eq!(found.count(), count, "{queues} of 2");
        }
    }

    #[test]
    fn every_queue_of_the_topic_must_give_it() {
        let mut story = Story::new();
        story.published("m", "ordered", 7);
        story.consumed("m", "ordered", 7);
        let violations = story.judge(check);
        assert!(violations.len() == 1 && violations[0].what.contains("mirror"), "{violations:?}");
        story.consumed("m", "mirror", 7);
        assert_eq!(story.judge(check), []);
    }

    #[test]
    fn an_unknown_ack_may_have_been_the_end_and_a_refused_one_was_not() {
        let mut story = Story::new();
        story.published("m", "plain", 7);
        let lease = story.delivered("m", "plain", 7, 1, 1);
        story.settle(lease, "ack", Told::Refused("lease_lost".into()));
        assert_eq!(story.judge(check).len(), 1);
        story.settle(lease, "ack", Told::Unknown("connection_lost".into()));
        assert_eq!(story.judge(check), []);
    }

    #[test]
    fn what_is_rejected_must_be_among_the_dead() {
        let mut story = Story::new();
        story.published("m", "plain", 7);
        let lease = story.delivered("m", "plain", 7, 1, 1);
        story.settle(lease, "reject", Told::DONE);
        assert!(story.judge(check)[0].what.contains("rejected"));
        story.delivered("m", "$dead.plain", 7, 1, 1);
        assert_eq!(story.judge(check), []);
    }

    #[test]
    fn what_has_no_receipt_may_be_gone() {
        let mut story = Story::new();
        story.publish("m", "plain", Told::Unknown("connection_lost".into()));
        assert_eq!(story.judge(check), []);
    }
}
