//! `skep queue`: durable queues.

use std::time::Duration;

use clap::Subcommand;
use skep_protocol::{
    AgentId, Answer, Ask, Command, Error, Expired, Filter, Page, Position, QueueInfo, QueueName, QueueSpec,
};

use crate::advice::{Named, advised};
use crate::context::Context;
use crate::duration;
use crate::exit::Usage;
use crate::output::{Table, counted};
use crate::stored::{peek, unexpected};

/// Show, add, remove, look into, empty and redrive queues
///
/// A queue keeps every message whose topic its filters match, until it is settled. An agent's
/// inbox is the queue agent.<ID>.inbox; the dead letters of the queue jobs are $dead.jobs.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  skep queue add jobs                                   # takes what is published to jobs
  skep queue add images --filter 'jobs.*.image' --lease 5m --attempts 3
  skep queue ls
  skep queue peek '$dead.jobs'                          # the dead letters, and why they died
  skep queue peek jobs --from 120 -n 10
  skep queue redrive jobs                               # and back with them
  skep queue purge jobs";

#[derive(Subcommand)]
enum Verb {
    /// Show all queues and what they hold
    Ls,
    /// Add a queue, or change the one of that name; its messages stay
    Add(Box<Add>),
    /// Remove a queue
    Rm {
        /// Its name
        queue: QueueName,
        /// Even if it holds messages; they are lost
        #[arg(long)]
        force: bool,
    },
    /// Show all there is to know of a queue
    Show {
        /// Its name
        queue: QueueName,
    },
    /// Look at the messages of a queue, oldest first; nothing is taken
    Peek {
        /// Its name
        queue: QueueName,
        /// Begin at this position [default: the oldest]
        #[arg(long, value_name = "POSITION")]
        from: Option<Position>,
        /// Show at most so many
        #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 100)]
        count: u32,
    },
    /// Drop what is ready or delayed in a queue; what is leased stays
    Purge {
        /// Its name
        queue: QueueName,
    },
    /// Move dead letters back to the queue they came from
    Redrive {
        /// The queue they came from
        queue: QueueName,
        /// At most so many, oldest first
        #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1000)]
        count: u32,
    },
}

#[derive(clap::Args)]
struct Add {
    /// Its name, such as jobs or jobs.urgent
    queue: QueueName,
    /// Take what is published to topics that match; may be repeated; unsaid, the queue's own name
    #[arg(long, value_name = "FILTER")]
    filter: Vec<Filter>,
    /// How long a consumer may hold a message [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    lease: Option<Duration>,
    /// Deliveries before a message goes to the dead letters, 0 for without end [default: 5]
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// Shortest wait before a message is delivered again; it doubles [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_min: Option<Duration>,
    /// Longest such wait [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_max: Option<Duration>,
    /// Most messages held [default: 1000000]
    #[arg(long, value_name = "N")]
    messages_max: Option<u64>,
    /// Most bytes of messages held [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    bytes_max: Option<u64>,
    /// Drop messages that expire, instead of making dead letters of them
    #[arg(long)]
    drop_expired: bool,
}

impl Add {
    fn spec(self) -> QueueSpec {
        let default = QueueSpec::new(self.queue.clone());
        let filters = if self.filter.is_empty() { default.filters.clone() } else { self.filter };
        QueueSpec {
            name: default.name,
            filters,
            lease_ms: self.lease.map_or(default.lease_ms, duration::millis),
            attempts_max: self.attempts.unwrap_or(default.attempts_max),
            backoff_min_ms: self.backoff_min.map_or(default.backoff_min_ms, duration::millis),
            backoff_max_ms: self.backoff_max.map_or(default.backoff_max_ms, duration::millis),
            messages_max: self.messages_max.unwrap_or(default.messages_max),
            bytes_max: self.bytes_max.unwrap_or(default.bytes_max),
            expired: if self.drop_expired { Expired::Drop } else { Expired::DeadLetter },
        }
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.verb {
            Verb::Ls => ls(context),
            Verb::Show { queue } => show(context, &queue),
            Verb::Peek { queue, from, count } => {
                context.attached(async |client| peek(context, client, &queue, from, count).await)
            }
            Verb::Add(add) => declare(context, add.spec()),
            Verb::Rm { queue, force } => {
                let done = |_| format!("removed {queue}");
                manage(context, &queue, Command::Delete { queue: queue.clone(), force }, done)
            }
            Verb::Purge { queue } => {
                let done = |count| format!("{} dropped from {queue}", messages(count));
                manage(context, &queue, Command::Purge { queue: queue.clone() }, done)
            }
            Verb::Redrive { queue, count } => redrive(context, &queue, count),
        }
    }
}

fn messages(count: u64) -> String {
    counted(count, "message", "messages")
}

fn redrive(context: &Context, queue: &QueueName, limit: u32) -> anyhow::Result<()> {
    if let Some(origin) = queue.origin() {
        let redrive = context.command(&format!("queue redrive {origin}"));
        return Err(Usage(format!("name the queue that the dead letters came from: {redrive}")).into());
    }
    let done = |count| match count {
        0 => format!("{queue} has no dead letters to move back; those that expired stay"),
        count => format!("{} moved back to {queue}", messages(count)),
    };
    manage(context, queue, Command::Redrive { queue: queue.clone(), limit }, done)
}

/// Runs a command on a queue, and says in one line what it did.
fn manage(
    context: &Context,
    queue: &QueueName,
    command: Command,
    done: impl FnOnce(u64) -> String,
) -> anyhow::Result<()> {
    context.attached(async |client| {
        let answer = advised(context, client, Named::Queue(queue), client.manage(command)).await?;
        let count = match answer {
            Answer::Count(count) => count,
            Answer::Done { changed } => u64::from(changed),
        };
        Ok(context.output().answer(&answer, done(count))?)
    })
}

fn declare(context: &Context, spec: QueueSpec) -> anyhow::Result<()> {
    context.attached(async |client| {
        let was_there = client.query(Ask::Queue { queue: spec.name.clone() }).await.is_ok();
        let answer = client.manage(Command::Declare(spec.clone())).await?;
        let what = match answer {
            Answer::Done { changed: false } => "nothing to change in",
            _ if was_there => "changed",
            _ => "added",
        };
        Ok(context.output().answer(&answer, format!("{what} {}: {}", spec.name, terms(&spec)))?)
    })
}

/// What a declaration comes to, on one line.
fn terms(spec: &QueueSpec) -> String {
    let attempts = match spec.attempts_max {
        0 => "attempts without end".into(),
        count => counted(u64::from(count), "attempt", "attempts"),
    };
    format!("takes {}; lease {}, {attempts}", filters(spec), duration::show(spec.lease_ms))
}

fn ls(context: &Context) -> anyhow::Result<()> {
    context.attached(async |client| {
        let queues = client.queues().await?;
        if queues.is_empty() {
            context.output().note(format!("no queues yet. Add one: {}", context.command("queue add jobs")));
        }
        Ok(context.output().answer(&queues, list(&queues))?)
    })
}

fn show(context: &Context, queue: &QueueName) -> anyhow::Result<()> {
    context.attached(async |client| {
        let asked = client.query(Ask::Queue { queue: queue.clone() });
        let found = queues(advised(context, client, Named::Queue(queue), asked).await?)?;
        found.iter().try_for_each(|info| Ok(context.output().answer(info, details(info))?))
    })
}

fn queues(page: Page) -> Result<Vec<QueueInfo>, Error> {
    match page {
        Page::Queues(queues) => Ok(queues),
        other => Err(unexpected(&other)),
    }
}

fn list(queues: &[QueueInfo]) -> String {
    let mut table = Table::new(["queue", "ready", "leased", "delayed", "dead", "consumers", "filters"]);
    for info in queues {
        let counts = [info.ready, info.leased, info.delayed, info.dead, info.consumers].map(|n| n.to_string());
        let [ready, leased, delayed, dead, consumers] = counts;
        table.row([label(&info.spec.name), ready, leased, delayed, dead, consumers, filters(&info.spec)]);
    }
    if table.is_empty() { String::new() } else { table.to_string() }
}

/// An inbox is known by its agent.
fn label(queue: &QueueName) -> String {
    let agent = queue.as_str().strip_prefix("agent.").and_then(|rest| rest.strip_suffix(".inbox"));
    match agent.and_then(|id| AgentId::new(id).ok()) {
        Some(agent) => format!("{queue} (inbox of {agent})"),
        None => queue.to_string(),
    }
}

fn filters(spec: &QueueSpec) -> String {
    let filters: Vec<&str> = spec.filters.iter().map(Filter::as_str).collect();
    filters.join(", ")
}

fn details(info: &QueueInfo) -> String {
    let QueueInfo { spec, ready, leased, delayed, bytes, consumers, dead } = info;
    let attempts = if spec.attempts_max == 0 { "without end".into() } else { spec.attempts_max.to_string() };
    let backoff = format!("{} to {}", duration::show(spec.backoff_min_ms), duration::show(spec.backoff_max_ms));
    format!(
        "{}\nready      {ready}\nleased     {leased}\ndelayed    {delayed}\nbytes      {bytes}\ndead       {dead}\n\
         consumers  {consumers}\nfilters    {}\nlease      {}\nattempts   {attempts}\nbackoff    {backoff}\n\
         limits     {} messages, {} bytes\n",
        label(&spec.name),
        filters(spec),
        duration::show(spec.lease_ms),
        spec.messages_max,
        spec.bytes_max
    )
}
