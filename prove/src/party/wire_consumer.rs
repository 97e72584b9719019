//! A consumer that does what consumers do when things go wrong: forgets leases, drops its connection, settles twice,
//! and tries leases that are over.

use std::sync::Arc;
use std::time::Duration;

use skep_protocol::{Action, LeaseToken, ProducerId};
use tokio::time::sleep;

use super::maker::is_poison;
use super::old_leases::OldLeases;
use crate::history::{Scribe, Seen, Settling, Told, What};
use crate::link::wire::Wire;
use crate::queues::PLAIN;
use crate::random::Random;
use crate::world::{Stage, World};

/// Messages it holds at once.
const WINDOW: u32 = 16;
/// How long it waits for the next before it looks around.
const WAIT: Duration = Duration::from_millis(100);

struct Consumer {
    world: Arc<World>,
    scribe: Scribe,
    random: Random,
    old: OldLeases,
    queue: &'static str,
}

/// Consumes to the end.
pub(super) async fn run(world: Arc<World>, name: &str, queue: &'static str) -> anyhow::Result<()> {
    let mut random = Random::of(world.seed, name);
    let producer = ProducerId(random.bytes16());
    let scribe = Scribe::open(&world, name)?;
    let mut consumer = Consumer { world: Arc::clone(&world), scribe, random, old: OldLeases::default(), queue };
    while world.stage() < Stage::End {
        let Ok(mut wire) = Wire::open(&world, producer).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        if wire.receive(queue, WINDOW).await.is_err() {
            continue;
        }
        while world.stage() < Stage::End && consumer.turn(&mut wire).await? {}
    }
    Ok(())
}

impl Consumer {
    /// Takes some messages and settles them; answers whether the connection is of more use.
    async fn turn(&mut self, wire: &mut Wire) -> anyhow::Result<bool> {
        let mut settles = Vec::new();
        let most = self.random.between(1, 8);
        while (settles.len() as u64) < most {
            match wire.next(WAIT).await {
                Err(_) => return Ok(false),
                Ok(None) => break,
                Ok(Some(delivery)) => {
                    let seen = Seen::of(&delivery, wire.lives);
                    self.scribe.delivered(seen)?;
                    settles.extend(self.action(delivery.message.id()).map(|action| (delivery.lease, action)));
                    self.old.keep(delivery.lease, wire.lives.0);
                }
            }
        }
        // Before anything of this life is settled.
        settles.splice(0..0, self.old.bygone().into_iter().map(|lease| (lease, Action::Ack)));
        if self.world.stage() == Stage::Work && self.random.percent(10) {
            let again = if self.random.percent(50) { Action::Ack } else { nack() };
            settles.extend(self.old.any(&mut self.random).map(|lease| (lease, again)));
        }
        if settles.is_empty() {
            return Ok(true);
        }
        let goes = self.world.stage() == Stage::Work && self.random.percent(1);
        self.settle(wire, settles).await.map(|answered| answered && !goes)
    }

    /// None when the message is forgotten: its lease runs out.
    fn action(&mut self, id: &str) -> Option<Action> {
        if self.queue != PLAIN.name || self.world.stage() > Stage::Work {
            let forgets = self.world.stage() == Stage::Work && self.random.percent(1);
            return (!forgets).then_some(Action::Ack);
        }
        if is_poison(id) {
            return Some(nack());
        }
        match self.random.below(30) {
            0 => None,
            1..=3 => Some(nack()),
            4 => Some(Action::Reject { reason: "never".into() }),
            5 => Some(Action::Extend { lease_ms: None, progress: Some("half".into()) }),
            _ => Some(Action::Ack),
        }
    }

    async fn settle(&mut self, wire: &mut Wire, settles: Vec<(LeaseToken, Action)>) -> anyhow::Result<bool> {
        let _passes = self.world.pass().await;
        let op = self.scribe.begin(wire.lives.0, written(&settles))?;
        match wire.settle(settles, false, None).await {
            Ok(results) => self.scribe.end(op, results).map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

fn nack() -> Action {
    Action::Nack { after_ms: Some(20), reason: "not now".into() }
}

fn written(settles: &[(LeaseToken, Action)]) -> What {
    let written = |(lease, action): &(LeaseToken, Action)| Settling { lease: *lease, action: name(action).into() };
    What::Settle { settles: settles.iter().map(written).collect(), atomic: false, messages: Vec::new() }
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::Ack => "ack",
        Action::Nack { .. } => "nack",
        Action::Reject { .. } => "reject",
        Action::Extend { .. } => "extend",
        Action::Return => "return",
    }
}

/// For whoever only takes and acks.
pub(crate) async fn ack_all(scribe: &Scribe, wire: &mut Wire, leases: Vec<LeaseToken>) -> anyhow::Result<Vec<Told>> {
    let settles: Vec<_> = leases.into_iter().map(|lease| (lease, Action::Ack)).collect();
    let op = scribe.begin(wire.lives.0, written(&settles))?;
    let results = wire.settle(settles, false, None).await?;
    scribe.end(op, results.clone())?;
    Ok(results)
}
