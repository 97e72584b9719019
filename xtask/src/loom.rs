//! `loom`: try every order of the threads that hand things to each other. A workspace of its own, because it is built otherwise.

use std::process::Command;

use crate::chore;
use crate::repo::Repo;

/// Builds the models and runs them all.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    chore::run(&mut command(repo))
}

/// The same as a command. A release would be faster to run and slower to build.
pub(crate) fn command(repo: &Repo) -> Command {
    let mut cargo = repo.cargo_in("loom", "test");
    // Each model says how many orders it tried.
    cargo.args(["--", "--show-output"]);
    cargo
}
