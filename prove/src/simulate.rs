//! A whole hub, simulated: sessions, wire, engine, log and recovery are the real ones, and nothing else is. There are no threads, no
//! sockets and no clock; a seed chooses who does what next, and what breaks. The same seed is the same run, to the letter.

mod acts;
mod client;
mod counts;
mod faults;
mod life;
mod line;
mod oracle;
mod places;
mod readers;
mod trace;
mod world;

#[cfg(test)]
mod tests;

use std::ops::Range;

use counts::Counts;
use world::World;

/// Steps of a run, before everything is worked off.
const STEPS: u64 = 8_000;
/// Events that are told of a run that failed, unless more are asked for.
pub(crate) const TOLD: usize = 60;

/// What became of a run.
pub(crate) struct Run {
    /// Of every event: another run of the seed has the same.
    pub(crate) hash: u64,
    pub(crate) counts: Counts,
    /// What was broken, and what happened before.
    pub(crate) broken: Option<String>,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, told: usize) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("it needs nothing");
    let _here = runtime.enter();
    let mut world = World::new(seed, told);
    let judged = world.live(STEPS).and_then(|()| world.work_off());
    let broken = judged.err().map(|what| {
        let last: Vec<&str> = world.trace.last().collect();
        format!("{}\n\nseed {seed}: {what}\nagain: cargo xtask simulate --seed {seed}", last.join("\n"))
    });
    world.count_failures();
    let counts = Counts { runs: 1, events: world.trace.events, ..world.oracle.counts };
    let run = Run { hash: world.trace.hash(), counts, broken };
    world.end_life(false);
    run
}

/// Runs many seeds, until one fails.
///
/// # Errors
/// What was broken.
pub(crate) fn all(seeds: Range<u64>) -> Result<String, String> {
    let mut counts = Counts::default();
    for seed in seeds {
        let run = run(seed, TOLD);
        counts.add(&run.counts);
        if let Some(broken) = run.broken {
            return Err(format!("{broken}\nuntil then: {counts}"));
        }
    }
    Ok(format!("every promise held: {counts}"))
}

/// Runs a seed twice, and compares.
///
/// # Errors
/// What was broken, or that the runs were not the same.
pub(crate) fn again(seed: u64, told: usize) -> Result<String, String> {
    let (first, second) = (run(seed, told), run(seed, told));
    match first.broken {
        Some(broken) => Err(broken),
        None if first.hash != second.hash => Err(format!("seed {seed} is not the same run twice")),
        None => Ok(format!("seed {seed}, every promise held: {}", first.counts)),
    }
}
