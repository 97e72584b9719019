//! What one sees while the demo runs: on a terminal one line that lives, elsewhere a line now and then.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::output::{Output, plain};

/// How often a line is printed where it cannot be drawn over.
const LINE_PAUSE: Duration = Duration::from_secs(1);
/// How wide the bar is, in characters.
const BAR: usize = 24;

/// The demo as it is seen. With `--json` it is not.
#[derive(Debug)]
pub(super) struct View {
    output: Output,
    since: Instant,
    lives: bool,
    told: Option<Instant>,
}

impl View {
    pub(super) fn new(output: Output) -> Self {
        let lives = io::stderr().is_terminal() && !output.is_json();
        View { output, since: Instant::now(), lives, told: None }
    }

    /// Since when the demo runs.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Something happened that is worth a line of its own.
    pub(super) fn event(&mut self, words: impl Display) {
        self.clear();
        self.output.note(format!("{:6.2} s  {words}", self.elapsed().as_secs_f64()));
    }

    /// How far it is.
    pub(super) fn progress(&mut self, done: usize, of: usize, words: impl Display) {
        if self.lives {
            let filled = (done * BAR).checked_div(of).unwrap_or_default().min(BAR);
            let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled));
            let line = format!("{:6.2} s  {bar} {done}/{of}  {words}", self.elapsed().as_secs_f64());
            draw(&plain(&line));
        } else if self.told.is_none_or(|told| told.elapsed() >= LINE_PAUSE) {
            self.told = Some(Instant::now());
            self.event(format!("{done} of {of} results, {words}"));
        }
    }

    /// Takes the line that lives away.
    pub(super) fn clear(&mut self) {
        if self.lives {
            draw("");
        }
    }
}

/// Draws over the line that stands there. Nothing depends on whether anybody sees it.
fn draw(line: &str) {
    let mut error = io::stderr().lock();
    let _ = write!(error, "\r\x1b[2K{line}");
    let _ = error.flush();
}
