//! A command line that is not understood: said in three lines, or as JSON.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};
use serde::Serialize;
use skep_protocol::Code;

use crate::Cli;
use crate::exit;
use crate::output::Output;

/// What is wrong with a command line, and how it would be right.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Misuse {
    #[serde(skip)]
    text: String,
    pub(crate) usage: String,
    pub(crate) example: Option<String>,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Misuse {}

/// Ends the program where its command line was not understood, or asked only for help.
pub(crate) fn end(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let words = args.iter().skip(1).take_while(|arg| *arg != "--");
    let output = Output::new(words.clone().any(|arg| arg == "--json"));
    let help = error.render().to_string();
    // `skep` alone shows its first hour.
    let shows_help = !error.use_stderr() || (args.len() < 2 && !output.is_json());
    if shows_help && error.use_stderr() {
        output.note(help.trim_end());
        return exit::Exit::Usage.into();
    }
    if shows_help {
        return exit::report(&output, output.line(help.trim_end()).map_err(Into::into));
    }
    let words: Vec<String> = words.map(|arg| arg.to_string_lossy().into_owned()).collect();
    exit::report(&output, Err(misuse(error, &words).into()))
}

fn misuse(error: &clap::Error, words: &[String]) -> Misuse {
    let mut root = Cli::command();
    root.build();
    let (command, examples) = named(&root, words);
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let verbs: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            format!("say what to do: {}", verbs.join(", "))
        }
        _ => short(&error.render().to_string()),
    };
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => command.clone().render_usage().to_string(),
    };
    let usage = usage.trim().trim_start_matches("Usage:").trim().lines().next().unwrap_or_default().to_owned();
    Misuse { text, example: example(command, &examples), usage }
}

/// The command that the words come to, as far as they name one, and the examples of its page.
fn named<'a>(root: &'a Command, words: &[String]) -> (&'a Command, String) {
    let examples = |command: &Command| command.get_after_help().map(ToString::to_string);
    let (mut command, mut page) = (root, examples(root).unwrap_or_default());
    for word in words {
        // The value of an option may be called like a command; then the example is of another one.
        if let Some(found) = command.find_subcommand(word) {
            command = found;
            page = examples(found).unwrap_or(page);
        }
    }
    (command, page)
}

/// The first example of a command.
fn example(command: &Command, page: &str) -> Option<String> {
    let examples: Vec<&str> = page.lines().map(str::trim).filter(|line| line.contains("skep ")).collect();
    let name = command.get_bin_name().unwrap_or_default();
    let found = examples.iter().find(|line| line.starts_with(name)).or_else(|| examples.first())?;
    // What explains it stands behind two blanks.
    Some(found.split("  ").next().unwrap_or(found).trim_end().to_owned())
}

/// The first paragraph without its head, on one line, and what clap thinks was meant.
fn short(rendered: &str) -> String {
    let mut paragraphs = rendered.split("\n\n").map(|paragraph| {
        let mut lines = paragraph.lines().map(str::trim);
        let first = lines.next().unwrap_or_default().to_owned();
        let rest: Vec<&str> = lines.collect();
        if rest.is_empty() { first } else { format!("{first} {}", rest.join(", ")) }
    });
    let first = paragraphs.next().unwrap_or_default();
    let tips = paragraphs.filter_map(|paragraph| paragraph.strip_prefix("tip: ").map(|tip| format!("; {tip}")));
    // The error has a code already, that of a misuse; what a parser of ours found is told without its own.
    let first = Code::ALL.iter().fold(first, |first, code| first.replace(&format!("': {code}: "), "': "));
    let first = PARSERS_WORDS.iter().fold(first, |first, (theirs, ours)| first.replace(theirs, ours));
    format!("{}{}", first.trim_start_matches("error: "), tips.collect::<String>())
}

/// What number parsers say, and what that means to who typed it.
const PARSERS_WORDS: [(&str, &str); 3] = [
    ("invalid digit found in string", "expected a whole number"),
    ("cannot parse integer from empty string", "expected a whole number"),
    ("number too large to fit in target type", "expected a smaller number"),
];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn misused(line: &str) -> Misuse {
        let words: Vec<String> = line.split(' ').map(Into::into).collect();
        let error = Cli::try_parse_from(&words).err().unwrap();
        misuse(&error, &words[1..])
    }

    #[test]
    fn what_is_missing_is_named_with_usage_and_an_example_of_the_same_command() {
        let misuse = misused("skep send");
        assert_eq!(misuse.text, "the following required arguments were not provided: <AGENT>, <TEXT>");
        assert_eq!(misuse.usage, "skep send <AGENT> <TEXT>");
        assert_eq!(misuse.example.unwrap(), "skep send bob \"hi\"");
        let misuse = misused("skep queue add");
        assert_eq!(misuse.example.unwrap(), "skep queue add jobs");
        let misuse = misused("skep queue");
        assert_eq!(misuse.text, "say what to do: ls, add, rm, show, peek, purge, redrive");
        assert!(misuse.usage.starts_with("skep queue"), "{}", misuse.usage);
    }

    #[test]
    fn what_was_probably_meant_is_told_on_the_same_line() {
        let text = misused("skep sned bob hi").text;
        assert_eq!(text, "unrecognized subcommand 'sned'; a similar subcommand exists: 'send'");
        let text = misused("skep queue peek jobs -n x").text;
        assert!(text.ends_with("expected a whole number"), "{text}");
        let text = misused("skep receive bob --wait foo").text;
        assert!(text.contains("'foo'") && text.contains("30s") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn what_a_parser_of_ours_found_is_told_without_its_code() {
        let text = misused("skep ack xyz").text;
        assert!(text.starts_with("invalid value 'xyz' for '<LEASE>...': lease token"), "{text}");
    }
}
