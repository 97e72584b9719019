//! Skep's own chores: each is one file, this one is their table of contents.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

mod chore;
mod demo;
mod fix;
mod fuzz;
mod help;
mod host;
mod loom;
mod mutate;
mod peers;
mod prove;
mod python;
mod repo;
mod simulate;
mod steps;
mod test;
mod tidy;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(chore::exit_code(&error))
        }
    }
}

fn run(args: &[&str]) -> anyhow::Result<()> {
    let (chore, rest) = args.split_first().unwrap_or((&"help", &[]));
    if !matches!(*chore, "demo" | "prove" | "simulate") && rest.iter().any(|arg| matches!(*arg, "--help" | "-h")) {
        return help::run();
    }
    let repo = repo::Repo::find()?;
    match (*chore, rest) {
        ("test", rest) => test::run(&repo, rest),
        ("tidy", []) => tidy::run(&repo),
        ("fix", []) => fix::run(&repo),
        ("python", []) => python::run(&repo),
        ("peers", []) => peers::run(&repo),
        ("demo", rest) => demo::run(&repo, rest),
        ("prove", rest) => prove::run(&repo, rest),
        ("simulate", rest) => simulate::run(&repo, rest),
        ("fuzz", rest) => fuzz::run(&repo, rest),
        ("loom", []) => loom::run(&repo),
        ("mutate", names) => mutate::run(&repo, names),
        ("help" | "--help" | "-h", _) => help::run(),
        ("tidy" | "fix" | "python" | "loom" | "peers", [extra, ..]) => {
            Err(chore::misuse(format!("`{chore}` takes no arguments, but got `{extra}`")))
        }
        (unknown, _) => Err(chore::misuse(format!("there is no chore `{unknown}`"))),
    }
}
