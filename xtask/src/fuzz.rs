//! `fuzz`: feed every decoder with what its coverage suggests. A workspace of its own, because it is built otherwise.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use crate::chore;
use crate::host;
use crate::repo::Repo;

/// How long each target runs unless it is said, in seconds.
const SECONDS: u32 = 60;
/// In `test`: so long for all targets together, in seconds.
const SECONDS_BOUNDED: usize = 80;
/// Lines of a target's own words that are shown when it found something: the panic, and what was fed.
const LINES_MAX: usize = 40;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    seconds: u32,
    target: Option<&'a str>,
    /// Repeat this one input.
    input: Option<&'a str>,
}

/// Builds the targets and runs one of them, or all.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> anyhow::Result<()> {
    let asked = parse(args)?;
    let targets = targets(repo)?;
    if let Some(unknown) = asked.target.filter(|target| !targets.iter().any(|known| known == target)) {
        return Err(chore::misuse(format!("there is no target `{unknown}`; expected one of {}", targets.join(", "))));
    }
    prepare()?;
    chore::run(&mut build(repo))?;
    if let (Some(target), Some(input)) = (asked.target, asked.input) {
        let input = fs::canonicalize(input).with_context(|| format!("cannot find the input {input}"))?;
        return chore::run(start(repo, target).arg(input));
    }
    let chosen = targets.iter().filter(|known| asked.target.is_none_or(|target| *known == target));
    chosen.map(String::as_str).try_for_each(|target| feed(repo, target, asked.seconds, &[]))
}

/// The run that is a step of `test`: from the same seed every time.
pub(crate) fn bounded(repo: &Repo) -> anyhow::Result<()> {
    let targets = targets(repo)?;
    let seconds = u32::try_from(SECONDS_BOUNDED / targets.len().max(1)).unwrap_or(1).max(1);
    targets.iter().try_for_each(|target| feed(repo, target, seconds, &["-seed=1"]))
}

/// libFuzzer is C++.
pub(crate) fn prepare() -> anyhow::Result<()> {
    if host::starts("c++") { Ok(()) } else { host::install("fuzzing needs a C++ compiler", &["g++"]) }
}

/// The build of all targets.
pub(crate) fn build(repo: &Repo) -> Command {
    cargo(repo, &["build", "--release", "--bins"])
}

/// Runs a target for some seconds, from its corpus, and says how far it came.
fn feed(repo: &Repo, target: &str, seconds: u32, more: &[&str]) -> anyhow::Result<()> {
    let corpus = repo.in_target("fuzz/corpus").join(target);
    let found = repo.in_target("fuzz/found");
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut fuzzer = start(repo, target);
    fuzzer.args([&format!("-max_total_time={seconds}"), "-timeout=20", "-rss_limit_mb=2048"]).args(more);
    fuzzer.arg(format!("-artifact_prefix={}/{target}-", found.display())).arg(&corpus);
    let mut heard = Heard::default();
    let result = chore::run_reading(&mut fuzzer, |line| heard.look(line));
    if result.is_ok() {
        println!("fuzz: {target:<16} {}", heard.end);
        return Ok(());
    }
    println!("{}", heard.last.join("\n"));
    let repeat = match &heard.input {
        Some(input) => format!("{input} does it. To repeat it alone:\n  cargo xtask fuzz {target} {input}"),
        None => format!("To repeat it:\n  cargo xtask fuzz {target}"),
    };
    result.with_context(|| format!("the target `{target}` found something. {repeat}\nReason"))
}

fn start(repo: &Repo, target: &str) -> Command {
    let mut run = cargo(repo, &["run", "--quiet", "--release", "--bin", target, "--"]);
    // glibc would keep the large buffers of recovery, and then clear them by hand each time.
    run.env("MALLOC_MMAP_THRESHOLD_", "1048576");
    run
}

fn cargo(repo: &Repo, args: &[&str]) -> Command {
    let (verb, rest) = args.split_first().expect("a verb comes first");
    let mut cargo = repo.cargo_in("fuzz", verb);
    cargo.args(rest);
    cargo
}

/// Each target is a program of the workspace, one file.
fn targets(repo: &Repo) -> anyhow::Result<Vec<String>> {
    let folder = repo.root().join("fuzz/src/bin");
    let reading = || format!("cannot read {}", folder.display());
    let entries: Vec<_> = fs::read_dir(&folder).and_then(Iterator::collect::<Result<_, _>>).with_context(reading)?;
    let mut targets: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.file_name().to_string_lossy().strip_suffix(".rs").map(str::to_owned))
        .collect();
    targets.sort();
    Ok(targets)
}

fn parse<'a>(args: &[&'a str]) -> anyhow::Result<Asked<'a>> {
    let mut asked = Asked { seconds: SECONDS, target: None, input: None };
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match arg {
            "--seconds" | "--minutes" => {
                let each = if arg == "--minutes" { 60 } else { 1 };
                let count = args.next().and_then(|count| count.parse::<u32>().ok()).filter(|count| *count > 0);
                let seconds = count.and_then(|count| count.checked_mul(each));
                asked.seconds = seconds.ok_or_else(|| chore::misuse(format!("{arg} takes a number from 1")))?;
            }
            flag if flag.starts_with('-') => return Err(chore::misuse(format!("`fuzz` does not know `{flag}`"))),
            target if asked.target.is_none() => asked.target = Some(target),
            input if asked.input.is_none() => asked.input = Some(input),
            extra => return Err(chore::misuse(format!("`fuzz` takes a target and an input, but got `{extra}`"))),
        }
    }
    Ok(asked)
}

/// What a target said.
#[derive(Default)]
struct Heard {
    /// How often it was run and what it reached.
    end: String,
    /// Where the input was kept that broke it.
    input: Option<String>,
    last: Vec<String>,
}

impl Heard {
    fn look(&mut self, line: &str) {
        if let Some((count, reached)) = line.strip_prefix('#').and_then(|line| line.split_once("DONE")) {
            let words: Vec<&str> = reached.split_whitespace().collect();
            let after = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied().unwrap_or("?");
            self.end = format!("{} executions, coverage {}, features {}", count.trim(), after("cov:"), after("ft:"));
        }
        if let Some((_, input)) = line.split_once("Test unit written to ") {
            self.input = Some(input.to_owned());
        }
        // Its progress is no news.
        if !line.starts_with('#') {
            self.last.push(line.to_owned());
            self.last.drain(..self.last.len().saturating_sub(LINES_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_a_target_and_an_input_are_taken_in_any_order() {
        let asked = Asked { seconds: 5, target: Some("topic"), input: Some("x") };
        assert_eq!(parse(&["topic", "--seconds", "5", "x"]).unwrap(), asked);
        assert_eq!(parse(&[]).unwrap().seconds, SECONDS);
        assert_eq!(parse(&["--minutes", "2"]).unwrap().seconds, 120);
        for wrong in
            [&["--seconds"][..], &["--seconds", "0"], &["--minutes", "99999999"], &["--hours", "1"], &["a", "b", "c"]]
        {
            assert_eq!(chore::exit_code(&parse(wrong).unwrap_err()), 2, "{wrong:?}");
        }
    }

    #[test]
    fn the_closing_line_and_the_input_that_broke_it_are_heard() {
        let mut heard = Heard::default();
        for line in [
            "#2\tINITED cov: 8 ft: 8 corp: 1/1b exec/s: 0 rss: 27Mb",
            "thread '<unnamed>' panicked at src/frames.rs:41:52:",
            "#4280\tDONE   cov: 11 ft: 12 corp: 4/22b lim: 4096 exec/s: 2 rss: 27Mb",
            "artifact_prefix='/t/found/'; Test unit written to /t/found/crash-1",
        ] {
            heard.look(line);
        }
        assert_eq!(heard.end, "4280 executions, coverage 11, features 12");
        assert_eq!(heard.input.as_deref(), Some("/t/found/crash-1"));
        assert!(heard.last.len() == 2 && heard.last[0].contains("panicked"), "{:?}", heard.last);
    }
}
