//! Facts on a store that are refused, or wait, as a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use skep_core::{BoxFuture, Clock, Fact, FactPage, Facts, Guards, Hub, HubOptions, Now, Watch};
use skep_embedded::{Embedded, EmbeddedOptions};
use skep_protocol::{Code, Error};
use skep_testkit::Anyone;
use tokio::sync::watch;

/// Facts in a store, some of which cannot be written just now.
pub(crate) struct Faulty {
    store: Arc<Embedded>,
    /// The disk is full: nothing can be changed.
    full: AtomicBool,
    refused: AtomicU64,
    /// Whatever has a key that ends so waits to be put.
    held: watch::Sender<Option<&'static str>>,
    waiting: AtomicU64,
}

impl Faulty {
    /// A hub on a store in a folder, and its facts.
    pub(crate) async fn hub(folder: &tempfile::TempDir) -> (Arc<Hub>, Arc<Faulty>) {
        let store = Embedded::open(folder.path(), Clock::new(), EmbeddedOptions::default()).expect("a store");
        let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
        let facts = Arc::new(Faulty {
            store: store.clone(),
            full: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            held: watch::Sender::new(None),
            waiting: AtomicU64::new(0),
        });
        let hub = Hub::open(options, Clock::new(), store, facts.clone(), Arc::new(Anyone)).await.expect("a hub");
        (hub, facts)
    }

    /// Whether nothing can be changed from now on.
    pub(crate) fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// From now on whatever has a key that ends so waits to be put; whoever waits already, and is not meant any more, goes on.
    pub(crate) fn hold(&self, end: Option<&'static str>) {
        self.held.send_replace(end);
    }

    /// How many changes the full disk refused, and how many wait.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.refused.load(Ordering::SeqCst), self.waiting.load(Ordering::SeqCst))
    }

    fn check(&self) -> Result<(), Error> {
        let full = self.full.load(Ordering::SeqCst);
        self.refused.fetch_add(u64::from(full), Ordering::SeqCst);
        if full { Err(Error::new(Code::DiskFull, "the disk is full")) } else { Ok(()) }
    }
}

impl Facts for Faulty {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>> {
        self.store.get(key)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> BoxFuture<'_, Result<FactPage, Error>> {
        self.store.list(prefix, after, limit)
    }

    fn watch(&self, prefix: &str) -> BoxFuture<'_, Result<Watch, Error>> {
        self.store.watch(prefix)
    }

    fn put(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        ttl: Option<Duration>,
        now: Now,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        let (key, value) = (key.to_owned(), value.to_vec());
        Box::pin(async move {
            self.check()?;
            let is_free = |held: &Option<&str>| held.is_none_or(|end| !key.ends_with(end));
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.held.subscribe().wait_for(is_free).await.expect("its sender is here");
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            self.store.put(&key, &value, expected, ttl, now).await
        })
    }

    fn delete(&self, key: &str, now: Now) -> BoxFuture<'_, Result<bool, Error>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.check()?;
            self.store.delete(&key, now).await
        })
    }
}
