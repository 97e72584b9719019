//! A publisher over the Rust client, which resends by itself.

use std::sync::Arc;
use std::time::Duration;

use super::Maker;
use super::native::{Native, Way};
use crate::history::{Scribe, Told, What};
use crate::random::Random;
use crate::world::World;

/// Publishes until the work ends.
pub(super) async fn run(world: Arc<World>, name: &str, way: Way, topics: [&'static str; 2]) -> anyhow::Result<()> {
    let (mut random, mut maker) = (Random::of(world.seed, name), Maker::new(name));
    let scribe = Scribe::open(&world, name)?;
    while world.is_working() {
        let Some(native) = Native::connect(&world, way, name).await? else { break };
        while world.is_working() && !native.is_old(&world) {
            world.pace(Duration::from_millis(random.between(5, 40))).await;
            let topic = *random.pick(&topics);
            let count = random.between(1, 12);
            let made = (0..count).map(|_| maker.message(topic, &mut random)).collect::<Result<Vec<_>, _>>()?;
            let (messages, sent): (Vec<_>, Vec<_>) = made.into_iter().unzip();
            let _passes = world.pass().await;
            let op = scribe.begin(native.born, What::Publish { messages: sent })?;
            let results = native.client.publish_all(messages).await;
            let told = |result| match result {
                Ok(accepted) => Told::accepted(&accepted, 0),
                Err(error) => Told::error(&error),
            };
            scribe.end(op, results.into_iter().map(told).collect())?;
        }
        native.client.close().await;
    }
    Ok(())
}
