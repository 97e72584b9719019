//! `skep receive`: take messages from a queue or an inbox.

use std::mem;
use std::time::Duration;

use serde::Serialize;
use skep_client::{Client, Deliveries, Error, Leased, ReceiveOptions};
use skep_protocol::verdict::one_at_a_time;
use skep_protocol::{
    Action, AgentId, Ask, Binding, Code, Consumers, Delivery, Outcome, Page, QueueInfo, QueueName, Retry,
};
use tokio::time::timeout;

use super::reply;
use crate::advice::{Named, advise};
use crate::context::Context;
use crate::duration;
use crate::exit::Usage;
use crate::output::{cell, now_ms};

/// Take messages from a queue, else from an agent's inbox
///
/// Takes one message unless told, prints its payload, and ends. Without --ack the message stays
/// leased to you: settle it by its lease with ack, nack or reject before the lease ends, or it is
/// delivered again. Ctrl-C ends the wait; what was not printed goes back to the queue.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A queue, else an agent; unsaid, the agent of --as
    #[arg(value_name = "QUEUE|AGENT")]
    name: Option<QueueName>,
    /// Take at most so many: those that are there, or come within half a second of each other
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Ack each one, once its payload is printed
    #[arg(long)]
    ack: bool,
    /// How long to wait for the first; exit code 6 if none comes
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    wait: Duration,
}

const EXAMPLES: &str = "\
Examples:
  skep receive bob --ack                  # bob's next message, done with it
  skep receive jobs                       # one job; the lease is on standard error
  skep ack 00000000000000010000000000000007
  skep receive jobs -n 10 --json          # ten at once, with all there is to know
  skep receive --as bob --wait 0s         # only what is there; exit code 6 if nothing is

The payload goes to standard output, all else to standard error.";

/// How long after one message the next may come and still belong to the same take.
const QUIET: Duration = Duration::from_millis(500);
/// Messages of a queue among which those under a lease are looked for.
const LOOK: u32 = 100;
/// How long a queue is given to deliver what it holds, however short the wait: a message may
/// have to be read from disk. A longer wait is told.
const WAIT_MIN: Duration = Duration::from_millis(250);

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let said = context.global().agent.clone();
        let Some(name) = &self.name else {
            let agent = said.ok_or_else(|| Usage("name a queue or an agent, or say who you are: --as AGENT".into()))?;
            let (inbox, named) = (QueueName::inbox(&agent), Some(Named::Agent(&agent)));
            return context
                .attached_as(Some(agent.clone()), async |client| self.take(context, client, &inbox, named).await);
        };
        let agent = AgentId::new(name.as_str()).ok();
        let named = agent.is_none().then_some(Named::Queue(name));
        let from_queue = context.attached(async |client| self.take(context, client, name, named).await);
        // No such queue: then the agent of that name. Who takes from an inbox is its agent, unless said.
        match (from_queue, agent) {
            (Err(error), Some(agent)) if is_unknown_queue(&error) => {
                let (inbox, named) = (QueueName::inbox(&agent), Some(Named::Either(name)));
                context
                    .attached_as(said.or(Some(agent)), async |client| self.take(context, client, &inbox, named).await)
            }
            (taken, _) => taken,
        }
    }

    async fn take(
        &self,
        context: &Context,
        client: &Client,
        queue: &QueueName,
        named: Option<Named<'_>>,
    ) -> anyhow::Result<()> {
        // The leases outlive this process; so the window is never freed, and no more comes than is asked for.
        let options = ReceiveOptions {
            window: self.count,
            handlers: self.count,
            binding: Binding::Deadline,
            ..ReceiveOptions::default()
        };
        let mut deliveries = match (client.receive(queue, options).await, named) {
            // Whoever wants to take from a queue is not told how to remove it.
            (Err(error), Some(named)) if error.code != Code::InUse => {
                return Err(advise(context, client, named, error).await.into());
            }
            (deliveries, _) => deliveries?,
        };
        let taken = match self.gather(context, &mut deliveries, queue).await {
            Err(error) if is_timeout(&error) => return Err(with_what_is_held(client, queue, error).await),
            taken => taken?,
        };
        drop(deliveries);
        let mut taken = taken.into_iter();
        while let Some(mut leased) = taken.next() {
            if let Err(error) = show(context, &leased, self.ack) {
                put_back(client, [leased].into_iter().chain(taken)).await;
                return Err(error);
            }
            // Only what was printed is settled, or stays leased.
            if self.ack {
                leased.ack().await?;
            } else {
                // Whoever has the token, which was shown, settles it.
                let _shown = leased.keep();
            }
        }
        Ok(())
    }

    /// As many as are wanted, as long as they come. It may be cancelled: what has come goes back.
    async fn gather(
        &self,
        context: &Context,
        deliveries: &mut Deliveries,
        queue: &QueueName,
    ) -> anyhow::Result<Vec<Leased>> {
        let mut taken: Vec<Leased> = Vec::new();
        let (mut patience, mut left) = (WAIT_MIN, self.wait.saturating_sub(WAIT_MIN));
        while taken.len() < self.count as usize {
            match timeout(patience, deliveries.next()).await {
                Ok(Some(leased)) => {
                    taken.push(leased);
                    (patience, left) = (QUIET, Duration::ZERO);
                }
                Ok(None) => return Err(deliveries.ended().unwrap_or_else(|| nothing(queue, self.wait)).into()),
                Err(_) if left.is_zero() => break,
                Err(_) => {
                    context.output().note(format!("waiting for messages in {queue} (Ctrl-C ends)"));
                    patience = mem::take(&mut left);
                }
            }
        }
        if taken.is_empty() { Err(nothing(queue, self.wait).into()) } else { Ok(taken) }
    }
}

/// What nobody was shown goes back, uncharged. Where that fails, the lease ends by itself.
async fn put_back(client: &Client, unseen: impl Iterator<Item = Leased>) {
    for lease in unseen.map(Leased::keep) {
        let _ends_by_itself = client.settle(lease, Action::Return).await;
    }
}

fn show(context: &Context, delivery: &Delivery, ack: bool) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Shown<'a> {
        acked: bool,
        delivery: &'a Delivery,
    }
    let output = context.output();
    if output.is_json() {
        return Ok(output.value(&Shown { acked: ack, delivery })?);
    }
    let view = delivery.message.view();
    let (queue, position, attempt) = (&delivery.queue, delivery.position, delivery.attempt);
    let [id, source, kind] = [view.id(), view.source(), view.kind()].map(cell);
    output.note(format!("{id}  {source}  {kind}"));
    output.note(format!("  {queue}  position {position}  attempt {attempt}"));
    if let Some(ended) = &delivery.previous {
        let progress = ended.progress.as_ref().map(|text| format!(", which came as far as: {}", cell(text)));
        output.note(format!("  the attempt before ended: {}{}", cell(&ended.reason), progress.unwrap_or_default()));
    }
    if !ack {
        let (lease, lasts) = (delivery.lease, duration::show(delivery.lease_ms));
        let done = context.command(&format!("ack {lease}"));
        output.note(format!("  leased for {lasts}; done with it: {done}"));
    }
    if let Some(how) = reply::how_to(context.global(), &delivery.message) {
        output.note(format!("  {how}"));
    }
    Ok(output.payload(view.payload().unwrap_or_default())?)
}

fn is_unknown_queue(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.code == Code::UnknownQueue)
}

fn is_timeout(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.code == Code::Timeout)
}

/// That nothing came, with what the queue holds that could not be handed out.
async fn with_what_is_held(client: &Client, queue: &QueueName, error: anyhow::Error) -> anyhow::Error {
    let asked = client.query(Ask::Queue { queue: queue.clone() }).await;
    let (Ok(Page::Queues(queues)), Some(told)) = (asked, error.downcast_ref::<Error>()) else { return error };
    let Some(info) = queues.first() else { return error };
    let held = held(info);
    if held.is_empty() {
        return error;
    }
    let why = only_one_reads(client, info).await.map(|why| format!(". But {why}")).unwrap_or_default();
    Error { text: format!("{}; it holds {held}{why}", told.text), ..told.clone() }.into()
}

/// Why nothing comes to a consumer that holds nothing, of a queue that one reads at a time.
async fn only_one_reads(client: &Client, info: &QueueInfo) -> Option<String> {
    if info.spec.consumers == Consumers::Shared || info.ready == 0 {
        return None;
    }
    let name = &info.spec.name;
    // This command itself is one of them.
    if info.consumers > 1 {
        let active = info.active.as_deref().unwrap_or("another");
        return Some(format!(
            "one consumer at a time reads it, and that is {active} until it goes; this one stands by"
        ));
    }
    let asked = client.query(Ask::Peek { queue: name.clone(), limit: LOOK, from: None }).await;
    let Some(Page::Messages { messages, .. }) = asked.ok().filter(|_| info.leased > 0) else { return None };
    Some(format!("{}: wait for it, or end it by its token, with ack or nack", one_at_a_time(&messages, now_ms())))
}

fn held(info: &QueueInfo) -> String {
    let counts = [(info.ready, "ready"), (info.leased, "leased"), (info.delayed, "delayed"), (info.parked, "parked")];
    let held: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!("{count} {how}")).collect();
    held.join(", ")
}

fn nothing(queue: &QueueName, wait: Duration) -> Error {
    let text = format!("nothing came from {queue} within {}", duration::show(duration::millis(wait)));
    // Not unknown, as timeouts are elsewhere: nothing was taken.
    Error { code: Code::Timeout, text, outcome: Outcome::Refused, retry: Retry::Unchanged }
}
