//! How long a hub takes to be ready again, and how fast the past is shown.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use skep_protocol::{Ask, Filter, Page, Position};

use super::durable::{Durable, Producer};
use super::{Setting, mib};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::{Meter, resident};
use crate::wire::Link;

const IN_FLIGHT: u64 = 2048;
const BYTES: usize = 256;
/// Messages of one run: a log of about 1 GiB.
const GIBIBYTE: u64 = 2_700_000;
/// Messages that are shown again.
const SHOWN: u64 = 300_000;
/// Messages of one page: as many as a look may ask for.
const PAGE: u32 = 1_000;

/// Fills a queue, and answers who did, and how much.
fn filled(hub: &crate::hub::Hub, setting: &Setting, count: u64) -> anyhow::Result<u64> {
    let case = Durable { connections: 1, in_flight: IN_FLIGHT, bytes: BYTES, count, queues: 1, level: None };
    Link::open(hub.party())?.declare_all(case.queues())?;
    let mut producer = Producer::open(hub.party(), 0, &case)?;
    producer.pump(&setting.whole(setting.scaled(count)))?;
    Ok(producer.sent())
}

/// A start on a log of about 1 GiB after a kill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// Its snapshots are there, or all of the log is to be read.
    has_snapshots: bool,
}

impl Recovery {
    pub(super) fn standard() -> Vec<Self> {
        [true, false].map(|has_snapshots| Recovery { has_snapshots }).into()
    }

    pub(super) fn name(self) -> String {
        let how = if self.has_snapshots { "with its snapshots" } else { "all of it read" };
        format!(
            "start to ready after kill -9, {} million messages of {BYTES} B wait, {how}; memory then",
            GIBIBYTE as f64 / 1e6
        )
    }

    pub(super) fn run(self, setting: &Setting) -> anyhow::Result<Figures> {
        let hub = setting.hub()?;
        let sent = filled(&hub, setting, GIBIBYTE)?;
        let mut log_bytes = 0;
        let hub = hub.kill_and_start(&setting.program, &setting.durability, |data| {
            log_bytes = bytes_of(&data.join("log"))?;
            if self.has_snapshots { Ok(()) } else { forget_snapshots(&data.join("log")) }
        })?;
        eprintln!("    {:.0} MiB of log", mib(log_bytes));
        let mut latencies = Latencies::default();
        latencies.add(hub.ready_after, 1);
        let resident_mib = Some(mib(resident(hub.pid())?));
        let held = Link::open(hub.party())?.held()?;
        ensure!(held == (sent, 0), "{sent} were acknowledged, but after the start held are (ready, others) {held:?}");
        hub.stop()?;
        Ok(Figures { resident_mib, exact: sent, ..Figures::default() }.with(latencies))
    }
}

fn bytes_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("{} holds the log", folder.display()))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn forget_snapshots(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "snap") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// All that was stored, shown again page by page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replay;

impl Replay {
    pub(super) fn name(self) -> String {
        format!("replay, {BYTES} B, pages of {PAGE}")
    }

    pub(super) fn run(self, setting: &Setting) -> anyhow::Result<Figures> {
        let hub = setting.hub()?;
        let sent = filled(&hub, setting, SHOWN)?;
        let mut reader = Link::open(hub.party())?;
        let meter = Meter::begin(hub.pid())?;
        let (mut shown, mut from, mut last) = (0, Position::Number(0), Position::Number(0));
        loop {
            let ask = Ask::Replay { filter: Filter::new("bench.>")?, from, limit: PAGE };
            let Page::Messages { messages, next } = reader.ask(ask)? else { bail!("a replay shows messages") };
            for stored in messages {
                ensure!(stored.position > last, "{:?} is shown after {last:?}", stored.position);
                last = stored.position;
                shown += 1;
            }
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        let used = meter.end()?;
        ensure!(shown == sent, "{sent} were acknowledged, but {shown} are shown");
        hub.stop()?;
        Ok(Figures::of(shown, 0, &used, Latencies::default()))
    }
}
