//! The steps of a long chore: a headline each, a table at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::chore;

/// What has run so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
    tests: Vec<String>,
}

struct Step {
    name: &'static str,
    took: Duration,
    passed: bool,
}

impl Steps {
    /// Runs a child as the next step.
    pub(crate) fn command(&mut self, name: &'static str, command: &mut Command) -> anyhow::Result<()> {
        let line = chore::line(command);
        self.step(name, &line, || chore::run(command))
    }

    /// Runs `cargo test` as the next step, and keeps the closing line of every runner.
    pub(crate) fn tests(&mut self, name: &'static str, command: &mut Command) -> anyhow::Result<()> {
        let line = chore::line(command);
        let mut closing = Closing::default();
        let result = self.step(name, &line, || chore::run_watching(command, |line| closing.look(line)));
        self.tests.append(&mut closing.lines);
        result
    }

    /// Runs our own code as the next step; `repeat` is the command that does the same alone.
    pub(crate) fn step<T>(
        &mut self,
        name: &'static str,
        repeat: &str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        println!("\n=== {name}: {repeat}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let passed = result.is_ok();
        self.done.push(Step { name, took, passed });
        println!("=== {name}: {} after {:.1} s", word(passed), took.as_secs_f64());
        result.with_context(|| format!("step `{name}` failed. To repeat it alone:\n  {repeat}\nReason"))
    }

    /// What the test runners said at their end, and the table of steps.
    pub(crate) fn table(&self) -> String {
        let rows = self.done.iter().map(|step| row(step.name, step.took, word(step.passed)));
        let total: Duration = self.done.iter().map(|step| step.took).sum();
        let verdict = word(self.done.iter().all(|step| step.passed));
        let table: String = rows.chain([row("all", total, verdict)]).collect();
        let tests: String = self.tests.iter().map(|line| format!("  {line}\n")).collect();
        if tests.is_empty() { table } else { format!("{tests}\n{table}") }
    }
}

/// The closing lines of test runners, each with the runner's name.
#[derive(Default)]
struct Closing {
    runner: String,
    lines: Vec<String>,
}

impl Closing {
    fn look(&mut self, line: &str) {
        let line = line.trim();
        if let Some(runner) = line.strip_prefix("Running ").or_else(|| line.strip_prefix("Doc-tests ")) {
            runner.clone_into(&mut self.runner);
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.lines.push(format!("{result}  {}", short(&self.runner)));
        }
    }
}

/// `unittests src/lib.rs (target/debug/deps/skep_core-0123456789abcdef)`: of the path only the name.
fn short(runner: &str) -> String {
    match runner.strip_suffix(')').and_then(|runner| runner.split_once(" (")) {
        Some((source, path)) => {
            let file = path.rsplit('/').next().unwrap_or(path);
            format!("{} {source}", file.rsplit_once('-').map_or(file, |(name, _)| name))
        }
        None => format!("doc-tests {runner}"),
    }
}

fn row(name: &str, took: Duration, verdict: &str) -> String {
    format!("  {name:<10} {:>8.1} s  {verdict}\n", took.as_secs_f64())
}

fn word(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_names_itself_and_the_command_to_repeat() {
        let mut steps = Steps::default();
        let error = steps.step("doc", "cargo doc", || Err::<(), _>(anyhow::anyhow!("no"))).unwrap_err();
        let told = format!("{error:#}");
        assert!(told.contains("`doc`") && told.contains("cargo doc") && told.ends_with("no"), "{told}");
    }

    #[test]
    fn the_closing_lines_of_runners_bear_their_names() {
        let mut closing = Closing::default();
        for line in [
            "     Running unittests src/lib.rs (target/debug/deps/skep_core-0123456789abcdef)",
            "test a ... ok",
            "test result: ok. 1 passed; 0 failed",
            "   Doc-tests skep",
            "test result: FAILED. 0 passed; 1 failed",
        ] {
            closing.look(line);
        }
        let expected =
            ["ok. 1 passed; 0 failed  skep_core unittests src/lib.rs", "FAILED. 0 passed; 1 failed  doc-tests skep"];
        assert_eq!(closing.lines, expected);
    }

    #[test]
    fn the_table_fails_as_a_whole_when_one_step_fails() {
        let mut steps = Steps::default();
        steps.step("one", "a", || Ok(())).unwrap();
        let _ = steps.step("two", "b", || Err::<(), _>(anyhow::anyhow!("no")));
        let table = steps.table();
        let verdicts: Vec<_> = table.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(verdicts, ["ok", "FAILED", "FAILED"]);
    }
}
