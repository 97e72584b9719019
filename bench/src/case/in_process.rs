//! A hub in this process: live messages from one client to a handler of another.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use skep::{Client, Filter, LiveSubscription, Message, Skep};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Goal, Setting, WARM_PART, bytes_in_words};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;
use crate::wire::{PATIENCE, Template};

const TOPIC: &str = "bench.live";
/// Messages of one call of `publish_all`.
const BATCH: usize = 256;
/// Such calls at a time.
const CALLS: usize = 4;
/// Messages published and not yet handled: fewer than the client keeps for a slow listener (4096).
const AHEAD_MAX: usize = 2048;
/// Messages made beforehand and published in turn, so that making them is not measured.
const MADE: usize = 4096;

/// One publisher, one handler.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct InProcess {
    /// Bytes of a payload, 8 at least
    #[arg(long, default_value_t = 256)]
    pub(crate) bytes: usize,
    /// Messages published
    #[arg(long, default_value_t = 2_000_000)]
    pub(crate) count: u64,
}

impl InProcess {
    pub(super) fn standard() -> Self {
        InProcess { bytes: 256, count: 2_000_000 }
    }

    pub(super) fn name(&self) -> String {
        format!("in process, live publish to handler, {}, each, CPU of both sides", bytes_in_words(self.bytes))
    }

    pub(super) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let folder = tempfile::Builder::new().prefix("skep-bench-").tempdir_in(&setting.place)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let skep = Skep::open(folder.path().join("data")).await?;
            let (publisher, listener) = (skep.client(None).await?, skep.client(None).await?);
            let mut subscription = listener.subscribe(Filter::new(TOPIC)?).await?;
            let made = self.made()?;

            let patience = setting.time_max + PATIENCE;
            let count = setting.scaled(self.count);
            let warm = setting.goal((count / WARM_PART).max(1));
            let warm = timeout(patience, phase(&made, &publisher, &mut subscription, &warm)).await??;
            let goal = setting.goal(count);
            let meter = Meter::begin(std::process::id())?;
            let measured = timeout(patience, phase(&made, &publisher, &mut subscription, &goal)).await??;
            let used = meter.end()?;
            ensure!(subscription.dropped() == 0, "{} messages were dropped", subscription.dropped());
            drop(subscription);
            skep.close().await?;
            // Memory would show what the generator needed for other cases, too.
            Ok(Figures { resident_mib: None, ..Figures::of(measured, warm, &used, Latencies::default()) })
        })
    }

    fn made(&self) -> anyhow::Result<Arc<Made>> {
        let template = Template::new(TOPIC, self.bytes, None)?;
        let message = |number| Message::parse(Bytes::from(template.message(number)));
        let messages = (0..MADE as u64).map(message).collect::<Result<_, _>>()?;
        Ok(Arc::new(Made { template, messages }))
    }
}

struct Made {
    template: Template,
    messages: Vec<Message>,
}

impl Made {
    /// So many messages, from the nth on, begun anew behind the last.
    fn take(&self, nth: u64, count: usize) -> Vec<Message> {
        let start = usize::try_from(nth % MADE as u64).expect("fewer than 4096");
        self.messages.iter().cycle().skip(start).take(count).cloned().collect()
    }
}

/// Publishes until the goal is reached and everything was handled as often as it was published.
async fn phase(
    made: &Arc<Made>,
    publisher: &Client,
    subscription: &mut LiveSubscription,
    goal: &Goal,
) -> anyhow::Result<u64> {
    let room = Arc::new(Semaphore::new(AHEAD_MAX));
    let publishing = tokio::spawn(publish(made.clone(), publisher.clone(), room.clone(), *goal));
    tokio::pin!(publishing);
    let (mut published, mut handled, mut counts) = (None, 0, vec![0_u64; MADE]);
    while published.is_none_or(|count| handled < count) {
        tokio::select! {
            biased;
            message = subscription.next() => {
                let message = message.context("the subscription ended")?;
                let number = usize::try_from(made.template.number(message.bytes())?)?;
                *counts.get_mut(number).context("a message that nobody published")? += 1;
                handled += 1;
                room.add_permits(1);
            }
            count = &mut publishing, if published.is_none() => published = Some(count??),
        }
    }
    let expected = |number: u64| handled / MADE as u64 + u64::from(number < handled % MADE as u64);
    let exact = (0..).zip(&counts).all(|(number, count)| *count == expected(number));
    ensure!(exact, "some messages were handled more often than others");
    Ok(handled)
}

/// Publishes in batches; answers how many, when each has its receipt.
async fn publish(made: Arc<Made>, client: Client, room: Arc<Semaphore>, goal: Goal) -> anyhow::Result<u64> {
    let (mut published, mut calls) = (0, JoinSet::new());
    while published < goal.count && !goal.is_late() {
        let batch = usize::try_from(goal.count - published)?.min(BATCH);
        room.acquire_many(u32::try_from(batch)?).await?.forget();
        if calls.len() == CALLS {
            check(calls.join_next().await)?;
        }
        let (client, messages) = (client.clone(), made.take(published, batch));
        calls.spawn(async move { client.publish_all(messages).await });
        published += batch as u64;
    }
    while let Some(done) = calls.join_next().await {
        check(Some(done))?;
    }
    Ok(published)
}

type Receipts = Vec<Result<skep::Accepted, skep::Error>>;

/// Every receipt says that one session got it.
fn check(done: Option<Result<Receipts, tokio::task::JoinError>>) -> anyhow::Result<()> {
    for receipt in done.context("a call was running")?? {
        let receipt = receipt?;
        ensure!(receipt.live == 1, "one session listens, but a receipt says {receipt:?}");
    }
    Ok(())
}
