//! `demo`: build the release binary and become `skep demo`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::chore;
use crate::repo::Repo;

/// Replaces this process, so that signals and the exit code are the demo's own. Returns only on failure.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> anyhow::Result<()> {
    println!("demo: building the release binary; the first time takes minutes");
    chore::run(&mut repo.cargo_release_build())?;

    let mut demo = Command::new(repo.skep());
    demo.arg("demo");
    if !names_input(args) {
        demo.arg("--input").arg(repo.root());
    }
    demo.args(args);
    println!("demo: {}", chore::line(&demo));
    let never_started = demo.exec();
    Err(never_started).with_context(|| format!("cannot start {}", repo.skep().display()))
}

fn names_input(args: &[&str]) -> bool {
    args.iter().any(|arg| *arg == "--input" || arg.starts_with("--input="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_seen_in_both_spellings_only() {
        assert!(names_input(&["--fast", "--input", "x"]));
        assert!(names_input(&["--input=x"]));
        assert!(!names_input(&["--inputs", "input"]));
    }
}
