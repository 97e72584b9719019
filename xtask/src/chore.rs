//! How a chore starts a child, and how its failure becomes our exit code.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context as _;

use crate::watch::{MARK, Watch};

/// A chore that did not succeed, with the code the process ends with.
#[derive(Debug)]
struct Failed {
    message: String,
    code: u8,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

/// The arguments were wrong: exit code 2, and a pointer to the help.
pub(crate) fn misuse(what: String) -> anyhow::Error {
    let message = format!("{what}; `cargo xtask help` lists the chores");
    Failed { message, code: 2 }.into()
}

/// The code of the child that failed, else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failed>().map_or(1, |failed| failed.code)
}

/// Runs `command` to its end with our own stdout and stderr. When we are ended, so is it.
///
/// # Errors
/// When it cannot be started or does not succeed; its exit code is kept for ours.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let watch = Watch::begin()?;
    let status = watch.over(command).status().with_context(|| format!("cannot start `{}`", line(command)))?;
    judge(command, status)
}

/// The same, and shows every line to `look` after it was printed.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_watching(command: &mut Command, mut look: impl FnMut(&str)) -> anyhow::Result<()> {
    run_reading(command, |line| {
        println!("{line}");
        look(line);
    })
}

/// The same, and prints nothing: every line goes to `look`, stdout and stderr in one, in order.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_reading(command: &mut Command, mut look: impl FnMut(&str)) -> anyhow::Result<()> {
    let watch = Watch::begin()?;
    let (said, says) = std::io::pipe().context("cannot make a pipe")?;
    command.stdout(says.try_clone().context("cannot make a pipe")?).stderr(says);
    let started = watch.over(command).spawn();
    // The pipe ends only when nobody can write to it any more, and so far we can.
    command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let mut child = started.with_context(|| format!("cannot start `{}`", line(command)))?;
    for part in BufReader::new(said).split(b'\n') {
        let part = part.context("cannot read what a child says")?;
        look(&String::from_utf8_lossy(&part));
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{}`", line(command)))?;
    judge(command, status)
}

fn judge(command: &Command, status: ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    let message = format!("`{}` ended with {status}", line(command));
    Err(Failed { message, code: code_of(status) }.into())
}

/// The command as one would type it, with the environment it adds.
pub(crate) fn line(command: &Command) -> String {
    let added = command
        .get_envs()
        .filter(|(name, _)| *name != MARK)
        .filter_map(|(name, value)| value.map(|value| quoted(&format!("{}={}", name.display(), value.display()))));
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program()).display().to_string();
    let args = command.get_args().map(|arg| quoted(&arg.display().to_string()));
    added.chain([program]).chain(args).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    if word.chars().any(|c| c.is_whitespace() || "'\"$&;|<>()*?".contains(c)) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.to_owned()
    }
}

/// A child ended by a signal has no code; it counts as 1.
fn code_of(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_exit_code_becomes_ours() {
        let error = run(Command::new("sh").args(["-c", "exit 7"])).unwrap_err();
        assert_eq!(exit_code(&error), 7);
    }

    #[test]
    fn context_does_not_hide_the_exit_code() {
        let error = run(Command::new("sh").args(["-c", "exit 7"])).context("step").unwrap_err();
        assert_eq!(exit_code(&error), 7);
    }

    #[test]
    fn a_command_line_shows_added_environment_and_quotes_spaces() {
        let mut command = Command::new("/opt/bin/cargo");
        command.args(["test", "a b"]).env("SKEP_BIN", "/t/skep").env_remove("GONE").env(MARK, "1");
        assert_eq!(line(&command), "SKEP_BIN=/t/skep cargo test 'a b'");
    }
}
