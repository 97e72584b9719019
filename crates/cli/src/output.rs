//! The one way to standard output and standard error.
//!
//! What was asked for goes to standard output, as words or with `--json` as one JSON value a line;
//! what is said about it goes to standard error. A reader that has gone is the end of the
//! program, not a fault: it comes back as a broken pipe, and `exit` keeps quiet about it.

mod plain;
mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(crate) use plain::{age, cell, now_ms, one_line, path, presence, until};
pub(crate) use skep_protocol::text::{counted, plain, word};
pub(crate) use table::Table;

/// Where words and values go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json }
    }

    /// Whether values are wanted, not words.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// An answer: the value with `--json`, else the words; no words, no line. Words may hold anybody's text: a terminal
    /// obeys none of it.
    pub(crate) fn answer(&self, value: &impl Serialize, words: impl Display) -> io::Result<()> {
        if self.json {
            return self.value(value);
        }
        let words = plain(&words.to_string());
        if words.is_empty() { Ok(()) } else { self.line(words.trim_end_matches('\n')) }
    }

    /// A line of words.
    pub(crate) fn line(&self, words: impl Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{words}")?;
        out.flush()
    }

    /// A value, as JSON on one line.
    pub(crate) fn value(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.line(text)
    }

    /// A payload as it is. Text that does not end its line gets its line ended.
    pub(crate) fn payload(&self, payload: &[u8]) -> io::Result<()> {
        if self.piece(payload)? { self.line("") } else { Ok(()) }
    }

    /// A payload, or a piece of one, as it is; answers whether it is text that does not end its line. A terminal is
    /// shown no control characters: a payload comes from anybody.
    pub(crate) fn piece(&self, piece: &[u8]) -> io::Result<bool> {
        let mut out = io::stdout().lock();
        match std::str::from_utf8(piece) {
            Ok(text) if out.is_terminal() => out.write_all(plain(text).as_bytes())?,
            _ => out.write_all(piece)?,
        }
        out.flush()?;
        Ok(std::str::from_utf8(piece).is_ok_and(|text| !text.ends_with('\n')))
    }

    /// A remark beside the answer. With `--json` there is none: the value says it all.
    pub(crate) fn note(&self, words: impl Display) {
        if !self.json {
            // Nobody hears it if standard error is gone, and nothing depends on it.
            let _ = writeln!(io::stderr(), "{}", plain(&words.to_string()));
        }
    }

    /// What was done otherwise than one would think, and why.
    pub(crate) fn warning(&self, words: &str) {
        let text =
            if self.json { serde_json::json!({ "warning": words }).to_string() } else { format!("warning: {words}") };
        let _ = writeln!(io::stderr(), "{}", plain(&text));
    }

    /// An error as another process of this program has put it.
    pub(crate) fn relay(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{}", plain(text));
    }

    /// Whether somebody watches who wants to see how far it is.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Why the program fails.
    pub(crate) fn failure(&self, words: &str, value: &impl Serialize) {
        let text = if self.json { serde_json::to_string(value).unwrap_or_default() } else { plain(words) };
        let _ = writeln!(io::stderr(), "{text}");
    }
}
