//! Fencing: a token is given once and settles once, and a lease that is over settles nothing.

use std::collections::{BTreeSet, HashMap};

use super::books::{Books, Settle};
use super::{Facts, Violation};
use crate::history::Sight;

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    let mut violations = given_twice(books);
    for (lease, settles) in &books.settles {
        let Some(given) = books.leases.get(lease) else { continue };
        let id = &*given.seen.id;
        let done: Vec<&Settle<'_>> =
            settles.iter().filter(|settle| settle.told.is_ok() && settle.action != "extend").collect();
        let kinds: BTreeSet<&str> = done.iter().map(|settle| settle.action).collect();
        if kinds.len() > 1 {
            let what = format!("lease {lease} of {id} was settled as {kinds:?}");
            violations.push(Violation::new(what, books.lines(id)));
        }
        for settle in settles.iter().filter(|settle| settle.told.is_ok()) {
            if let Some(why) = is_over(books, given, settle) {
                let what = format!("{} by lease {lease} of {id} was answered ok, although {why}", settle.action);
                violations.push(Violation::new(what, books.lines(id)));
            }
        }
    }
    violations.extend(settled_twice(books));
    violations
}

fn given_twice(books: &Books<'_>) -> Vec<Violation> {
    let mut given: HashMap<_, &Sight> = HashMap::new();
    let again = books.history.sights.iter().filter_map(|sight| {
        let first = *given.entry(sight.seen.lease).or_insert(sight);
        let is_another = !std::ptr::eq(first, sight);
        is_another.then(|| {
            Violation::new(format!("lease {} was given twice", sight.seen.lease), [first.line(), sight.line()])
        })
    });
    again.collect()
}

/// Why a lease was certainly over when a settle of it began.
fn is_over(books: &Books<'_>, given: &Sight, settle: &Settle<'_>) -> Option<String> {
    // Said before, the same is answered the same; only extends are not remembered.
    let is_resend =
        settle.action != "extend"
            && books.settles.get(&settle.lease).into_iter().flatten().any(|other| {
                other.op.begin < settle.op.begin && other.action == settle.action && !other.told.is_refused()
            });
    if is_resend {
        return None;
    }
    if settle.op.life > given.seen.lives.1 {
        return Some(format!("the hub of life {} was gone", given.seen.lives.1));
    }
    let mut later = books.seen(&given.seen.id, &given.seen.queue).iter();
    let newer = later.find(|other| other.at < settle.op.begin && other.seen.is_newer_than(&given.seen))?;
    Some(format!("it had come again under lease {}", newer.seen.lease))
}

/// Two leases of one message that both ended it.
fn settled_twice(books: &Books<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, queues) in &books.sights {
        for (queue, sights) in queues {
            let ended = |sight: &&&Sight| {
                let settles = books.settles.get(&sight.seen.lease).into_iter().flatten();
                settles.clone().any(|settle| settle.is_last() && settle.told.is_ok())
            };
            if sights.iter().filter(ended).count() > 1 {
                let what = format!("{id} of queue {queue} was settled for good by two leases");
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

    fn judged(story: &Story) -> String {
        story.judge(check).into_iter().map(|violation| violation.what).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_lease_of_a_hub_that_is_gone_settles_nothing() {
        let mut story = Story::new();
        let lease = story.delivered("m", "plain", 7, 1, 1);
        story.life = 2;
        story.settle(lease, "ack", Told::Refused("lease_lost".into()));
        assert_eq!(judged(&story), "");
        story.settle(lease, "nack", Told::DONE);
        assert!(judged(&story).contains("the hub of life 1 was gone"));
    }

    #[test]
    fn a_settle_that_was_done_before_is_answered_again() {
        let mut story = Story::new();
        let lease = story.delivered("m", "plain", 7, 1, 1);
        story.settle(lease, "ack", Told::Unknown("connection_lost".into()));
        story.life = 2;
        story.settle(lease, "ack", Told::DONE);
        assert_eq!(judged(&story), "");
        story.settle(lease, "nack", Told::DONE);
        assert!(judged(&story).contains("was settled as {\"ack\", \"nack\"}"));
    }

    #[test]
    fn a_lease_whose_message_came_again_settles_nothing() {
        let mut story = Story::new();
        let lease = story.delivered("m", "plain", 7, 1, 1);
        let newer = story.delivered("m", "plain", 7, 2, 1);
        story.settle(lease, "extend", Told::DONE);
        assert!(judged(&story).contains("it had come again"));
        let mut story = Story::new();
        let lease = story.delivered("m", "plain", 7, 2, 1);
        story.delivered("m", "plain", 7, 1, 1);
        story.settle(lease, "ack", Told::DONE);
        assert_eq!(judged(&story), "", "{newer} is older here");
    }

    #[test]
    fn two_leases_do_not_both_end_a_message() {
        let mut story = Story::new();
        story.consumed("m", "plain", 7);
        story.consumed("m", "mirror", 7);
        assert_eq!(judged(&story), "");
        story.consumed("m", "plain", 7);
        assert!(judged(&story).contains("by two leases"));
    }

    #[test]
    fn a_token_that_is_given_twice_is_seen() {
        let mut story = Story::new();
        story.delivered("a", "plain", 7, 1, 1);
        let twice = skep_protocol::LeaseToken([1; 16]);
        let (queue, id) = ("plain".into(), "b".into());
        let seen = crate::history::Seen {
            queue,
            id,
            position: 8,
            attempt: 1,
            lease: twice,
            hash: 1,
            priority: 2,
            lives: (1, 1),
        };
        story.delivered_as(seen);
        assert!(judged(&story).contains("was given twice"));
    }
}
