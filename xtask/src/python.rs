//! `python`: the interpreter the stories drive Skep with, in a folder of its own under `target`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};

use crate::chore;
use crate::host::{self, quiet, starts};
use crate::repo::Repo;

/// A WebSocket client that is not ours, so that the wire is tested by a stranger.
const PACKAGES: [&str; 1] = ["websockets==17.4"];

/// Which interpreters may make the environment, the user's own first.
const INTERPRETERS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// Succeeds where an environment can be made; Debian ships `ensurepip` apart. 3.11 is what the packages ask for.
const PROBE: &str = "import ensurepip, venv, sys; assert sys.version_info >= (3, 11); print(sys.version)";

/// Prepares the environment and says where it is.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    prepare(repo).map(|_| ())
}

/// Makes sure that the environment exists and is current; returns its interpreter.
pub(crate) fn prepare(repo: &Repo) -> anyhow::Result<PathBuf> {
    if usable_python().is_none() || !starts("curl") {
        let needed = "the tests need python3 (3.11 or newer, with venv and ensurepip) and curl";
        host::install(needed, &["python3-venv", "curl"])?;
    }
    let (base, version) = usable_python().context("no python3 of version 3.11 or newer with venv and ensurepip")?;
    if !starts("curl") {
        bail!("curl is missing; install it with your system's packages");
    }

    let folder = repo.in_target("venv");
    let python = folder.join("bin/python");
    let stamp = format!("{version}\n{}\n", PACKAGES.join("\n"));
    if !is_current(&folder, &python, &stamp) {
        build(base, &folder, &python, &stamp)?;
    }
    println!("python: {} with {}", python.display(), PACKAGES.join(", "));
    Ok(python)
}

/// The stamp is written last: a build cut short leaves none.
fn is_current(folder: &Path, python: &Path, stamp: &str) -> bool {
    python.exists() && std::fs::read_to_string(stamp_file(folder)).is_ok_and(|found| found == stamp)
}

fn build(base: &str, folder: &Path, python: &Path, stamp: &str) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove the old {}", folder.display()))?;
    }
    chore::run(quiet(base).args(["-m", "venv"]).arg(folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    chore::run(quiet(python).args(pip).args(PACKAGES))?;
    std::fs::write(stamp_file(folder), stamp).context("cannot write the stamp of the Python environment")
}

fn stamp_file(folder: &Path) -> PathBuf {
    folder.join("skep-stamp")
}

/// The first interpreter that can make an environment, and its version.
fn usable_python() -> Option<(&'static str, String)> {
    INTERPRETERS.into_iter().find_map(|python| {
        let probe = quiet(python).args(["-c", PROBE]).stderr(Stdio::null()).output().ok()?;
        let version = String::from_utf8_lossy(&probe.stdout).trim().to_owned();
        probe.status.success().then_some((python, version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned() {
        assert!(PACKAGES.iter().all(|package| package.contains("==")));
    }
}
