//! A consumer over the Rust client: it acks, and where attempts are counted it nacks, rejects and extends, too.

use std::sync::Arc;
use std::time::Duration;

use skep_client::{Error, Leased, ReceiveOptions};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::maker::is_poison;
use super::native::{Native, Way};
use crate::history::{Scribe, Seen, Settling, Told, What};
use crate::queues::PLAIN;
use crate::random::Random;
use crate::world::{Stage, World};

/// Messages it works on at once.
const AT_ONCE: usize = 8;
/// How long it waits for the next before it looks around.
const WAIT: Duration = Duration::from_millis(200);

/// Consumes to the end.
pub(super) async fn run(world: Arc<World>, name: &str, way: Way, queue: &'static str) -> anyhow::Result<()> {
    let mut random = Random::of(world.seed, name);
    let scribe = Arc::new(Scribe::open(&world, name)?);
    while let Some(native) = Native::connect(&world, way, name).await? {
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
                let action = action(queue, &world, job.message.id(), &mut random);
                at_work.spawn(settle(Arc::clone(&world), Arc::clone(&scribe), native.born, job, action));
            }
        }
        while let Some(done) = at_work.join_next().await {
            done??;
        }
        native.client.close().await;
    }
    Ok(())
}

fn action(queue: &str, world: &World, id: &str, random: &mut Random) -> &'static str {
    if queue != PLAIN.name || world.stage() > Stage::Work {
        return "ack";
    }
    if is_poison(id) {
        return "nack";
    }
    match random.below(20) {
        0 | 1 => "nack",
        2 => "reject",
        3 => "extend",
        _ => "ack",
    }
}

/// Settles; who extends, acks afterwards.
async fn settle(
    world: Arc<World>,
    scribe: Arc<Scribe>,
    life: u64,
    mut job: Leased,
    action: &'static str,
) -> anyhow::Result<()> {
    let steps: &[&'static str] = if action == "extend" { &["extend", "ack"] } else { &[action] };
    for action in steps {
        let _passes = world.pass().await;
        let settles = vec![Settling { lease: job.lease, action: (*action).into() }];
        let op = scribe.begin(life, What::Settle { settles, atomic: false, messages: Vec::new() })?;
        let result: Result<(), Error> = match *action {
            "nack" => job.nack(Some(Duration::from_millis(20)), "not now").await,
            "reject" => job.reject("never").await,
            "extend" => job.extend(None, Some("half".into())).await,
            _ => job.ack().await,
        };
        scribe.end(op, vec![Told::settled(result)])?;
    }
    Ok(())
}
