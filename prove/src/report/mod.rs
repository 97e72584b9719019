//! What a run showed, for people and for programs.

mod page;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::check::Verdict;
use crate::nemesis::{Fault, Torment};
use crate::run::Plan;
use crate::world::World;

/// A run and its verdicts.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds_planned: u64,
    pub(crate) seconds: f64,
    /// How often the hub was started.
    pub(crate) lives: u64,
    /// By kind, in words.
    pub(crate) counts: Vec<(&'static str, u64)>,
    pub(crate) torment: Torment,
    /// Why disks could not be made to run full, if that was wanted.
    pub(crate) full_not_run: Option<String>,
    pub(crate) verdicts: Vec<Verdict>,
    /// The command that runs it again.
    pub(crate) again: String,
    #[serde(skip)]
    folder: PathBuf,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        world: &World,
        torment: Torment,
        verdicts: Vec<Verdict>,
        full_not_run: Option<String>,
        took: Duration,
    ) -> Self {
        let counts = &world.counts;
        let counts = [
            ("operations", &counts.operations),
            ("messages sent, resends included", &counts.publishes),
            ("settles", &counts.settles),
            ("live requests", &counts.requests),
            ("items done", &counts.done),
            ("items refused", &counts.refused),
            ("items unknown", &counts.unknown),
            ("deliveries", &counts.deliveries),
            ("deliveries of a later attempt", &counts.redeliveries),
        ];
        Report {
            seed: plan.seed,
            seconds_planned: plan.time.as_secs(),
            seconds: took.as_secs_f64(),
            lives: world.life(),
            counts: counts.map(|(name, count)| (name, count.load(Ordering::Relaxed))).to_vec(),
            torment,
            full_not_run,
            verdicts,
            again: again(plan),
            folder: plan.folder.clone(),
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.violations_total == 0)
    }

    /// Writes `report.md` and `report.json` into the run's folder; answers where the page is.
    pub(crate) fn write(&self) -> anyhow::Result<PathBuf> {
        let page = self.folder.join("report.md");
        fs::write(&page, self.page())?;
        fs::write(self.folder.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        Ok(page)
    }
}

fn again(plan: &Plan) -> String {
    use clap::ValueEnum as _;
    let name = |fault: &Fault| fault.to_possible_value().map(|value| value.get_name().to_owned());
    let faults: Vec<String> = plan.faults.iter().filter_map(name).collect();
    format!(
        "skep-prove --bin {} --seconds {} --seed {} --faults {}",
        plan.program.display(),
        plan.time.as_secs(),
        plan.seed,
        faults.join(",")
    )
}
