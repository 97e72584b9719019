//! Facts on the log.

use std::time::Duration;

use skep_core::{BoxFuture, Fact, FactPage, Facts, Now, Watch};
use skep_protocol::Error;

use crate::backend::Embedded;
use crate::durably::{durably, durably_staged};
use crate::engine::{Claim, FACT_END_BYTES, Need};

/// More bytes than the record of a fact takes beside key and value.
const FACT_PUT_BYTES: usize = 64;

impl Facts for Embedded {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>> {
        let (key, now) = (key.to_owned(), self.now());
        durably(self, move |engine| Ok(engine.fact(&key, now)))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> BoxFuture<'_, Result<FactPage, Error>> {
        let (prefix, after, now) = (prefix.to_owned(), after.map(str::to_owned), self.now());
        durably(self, move |engine| Ok(engine.list_facts(&prefix, after.as_deref(), limit, now)))
    }

    fn watch(&self, prefix: &str) -> BoxFuture<'_, Result<Watch, Error>> {
        let prefix = prefix.to_owned();
        durably(self, move |engine| engine.watch_facts(&prefix))
    }

    fn put(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        ttl: Option<Duration>,
        now: Now,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        let (key, value) = (key.to_owned(), value.to_owned());
        // One whose time is over ends before.
        let bytes = 2 * key.len() + FACT_END_BYTES + value.len() + FACT_PUT_BYTES;
        let need = Need { claim: Claim::Growth, bytes, records: 2 };
        durably_staged(self, move |_| need, move |engine, _| engine.put_fact(&key, &value, expected, ttl, now))
    }

    fn delete(&self, key: &str, now: Now) -> BoxFuture<'_, Result<bool, Error>> {
        let key = key.to_owned();
        let need = Need { claim: Claim::Clearing, bytes: key.len() + FACT_END_BYTES, records: 1 };
        durably_staged(self, move |_| need, move |engine, _| Ok(engine.delete_fact(&key, now)))
    }
}
