//! No phantom.

use super::books::Books;
use super::{Facts, Violation};
use crate::history::{Sight, Told, What};
use crate::queues::of_topic;

pub(super) fn check(books: &Books<'_>, _facts: Facts) -> Vec<Violation> {
    let delivered = books.history.sights.iter().filter_map(|sight| {
        let what = wrong(books, sight)?;
        Some(Violation::new(format!("{} {what}", sight.seen.id), books.lines(&sight.seen.id)))
    });
    let replied = books.history.ops.iter().filter_map(|op| match (&op.what, op.results.first()) {
        (What::Request { message, reply }, Some(Told::Ok { reply: Some(came), .. })) if came != reply => {
            Some(Violation::new(format!("the reply to {} belongs to another request", message.id), [op.line(0)]))
        }
        _ => None,
    });
    delivered.chain(replied).collect()
}

fn wrong(books: &Books<'_>, sight: &Sight) -> Option<&'static str> {
    let Some(tries) = books.tries.get(&*sight.seen.id) else { return Some("was delivered and never sent") };
    let before: Vec<_> = tries.iter().filter(|tried| tried.op.begin < sight.at).collect();
    let Some(first) = before.first() else { return Some("was delivered before it was sent") };
    if first.sent.hash != sight.seen.hash {
        return Some("was delivered with another payload");
    }
    if first.sent.priority != sight.seen.priority {
        return Some("was delivered with another priority");
    }
    if before.iter().all(|tried| tried.told.is_refused()) {
        return Some("was delivered, and every try to send it was refused");
    }
    let takes =
        |queue: &&'static crate::queues::Queue| *sight.seen.queue == *queue.name || *sight.seen.queue == queue.dead();
    of_topic(&first.sent.to).find(takes).is_none().then_some("was delivered from a queue that does not take its topic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::{Story, sent};
    use crate::history::Seen;

    fn judged(story: &Story) -> String {
        story.judge(check).into_iter().map(|violation| violation.what).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_delivery_of_what_was_never_sent_or_sent_later_is_a_phantom() {
        let mut story = Story::new();
        story.delivered("m", "plain", 7, 1, 1);
        assert_eq!(judged(&story), "m was delivered and never sent");
        story.published("m", "plain", 7);
        assert_eq!(judged(&story), "m was delivered before it was sent");
    }

    #[test]
    fn a_delivery_of_what_was_refused_is_a_phantom() {
        let mut story = Story::new();
        story.publish("m", "plain", Told::Refused("busy".into()));
        story.delivered("m", "plain", 7, 1, 1);
        assert!(judged(&story).contains("every try to send it was refused"));
        let mut story = Story::new();
        story.publish("m", "plain", Told::Refused("busy".into()));
        story.publish("m", "plain", Told::Unknown("connection_lost".into()));
        story.delivered("m", "plain", 7, 1, 1);
        assert_eq!(judged(&story), "");
    }

    #[test]
    fn another_payload_and_another_queue_are_phantoms() {
        let mut story = Story::new();
        story.published("m", "plain", 7);
        story.delivered("m", "work", 7, 1, 1);
        assert!(judged(&story).contains("a queue that does not take its topic"));
        let mut story = Story::new();
        story.published("m", "plain", 7);
        let lease = skep_protocol::LeaseToken([9; 16]);
        let (queue, id) = ("plain".into(), "m".into());
        story.delivered_as(Seen { queue, id, position: 7, attempt: 1, lease, hash: 1, priority: 2, lives: (1, 1) });
        assert!(judged(&story).contains("another payload"));
    }

    #[test]
    fn the_reply_to_another_request_is_a_phantom() {
        let mut story = Story::new();
        let told = |reply| Told::Ok { position: None, duplicate: false, queues: 0, reply: Some(reply) };
        story.ask(What::Request { message: sent("q1", "ask"), reply: 5 }, vec![told(5)]);
        assert_eq!(judged(&story), "");
        story.ask(What::Request { message: sent("q2", "ask"), reply: 6 }, vec![told(5)]);
        assert_eq!(judged(&story), "the reply to q2 belongs to another request");
    }
}
