//! Small durable facts, rebuilt from the log.

use std::collections::BTreeMap;

use skep_core::Fact;
use skep_protocol::{Code, Error};

use super::Engine;
use crate::journal::Record;
use crate::limits::{FACT_BYTES_MAX, FACTS_BYTES_MAX};

/// The facts by key.
#[derive(Debug, Default)]
pub(super) struct FactTable {
    pub(super) known: BTreeMap<String, (u64, Vec<u8>)>,
    pub(super) bytes: usize,
}

impl FactTable {
    pub(super) fn put(&mut self, key: &str, revision: u64, value: &[u8]) {
        self.bytes += key.len() + value.len();
        if let Some((_, old)) = self.known.insert(key.to_owned(), (revision, value.to_owned())) {
            self.bytes -= key.len() + old.len();
        }
    }

    pub(super) fn delete(&mut self, key: &str) -> bool {
        let old = self.known.remove(key);
        self.bytes -= old.as_ref().map_or(0, |(_, value)| key.len() + value.len());
        old.is_some()
    }
}

impl Engine {
    /// Puts a fact; answers its revision: the position of its record.
    pub(crate) fn put_fact(&mut self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, Error> {
        let bytes = key.len() + value.len();
        if bytes > FACT_BYTES_MAX || key.len() > usize::from(u16::MAX) {
            let text = format!("fact {key:.64?} has {bytes} bytes; at most {FACT_BYTES_MAX} are taken");
            return Err(Error::new(Code::TooLarge, text));
        }
        if self.facts.bytes + bytes > FACTS_BYTES_MAX || !self.staging.has_room(bytes + 64, 1) {
            return Err(Error::new(Code::Busy, format!("fact {key:?}: there is no room for it just now")));
        }
        let revision = self.facts.known.get(key).map_or(0, |(revision, _)| *revision);
        if expected.is_some_and(|expected| expected != revision) {
            let text = format!("fact {key:?} has revision {revision}; expected {}", expected.unwrap_or_default());
            return Err(Error::new(Code::Conflict, text));
        }
        self.staging.together(bytes + 64, 1);
        let revision = self.staging.position();
        self.staging.append(&Record::FactPut { revision, key, value });
        self.facts.put(key, revision, value);
        Ok(revision)
    }

    /// Deletes a fact; answers whether there was one.
    pub(crate) fn delete_fact(&mut self, key: &str) -> bool {
        let deleted = self.facts.delete(key);
        if deleted {
            self.staging.append(&Record::FactDelete { key });
        }
        deleted
    }

    /// The facts whose key begins with a prefix, by key.
    #[cfg(test)]
    pub(crate) fn facts(&self, prefix: &str) -> Vec<Fact> {
        let from = self.facts.known.range(prefix.to_owned()..);
        let matching = from.take_while(|(key, _)| key.starts_with(prefix));
        matching
            .map(|(key, (revision, value))| Fact { key: key.clone(), value: value.clone(), revision: *revision })
            .collect()
    }

    /// One fact.
    pub(crate) fn fact(&self, key: &str) -> Option<Fact> {
        let (revision, value) = self.facts.known.get(key)?;
        Some(Fact { key: key.to_owned(), value: value.clone(), revision: *revision })
    }
}
