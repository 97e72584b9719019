//! `fix`: let clippy and rustfmt repair what they can.

use crate::chore;
use crate::repo::Repo;

/// Clippy first, because its repairs want formatting; formatting also when clippy failed.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let clippy = ["clippy", "--fix", "--all-targets", "--allow-dirty", "--allow-staged"];
    let repaired = chore::run(&mut repo.cargo(clippy));
    repo.workspaces().iter().try_for_each(|at| chore::run(repo.cargo(["fmt", "--all"]).current_dir(at)))?;
    repaired
}
