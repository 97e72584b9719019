//! A worker that speaks frames itself: several inputs and outputs in one step, resent unchanged when unknown, and
//! now and then with a lease that is over, which must spoil the whole step.

use std::sync::Arc;
use std::time::Duration;

use skep_protocol::{Action, LeaseToken, ProducerId, Publish};
use tokio::time::sleep;

use super::Maker;
use super::maker::Made;
use super::old_leases::OldLeases;
use crate::history::{Scribe, Seen, Settling, Told, What};
use crate::link::wire::Wire;
use crate::random::Random;
use crate::world::{Stage, World};

const WINDOW: u32 = 8;
/// How long it waits for the next before it looks around.
const WAIT: Duration = Duration::from_millis(100);

/// One atomic step.
struct Step {
    sequence: u64,
    leases: Vec<LeaseToken>,
    outputs: Vec<Made>,
}

struct Worker {
    world: Arc<World>,
    scribe: Scribe,
    maker: Maker,
    random: Random,
    old: OldLeases,
    next_sequence: u64,
    to: &'static str,
}

/// Works to the end.
pub(super) async fn run(world: Arc<World>, name: &str, queue: &'static str, to: &'static str) -> anyhow::Result<()> {
    let mut random = Random::of(world.seed, name);
    let producer = ProducerId(random.bytes16());
    let (scribe, maker) = (Scribe::open(&world, name)?, Maker::new(name));
    let old = OldLeases::default();
    let mut worker = Worker { world: Arc::clone(&world), scribe, maker, random, old, next_sequence: 1, to };
    let mut unknown: Option<Step> = None;
    while world.stage() < Stage::End {
        let Ok(mut wire) = Wire::open(&world, producer).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        if let Some(step) = unknown.take() {
            let _passes = world.pass().await;
            if !worker.hand_over(&mut wire, &step).await? {
                unknown = Some(step);
                continue;
            }
        }
        if wire.receive(queue, WINDOW).await.is_err() {
            continue;
        }
        while world.stage() < Stage::End {
            let Ok(Some(step)) = worker.step(&mut wire).await? else { break };
            if step.leases.is_empty() {
                continue;
            }
            let _passes = world.pass().await;
            if !worker.hand_over(&mut wire, &step).await? {
                unknown = Some(step);
                break;
            }
        }
    }
    Ok(())
}

impl Worker {
    /// Takes some inputs and makes their outputs; none when the connection is of no more use.
    async fn step(&mut self, wire: &mut Wire) -> anyhow::Result<Result<Option<Step>, ()>> {
        let mut step = Step { sequence: self.next_sequence, leases: Vec::new(), outputs: Vec::new() };
        let most = self.random.between(1, 3);
        while (step.leases.len() as u64) < most {
            match wire.next(WAIT).await {
                Err(_) => return Ok(Err(())),
                Ok(None) => break,
                Ok(Some(delivery)) => {
                    self.scribe.delivered(Seen::of(&delivery, wire.lives))?;
                    step.outputs.push(self.maker.output(self.to, delivery.message.id(), &mut self.random)?);
                    step.leases.push(delivery.lease);
                }
            }
        }
        self.next_sequence += step.outputs.len() as u64;
        if !step.leases.is_empty() && self.world.stage() == Stage::Work && self.random.percent(3) {
            step.leases.extend(self.old.any(&mut self.random));
        }
        Ok(Ok(Some(step)))
    }

    /// Answers whether it was answered.
    async fn hand_over(&mut self, wire: &mut Wire, step: &Step) -> anyhow::Result<bool> {
        let settles = step.leases.iter().map(|lease| Settling { lease: *lease, action: "ack".into() }).collect();
        let (messages, sent): (Vec<_>, Vec<_>) = step.outputs.iter().cloned().unzip();
        let op = self.scribe.begin(wire.lives.0, What::Settle { settles, atomic: true, messages: sent })?;
        let settles = step.leases.iter().map(|lease| (*lease, Action::Ack)).collect();
        match wire.settle(settles, true, Some(Publish { sequence: step.sequence, messages })).await {
            Ok(results) => {
                // Only what is certainly over may spoil a later step; a refused one leaves its leases as they are.
                if results.iter().all(Told::is_ok) {
                    step.leases.iter().for_each(|lease| self.old.keep(*lease, wire.lives.0));
                }
                self.scribe.end(op, results).map(|()| true)
            }
            Err(_) => Ok(false),
        }
    }
}
