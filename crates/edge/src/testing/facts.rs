//! Facts in memory: what is put stays, and nobody asks for more.

use std::time::Duration;

use skep_core::{BoxFuture, Fact, FactPage, Facts, Now, Watch};
use skep_protocol::{Code, Error};

use super::Memory;

impl Facts for Memory {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>> {
        let value = self.facts.lock().unwrap().get(key).cloned();
        let fact = value.map(|value| Fact { key: key.into(), value, revision: 1, until_ms: None });
        Box::pin(async move { Ok(fact) })
    }

    fn list(&self, _: &str, _: Option<&str>, _: usize) -> BoxFuture<'_, Result<FactPage, Error>> {
        Box::pin(async { Err(Error::new(Code::Unsupported, "nobody lists facts here")) })
    }

    fn watch(&self, _: &str) -> BoxFuture<'_, Result<Watch, Error>> {
        Box::pin(async { Err(Error::new(Code::Unsupported, "nobody watches facts here")) })
    }

    fn put(
        &self,
        key: &str,
        value: &[u8],
        _: Option<u64>,
        _: Option<Duration>,
        _: Now,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        self.facts.lock().unwrap().insert(key.into(), value.to_vec());
        Box::pin(async { Ok(1) })
    }

    fn delete(&self, key: &str, _: Now) -> BoxFuture<'_, Result<bool, Error>> {
        let there = self.facts.lock().unwrap().remove(key).is_some();
        Box::pin(async move { Ok(there) })
    }
}
