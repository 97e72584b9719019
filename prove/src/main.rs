//! Skep proved from outside: the real `skep` under kill -9, pauses, full disks and damaged files, while many clients
//! work through it and write down what they do and see; then checkers judge whether every promise held.
//!
//! `world` is what a run shares; `party` works, `nemesis` torments, `history` is written and read, `check` judges,
//! `report` tells. See README.md beside it.

mod check;
mod drain;
mod history;
mod hub;
mod limits;
mod link;
mod nemesis;
mod party;
mod progress;
mod queues;
mod random;
mod report;
mod run;
mod simulate;
mod world;

use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::nemesis::Fault;
use crate::report::Report;
use crate::run::Plan;

/// Torments a Skep hub, and checks that its promises hold
#[derive(Parser)]
#[command(name = "skep-prove", version, max_term_width = 110, after_help = AFTER, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    other: Option<Other>,
    /// The hub's program; unsaid, `skep` beside this program
    #[arg(long, env = "SKEP_BIN", value_name = "FILE")]
    bin: Option<PathBuf>,
    /// How long clients work, in minutes
    #[arg(long, default_value_t = 1.0, conflicts_with = "seconds")]
    minutes: f64,
    /// The same, in seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Where all chance comes from; unsaid, a random one, which is told
    #[arg(long)]
    seed: Option<u64>,
    /// Which faults; unsaid, all that this machine allows
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Option<Vec<Fault>>,
    /// Where runs are kept, a folder for each seed; unsaid, `prove` beside the build's profiles
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print JSON instead of a Markdown page
    #[arg(long)]
    json: bool,
    /// Judge the history in this folder again, and run nothing
    #[arg(long, value_name = "FOLDER")]
    judge: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Other {
    /// Simulates whole hubs, each from a seed, without the program
    Simulate(Seeds),
}

#[derive(Args)]
struct Seeds {
    /// How many seeds
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// This one alone, twice
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many events are told of a run that fails
    #[arg(long, default_value_t = simulate::TOLD, value_name = "COUNT")]
    events: usize,
}

const AFTER: &str = "\
Ends with 0 when every promise held, 1 when one was broken, 2 when called wrongly, 3 when a fault that was
asked for by name could not be caused, 130 when it was interrupted. Clocks are not moved: the hub reads the
system's.

Examples:
  skep-prove --minutes 10
  skep-prove --seed 7 --seconds 60 --faults kill,pause";

fn main() -> ExitCode {
    let cli = Cli::parse();
    match begin(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("skep-prove: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn begin(cli: &Cli) -> anyhow::Result<u8> {
    if let Some(Other::Simulate(seeds)) = &cli.other {
        return simulate(seeds);
    }
    if let Some(folder) = &cli.judge {
        return judge(folder);
    }
    let plan = plan(cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        eprintln!("prove: seed {}, {} s, in {}", plan.seed, plan.time.as_secs(), plan.folder.display());
        // Dropped half way, a run ends its hub and unmounts its disk.
        tokio::select! {
            report = run::run(&plan) => report.map(Some),
            _ = interrupt.recv() => Ok(None),
            _ = terminate.recv() => Ok(None),
        }
    });
    drop(runtime);
    match report? {
        None => Ok(130),
        Some(report) => tell(cli, &report),
    }
}

fn simulate(seeds: &Seeds) -> anyhow::Result<u8> {
    let broken = match seeds.seed {
        Some(seed) => simulate::again(seed, seeds.events),
        None => simulate::all(seeds.from..seeds.from.saturating_add(seeds.seeds)),
    };
    let mut out = std::io::stdout().lock();
    match broken {
        Ok(told) => writeln!(out, "{told}").map(|()| 0),
        Err(told) => writeln!(out, "{told}").map(|()| 1),
    }
    .context("nobody reads what is told")
}

fn plan(cli: &Cli) -> anyhow::Result<Plan> {
    let own = std::env::current_exe().context("this program does not know where it lies")?;
    let program = cli.bin.clone().unwrap_or_else(|| own.with_file_name("skep"));
    ensure!(
        program.is_file(),
        "{} is not there; run `cargo build --release --bin skep`, or use --bin",
        program.display()
    );
    let seed = cli.seed.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    let kept = cli.out.clone().or_else(|| own.ancestors().nth(2).map(|target| target.join("prove")));
    let time = match cli.seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::try_from_secs_f64(cli.minutes * 60.0).context("--minutes")?,
    };
    Ok(Plan {
        program: std::path::absolute(program)?,
        folder: std::path::absolute(kept.context("--out is needed here")?.join(seed.to_string()))?,
        seed,
        time,
        faults: cli.faults.clone().unwrap_or_else(|| Fault::value_variants().to_vec()),
    })
}

/// Tells it all; answers the exit code.
fn tell(cli: &Cli, report: &Report) -> anyhow::Result<u8> {
    let page = report.write()?;
    let mut out = std::io::stdout().lock();
    if cli.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        out.write_all(report.page().as_bytes())?;
    }
    eprintln!("prove: the report is {}", page.display());
    let asked = cli.faults.as_ref().is_some_and(|faults| faults.contains(&Fault::Full));
    Ok(match report.holds() {
        false => 1,
        true if asked && report.full_not_run.is_some() => 3,
        true => 0,
    })
}

fn judge(folder: &Path) -> anyhow::Result<u8> {
    #[derive(serde::Deserialize)]
    struct Lives {
        lives: u64,
    }
    let report = folder.join("report.json");
    let text = std::fs::read(&report).with_context(|| report.display().to_string())?;
    let lives: Lives = serde_json::from_slice(&text)?;
    let verdicts = run::judge_again(folder, lives.lives.saturating_sub(1))?;
    serde_json::to_writer_pretty(std::io::stdout().lock(), &verdicts)?;
    Ok(u8::from(verdicts.iter().any(|verdict| verdict.violations_total > 0)))
}
