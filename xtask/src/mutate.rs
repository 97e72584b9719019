//! `mutate`: put each known fault into a copy of the source, and see the test that must notice it fail.

mod mutation;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use self::mutation::{Mutation, Test};
use crate::chore;
use crate::repo::Repo;

/// What cargo needs of the tree; the rest would only be copied.
const COPIED: [&str; 7] = ["Cargo.toml", "Cargo.lock", "clippy.toml", "crates", "bench", "prove", "xtask"];
/// Built or fetched.
const NOT_COPIED: &str = "target";
/// Lines of a test that are shown when it said something that was not expected.
const LINES_MAX: usize = 40;

/// What became of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Caught,
    NotCaught,
    /// The test did not even run: the mutation does not compile, or there is no such test.
    NotTried,
}

/// Tries all mutations, or those named; prints a table.
pub(crate) fn run(repo: &Repo, names: &[&str]) -> anyhow::Result<()> {
    let mut mutations = Mutation::all(repo.root())?;
    if let Some(unknown) = names.iter().find(|name| !mutations.iter().any(|known| known.name == **name)) {
        let known: Vec<&str> = mutations.iter().map(|mutation| mutation.name.as_str()).collect();
        return Err(chore::misuse(format!("there is no mutation `{unknown}`; expected some of {}", known.join(", "))));
    }
    mutations.retain(|mutation| names.is_empty() || names.contains(&mutation.name.as_str()));
    // All of them, before anything is built.
    mutations.iter().try_for_each(|mutation| mutation.applied(repo.root()).map(drop))?;
    let copy = repo.in_target("mutate/tree");
    fs::create_dir_all(&copy).with_context(|| format!("cannot make {}", copy.display()))?;
    for part in COPIED {
        renew(&repo.root().join(part), &copy.join(part))?;
    }
    println!("mutate: without a mutation every test passes; the first time it builds for minutes");
    let tests: BTreeSet<&Test> = mutations.iter().map(|mutation| &mutation.test).collect();
    for test in tests {
        let fate = judge(repo, &copy, test)?;
        ensure!(fate == Fate::NotCaught, "{} does not pass without any mutation, or there is no such test", test.name);
    }
    let mut table = Vec::new();
    for mutation in &mutations {
        let start = Instant::now();
        let fate = try_one(repo, &copy, mutation)?;
        let row = row(mutation, fate);
        println!("{row}{:>8.1} s", start.elapsed().as_secs_f64());
        table.push((row, fate));
    }
    println!();
    table.iter().for_each(|(row, _)| println!("{row}"));
    let caught = table.iter().filter(|(_, fate)| *fate == Fate::Caught).count();
    println!("mutate: {caught} of {} mutations caught", table.len());
    ensure!(caught == table.len(), "a fault that no test notices may come back by mistake");
    Ok(())
}

fn row(mutation: &Mutation, fate: Fate) -> String {
    let word = match fate {
        Fate::Caught => "caught",
        Fate::NotCaught => "NOT CAUGHT",
        Fate::NotTried => "NOT TRIED",
    };
    format!("{word:<10}  {:<28}  {}  ({})", mutation.name, mutation.test.name, mutation.why)
}

/// Puts the fault in, runs the test, takes the fault out again.
fn try_one(repo: &Repo, copy: &Path, mutation: &Mutation) -> anyhow::Result<Fate> {
    let files = mutation.applied(repo.root())?;
    for (path, text) in &files {
        write(&copy.join(path), text.as_bytes())?;
    }
    let fate = judge(repo, copy, &mutation.test);
    for path in files.keys() {
        renew(&repo.root().join(path), &copy.join(path))?;
    }
    fate
}

/// Runs the test in the copy.
fn judge(repo: &Repo, copy: &Path, test: &Test) -> anyhow::Result<Fate> {
    let (mut lines, mut said) = (Vec::new(), None);
    let about = format!("test {} ... ", test.name);
    let result = chore::run_reading(&mut command(repo, copy, test), |line| {
        said = line.strip_prefix(&about).map(str::to_owned).or(said.take());
        lines.push(line.to_owned());
        lines.drain(..lines.len().saturating_sub(LINES_MAX));
    });
    let fate = match (result, said.as_deref()) {
        (Ok(()), Some("ok")) => Fate::NotCaught,
        (Err(_), Some("FAILED")) => Fate::Caught,
        _ => Fate::NotTried,
    };
    if fate == Fate::NotTried {
        println!("{}", lines.join("\n"));
    }
    Ok(fate)
}

fn command(repo: &Repo, copy: &Path, test: &Test) -> Command {
    let mut cargo = repo.cargo(["test"]);
    cargo.arg("--target-dir").arg(repo.in_target("mutate")).current_dir(copy);
    // Built a dozen times and run once: quick to build is what counts.
    for package in ["skep-protocol", "skep-core", "skep-embedded"] {
        cargo.args(["--config", &format!("profile.dev.package.{package}.opt-level=0")]);
    }
    cargo.args(test.args());
    cargo
}

/// Makes `to` what `from` is. What is the same already is not touched, so that cargo builds only what changed.
fn renew(from: &Path, to: &Path) -> anyhow::Result<()> {
    let reading = || format!("cannot read {}", from.display());
    if !from.exists() {
        return Ok(());
    }
    if !from.is_dir() {
        let bytes = fs::read(from).with_context(reading)?;
        return if fs::read(to).is_ok_and(|old| old == bytes) { Ok(()) } else { write(to, &bytes) };
    }
    let names = |folder: &Path| -> std::io::Result<BTreeSet<_>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    };
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let (wanted, there) = (names(from).with_context(reading)?, names(to).with_context(reading)?);
    for gone in there.difference(&wanted) {
        let gone = to.join(gone);
        let removed = if gone.is_dir() { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) };
        removed.with_context(|| format!("cannot remove {}", gone.display()))?;
    }
    wanted.iter().filter(|name| *name != NOT_COPIED).try_for_each(|name| renew(&from.join(name), &to.join(name)))
}

fn write(to: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}
