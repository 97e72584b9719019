//! `simulate`: whole hubs, each from a seed.

use crate::chore;
use crate::prove;
use crate::repo::Repo;

/// Builds the driver and lets it simulate.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> anyhow::Result<()> {
    chore::run(&mut prove::build(repo))?;
    chore::run(prove::driver(repo).arg("simulate").args(args))
}
