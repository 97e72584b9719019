//! A publisher over HTTP: `exactly_once` by id, resent until it is known and now and then once more; and plain ones,
//! which are never resent, since those may double.

use std::sync::Arc;
use std::time::Duration;

use skep_protocol::Message;
use tokio::time::sleep;

use super::Maker;
use crate::history::{Scribe, Sent, Told, What};
use crate::link::http;
use crate::queues::{PLAIN, WORK};
use crate::random::Random;
use crate::world::World;

/// How often what is unknown is resent.
const RESENDS_MAX: u32 = 50;

/// Publishes until the work ends.
pub(super) async fn run(world: Arc<World>, name: &str) -> anyhow::Result<()> {
    let (mut random, mut maker) = (Random::of(world.seed, name), Maker::new(name));
    let scribe = Scribe::open(&world, name)?;
    while world.is_working() {
        world.pace(Duration::from_millis(random.between(2, 20))).await;
        if random.percent(30) {
            let (message, sent) = maker.message(PLAIN.topic, &mut random)?;
            publish(&world, &scribe, &message, &sent).await?;
            continue;
        }
        let (message, sent) = {
            let topic = *random.pick(&[PLAIN.topic, WORK.topic]);
            maker.once(topic, &mut random)?
        };
        let mut again = u32::from(random.percent(10));
        for _ in 0..RESENDS_MAX {
            match publish(&world, &scribe, &message, &sent).await? {
                Told::Unknown(_) => sleep(Duration::from_millis(20)).await,
                _ if again > 0 => again -= 1,
                _ => break,
            }
        }
    }
    Ok(())
}

async fn publish(world: &World, scribe: &Scribe, message: &Message, sent: &Sent) -> anyhow::Result<Told> {
    let event = message.to_json();
    let _passes = world.pass().await;
    let op = scribe.begin(world.life(), What::Publish { messages: vec![sent.clone()] })?;
    let told = http::publish(world, &event).await.unwrap_or_else(|_| Told::Unknown("connection_lost".into()));
    scribe.end(op, vec![told.clone()])?;
    Ok(told)
}
