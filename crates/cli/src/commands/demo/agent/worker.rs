//! A worker: takes tasks, counts files, asks the service, hands results over.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use skep_client::{Client, Leased, ReceiveOptions};
use skep_protocol::{Error, Guarantee, Kind};
use tokio::time::timeout;

use super::super::input::read_text;
use super::super::language::Language;
use super::super::report::{Order, Report};
use super::super::statistics::Statistics;
use super::super::task::{COORDINATOR, Counted, LEDGER, PROGRESS, Question, SERVICE, TASKS, Task};
use super::super::task::{agent, extension, queue, topic};
use super::{Agent, may_retry, payload};

/// Tasks a worker has at hand: the next one is there when one is done.
const WINDOW: u32 = 4;
/// How long the service may take to answer one question, all tries together.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(2);
/// How long a worker holds a task on which nobody decides.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// How often a held lease is extended: far more often than it must be.
const EXTEND_PAUSE: Duration = Duration::from_secs(1);
/// Progress is told after so many tasks.
const PROGRESS_EVERY: u64 = 10;

/// How a worker goes on after a task.
#[derive(PartialEq, Eq)]
enum Next {
    Task,
    Stop,
}

impl Agent<'_> {
    pub(super) async fn work(mut self, client: &Client, hold: Option<u32>) -> anyhow::Result<()> {
        let options = ReceiveOptions { window: WINDOW, ..ReceiveOptions::default() };
        let mut tasks = client.receive(&queue(TASKS), options).await?;
        self.tell(&Report::Ready)?;
        let mut done = 0;
        loop {
            let leased = tokio::select! {
                leased = tasks.next() => leased.ok_or_else(|| {
                    tasks.ended().map_or_else(|| anyhow::anyhow!("the queue {TASKS} ended"), Into::into)
                })?,
                order = self.orders.recv() => match order {
                    None | Some(Order::Stop) => return Ok(()),
                    Some(_) => continue,
                },
            };
            if self.one_task(client, leased, hold).await? == Next::Stop {
                return Ok(());
            }
            done += 1;
            if done % PROGRESS_EVERY == 1 {
                self.tell_progress(client, done).await?;
            }
        }
    }

    async fn one_task(&mut self, client: &Client, mut leased: Leased, hold: Option<u32>) -> anyhow::Result<Next> {
        let task: Task = payload(&leased.message)?;
        let (number, attempt) = (task.number, leased.attempt);
        let previous = leased.previous.as_ref().map(|ended| ended.reason.clone());
        self.tell(&Report::Begun { number, attempt, previous })?;
        if hold == Some(number) && attempt == 1 && self.hold(&mut leased, &task).await? == Next::Stop {
            return Ok(Next::Stop);
        }
        let report = match self.count(client, &mut leased, &task).await {
            Ok(report) => report,
            Err(why) => {
                // Refused too, if the lease is lost meanwhile; then the task comes again anyhow.
                if let Err(error) = leased.nack(None, why.clone()).await {
                    tracing::warn!(%error, number, "a nack was refused");
                }
                Report::Unsettled { why }
            }
        };
        self.tell(&report)?;
        Ok(Next::Task)
    }

    /// Counts a file and hands the result over: the task is settled and its result published, or neither.
    async fn count(&self, client: &Client, leased: &mut Leased, task: &Task) -> Result<Report, String> {
        let (number, attempt) = (task.number, leased.attempt);
        let text = read_text(&task.path).map_err(|error| format!("{}: {error}", name(task)))?;
        let (language, asked_us) =
            ask(client, task).await.map_err(|error| format!("the service at {SERVICE} did not answer: {error}"))?;
        let counted = Counted { number, attempt, statistics: Statistics::of(&text, &language) };
        let json = serde_json::to_vec(&counted).map_err(|error| error.to_string())?;
        let view = leased.message.view();
        let result = client.message(Kind::TASK_COMPLETED).json(json);
        let result = result.causation(view.id()).correlation(view.id()).conversation(view.conversation());
        let result =
            [COORDINATOR, LEDGER].iter().fold(result, |result, id| result.to(&skep_protocol::Topic::inbox(&agent(id))));
        let result = result.finish().map_err(|error| error.to_string())?;
        Ok(match leased.hand_over(vec![result]).await {
            Ok(receipts) => Report::Settled { duplicate: receipts.iter().any(|receipt| receipt.duplicate), asked_us },
            Err(error) => Report::Unsettled { why: format!("the hand-over was refused: {error}") },
        })
    }

    /// Does nothing but hold a task, until an order comes, or the end. The lease is kept alive.
    async fn hold(&mut self, leased: &mut Leased, task: &Task) -> anyhow::Result<Next> {
        let (message, attempt) = (leased.message.id().to_owned(), leased.attempt);
        self.tell(&Report::Held { message, path: task.path.clone(), attempt })?;
        let since = Instant::now();
        while since.elapsed() < HOLD_MAX && !leased.is_lost() {
            match timeout(EXTEND_PAUSE, self.orders.recv()).await {
                Ok(Some(Order::Stop) | None) => return Ok(Next::Stop),
                Ok(Some(_)) => break,
                Err(_) => {
                    if let Err(error) = leased.extend(None, Some("read".into())).await {
                        tracing::warn!(%error, number = task.number, "the lease was not extended");
                    }
                }
            }
        }
        Ok(Next::Task)
    }

    /// Tells the workspace, at best effort: if it is lost, the next one says more.
    async fn tell_progress(&self, client: &Client, done: u64) -> anyhow::Result<()> {
        let json = serde_json::json!({ "done": done }).to_string();
        let progress = client.message(Kind::TASK_PROGRESS).guarantee(Guarantee::BestEffort);
        let progress = progress.to(&topic(PROGRESS)).json(json).finish()?;
        if let Err(error) = client.publish(progress).await {
            tracing::warn!(%error, "progress was not told");
        }
        Ok(())
    }
}

/// What a file is called; where it is stands in the task.
fn name(task: &Task) -> Cow<'_, str> {
    task.path.file_name().unwrap_or(task.path.as_os_str()).to_string_lossy()
}

/// Asks the service what language a file is of; answers how long that took too, in microseconds.
async fn ask(client: &Client, task: &Task) -> Result<(Language, u64), Error> {
    let question = Question { extension: extension(&task.path) };
    let json = serde_json::to_vec(&question).unwrap_or_default();
    let since = Instant::now();
    loop {
        let asked = Instant::now();
        let request = client.message(Kind::REQUEST).to(&topic(SERVICE)).json(json.clone());
        match client.request(request, Some(TRY_MAX)).await {
            Ok(answer) => {
                let us = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
                return Ok((payload(&answer)?, us));
            }
            // The service or the hub is away: the question changes nothing, so it may be asked again.
            Err(error) if since.elapsed() < ANSWER_MAX => {
                tracing::debug!(%error, "asking again");
                if !may_retry(&error).await {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}
