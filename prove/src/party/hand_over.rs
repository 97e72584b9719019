//! A worker over the Rust client: acks an input and publishes its output in one atomic step.

use std::sync::Arc;

use super::Maker;
use super::job::{Job, work};
use super::maker::Made;
use super::native::Way;
use crate::history::{Settling, Told, What};
use crate::random::Random;
use crate::world::World;

/// Works to the end.
pub(super) async fn run(world: Arc<World>, name: &str, queue: &'static str, to: &'static str) -> anyhow::Result<()> {
    let (mut random, mut maker) = (Random::of(world.seed, name), Maker::new(name));
    let begin = |job: Job| {
        let output = maker.output(to, job.leased.message.id(), &mut random)?;
        Ok(hand_over(job, output))
    };
    work(&world, name, Way::WebSocket, queue, begin).await
}

async fn hand_over(Job { world, scribe, life, mut leased }: Job, (message, sent): Made) -> anyhow::Result<()> {
    let _passes = world.pass().await;
    let settles = vec![Settling { lease: leased.lease, action: "ack".into() }];
    let op = scribe.begin(life, What::Settle { settles, atomic: true, messages: vec![sent] })?;
    let results = match leased.hand_over(vec![message]).await {
        Ok(receipts) => {
            std::iter::once(Told::DONE).chain(receipts.iter().map(|accepted| Told::accepted(accepted, 0))).collect()
        }
        Err(error) => vec![Told::error(&error); 2],
    };
    scribe.end(op, results)
}
