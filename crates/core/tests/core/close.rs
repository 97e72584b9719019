//! A fact that is never answered holds up neither the hub's work nor its end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use skep_core::{BoxFuture, Clock, Fact, FactPage, Facts, Guards, Hub, HubOptions, Now, Watch};
use skep_embedded::{Embedded, EmbeddedOptions};
use skep_protocol::{Command, Error};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Anyone, Peer, message};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Facts of which none that says when an agent was seen is ever put.
struct Stuck(Arc<Embedded>);

impl Facts for Stuck {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Fact>, Error>> {
        self.0.get(key)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> BoxFuture<'_, Result<FactPage, Error>> {
        self.0.list(prefix, after, limit)
    }

    fn watch(&self, prefix: &str) -> BoxFuture<'_, Result<Watch, Error>> {
        self.0.watch(prefix)
    }

    fn put(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
        ttl: Option<Duration>,
        now: Now,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        if key.ends_with(".seen") { Box::pin(pending()) } else { self.0.put(key, value, expected, ttl, now) }
    }

    fn delete(&self, key: &str, now: Now) -> BoxFuture<'_, Result<bool, Error>> {
        self.0.delete(key, now)
    }
}

/// A hub on such facts, with an agent that has left.
async fn stuck(folder: &tempfile::TempDir) -> Arc<Hub> {
    let store = Embedded::open(folder.path(), Clock::new(), EmbeddedOptions::default()).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let facts = Arc::new(Stuck(store.clone()));
    let hub = Hub::open(options, Clock::new(), store, facts, Arc::new(Anyone)).await.expect("a hub");
    let mut peer = Peer::attach(&hub, Some("bob"));
    let agent = "bob".parse().expect("an id");
    peer.manage(Command::Register { agent, metadata: "{}".into() }).await.expect("an agent");
    peer.goodbye();
    hub
}

#[tokio::test]
async fn a_hub_closes_although_a_fact_is_never_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = stuck(&folder).await;
    timeout(PATIENCE, hub.close()).await.expect("it closes").expect("in order");
}

#[tokio::test]
async fn live_copies_and_the_end_of_parked_sessions_wait_for_no_fact() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = stuck(&folder).await;
    let running = hub.clone();
    let work = tokio::spawn(async move { running.run().await });
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    let mut listener = Peer::attach(&hub, None);
    listener.listen("jobs").await;
    let lost = Peer::attach(&hub, None);
    lost.park();
    let begun = tokio::time::Instant::now();
    while hub.sessions() > 2 {
        assert!(begun.elapsed() < PATIENCE, "a parked session is never ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    peer.publish(message("jobs")).await.expect("a receipt");
    listener.live().await;
    work.abort();
}
