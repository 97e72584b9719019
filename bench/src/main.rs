//! Skep measured: starts hubs of its own, drives them over their sockets, checks that everything
//! arrived exactly once, and prints what it cost. See README.md beside it.

mod case;
mod figures;
mod hub;
mod latency;
mod machine;
mod peer;
mod process;
mod table;
mod wire;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::case::{Case, Compare, Durable, InProcess, Live, Request, Setting, Start, Work};
use crate::figures::{Figures, Row};
use crate::machine::Machine;
use crate::peer::Peer;
use crate::table::Table;
use crate::wire::Kind;

/// Measures a Skep hub, and checks in every run that each message arrived exactly once
#[derive(Parser)]
#[command(name = "skep-bench", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    how: How,
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Examples:
  skep-bench all                        # everything, three rounds: the table of bench/RESULTS.md
  skep-bench --scale 0.01 --rounds 1 all   # does it all work? The figures say nothing
  skep-bench durable --in-flight 2048
  skep-bench --peers target/peers/bin all   # NATS and Redis in the same rounds
  skep-bench --link unix live --listeners 10 --bytes 16384";

/// How it is measured.
#[derive(Args)]
struct How {
    /// The hub's program; unsaid, `skep` beside this program
    #[arg(long, env = "SKEP_BIN", value_name = "FILE", global = true)]
    bin: Option<PathBuf>,
    /// How clients reach the hub
    #[arg(long, value_enum, default_value_t = Kind::Ws, global = true)]
    link: Kind,
    /// Runs of every case, one case after the other in each round
    #[arg(long, default_value_t = 3, global = true)]
    rounds: u32,
    /// Multiplies every count
    #[arg(long, default_value_t = 1.0, global = true)]
    scale: f64,
    /// Seconds after which a run publishes no more
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", global = true)]
    time_max: f64,
    /// How durable every message is: fsync, interval(100ms), os, memory. Other servers are not told
    #[arg(long, default_value = "fsync", value_name = "LEVEL", global = true)]
    durability: String,
    /// Where data folders are made: a real disk
    #[arg(long, value_name = "FOLDER", global = true)]
    dir: Option<PathBuf>,
    /// Print JSON instead of a Markdown table
    #[arg(long, global = true)]
    json: bool,
    /// Another server to run in the same rounds, called as `SERVER PORT 2`
    #[arg(long, value_name = "SERVER", requires = "compare_gen", global = true)]
    compare: Option<PathBuf>,
    /// Its generator
    #[arg(long, value_name = "GENERATOR", requires = "compare", global = true)]
    compare_gen: Option<PathBuf>,
    /// Other servers beside each case: where `nats-server` and `redis-server` lie (`cargo xtask peers` fetches them)
    #[arg(long, value_name = "FOLDER", global = true)]
    peers: Option<PathBuf>,
}

/// What is measured.
#[derive(Subcommand)]
enum What {
    /// Everything
    All,
    /// Publish to receipt, synced to disk
    Durable(Durable),
    /// One publisher, some listeners, nothing stored
    Live(Live),
    /// Request and reply
    Request(Request),
    /// A work queue: enqueue, lease, ack, all synced to disk
    Work(Work),
    /// Memory of messages and queues, recovery, replay
    Kept,
    /// A hub in this process: live publish to handler
    InProcess(InProcess),
    /// Start to ready, and memory at rest
    Start,
}

/// All that was measured.
#[derive(Serialize)]
struct Results {
    machine: Machine,
    /// The other servers, in their own words.
    peers: Vec<String>,
    rounds: u32,
    rows: Vec<Row>,
    warnings: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let setting = setting(&cli.how)?;
    let cases = cases(&cli);
    let machine = Machine::look(&setting.program, &setting.place, &setting.durability);
    let mut warnings = machine.warnings();
    if cli.how.scale < 1.0 {
        warnings.push(format!("the counts were scaled by {}: this shows that it works, not how fast", cli.how.scale));
    }
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let programs = cli.how.peers.as_deref().map(std::path::absolute).transpose()?;
    let peers = programs.as_deref().map(peer::versions).unwrap_or_default();
    let rows = measure(&cases, &setting, cli.how.rounds)?;
    let results = Results { machine, peers, rounds: cli.how.rounds, rows, warnings };
    print(&results, cli.how.json)
}

fn setting(how: &How) -> anyhow::Result<Setting> {
    let beside = || std::env::current_exe().ok().map(|own| own.with_file_name("skep"));
    let program = how.bin.clone().or_else(beside).context("this program does not know where it lies; use --bin")?;
    ensure!(
        program.is_file(),
        "{} is not there; run `cargo build --release -p skep-cli`, or use --bin",
        program.display()
    );
    ensure!(how.scale > 0.0 && how.rounds > 0, "--scale and --rounds are above 0");
    Ok(Setting {
        program: std::path::absolute(program)?,
        place: how.dir.clone().unwrap_or_else(std::env::temp_dir),
        kind: how.link,
        durability: how.durability.clone(),
        scale: how.scale,
        time_max: Duration::try_from_secs_f64(how.time_max).context("--time-max")?,
    })
}

fn cases(cli: &Cli) -> Vec<Case> {
    let mut cases = match &cli.what {
        What::All => Case::all(),
        What::Durable(case) => vec![Case::Durable(case.clone())],
        What::Live(case) => vec![Case::Live(case.clone())],
        What::Request(case) => vec![Case::Request(case.clone())],
        What::Work(case) => vec![Case::Work(case.clone())],
        What::Kept => Case::kept(),
        What::InProcess(case) => vec![Case::InProcess(case.clone())],
        What::Start => vec![Case::Start(Start)],
    };
    if let Some(programs) = &cli.how.peers {
        // Side by side, so that what drifts on the machine drifts for both.
        cases = cases.into_iter().flat_map(|case| [vec![case.clone()], peers_of(&case, programs)].concat()).collect();
    }
    if let (Some(server), Some(generator)) = (&cli.how.compare, &cli.how.compare_gen) {
        cases.extend(Compare::standard(server, generator).into_iter().map(Case::Compare));
    }
    cases
}

fn peers_of(case: &Case, programs: &Path) -> Vec<Case> {
    Peer::of(case, programs).into_iter().map(Case::Peer).collect()
}

/// Every case once in each round, so that what drifts on the machine drifts for all.
fn measure(cases: &[Case], setting: &Setting, rounds: u32) -> anyhow::Result<Vec<Row>> {
    let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); cases.len()];
    for round in 1..=rounds {
        for (case, figures) in cases.iter().zip(&mut figures) {
            eprintln!("round {round} of {rounds}: {}", case.name());
            figures.push(case.run(setting)?);
        }
    }
    Ok(cases.iter().zip(&figures).map(|(case, rounds)| Row::of(case.name(), rounds)).collect())
}

fn print(results: &Results, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, results)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "{}\n", results.machine.line())?;
    results.peers.iter().try_for_each(|peer| writeln!(out, "Beside it: {peer}.\n"))?;
    let rounds = results.rounds;
    let every = if rounds == 1 { "One round.".into() } else { format!("Median (least-most) of {rounds} rounds.") };
    writeln!(out, "{every}")?;
    results.warnings.iter().try_for_each(|warning| writeln!(out, "Beware: {warning}."))?;
    writeln!(out, "\n{}", Table(&results.rows))?;
    Ok(())
}
