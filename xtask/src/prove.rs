//! `prove`: torment the release binary and judge whether its promises held.

use std::process::Command;

use crate::chore;
use crate::repo::Repo;

/// What `test` asks for: the same minute every time.
const BOUNDED: [&str; 4] = ["--seconds", "60", "--seed", "1"];

/// Builds both programs and runs one against the other.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> anyhow::Result<()> {
    println!("prove: building the release binary; the first time takes minutes");
    chore::run(&mut repo.cargo_release_build())?;
    chore::run(&mut build(repo))?;
    let mut prove = command(repo);
    prove.args(args);
    println!("prove: {}", chore::line(&prove));
    chore::run(&mut prove)
}

/// The build of the driver. It is no release: the hub is what is proved.
pub(crate) fn build(repo: &Repo) -> Command {
    repo.cargo(["build", "--bin", "skep-prove"])
}

/// The run that is a step of `test`; both programs are built.
pub(crate) fn bounded(repo: &Repo) -> Command {
    let mut prove = command(repo);
    prove.args(BOUNDED);
    prove
}

/// The driver, told nothing yet.
pub(crate) fn driver(repo: &Repo) -> Command {
    Command::new(repo.in_target(&format!("debug/skep-prove{}", std::env::consts::EXE_SUFFIX)))
}

fn command(repo: &Repo) -> Command {
    let mut prove = driver(repo);
    prove.arg("--bin").arg(repo.skep()).arg("--out").arg(repo.in_target("prove"));
    prove
}
