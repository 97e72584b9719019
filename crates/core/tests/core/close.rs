//! A fact that is never answered holds up neither the hub's work nor its end.

use std::sync::Arc;
use std::time::Duration;

use skep_core::Hub;
use skep_protocol::Command;
use skep_testkit::backend_suite::declare;
use skep_testkit::{Peer, message};
use tokio::time::timeout;

use crate::facts::until;
use crate::faulty::Faulty;

const PATIENCE: Duration = Duration::from_secs(20);

/// A hub on facts of which none that says when an agent was seen is ever put, with an agent that has left.
async fn stuck(folder: &tempfile::TempDir) -> Arc<Hub> {
    let (hub, facts) = Faulty::hub(folder).await;
    facts.hold(Some(".seen"));
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
    until("the parked session is ended", async || hub.sessions() <= 2).await;
    peer.publish(message("jobs")).await.expect("a receipt");
    listener.live().await;
    work.abort();
}
