//! The end of a run: the agents stop, the hub is asked for its books, the results are judged.

use std::time::Duration;

use serde::Deserialize;
use skep_protocol::{Code, Error, Stored};

use super::collector::Verdict;
use super::input::Input;
use super::latency::Percentiles;
use super::statistics::Statistics;
use super::summary::{DeadLetter, Summary};
use super::task::{TASKS, Task, queue};
use super::verify::{self, Expected, Judgement};
use super::watch::Watch;

/// Dead letters that are looked at.
const DEAD_MAX: u32 = 100;

/// What is known of a run beside what was watched.
pub(super) struct Outcome<'a> {
    pub(super) input: &'a Input,
    /// The files, counted before the agents began.
    pub(super) before: Vec<Option<Statistics>>,
    pub(super) workers: u32,
    pub(super) seed: u64,
    pub(super) wall: Duration,
}

impl Outcome<'_> {
    /// Stops the agents, and says what it all comes to.
    pub(super) async fn sum_up(self, watch: &mut Watch) -> anyhow::Result<Summary> {
        for heard in watch.swarm.stop().await? {
            if let Some(report) = heard.report {
                watch.tally.note(&heard.from, report);
            }
        }
        let dead = self.dead_letters(watch).await?;
        let waiting = watch.queue(&queue(TASKS)).await?.map_or(0, |info| info.ready + info.leased + info.delayed);
        let held_task = held_task(watch).await?;
        let files = self.compared();
        let judgement = verify::judge(&files, &watch.tally.effects);
        let booked = verify::judge(&files, &watch.tally.booked);
        let failures = failures(watch, &judgement, &booked, &dead, waiting);
        let tally = &watch.tally;
        let again = |effect: &&super::report::Effect| effect.verdict == Verdict::Again;
        Ok(Summary {
            ok: failures.is_empty(),
            failures,
            input: self.input.root.clone(),
            files: self.input.files.len(),
            input_cut: self.input.cut,
            workers: self.workers,
            seed: self.seed,
            wall_ms: millis(self.wall),
            sent: tally.published.len(),
            sent_over_http: tally.over_http,
            settled: tally.done() as u64,
            redelivered: tally.redelivered(),
            redelivered_after: tally.redelivered.clone(),
            recognised_duplicates: tally.recognised,
            resent_on_purpose: tally.recognised_resends,
            dead_lettered: dead,
            lost: judgement.lost.len(),
            duplicate_effects: judgement.doubled.len(),
            wrong_results: judgement.wrong.len(),
            results_redelivered: tally.effects.iter().filter(again).count(),
            files_changed_meanwhile: judgement.changed,
            booked_over_http: tally.in_books(),
            totals: judgement.totals,
            task_to_result: Percentiles::of(tally.effects.iter().filter_map(|effect| effect.latency_us).collect()),
            request_to_reply: Percentiles::of(tally.asked_us.clone()),
            requests_answered: tally.answered,
            answers_unheard: tally.unheard,
            progress_live: tally.progress_live,
            progress_kept: tally.progress_kept,
            faults: watch.incidents.clone(),
            held_task,
            hub_away_ms: watch.hub_away.map(millis),
            hub: None,
        })
    }

    /// The files as they were before and are now.
    fn compared(&self) -> Vec<Expected> {
        let after = verify::count(self.input);
        let files = self.input.files.iter().zip(&self.before).zip(after);
        files
            .map(|((file, before), after)| Expected { path: file.path.clone(), before: before.clone(), after })
            .collect()
    }

    /// The dead letters, as the hub shows them.
    async fn dead_letters(&self, watch: &Watch) -> anyhow::Result<Vec<DeadLetter>> {
        #[derive(Deserialize)]
        struct Messages {
            messages: Vec<Stored>,
        }
        let path = format!("/v1/queues/$dead.{TASKS}/messages?limit={DEAD_MAX}");
        let Messages { messages } = match watch.swarm.hub.http().get(&path).await {
            // It is there since the first dead letter.
            Err(Error { code: Code::UnknownQueue, .. }) => Messages { messages: Vec::new() },
            messages => messages?,
        };
        let shown = |stored: Stored| {
            let task: Task = serde_json::from_slice(&stored.message.payload())?;
            Ok(DeadLetter {
                poison: task.number as usize == self.input.files.len(),
                path: task.path.display().to_string(),
                reason: stored.previous.map(|ended| ended.reason).unwrap_or_default(),
                attempts: stored.attempts,
                sender_told: watch.tally.dead.contains(stored.message.id()),
            })
        };
        messages.into_iter().map(shown).collect()
    }
}

/// What became of the task whose worker was killed, by the hub's trace of it.
async fn held_task(watch: &Watch) -> anyhow::Result<Option<String>> {
    let Some(killed) = &watch.killed else { return Ok(None) };
    let events = watch.trace(&killed.message).await?;
    let acked = events.iter().rev().find(|event| event.what == "acked").and_then(|event| event.attempt);
    let why = events.iter().find(|event| event.what == "returned").and_then(|event| event.detail.clone());
    let why = why.unwrap_or_else(|| "hub_restarted".into());
    let (worker, path) = (&killed.worker, &killed.path);
    Ok(Some(match acked {
        Some(attempt) => format!(
            "{path}, which {worker} held when it was killed, returned ({why}) and was settled on attempt {attempt}"
        ),
        None => format!("{path}, which {worker} held when it was killed, was not settled"),
    }))
}

/// What is not as it has to be.
fn failures(
    watch: &Watch,
    judgement: &Judgement,
    booked: &Judgement,
    dead: &[DeadLetter],
    waiting: u64,
) -> Vec<String> {
    let mut failures = judgement.failures("coordinator");
    failures.extend(booked.failures("ledger"));
    let (sent, tasks) = (watch.tally.published.len(), watch.tasks());
    if sent != tasks {
        failures.push(format!("{sent} tasks were taken by the hub, expected {tasks}"));
    }
    let (settled, dead_count) = (watch.tally.done(), dead.len());
    if sent as u64 != settled as u64 + dead_count as u64 + waiting {
        failures.push(format!(
            "the hub's books do not add up: {sent} sent, but {settled} settled, {dead_count} dead and {waiting} waiting"
        ));
    }
    for letter in dead.iter().filter(|letter| !letter.poison) {
        failures.push(format!("dead-lettered, though it is no poison: {}: {letter}", letter.path));
    }
    failures.extend(faults_missing(watch, dead));
    failures
}

/// What was planned to go wrong, and did not.
fn faults_missing(watch: &Watch, dead: &[DeadLetter]) -> Vec<String> {
    if !watch.has_faults() {
        return Vec::new();
    }
    let poison = dead.iter().filter(|letter| letter.poison).collect::<Vec<_>>();
    [
        (watch.killed.is_some(), "no worker was killed while it held a task"),
        (watch.hub_away.is_some(), "the hub was not killed"),
        (poison.len() == 1, "the poison is not in the dead letters, once"),
        (poison.iter().all(|letter| letter.sender_told), "the sender of the poison was not told of its end"),
    ]
    .into_iter()
    .filter(|(holds, _)| !holds)
    .map(|(_, what)| what.to_owned())
    .collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
