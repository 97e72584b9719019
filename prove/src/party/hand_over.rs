//! A worker over the Rust client: acks an input and publishes its output in one atomic step.

use std::sync::Arc;
use std::time::Duration;

use skep_client::{Leased, ReceiveOptions};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Maker;
use super::maker::Made;
use super::native::{Native, Way};
use crate::history::{Scribe, Seen, Settling, Told, What};
use crate::random::Random;
use crate::world::{Stage, World};

/// Inputs it works on at once.
const AT_ONCE: usize = 8;
/// How long it waits for the next before it looks around.
const WAIT: Duration = Duration::from_millis(200);

/// Works to the end.
pub(super) async fn run(world: Arc<World>, name: &str, queue: &'static str, to: &'static str) -> anyhow::Result<()> {
    let (mut random, mut maker) = (Random::of(world.seed, name), Maker::new(name));
    let scribe = Arc::new(Scribe::open(&world, name)?);
    while let Some(native) = Native::connect(&world, Way::WebSocket, name).await? {
        let window = u32::try_from(AT_ONCE)?;
        let options = ReceiveOptions { window, handlers: window, ..ReceiveOptions::default() };
        let mut at_work = JoinSet::new();
        if let Ok(mut jobs) = native.client.receive(&queue.parse()?, options).await {
            while !native.is_old(&world) && world.stage() < Stage::End {
                while at_work.len() >= AT_ONCE {
                    at_work.join_next().await.transpose()?.transpose()?;
                }
                let Ok(job) = timeout(WAIT, jobs.next()).await else { continue };
                let Some(job) = job else { break };
                scribe.delivered(Seen::of(&job, (native.born, world.life())))?;
                let output = maker.output(to, job.message.id(), &mut random)?;
                at_work.spawn(hand_over(Arc::clone(&world), Arc::clone(&scribe), native.born, job, output));
            }
        }
        while let Some(done) = at_work.join_next().await {
            done??;
        }
        native.client.close().await;
    }
    Ok(())
}

async fn hand_over(
    world: Arc<World>,
    scribe: Arc<Scribe>,
    life: u64,
    mut job: Leased,
    (message, sent): Made,
) -> anyhow::Result<()> {
    let _passes = world.pass().await;
    let settles = vec![Settling { lease: job.lease, action: "ack".into() }];
    let op = scribe.begin(life, What::Settle { settles, atomic: true, messages: vec![sent] })?;
    let results = match job.hand_over(vec![message]).await {
        Ok(receipts) => {
            std::iter::once(Told::DONE).chain(receipts.iter().map(|accepted| Told::accepted(accepted, 0))).collect()
        }
        Err(error) => vec![Told::error(&error); 2],
    };
    scribe.end(op, results)
}
