//! The coordinator: declares, splits, publishes, and collects results from its inbox.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Deserialize;
use skep_client::{Client, Leased, ReceiveOptions};
use skep_protocol::{Command, Error, Filter, Guarantee, Kind, Message, QueueName, QueueSpec};
use tokio::task::JoinSet;

use super::super::collector::{Collector, Verdict};
use super::super::http::Http;
use super::super::report::{Effect, Order, Report};
use super::super::task::{COORDINATOR, Counted, PROGRESS, Planned, TASKS, agent, queue, split, topic, workspace};
use super::{Agent, HUB_GONE_MAX, may_retry, payload};

/// Tasks that are published and have no result yet. Full: the next one waits for a result.
const OUTSTANDING_MAX: usize = 48;
/// Results at hand that are not acked.
const WINDOW: u32 = 64;
/// How long a worker may hold a task.
const LEASE: Duration = Duration::from_secs(10);
/// Tries of one task: one for the task itself, some for what is killed meanwhile.
const ATTEMPTS_MAX: u32 = 5;
/// Waits between them.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A receipt over HTTP, as far as it matters here.
#[derive(Deserialize)]
struct Receipt {
    duplicate: bool,
}

/// What the hub says of a dead letter.
#[derive(Deserialize)]
struct Dead {
    message: String,
    reason: String,
    attempts: u32,
}

/// One task on its way.
struct Sent {
    number: u32,
    message: String,
    over_http: bool,
    /// Of each time that it was sent, whether the hub knew it before.
    duplicates: Vec<bool>,
}

/// What the coordinator knows of its tasks.
#[derive(Default)]
struct Book {
    waiting: VecDeque<Planned>,
    /// HTTP tasks that are yet to be sent twice.
    resends: u32,
    /// Since when the hub has been asked to take a task.
    begun: BTreeMap<u32, Instant>,
    /// Tasks without a result, by the id of their message.
    open: BTreeMap<String, u32>,
    collector: Collector,
    /// Notices by id, so that one that comes again is known.
    notices: Collector,
    kept: u64,
    live: u64,
}

impl Agent<'_> {
    pub(super) async fn coordinate(mut self, client: &Client) -> anyhow::Result<()> {
        declare(client).await?;
        let mut progress = client.subscribe(Filter::new(PROGRESS)?).await?;
        let inbox = QueueName::inbox(&agent(COORDINATOR));
        let mut results =
            client.receive(&inbox, ReceiveOptions { window: WINDOW, ..ReceiveOptions::default() }).await?;
        self.tell(&Report::Ready)?;
        let mut book = Book::default();
        let (mut publishing, mut acking) = (JoinSet::new(), JoinSet::new());
        loop {
            while let Some((planned, message, resend)) = book.next(client)? {
                publishing.spawn(publish(client.clone(), self.http.clone(), planned, message, resend));
            }
            tokio::select! {
                leased = results.next() => {
                    let leased = leased.ok_or_else(|| results.ended().map_or_else(
                        || anyhow::anyhow!("the inbox ended"), Into::into))?;
                    let report = book.take(&leased)?;
                    report.iter().try_for_each(|report| self.tell(report))?;
                    acking.spawn(ack(leased));
                }
                Some(acked) = acking.join_next() => book.acked(acked?),
                Some(sent) = publishing.join_next() => self.tell_sent(sent??)?,
                Some(_) = progress.next() => {
                    book.live += 1;
                    self.tell(&Report::Heard { live: book.live, kept: book.kept })?;
                }
                order = self.orders.recv() => match order {
                    None | Some(Order::Stop) => return Ok(()),
                    Some(Order::Split { input, poison, resends }) => {
                        book.waiting = split(&input, poison.as_ref()).into();
                        book.resends = resends;
                    }
                    Some(Order::GoOn) => {}
                },
            }
        }
    }

    fn tell_sent(&self, sent: Sent) -> anyhow::Result<()> {
        let Sent { number, message, over_http, duplicates } = sent;
        duplicates.into_iter().try_for_each(|duplicate| {
            self.tell(&Report::Published { number, message: message.clone(), over_http, duplicate })
        })
    }
}

/// Makes known what the demo needs: an agent, a queue, a workspace.
async fn declare(client: &Client) -> Result<(), Error> {
    let coordinator = agent(COORDINATOR);
    let metadata = r#"{"role":"splits files into tasks and collects the results"}"#.into();
    client.manage(Command::Register { agent: coordinator.clone(), metadata }).await?;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let spec = QueueSpec {
        lease_ms: millis(LEASE),
        attempts_max: ATTEMPTS_MAX,
        backoff_min_ms: millis(BACKOFF.0),
        backoff_max_ms: millis(BACKOFF.1),
        ..QueueSpec::new(queue(TASKS))
    };
    client.manage(Command::Declare(spec)).await?;
    client.manage(Command::Join { agent: coordinator, workspace: workspace() }).await?;
    Ok(())
}

impl Book {
    /// The next task to publish, if there is room for one, and whether it is to be sent twice.
    fn next(&mut self, client: &Client) -> Result<Option<(Planned, Message, bool)>, Error> {
        if self.open.len() >= OUTSTANDING_MAX {
            return Ok(None);
        }
        let Some(planned) = self.waiting.pop_front() else { return Ok(None) };
        let json = serde_json::to_vec(&planned.task).unwrap_or_default();
        // Over HTTP there is no sequence by which a resend is known; there it is known by its id.
        let guarantee = if planned.over_http { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce };
        let message = client.message(Kind::TASK).to(&topic(TASKS)).priority(planned.priority).guarantee(guarantee);
        let message = message.json(json).finish()?;
        self.begun.insert(planned.task.number, Instant::now());
        self.open.insert(message.id().into(), planned.task.number);
        let resend = planned.over_http && self.resends > 0;
        self.resends -= u32::from(resend);
        Ok(Some((planned, message, resend)))
    }

    /// Takes note of what came into the inbox.
    fn take(&mut self, leased: &Leased) -> Result<Option<Report>, Error> {
        let view = leased.message.view();
        match Kind::standard(view.kind()) {
            Some(Kind::TASK_COMPLETED) => {
                let counted: Counted = payload(&leased.message)?;
                let verdict = self.collector.take(counted.number, view.id());
                self.close(view.correlation());
                let since = self.begun.get(&counted.number).filter(|_| verdict == Verdict::First);
                let latency_us = since.map(|since| u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
                Ok(Some(Report::Effect(Effect { message: view.id().into(), verdict, latency_us, counted })))
            }
            Some(Kind::DELIVERY_DEAD_LETTERED) => {
                let Dead { message, reason, attempts } = payload(&leased.message)?;
                let number = self.open.get(&message).copied().unwrap_or(u32::MAX);
                self.close(Some(&message));
                let first = self.notices.take(number, view.id()) == Verdict::First;
                Ok(first.then_some(Report::Dead { message, reason, attempts }))
            }
            _ => {
                self.kept += 1;
                Ok(Some(Report::Heard { live: self.live, kept: self.kept }))
            }
        }
    }

    fn close(&mut self, message: Option<&str>) {
        if let Some(message) = message {
            self.open.remove(message);
        }
    }

    fn acked(&mut self, acked: Option<(u32, String)>) {
        if let Some((number, message)) = acked {
            self.collector.confirm(number, &message);
        }
    }
}

/// Acks what came; answers the result that it was, if the hub confirmed it.
async fn ack(mut leased: Leased) -> Option<(u32, String)> {
    match leased.ack().await {
        Ok(()) => {
            let counted: Counted = payload(&leased.message).ok()?;
            Some((counted.number, leased.message.id().into()))
        }
        Err(error) => {
            tracing::warn!(%error, message = leased.message.id(), "an ack was not confirmed");
            None
        }
    }
}

/// Publishes a task, unchanged until the hub has answered.
async fn publish(client: Client, http: Http, planned: Planned, message: Message, resend: bool) -> Result<Sent, Error> {
    let mut duplicates = vec![publish_once(&client, &http, &planned, &message).await?];
    if resend {
        duplicates.push(publish_once(&client, &http, &planned, &message).await?);
    }
    let message = message.id().to_owned();
    Ok(Sent { number: planned.task.number, message, over_http: planned.over_http, duplicates })
}

async fn publish_once(client: &Client, http: &Http, planned: &Planned, message: &Message) -> Result<bool, Error> {
    let since = Instant::now();
    loop {
        let done = if planned.over_http {
            let receipt = http.post::<Receipt>(&format!("/v1/publish/{TASKS}"), message.to_json()).await;
            receipt.map(|receipt| receipt.duplicate)
        } else {
            client.publish(message.clone()).await.map(|accepted| accepted.duplicate)
        };
        match done {
            Ok(duplicate) => return Ok(duplicate),
            Err(error) => {
                tracing::warn!(%error, over_http = planned.over_http, "a publish is tried again");
                if since.elapsed() > HUB_GONE_MAX || !may_retry(&error).await {
                    return Err(error);
                }
            }
        }
    }
}
