//! One run, from the first start of a hub to the verdicts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use skep_protocol::ProducerId;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::check::{self, Books, Facts, Verdict};
use crate::drain;
use crate::history::History;
use crate::hub::Hub;
use crate::limits::PARTIES_END_MAX;
use crate::link::wire::Wire;
use crate::nemesis::{Disk, Fault, Nemesis, Torment};
use crate::party::{self, Parties};
use crate::progress;
use crate::queues::QUEUES;
use crate::random::Random;
use crate::report::Report;
use crate::world::{Stage, World};

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) program: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) faults: Vec<Fault>,
}

/// Runs it, and judges what happened.
///
/// # Errors
/// When the run itself is impossible; whatever the hub does wrong stands in the report.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let began = Instant::now();
    let (histories, sockets, disk, not_run) = prepare(plan)?;
    let mut faults = plan.faults.clone();
    faults.retain(|fault| disk.is_some() || *fault != Fault::Full);
    let mut random = Random::of(plan.seed, "hub");
    let data = plan.folder.join("data/hub");
    let mut hub = Hub::new(&plan.program, &data, &plan.folder.join("hub.log"), sockets.path(), &mut random);
    hub.start().await?;
    let world = World::new(plan.seed, hub.door().clone(), histories.clone());
    declare(&world).await?;
    let mut nemesis = Nemesis::new(hub, &world, faults, disk)?;
    let tormented = work(&world, &mut nemesis, plan.time).await;
    let Nemesis { hub, mut torment, .. } = nemesis;
    if let Err(error) = tormented {
        torment.problems.push(format!("{error:#}"));
    }
    drop(hub);
    let history = History::read(&histories)?;
    let verdicts = judge(&history, &torment, world.life() - 1);
    Ok(Report::new(plan, &world, torment, verdicts, not_run, began.elapsed()))
}

type Prepared = (PathBuf, TempDir, Option<Disk>, Option<String>);

/// A fresh folder for everything that is to last, a short one for sockets, and a disk if one is to run full.
fn prepare(plan: &Plan) -> anyhow::Result<Prepared> {
    let data = plan.folder.join("data");
    Disk::clear(&data);
    if plan.folder.exists() {
        fs::remove_dir_all(&plan.folder).with_context(|| plan.folder.display().to_string())?;
    }
    let histories = plan.folder.join("history");
    for folder in [&histories, &data] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let sockets = tempfile::Builder::new().prefix("skep-prove-").tempdir()?;
    if !plan.faults.contains(&Fault::Full) {
        return Ok((histories, sockets, None, None));
    }
    match Disk::mount(&data) {
        Ok(disk) => Ok((histories, sockets, Some(disk), None)),
        Err(error) => {
            eprintln!("the disk does not run full in this run: {error:#}");
            Ok((histories, sockets, None, Some(format!("{error:#}"))))
        }
    }
}

async fn declare(world: &World) -> anyhow::Result<()> {
    let mut wire = Wire::open(world, ProducerId(Random::of(world.seed, "declare").bytes16())).await?;
    for queue in &QUEUES {
        wire.declare(queue.spec()?).await?;
    }
    Ok(())
}

/// The work and the torment, then the end of it: consumers work off what is left, and the rest is taken out.
async fn work(world: &Arc<World>, nemesis: &mut Nemesis, time: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + time;
    let mut watching = tokio::task::JoinSet::new();
    watching.spawn(drain::watch(Arc::clone(world)));
    watching.spawn(progress::show(Arc::clone(world), until));
    let (mut publishers, mut consumers) = (party::publishers(world), party::consumers(world));
    tokio::select! {
        tormented = nemesis.torment(until) => tormented?,
        failed = first_failure(&mut publishers) => return failed,
        failed = first_failure(&mut consumers) => return failed,
    }
    // Publishers look at the stage, which the drain changes first.
    world.enter(Stage::Drain);
    end(&mut publishers).await.context("publishers")?;
    drain::worked_off(world).await?;
    world.enter(Stage::End);
    end(&mut consumers).await.context("consumers")?;
    drain::take_all(world).await?;
    nemesis.hub.stop().await
}

/// Ends only when a party fails.
async fn first_failure(parties: &mut Parties) -> anyhow::Result<()> {
    while let Some(ended) = parties.join_next().await {
        ended??;
    }
    std::future::pending().await
}

async fn end(parties: &mut Parties) -> anyhow::Result<()> {
    let ended = timeout(PARTIES_END_MAX, async {
        while let Some(ended) = parties.join_next().await {
            ended??;
        }
        Ok(())
    });
    match ended.await {
        Ok(result) => result,
        Err(_) => bail!("{} of them do not end within {PARTIES_END_MAX:?}", parties.len()),
    }
}

fn judge(history: &History, torment: &Torment, restarts: u64) -> Vec<Verdict> {
    let mut verdicts = check::all(&Books::of(history), Facts { restarts });
    verdicts.push(Verdict::recovery(&torment.problems));
    verdicts
}

/// Judges the history of an earlier run again, in its folder.
pub(crate) fn judge_again(folder: &Path, restarts: u64) -> anyhow::Result<Vec<Verdict>> {
    let history = History::read(&folder.join("history"))?;
    Ok(check::all(&Books::of(&history), Facts { restarts }))
}
