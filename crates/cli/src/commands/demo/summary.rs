//! What a run comes to: one table, or one JSON object.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::latency::{Percentiles, show};
use super::statistics::Counts;
use super::watch::Incident;
use crate::output::{Table, counted};

/// All there is to say of a run.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) ok: bool,
    /// What is not as it has to be.
    pub(super) failures: Vec<String>,
    pub(super) input: PathBuf,
    pub(super) files: usize,
    /// There were more files than are taken.
    pub(super) input_cut: bool,
    pub(super) workers: u32,
    pub(super) seed: u64,
    pub(super) wall_ms: u64,
    pub(super) sent: usize,
    pub(super) sent_over_http: usize,
    /// Tasks with a result, which is there only if the task is settled: both are one step.
    pub(super) settled: u64,
    pub(super) redelivered: u64,
    /// By how the attempt before had ended.
    pub(super) redelivered_after: BTreeMap<String, u64>,
    pub(super) recognised_duplicates: u64,
    /// Of them, those that were sent twice on purpose.
    pub(super) resent_on_purpose: u64,
    pub(super) dead_lettered: Vec<DeadLetter>,
    pub(super) lost: usize,
    pub(super) duplicate_effects: usize,
    pub(super) wrong_results: usize,
    /// Results that came again before their ack was confirmed, and were known.
    pub(super) results_redelivered: usize,
    pub(super) files_changed_meanwhile: Vec<String>,
    pub(super) booked_over_http: usize,
    pub(super) totals: Counts,
    pub(super) task_to_result: Percentiles,
    pub(super) request_to_reply: Percentiles,
    pub(super) requests_answered: u64,
    /// Answers that reached nobody: the asker was killed, or had asked again.
    pub(super) answers_unheard: u64,
    pub(super) progress_live: u64,
    pub(super) progress_kept: u64,
    pub(super) faults: Vec<Incident>,
    /// What became of the task whose worker was killed.
    pub(super) held_task: Option<String>,
    pub(super) hub_away_ms: Option<u64>,
    /// The hub that is left running.
    pub(super) hub: Option<LeftRunning>,
}

/// A task that the hub gave up on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct DeadLetter {
    pub(super) path: String,
    pub(super) reason: String,
    pub(super) attempts: u32,
    /// Its sender was told, in its inbox.
    pub(super) sender_told: bool,
    /// It was meant to end there.
    pub(super) poison: bool,
}

/// Where the hub is that is left running.
#[derive(Debug, Serialize)]
pub(super) struct LeftRunning {
    pub(super) address: String,
    pub(super) data: PathBuf,
    pub(super) pid: u32,
    pub(super) stop: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (input, seed, wall) = (self.input.display(), self.seed, show(self.wall_ms * 1_000));
        let files = counted(self.files as u64, "file", "files");
        let workers = counted(u64::from(self.workers), "worker", "workers");
        writeln!(f, "{files} of {input}, {workers}, {wall} (seed {seed})\n")?;
        writeln!(f, "{}", self.counts())?;
        writeln!(f, "{}", self.latencies())?;
        let Counts { bytes, lines, comments, words, symbols } = self.totals;
        let judged = if self.ok { ": the same as the files themselves" } else { "" };
        write!(f, "counted {bytes} bytes, {lines} lines ({comments} comments), {words} words, {symbols} symbols")?;
        writeln!(f, "{judged}")?;
        if !self.files_changed_meanwhile.is_empty() {
            writeln!(
                f,
                "not compared, as somebody wrote to them meanwhile: {}",
                self.files_changed_meanwhile.join(", ")
            )?;
        }
        if let Some(held) = &self.held_task {
            writeln!(f, "{held}")?;
        }
        if let Some(hub) = &self.hub {
            writeln!(f, "\nthe hub runs on at {} (pid {}), data {}", hub.address, hub.pid, hub.data.display())?;
            writeln!(f, "  look:  skep queue ls --data {0}    skep agents ls --data {0}", hub.data.display())?;
            writeln!(f, "  stop:  {}", hub.stop)?;
        }
        Ok(())
    }
}

impl Summary {
    fn counts(&self) -> Table {
        let mut table = Table::new(["what", "  count", ""]);
        let mut row = |what: &str, count: u64, words: String| {
            table.row([what.into(), format!("{count:>7}"), words]);
        };
        let poison = if self.dead_lettered.iter().any(|dead| dead.poison) { ", 1 of them poison" } else { "" };
        let over_socket = self.sent - self.sent_over_http.min(self.sent);
        row(
            "sent",
            self.sent as u64,
            format!("{over_socket} over WebSocket, {} over HTTP{poison}", self.sent_over_http),
        );
        row("settled", self.settled, "each with its result published in the same step".into());
        let after = self.redelivered_after.iter().map(|(why, count)| format!("{count} after {why}"));
        row("redelivered", self.redelivered, after.collect::<Vec<_>>().join(", "));
        let resent = match (self.resent_on_purpose, self.recognised_duplicates - self.resent_on_purpose) {
            (0, 0) => "nothing had to be sent again".into(),
            (purpose, 0) => format!("{purpose} sent twice on purpose"),
            (purpose, again) => format!("{purpose} sent twice on purpose, {again} sent again when the hub was back"),
        };
        row("recognised duplicates", self.recognised_duplicates, resent);
        let dead: Vec<String> = self.dead_lettered.iter().map(ToString::to_string).collect();
        row("dead-lettered", self.dead_lettered.len() as u64, dead.join("; "));
        row("lost", self.lost as u64, "files without a result".into());
        let again = match self.results_redelivered {
            0 => String::new(),
            count => format!(" ({count} came again unacked and were known)"),
        };
        row("duplicate effects", self.duplicate_effects as u64, format!("results beyond one a file{again}"));
        row("booked", self.booked_over_http as u64, "results in the ledger, an agent over HTTP alone".into());
        row("progress", self.progress_live, format!("notes heard live, {} kept in the inbox", self.progress_kept));
        table
    }

    fn latencies(&self) -> Table {
        let mut table = Table::new(["latency", "p50", "p90", "p99", "max"]);
        for (what, of) in [("task to result", &self.task_to_result), ("request to reply", &self.request_to_reply)] {
            table.row([what.into(), show(of.p50_us), show(of.p90_us), show(of.p99_us), show(of.max_us)]);
        }
        table
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = if self.sender_told { "its sender was told" } else { "its sender was not told" };
        write!(f, "{} ({}, {told})", self.reason, counted(u64::from(self.attempts), "attempt", "attempts"))
    }
}
