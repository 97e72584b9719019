//! A receipt in words: what is true of a message now.

use serde::Serialize;
use skep_protocol::{Accepted, Durability, Guarantee, Position, Recipient};

use crate::output::{counted, presence};

/// A receipt, and the id of the message it is for.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt<'a> {
    id: &'a str,
    position: Option<Position>,
    durability: Option<Durability>,
    guarantee: Guarantee,
    queues: u32,
    skipped: u32,
    live: u32,
    duplicate: bool,
    recipient: Option<&'a Recipient>,
}

impl<'a> Receipt<'a> {
    pub(crate) fn new(id: &'a str, accepted: &'a Accepted) -> Self {
        let Accepted { position, durability, guarantee, queues, skipped, live, duplicate, ref recipient } = *accepted;
        let recipient = recipient.as_ref();
        Receipt { id, position, durability, guarantee, queues, skipped, live, duplicate, recipient }
    }

    /// `stored 0193…  position 1  fsync  ->  bob: 1 waiting, never connected`
    pub(crate) fn words(&self) -> String {
        let done = match self.position {
            _ if self.duplicate => "known before",
            Some(_) => "stored",
            None => "passed on",
        };
        let mut parts = vec![format!("{done} {}", self.id)];
        parts.extend(self.position.map(|position| format!("position {position}")));
        parts.push(self.durability.map_or_else(|| "not stored".into(), |durability| durability.to_string()));
        // Stored at least once is what one expects of a store.
        if self.guarantee != Guarantee::AtLeastOnce {
            parts.push(self.guarantee.to_string());
        }
        parts.push("->".into());
        parts.push(self.recipient.map_or_else(|| self.takers(), recipient));
        parts.join("  ")
    }

    /// Whether nothing holds it and nobody heard it.
    pub(crate) fn reached_nobody(&self) -> bool {
        self.queues == 0 && self.live == 0 && self.skipped == 0
    }

    fn takers(&self) -> String {
        let counts = [
            (self.queues, "queue", "queues"),
            (self.live, "live listener", "live listeners"),
            (self.skipped, "full queue skipped", "full queues skipped"),
        ];
        let takers: Vec<String> = counts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| counted(u64::from(count), one, many))
            .collect();
        if takers.is_empty() { "nobody listens, and no queue takes this topic".into() } else { takers.join(", ") }
    }
}

fn recipient(recipient: &Recipient) -> String {
    let presence = presence(recipient.connected, recipient.last_seen_ms);
    format!("{}: {} waiting, {presence}", recipient.agent, recipient.waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted() -> Accepted {
        Accepted {
            position: Some(Position::Number(1)),
            durability: Some(Durability::Fsync),
            guarantee: Guarantee::AtLeastOnce,
            queues: 1,
            skipped: 0,
            live: 0,
            duplicate: false,
            recipient: None,
        }
    }

    #[test]
    fn a_send_is_told_with_position_durability_and_who_waits() {
        let bob = Recipient { agent: "bob".parse().unwrap(), waiting: 1, connected: Some(false), last_seen_ms: None };
        let accepted = Accepted { recipient: Some(bob), ..accepted() };
        let words = Receipt::new("0193", &accepted).words();
        assert_eq!(words, "stored 0193  position 1  fsync  ->  bob: 1 waiting, never connected");
    }

    #[test]
    fn a_publish_is_told_with_who_took_it_and_who_was_skipped() {
        let accepted = Accepted { queues: 2, live: 1, skipped: 1, ..accepted() };
        let words = Receipt::new("a", &accepted).words();
        assert_eq!(words, "stored a  position 1  fsync  ->  2 queues, 1 live listener, 1 full queue skipped");
    }

    #[test]
    fn what_nothing_holds_is_not_called_stored() {
        let nobody =
            Accepted { position: None, durability: None, guarantee: Guarantee::BestEffort, queues: 0, ..accepted() };
        let words = Receipt::new("a", &nobody).words();
        assert!(words.starts_with("passed on a  not stored  best_effort  ->  nobody listens"), "{words}");
        let duplicate = Accepted { duplicate: true, ..accepted() };
        assert!(Receipt::new("a", &duplicate).words().starts_with("known before a  position 1"));
    }
}
