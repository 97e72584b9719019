//! What is known of agents while the facts cannot be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use skep_core::{BoxFuture, Clock, Fact, FactPage, Facts, Guards, Hub, HubOptions, Now, Watch};
use skep_embedded::{Embedded, EmbeddedOptions};
use skep_protocol::{AgentId, Answer, Code, Command, Error};
use skep_testkit::{Anyone, Peer};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(20);

/// Facts on a disk that may be full.
struct Filling {
    store: Arc<Embedded>,
    full: AtomicBool,
    refused: AtomicU64,
}

impl Filling {
    fn refusal<T: Send + 'static>(&self) -> Option<BoxFuture<'static, Result<T, Error>>> {
        let full = self.full.load(Ordering::SeqCst);
        self.refused.fetch_add(u64::from(full), Ordering::SeqCst);
        full.then(|| Box::pin(async { Err(Error::new(Code::DiskFull, "the disk is full")) }) as BoxFuture<'static, _>)
    }
}

impl Facts for Filling {
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
        self.refusal().unwrap_or_else(|| self.store.put(key, value, expected, ttl, now))
    }

    fn delete(&self, key: &str, now: Now) -> BoxFuture<'_, Result<bool, Error>> {
        self.refusal().unwrap_or_else(|| self.store.delete(key, now))
    }
}

struct House {
    _folder: tempfile::TempDir,
    facts: Arc<Filling>,
    hub: Arc<Hub>,
}

impl House {
    /// A hub that knows bob.
    async fn with_bob() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Embedded::open(folder.path(), Clock::new(), EmbeddedOptions::default()).expect("a store");
        let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
        let facts =
            Arc::new(Filling { store: store.clone(), full: AtomicBool::new(false), refused: AtomicU64::new(0) });
        let hub = Hub::open(options, Clock::new(), store, facts.clone(), Arc::new(Anyone)).await.expect("a hub");
        let house = House { _folder: folder, facts, hub };
        house.register("{\"of\":1}").await.expect("bob");
        house
    }

    fn fill(&self, full: bool) {
        self.facts.full.store(full, Ordering::SeqCst);
    }

    async fn register(&self, metadata: &str) -> Result<Answer, Error> {
        let register = Command::Register { agent: bob(), metadata: metadata.into() };
        Peer::attach(&self.hub, None).manage(register).await
    }

    async fn deregister(&self) -> Result<Answer, Error> {
        Peer::attach(&self.hub, None).manage(Command::Deregister { agent: bob(), force: true }).await
    }

    async fn fact(&self, what: &str) -> Option<Fact> {
        self.facts.get(&format!("agent.bob.{what}")).await.expect("the facts are read")
    }
}

fn bob() -> AgentId {
    "bob".parse().expect("an id")
}

#[tokio::test]
async fn when_an_agent_was_seen_is_kept_once_the_disk_has_room_again() {
    let house = House::with_bob().await;
    house.fill(true);
    Peer::attach(&house.hub, Some("bob")).goodbye();
    let running = house.hub.clone();
    let work = tokio::spawn(async move { running.run().await });
    let begun = Instant::now();
    while house.facts.refused.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < PATIENCE, "it is never tried");
        sleep(Duration::from_millis(20)).await;
    }
    house.fill(false);
    while house.fact("seen").await.is_none() {
        assert!(begun.elapsed() < PATIENCE, "it is never kept");
        sleep(Duration::from_millis(20)).await;
    }
    work.abort();
}

#[tokio::test]
async fn a_known_agent_that_says_what_it_said_is_registered_on_a_full_disk() {
    let house = House::with_bob().await;
    house.fill(true);
    assert_eq!(house.register("{\"of\":1}").await, Ok(Answer::Done { changed: false }));
    assert_eq!(house.register("{\"of\":2}").await.expect_err("it is new").code, Code::DiskFull);
}

#[tokio::test]
async fn deregistering_again_removes_what_an_interrupted_deregistration_left() {
    let house = House::with_bob().await;
    house.fill(true);
    assert_eq!(house.deregister().await.expect_err("its facts stay").code, Code::DiskFull);
    assert!(house.fact("metadata").await.is_some());
    house.fill(false);
    assert_eq!(house.deregister().await.expect_err("it is gone").code, Code::UnknownAgent);
    assert!(house.fact("metadata").await.is_none());
}
