//! What is wrong with a configuration, for people: the place, the thing, what was expected.

use std::fmt;

use skep_protocol::nearest;

use super::durability;
use super::given::Given;
use super::key::{KEYS, Key};
use super::source::Source;

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One each, never none.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: String,
    /// What, and what to do.
    pub text: String,
}

impl Problem {
    pub(super) fn new(source: &Source, text: impl Into<String>) -> Self {
        let place = match source {
            Source::File { path, line, column } => format!("{}:{line}:{column}", path.display()),
            other => other.to_string(),
        };
        Problem { place, text: text.into() }
    }

    pub(super) fn bad_value(key: &Key, source: &Source, given: &Given<'_>) -> Self {
        let parts = (key.name == "durability").then(|| given.phrases()).flatten().unwrap_or_default();
        match durability::first_bad(&parts) {
            Some(bad) => Problem::new(source, format!("{} is wrong at {bad:?}; expected {}", key.name, key.expected)),
            None => Problem::new(source, format!("{} is {given}; expected {}", key.name, key.expected)),
        }
    }

    pub(super) fn unknown_key(name: &str, source: &Source) -> Self {
        Problem::new(source, unknown("key", name, KEYS.iter().map(|key| key.name)))
    }

    pub(super) fn unknown_variable(name: &str, known: impl Iterator<Item = &'static str>) -> Self {
        Problem::new(&Source::Environment(name.into()), unknown("variable", name, known))
    }
}

/// Says what is not known, and offers the nearest, else all that is.
fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(name, known.iter().copied()).first() {
        Some(near) => format!("unknown {what} {name:?}; did you mean {near:?}?"),
        None => format!("unknown {what} {name:?}; expected one of {}", known.join(", ")),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
