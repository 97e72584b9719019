//! Facts on the log.

use skep_core::{BoxFuture, Fact, Facts, Now};
use skep_protocol::Error;

use crate::backend::{Embedded, durably};

impl Facts for Embedded {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>> {
        let key = key.to_owned();
        durably(self, move |engine| Ok(engine.fact(&key)))
    }

    fn put(&self, key: &str, value: &[u8], expected: Option<u64>, _now: Now) -> BoxFuture<'_, Result<u64, Error>> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let refused = self.refusal(true);
        let put = durably(self, move |engine| engine.put_fact(&key, &value, expected));
        Box::pin(async move {
            match refused {
                Some(error) => Err(error),
                None => put.await,
            }
        })
    }

    fn delete(&self, key: &str, _now: Now) -> BoxFuture<'_, Result<bool, Error>> {
        let key = key.to_owned();
        durably(self, move |engine| Ok(engine.delete_fact(&key)))
    }
}
