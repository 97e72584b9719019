//! A publisher that numbers its messages itself, resends what is unknown unchanged, and now and then what is known.

use std::sync::Arc;
use std::time::Duration;

use skep_protocol::{Frame, ProducerId, Publish};
use tokio::time::sleep;

use super::Maker;
use super::maker::Made;
use crate::history::{Scribe, What};
use crate::link::wire::Wire;
use crate::random::Random;
use crate::world::World;

/// Messages whose sequences follow one by one.
struct Batch {
    sequence: u64,
    made: Vec<Made>,
}

struct Publisher {
    scribe: Scribe,
    maker: Maker,
    random: Random,
    next_sequence: u64,
    topics: &'static [&'static str],
}

/// Publishes until the work ends, and what is unknown then once more.
pub(super) async fn run(world: Arc<World>, name: &str, topics: &'static [&'static str]) -> anyhow::Result<()> {
    let mut random = Random::of(world.seed, name);
    let producer = ProducerId(random.bytes16());
    let scribe = Scribe::open(&world, name)?;
    let mut publisher = Publisher { scribe, maker: Maker::new(name), random, next_sequence: 1, topics };
    let mut unknown = None;
    while world.is_working() || unknown.is_some() {
        let Ok(mut wire) = Wire::open(&world, producer).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        while world.is_working() || unknown.is_some() {
            let batch = match unknown.take() {
                Some(batch) => batch,
                None => {
                    world.pace(Duration::from_millis(publisher.random.between(5, 40))).await;
                    publisher.batch()?
                }
            };
            let _passes = world.pass().await;
            if !publisher.publish(&mut wire, &batch).await? {
                unknown = Some(batch);
                break;
            }
        }
    }
    Ok(())
}

impl Publisher {
    fn batch(&mut self) -> anyhow::Result<Batch> {
        let count = if self.random.percent(5) { 64 } else { self.random.between(1, 12) };
        let topic = *self.random.pick(self.topics);
        let made = (0..count).map(|_| self.maker.message(topic, &mut self.random)).collect::<Result<_, _>>()?;
        let sequence = self.next_sequence;
        self.next_sequence += count;
        Ok(Batch { sequence, made })
    }

    /// Answers whether it was answered; else the connection is of no more use.
    async fn publish(&mut self, wire: &mut Wire, batch: &Batch) -> anyhow::Result<bool> {
        let op = self.begin(wire, batch)?;
        let messages: Vec<_> = batch.made.iter().map(|(message, _)| message.clone()).collect();
        if self.random.percent(1) {
            // It goes before it hears what became of it.
            let publish = Publish { sequence: batch.sequence, messages };
            let _ = wire.say(&Frame::Publish(publish)).await;
            return Ok(false);
        }
        let Ok(results) = wire.publish(batch.sequence, messages.clone()).await else { return Ok(false) };
        self.scribe.end(op, results)?;
        if self.random.percent(4) {
            let op = self.begin(wire, batch)?;
            let Ok(results) = wire.publish(batch.sequence, messages).await else { return Ok(false) };
            self.scribe.end(op, results)?;
        }
        Ok(true)
    }

    fn begin(&self, wire: &Wire, batch: &Batch) -> anyhow::Result<u64> {
        let messages = batch.made.iter().map(|(_, sent)| sent.clone()).collect();
        self.scribe.begin(wire.lives.0, What::Publish { messages })
    }
}
