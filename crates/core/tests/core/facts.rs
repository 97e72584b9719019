//! What is known of agents while the facts cannot be written.

use std::sync::Arc;
use std::time::Duration;

use skep_core::{Fact, Facts, Hub};
use skep_protocol::{AgentId, Answer, Code, Command, Error};
use skep_testkit::Peer;
use tokio::time::{Instant, sleep, timeout};

use crate::faulty::Faulty;

const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    _folder: tempfile::TempDir,
    facts: Arc<Faulty>,
    hub: Arc<Hub>,
}

impl House {
    /// A hub that knows bob.
    async fn with_bob() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (hub, facts) = Faulty::hub(&folder).await;
        let house = House { _folder: folder, facts, hub };
        house.register("{\"of\":1}").await.expect("bob");
        house
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

/// Waits for what another task does.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn when_an_agent_was_seen_is_kept_once_the_disk_has_room_again() {
    let house = House::with_bob().await;
    house.facts.fill(true);
    Peer::attach(&house.hub, Some("bob")).goodbye();
    let running = house.hub.clone();
    let work = tokio::spawn(async move { running.run().await });
    until("it is tried", async || house.facts.counts().0 > 0).await;
    house.facts.fill(false);
    until("it is kept", async || house.fact("seen").await.is_some()).await;
    work.abort();
}

#[tokio::test]
async fn an_agent_that_is_deregistered_while_it_is_written_when_it_was_seen_leaves_nothing_behind() {
    let house = House::with_bob().await;
    house.facts.hold(Some(".seen"));
    Peer::attach(&house.hub, Some("bob")).goodbye();
    let running = house.hub.clone();
    let work = tokio::spawn(async move { running.run().await });
    until("it is on its way", async || house.facts.counts().1 > 0).await;
    house.deregister().await.expect("it is gone");
    let mut changes = house.facts.watch("agent.bob.").await.expect("a watch");
    house.facts.hold(None);
    timeout(PATIENCE, changes.next()).await.expect("it was put");
    until("it is deleted", async || house.fact("seen").await.is_none()).await;
    assert!(house.fact("metadata").await.is_none());
    work.abort();
}

#[tokio::test]
async fn an_agent_that_is_deregistered_while_it_says_something_of_itself_leaves_nothing_behind() {
    let house = House::with_bob().await;
    house.facts.hold(Some(".metadata"));
    let (said, gone) = tokio::join!(house.register("{\"of\":2}"), async {
        until("it is on its way", async || house.facts.counts().1 > 0).await;
        let gone = house.deregister().await;
        house.facts.hold(None);
        gone
    });
    assert_eq!((said, gone), (Ok(Answer::Done { changed: true }), Ok(Answer::Done { changed: true })));
    assert!(house.fact("metadata").await.is_none());
}

#[tokio::test]
async fn a_known_agent_that_says_what_it_said_is_registered_on_a_full_disk() {
    let house = House::with_bob().await;
    house.facts.fill(true);
    assert_eq!(house.register("{\"of\":1}").await, Ok(Answer::Done { changed: false }));
    assert_eq!(house.register("{\"of\":2}").await.expect_err("it is new").code, Code::DiskFull);
}

#[tokio::test]
async fn deregistering_again_removes_what_an_interrupted_deregistration_left() {
    let house = House::with_bob().await;
    house.facts.fill(true);
    assert_eq!(house.deregister().await.expect_err("its facts stay").code, Code::DiskFull);
    assert!(house.fact("metadata").await.is_some());
    house.facts.fill(false);
    assert_eq!(house.deregister().await.expect_err("it is gone").code, Code::UnknownAgent);
    assert!(house.fact("metadata").await.is_none());
}
