//! Who works through the hub: each party is one task, with a seed, a name and a history of its own.

mod asker;
mod hand_over;
mod http_consumer;
mod http_publisher;
mod job;
mod maker;
mod native;
mod native_consumer;
mod native_publisher;
mod old_leases;
mod wire_consumer;
mod wire_hand_over;
mod wire_publisher;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;

pub(crate) use maker::Maker;
pub(crate) use wire_consumer::ack_all;

use crate::queues::{MIRROR, ORDERED, PLAIN, REFINED, WORK};
use crate::world::World;
use native::Way;

/// How the parties of a run ended; they end when the stage says so.
pub(crate) type Parties = JoinSet<anyhow::Result<()>>;

/// Starts those that publish.
pub(crate) fn publishers(world: &Arc<World>) -> Parties {
    let mut parties = JoinSet::new();
    let w = || Arc::clone(world);
    parties
        .spawn(named("wire-publisher-1", wire_publisher::run(w(), "wire-publisher-1", &[ORDERED.topic, PLAIN.topic])));
    parties.spawn(named("wire-publisher-2", wire_publisher::run(w(), "wire-publisher-2", &[PLAIN.topic, WORK.topic])));
    for (name, way, topics) in [
        ("native-publisher-1", Way::WebSocket, [ORDERED.topic, WORK.topic]),
        ("native-publisher-2", Way::Unix, [PLAIN.topic, ORDERED.topic]),
    ] {
        parties.spawn(named(name, native_publisher::run(w(), name, way, topics)));
    }
    parties.spawn(named("http-publisher", http_publisher::run(w(), "http-publisher")));
    parties.spawn(named("asker", asker::ask(w(), "asker")));
    parties
}

/// Starts those that consume, to the end.
pub(crate) fn consumers(world: &Arc<World>) -> Parties {
    let mut parties = JoinSet::new();
    let w = || Arc::clone(world);
    for (name, way, queue) in
        [("native-ordered", Way::WebSocket, ORDERED.name), ("native-plain", Way::Unix, PLAIN.name)]
    {
        parties.spawn(named(name, native_consumer::run(w(), name, way, queue)));
    }
    for (name, queue) in [("wire-plain", PLAIN.name), ("wire-mirror", MIRROR.name)] {
        parties.spawn(named(name, wire_consumer::run(w(), name, queue)));
    }
    parties.spawn(named("http-plain", http_consumer::run(w(), "http-plain", PLAIN.name)));
    parties.spawn(named("native-work", hand_over::run(w(), "native-work", WORK.name, REFINED.topic)));
    parties.spawn(named("wire-refined", wire_hand_over::run(w(), "wire-refined", REFINED.name, "results")));
    parties.spawn(named("answerer", asker::answer(w(), "answerer")));
    parties
}

async fn named(name: &'static str, party: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    party.await.with_context(|| format!("party {name}"))
}
