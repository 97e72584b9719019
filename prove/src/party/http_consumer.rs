//! A consumer over HTTP, whose leases live to their deadline or the hub's restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::maker::is_poison;
use super::old_leases::OldLeases;
use crate::history::{Scribe, Seen, Settling, Told, What};
use crate::link::http;
use crate::random::Random;
use crate::world::{Stage, World};

/// Consumes to the end.
pub(super) async fn run(world: Arc<World>, name: &str, queue: &'static str) -> anyhow::Result<()> {
    let (mut random, mut old) = (Random::of(world.seed, name), OldLeases::default());
    let scribe = Scribe::open(&world, name)?;
    while world.stage() < Stage::End {
        let from = world.life();
        let Ok(Ok(deliveries)) = http::receive(&world, queue, 8).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let lives = (from, world.life());
        let mut settles = Vec::new();
        for delivery in deliveries {
            scribe.delivered(Seen::of(&delivery, lives))?;
            settles.extend(action(&world, delivery.message.id(), &mut random).map(|action| (delivery.lease, action)));
            old.keep(delivery.lease, from);
        }
        if world.stage() == Stage::Work && random.percent(15) {
            let again = *random.pick(&["ack", "nack", "reject", "extend"]);
            settles.extend(old.any(&mut random).map(|lease| (lease, again)));
        }
        for (lease, action) in settles {
            let _passes = world.pass().await;
            let settles = vec![Settling { lease, action: action.into() }];
            let op = scribe.begin(world.life(), What::Settle { settles, atomic: false, messages: Vec::new() })?;
            let told = http::settle(&world, &lease.to_string(), action).await;
            scribe.end(op, vec![told.unwrap_or_else(|_| Told::Unknown("connection_lost".into()))])?;
        }
    }
    Ok(())
}

/// None when the message is forgotten: its lease runs out.
fn action(world: &World, id: &str, random: &mut Random) -> Option<&'static str> {
    if world.stage() > Stage::Work {
        return Some("ack");
    }
    if is_poison(id) {
        return Some("nack");
    }
    match random.below(25) {
        0 => None,
        1 | 2 => Some("nack"),
        3 => Some("reject"),
        4 => Some("extend"),
        _ => Some("ack"),
    }
}
