//! A line now and then, so that whoever waits sees that something happens.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::world::{Stage, World};

/// Tells how far the run is: on a terminal every other second, elsewhere seldom. To be dropped when it is over.
pub(crate) async fn show(world: Arc<World>, until: Instant) {
    let every = Duration::from_secs(if std::io::stderr().is_terminal() { 2 } else { 10 });
    loop {
        sleep(every).await;
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        let stage = match world.stage() {
            Stage::Work => format!("{left} s left"),
            Stage::Drain => "working off".into(),
            Stage::End => "taking out the rest".into(),
        };
        eprintln!("prove: {stage}, life {} of the hub; {}", world.life(), world.counts.line());
    }
}
