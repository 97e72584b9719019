//! Small durable facts, rebuilt from the log.
//!
//! That the time of a fact is over is recorded as its deletion, so that replay decides nothing; until that is done, nobody sees
//! it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use skep_core::{Fact, FactChange, FactPage, Now, Teller, Watch};
use skep_protocol::{Code, Error};

use super::entry::NEVER;
use super::timers::{Handle, Timer};
use super::{Claim, Engine};
use crate::journal::Record;
use crate::limits::{
    EXPIRE_RETRY_MS, FACT_BYTES_MAX, FACTS_BYTES_MAX, FACTS_END_MAX, FACTS_PAGE_MAX, LOOK_BYTES_MAX, WATCHES_MAX,
};

/// More bytes than the deletion of a fact takes beside its key.
pub(crate) const FACT_END_BYTES: usize = 64;
/// Bytes of the longest key's deletion.
const DELETE_BYTES: usize = u16::MAX as usize + 64;

/// A fact under its key.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) revision: u64,
    pub(super) value: Vec<u8>,
    /// When it ends, by the clock on the wall.
    pub(super) until_ms: Option<u64>,
}

impl Known {
    fn is_over(&self, now: Now) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now.unix_ms)
    }

    fn fact(&self, key: &str) -> Fact {
        Fact { key: key.to_owned(), value: self.value.clone(), revision: self.revision, until_ms: self.until_ms }
    }
}

/// The facts by key.
#[derive(Debug, Default)]
pub(super) struct FactTable {
    pub(super) known: BTreeMap<String, Known>,
    pub(super) bytes: usize,
    /// When those end that do.
    pub(super) ending: BTreeSet<(u64, String)>,
    /// When it is looked for those that ended.
    pub(super) alarm: Option<(u64, Handle)>,
    /// Who is told of changes.
    pub(super) tellers: Vec<Arc<Teller>>,
}

impl FactTable {
    pub(super) fn put(&mut self, key: &str, revision: u64, value: &[u8], until_ms: Option<u64>) {
        self.delete(key);
        self.bytes += key.len() + value.len();
        self.ending.extend(until_ms.map(|until_ms| (until_ms, key.to_owned())));
        self.known.insert(key.to_owned(), Known { revision, value: value.to_owned(), until_ms });
    }

    pub(super) fn delete(&mut self, key: &str) -> bool {
        let Some((key, old)) = self.known.remove_entry(key) else { return false };
        self.bytes -= key.len() + old.value.len();
        if let Some(until_ms) = old.until_ms {
            self.ending.remove(&(until_ms, key));
        }
        true
    }
}

impl Engine {
    /// Puts a fact, for so long if that is said; answers its revision: the position of its record.
    pub(crate) fn put_fact(
        &mut self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        ttl: Option<Duration>,
        now: Now,
    ) -> Result<u64, Error> {
        let bytes = key.len() + value.len();
        if bytes > FACT_BYTES_MAX || key.len() > usize::from(u16::MAX) {
            let text = format!("fact {key:.64?} has {bytes} bytes; at most {FACT_BYTES_MAX} are taken");
            return Err(Error::new(Code::TooLarge, text));
        }
        if self.facts.bytes + bytes > FACTS_BYTES_MAX || !self.staging.has_room(bytes + 64 + DELETE_BYTES, 2) {
            return Err(Error::new(Code::Busy, format!("fact {key:?}: there is no room for it just now")));
        }
        self.end_fact(key, now);
        let revision = self.facts.known.get(key).map_or(0, |known| known.revision);
        if expected.is_some_and(|expected| expected != revision) {
            let text = format!("fact {key:?} has revision {revision}; expected {}", expected.unwrap_or_default());
            return Err(Error::new(Code::Conflict, text));
        }
        self.staging.together(bytes + 64, 1);
        let revision = self.staging.position();
        let until_ms = ttl.map(|ttl| now.plus(ttl).unix_ms).filter(|until_ms| *until_ms != NEVER);
        self.staging.append(&Record::FactPut { revision, key, value, until_ms });
        self.facts.put(key, revision, value, until_ms);
        self.look_for_ended(0);
        self.tell_watches(key, revision, Some(value));
        Ok(revision)
    }

    /// Deletes a fact; answers whether there was one.
    pub(crate) fn delete_fact(&mut self, key: &str, now: Now) -> bool {
        !self.end_fact(key, now) && self.remove_fact(key)
    }

    /// One fact.
    pub(crate) fn fact(&self, key: &str, now: Now) -> Option<Fact> {
        self.facts.known.get(key).filter(|known| !known.is_over(now)).map(|known| known.fact(key))
    }

    /// The facts whose key begins with a prefix, by key, behind one of them.
    pub(crate) fn list_facts(&self, prefix: &str, after: Option<&str>, limit: usize, now: Now) -> FactPage {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let from = self.facts.known.range::<str, _>((from, Bound::Unbounded));
        let matching = from.take_while(|(key, _)| key.starts_with(prefix)).filter(|(_, known)| !known.is_over(now));
        let (mut page, mut bytes) = (FactPage::default(), 0);
        for (key, known) in matching {
            if page.facts.len() >= limit.clamp(1, FACTS_PAGE_MAX) || bytes >= LOOK_BYTES_MAX {
                page.next = page.facts.last().map(|last| last.key.clone());
                break;
            }
            bytes += key.len() + known.value.len();
            page.facts.push(known.fact(key));
        }
        page
    }

    /// Begins to tell of changes under keys with a prefix.
    pub(crate) fn watch_facts(&mut self, prefix: &str) -> Result<Watch, Error> {
        self.facts.tellers.retain(|teller| teller.is_heard());
        if self.facts.tellers.len() >= WATCHES_MAX {
            let text = format!("{WATCHES_MAX} watches of facts are open; end one, or try again");
            return Err(Error::new(Code::Busy, text));
        }
        let (teller, watch) = Watch::new(prefix);
        self.facts.tellers.push(Arc::new(teller));
        Ok(watch)
    }

    /// Facts whose time is over are no more.
    pub(super) fn end_facts(&mut self, now: Now) {
        self.facts.alarm = None;
        for _ in 0..FACTS_END_MAX {
            let first = self.facts.ending.first().filter(|(until_ms, _)| *until_ms <= now.unix_ms);
            let Some((_, key)) = first.cloned() else { break };
            let bytes = key.len() + FACT_END_BYTES;
            if !self.staging.has_room(bytes, 1) || !self.has_room_for(Claim::Handing, bytes, 1) {
                return self.look_for_ended(now.unix_ms + EXPIRE_RETRY_MS);
            }
            self.remove_fact(&key);
        }
        self.look_for_ended(0);
    }

    /// It is looked for facts that ended when the next one does, and not before `from_ms`.
    pub(super) fn look_for_ended(&mut self, from_ms: u64) {
        let Some(at_ms) = self.facts.ending.first().map(|(until_ms, _)| (*until_ms).max(from_ms)) else { return };
        match self.facts.alarm {
            Some((known_ms, _)) if known_ms <= at_ms => return,
            Some((_, later)) => self.calendar.clear(later, Timer::Facts),
            None => {}
        }
        self.facts.alarm = Some((at_ms, self.calendar.set(at_ms, Timer::Facts)));
    }

    /// The fact is no more if its time is over; answers whether it was.
    fn end_fact(&mut self, key: &str, now: Now) -> bool {
        self.facts.known.get(key).is_some_and(|known| known.is_over(now)) && self.remove_fact(key)
    }

    fn remove_fact(&mut self, key: &str) -> bool {
        let deleted = self.facts.delete(key);
        if deleted {
            let revision = self.staging.append(&Record::FactDelete { key });
            self.tell_watches(key, revision, None);
        }
        deleted
    }

    /// Whoever watches hears of a change once it is durable.
    fn tell_watches(&mut self, key: &str, revision: u64, value: Option<&[u8]>) {
        let minding = self.facts.tellers.iter().filter(|teller| teller.minds(key));
        let minding: Vec<Arc<Teller>> = minding.cloned().collect();
        if !minding.is_empty() {
            let change = FactChange { key: key.to_owned(), revision, value: value.map(<[u8]>::to_vec) };
            let change = Arc::new(change);
            self.when_durable(move || minding.iter().for_each(|teller| teller.tell(&change)));
        }
    }
}
