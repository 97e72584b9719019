//! A consumer over the Rust client: it acks, and where attempts are counted it nacks, rejects and extends, too.

use std::sync::Arc;
use std::time::Duration;

use skep_client::Error;

use super::job::{Job, work};
use super::maker::is_poison;
use super::native::Way;
use crate::history::{Settling, Told, What};
use crate::queues::PLAIN;
use crate::random::Random;
use crate::world::{Stage, World};

/// Consumes to the end.
pub(super) async fn run(world: Arc<World>, name: &str, way: Way, queue: &'static str) -> anyhow::Result<()> {
    let mut random = Random::of(world.seed, name);
    let begin = |job: Job| {
        let action = action(queue, &job.world, job.leased.message.id(), &mut random);
        Ok(settle(job, action))
    };
    work(&world, name, way, queue, begin).await
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
async fn settle(Job { world, scribe, life, mut leased }: Job, action: &'static str) -> anyhow::Result<()> {
    let steps: &[&'static str] = if action == "extend" { &["extend", "ack"] } else { &[action] };
    for action in steps {
        let _passes = world.pass().await;
        let settles = vec![Settling { lease: leased.lease, action: (*action).into() }];
        let op = scribe.begin(life, What::Settle { settles, atomic: false, messages: Vec::new() })?;
        let result: Result<(), Error> = match *action {
            "nack" => leased.nack(Some(Duration::from_millis(20)), "not now").await,
            "reject" => leased.reject("never").await,
            "extend" => leased.extend(None, Some("half".into())).await,
            _ => leased.ack().await,
        };
        scribe.end(op, vec![Told::settled(result)])?;
    }
    Ok(())
}
