//! Messages that no queue took: refused, dropped, or matched by nobody. Of each a short record is
//! kept in memory, without payload, the newest only, so that a trace can say why it went nowhere.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use skep_protocol::{Error, Event, Fate, Message, MessageRef, Outcome, Position, Search, Traced};

use crate::limits::{UNSTORED_BYTES_MAX, UNSTORED_MAX};

/// What a record takes beside its texts, in bytes.
const RECORD_BYTES: usize = 256;
/// More than a hub refuses in a millisecond.
const NUMBERS_PER_MS: u64 = 10_000;

/// The newest of them.
#[derive(Debug)]
pub(crate) struct Unstored {
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    /// The number of the oldest one here. They count on from the moment at which the hub began, so
    /// that a number of an earlier life comes before all of this one.
    first: u64,
    /// All since this moment are here.
    since_ms: u64,
}

#[derive(Debug)]
struct Record {
    time_ms: u64,
    fate: Fate,
    party: Box<str>,
    /// Without payload; none of what could not be read.
    message: Option<Message>,
    reason: Box<str>,
}

impl Record {
    fn bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.bytes().len());
        RECORD_BYTES + message + self.party.len() + self.reason.len()
    }
}

impl Unstored {
    /// Nothing is known from before this moment.
    pub(crate) fn since(unix_ms: u64) -> Self {
        let first = unix_ms.saturating_mul(NUMBERS_PER_MS);
        Unstored { ring: Mutex::new(Ring { records: VecDeque::new(), bytes: 0, first, since_ms: unix_ms }) }
    }

    /// A message was refused. One of which nobody knows what became of it was not.
    pub(crate) fn refused(&self, time_ms: u64, party: &str, message: Option<&Message>, error: &Error) {
        if error.outcome == Outcome::Refused {
            self.add(time_ms, Fate::Refused, party, message, &error.to_string());
        }
    }

    /// A message found neither a queue nor a listener.
    pub(crate) fn unmatched(&self, time_ms: u64, party: &str, message: &Message) {
        self.add(time_ms, Fate::Unmatched, party, Some(message), "no queue matched it, and nobody listened");
    }

    /// A listener that takes too slowly lost a live message.
    pub(crate) fn dropped(&self, time_ms: u64, message: &Message) {
        let reason = "a live listener took too slowly, and it was the oldest that waited there";
        self.add(time_ms, Fate::Dropped, "", Some(message), reason);
    }

    /// A reply came where a request waits, and names another one.
    pub(crate) fn astray(&self, time_ms: u64, reply: &Message, request: &str) {
        let named = reply.view().correlation().unwrap_or("none");
        let reason = format!("its correlationid is {named}, and the request that waits there is {request}");
        self.add(time_ms, Fate::Dropped, "", Some(reply), &reason);
    }

    fn add(&self, time_ms: u64, fate: Fate, party: &str, message: Option<&Message>, reason: &str) {
        let message = message.map(|message| message.view().bare());
        let record = Record { time_ms, fate, party: party.into(), message, reason: reason.into() };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.bytes += record.bytes();
        ring.records.push_back(record);
        while ring.records.len() > UNSTORED_MAX || ring.bytes > UNSTORED_BYTES_MAX {
            let Some(oldest) = ring.records.pop_front() else { return };
            ring.bytes -= oldest.bytes();
            ring.first += 1;
            ring.since_ms = ring.records.front().map_or(time_ms, |record| record.time_ms);
        }
    }

    /// Those of an id, if one is named, that a search means, from a number on, at most so many and
    /// the oldest first, each with its number; and since when they are known.
    pub(crate) fn look(&self, id: Option<&str>, search: &Search, from: u64, most: usize) -> (Vec<(u64, Traced)>, u64) {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = (ring.first..).zip(&ring.records);
        let meant = numbered.filter(|(number, record)| *number >= from && record.is_meant(id, search));
        (meant.take(most).map(|(number, record)| (number, record.shown(search.whole))).collect(), ring.since_ms)
    }
}

impl Record {
    fn is_meant(&self, id: Option<&str>, search: &Search) -> bool {
        let view = self.message.as_ref().map(Message::view);
        let named = id.is_none_or(|id| view.is_some_and(|view| view.id() == id));
        let says_who = search.conversation.is_some() || search.to.is_some();
        let meets = match &view {
            Some(view) => search.meets(view, &self.party, false),
            // Of what could not be read only the party is known.
            None => !says_who && search.from.as_deref().is_none_or(|from| is_called(&self.party, from)),
        };
        let wanted = search.outcome.is_none_or(|outcome| outcome.takes(self.fate));
        named && meets && wanted && search.is_then(self.time_ms)
    }

    fn shown(&self, whole: bool) -> Traced {
        let view = self.message.as_ref().map(Message::view);
        let text = |text: fn(&MessageRef<'_>) -> String| view.as_ref().map(text).unwrap_or_default();
        let event = Event {
            time_ms: self.time_ms,
            position: Position::Number(0),
            what: self.fate.as_str().to_owned(),
            queue: None,
            attempt: None,
            party: (!self.party.is_empty()).then(|| self.party.to_string()),
            detail: Some(self.reason.to_string()),
        };
        Traced {
            id: text(|view| view.id().to_owned()),
            position: None,
            time_ms: self.time_ms,
            conversation: text(|view| view.conversation().to_owned()),
            kind: text(|view| view.kind().to_owned()),
            source: text(|view| view.source().to_owned()),
            party: self.party.to_string(),
            to: view.map(|view| view.to().map(str::to_owned).collect()).unwrap_or_default(),
            state: self.fate,
            state_ms: self.time_ms,
            queue: None,
            attempts: 0,
            reason: Some(self.reason.to_string()),
            holder: None,
            message: None,
            events: if whole { vec![event] } else { Vec::new() },
            due_ms: None,
            behind: None,
        }
    }
}

fn is_called(party: &str, name: &str) -> bool {
    party == name || party.strip_prefix("agent/") == Some(name)
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Code, MessageId, Topic};

    use super::*;

    fn message(id: &str) -> Message {
        let topic = Topic::new("jobs").unwrap();
        Message::build(&MessageId::new(id).unwrap(), "agent/alice", "t").to(&topic).json("1").finish().unwrap()
    }

    /// All that a search means, without their numbers, and since when they are known.
    fn look(unstored: &Unstored, id: Option<&str>, search: &Search) -> (Vec<Traced>, u64) {
        let (found, since_ms) = unstored.look(id, search, 0, usize::MAX);
        (found.into_iter().map(|(_, traced)| traced).collect(), since_ms)
    }

    #[test]
    fn the_newest_are_known_and_since_when_is_told() {
        let unstored = Unstored::since(5);
        assert_eq!(look(&unstored, None, &Search::default()), (Vec::new(), 5));
        for n in 0..=UNSTORED_MAX {
            unstored.unmatched(10 + n as u64, "agent/alice", &message(&n.to_string()));
        }
        let (found, since_ms) = look(&unstored, None, &Search::default());
        assert_eq!((found.len(), since_ms), (UNSTORED_MAX, 11));
        assert_eq!(found.first().map(|traced| traced.id.as_str()), Some("1"));
    }

    #[test]
    fn a_look_goes_on_from_a_number_also_when_the_oldest_were_forgotten() {
        let unstored = Unstored::since(5);
        (0..4).for_each(|n| unstored.unmatched(10, "agent/alice", &message(&n.to_string())));
        let (page, _) = unstored.look(None, &Search::default(), 0, 3);
        let [.., (number, last)] = page.as_slice() else { panic!("{page:?}") };
        assert_eq!(last.id, "2");
        (4..UNSTORED_MAX + 2).for_each(|n| unstored.unmatched(11, "agent/alice", &message(&n.to_string())));
        let (page, _) = unstored.look(None, &Search::default(), number + 1, 1);
        assert_eq!(page.first().map(|(_, traced)| traced.id.as_str()), Some("3"));
        let later = Unstored::since(6);
        later.unmatched(12, "agent/alice", &message("new"));
        assert_eq!(later.look(None, &Search::default(), number + 1, 1).0.len(), 1, "the hub began anew");
    }

    #[test]
    fn large_ones_push_out_as_many_as_their_bytes_ask() {
        let unstored = Unstored::since(0);
        let error = Error::new(Code::Forbidden, "x".repeat(UNSTORED_BYTES_MAX / 4));
        (0..10).for_each(|n| unstored.refused(n, "agent/alice", Some(&message("1")), &error));
        assert_eq!(look(&unstored, Some("1"), &Search::default()).0.len(), 3);
    }

    #[test]
    fn what_may_have_happened_was_not_refused() {
        let unstored = Unstored::since(0);
        unstored.refused(1, "agent/alice", Some(&message("1")), &Error::new(Code::StoreFailed, "unknown"));
        unstored.refused(1, "agent/alice", None, &Error::new(Code::InvalidMessage, "no id"));
        let (found, _) = look(&unstored, None, &Search { from: Some("alice".into()), ..Search::default() });
        assert_eq!(found.iter().map(|traced| traced.id.as_str()).collect::<Vec<_>>(), [""]);
        assert!(look(&unstored, None, &Search { to: Some("jobs".into()), ..Search::default() }).0.is_empty());
    }
}
