//! The end of a run: consumers work off what is left, and then everything that is still held is taken out, so that
//! nothing can be missing unseen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use skep_protocol::{Ask, Code, Page, ProducerId, QueueInfo, QueueName};
use tokio::time::sleep;

use crate::history::{Scribe, Seen};
use crate::limits::DRAIN_MAX;
use crate::link::wire::Wire;
use crate::party::ack_all;
use crate::queues::{QUEUES, Queue};
use crate::random::Random;
use crate::world::{Stage, World};

/// How often it is looked at what waits.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Messages taken out at once.
const WINDOW: u32 = 256;

/// Looks again and again how much waits for consumers; to be dropped when that is of no more interest.
pub(crate) async fn watch(world: Arc<World>) {
    let producer = ProducerId(Random::of(world.seed, "watch").bytes16());
    loop {
        if let Ok(mut wire) = Wire::open(&world, producer).await {
            while let Ok(waiting) = waiting(&mut wire).await {
                world.counts.waiting.store(waiting, Ordering::Relaxed);
                sleep(LOOK_EVERY).await;
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Messages in the queues that parties consume.
async fn waiting(wire: &mut Wire) -> anyhow::Result<u64> {
    let mut sum = 0;
    for queue in QUEUES.iter().filter(|queue| queue.is_consumed) {
        sum += look(wire, queue.name).await?.map_or(0, |info| held(&info));
    }
    Ok(sum)
}

fn held(info: &QueueInfo) -> u64 {
    info.ready + info.leased + info.delayed
}

/// None when there is no such queue.
async fn look(wire: &mut Wire, queue: &str) -> anyhow::Result<Option<QueueInfo>> {
    match wire.ask(Ask::Queue { queue: QueueName::new(queue)? }).await? {
        Ok(Page::Queues(mut queues)) => Ok(queues.pop()),
        Err(error) if error.code == Code::UnknownQueue => Ok(None),
        other => bail!("expected a queue, got {other:?}"),
    }
}

/// Waits until consumers have worked off what they consume.
///
/// # Errors
/// When they do not in time: something is stuck.
pub(crate) async fn worked_off(world: &Arc<World>) -> anyhow::Result<()> {
    world.enter(Stage::Drain);
    let producer = ProducerId(Random::of(world.seed, "drain").bytes16());
    let mut wire = Wire::open(world, producer).await?;
    let until = Instant::now() + DRAIN_MAX;
    // Twice: between two looks a message may move from one queue to the next.
    let mut empty = 0;
    while empty < 2 {
        let waiting = waiting(&mut wire).await?;
        empty = if waiting == 0 { empty + 1 } else { 0 };
        ensure!(
            Instant::now() < until,
            "after {DRAIN_MAX:?} without faults, {waiting} messages still wait for their consumers"
        );
        sleep(LOOK_EVERY / 5).await;
    }
    Ok(())
}

/// Takes everything out of every queue and its dead letters; writes it down and acks it.
pub(crate) async fn take_all(world: &Arc<World>) -> anyhow::Result<()> {
    let scribe = Scribe::open(world, "drain")?;
    for queue in &QUEUES {
        take(world, &scribe, queue.name).await?;
        take(world, &scribe, &Queue::dead(queue)).await?;
    }
    Ok(())
}

async fn take(world: &Arc<World>, scribe: &Scribe, queue: &str) -> anyhow::Result<()> {
    let producer = ProducerId(Random::of(world.seed, "drain").bytes16());
    let mut wire = Wire::open(world, producer).await?;
    if look(&mut wire, queue).await?.is_none() {
        return Ok(());
    }
    wire.receive(queue, WINDOW).await?;
    let until = Instant::now() + DRAIN_MAX;
    while let Some(info) = look(&mut wire, queue).await?
        && held(&info) > 0
    {
        let mut leases = Vec::new();
        while let Some(delivery) = wire.next(Duration::from_millis(20)).await? {
            scribe.delivered(Seen::of(&delivery, wire.lives))?;
            leases.push(delivery.lease);
            if leases.len() >= WINDOW as usize {
                break;
            }
        }
        if !leases.is_empty() {
            ack_all(scribe, &mut wire, leases).await?;
        }
        ensure!(Instant::now() < until, "queue {queue} cannot be emptied: it shows {info:?}");
    }
    Ok(())
}
