//! `test`: everything a change must pass. CI runs exactly this.

use crate::chore;
use crate::fuzz;
use crate::loom;
use crate::prove;
use crate::python;
use crate::repo::Repo;
use crate::steps::Steps;
use crate::tidy;

/// Runs the steps and prints their table, also when one failed.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> anyhow::Result<()> {
    let quick = match args {
        [] => false,
        ["--quick"] => true,
        _ => {
            return Err(chore::misuse(format!("`test` takes only --quick, but got `{}`", args.join(" "))));
        }
    };
    let mut steps = Steps::default();
    let result = run_steps(repo, quick, &mut steps);
    print!("\n{}", steps.table());
    result
}

/// The cheap steps first, the tests last, so that their failures are the last to be read.
///
/// Clippy, doc and test name no package: one shape, so that no dependency is built twice.
fn run_steps(repo: &Repo, quick: bool, steps: &mut Steps) -> anyhow::Result<()> {
    steps.step("fmt", "cargo xtask fix", || {
        repo.workspaces().iter().try_for_each(|at| chore::run(repo.cargo(["fmt", "--all", "--check"]).current_dir(at)))
    })?;
    steps.step("tidy", "cargo xtask tidy", || tidy::run(repo))?;
    let python = steps.step("python", "cargo xtask python", || python::prepare(repo))?;
    steps.command("clippy", &mut repo.cargo(["clippy", "--all-targets", "--", "-D", "warnings"]))?;
    steps.command("doc", repo.cargo(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"))?;
    if !quick {
        steps.command("release", &mut repo.cargo_release_build())?;
        steps.command("prover", &mut prove::build(repo))?;
        steps.command("prove", &mut prove::bounded(repo))?;
        steps.step("c++", "c++ --version", fuzz::prepare)?;
        steps.command("fuzzers", &mut fuzz::build(repo))?;
        steps.step("fuzz", "cargo xtask fuzz --seconds 7", || fuzz::bounded(repo))?;
        steps.tests("loom", &mut loom::command(repo))?;
    }
    let mut tests = repo.cargo(["test"]);
    tests.env("SKEP_PYTHON", python);
    if !quick {
        tests.env("SKEP_BIN", repo.skep());
    }
    steps.tests("test", &mut tests)
}
