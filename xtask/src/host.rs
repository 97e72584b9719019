//! What must be installed beside Rust, and how it gets there.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::chore;

/// Installs packages of Debian. A bare Debian, as CI has it, is completed; nobody else's machine is changed.
///
/// # Errors
/// On any other machine, saying what is needed.
pub(crate) fn install(needed: &str, packages: &[&str]) -> anyhow::Result<()> {
    if !(Path::new("/etc/debian_version").exists() && is_root()) {
        let packages = packages.join(" ");
        bail!("{needed}; install it with your system's packages (Debian: apt-get install {packages})");
    }
    chore::run(&mut apt_get(&["update", "-q"]))?;
    chore::run(apt_get(&["install", "-q", "-y"]).args(packages))
}

/// Whether there is such a program.
pub(crate) fn starts(program: &str) -> bool {
    quiet(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// A command that cannot wait for a person.
pub(crate) fn quiet(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = quiet("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    quiet("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
