//! `skep queue`: durable queues.

use std::time::Duration;

use clap::Subcommand;
use skep_protocol::{AgentId, Answer, Ask, Command, Filter, Page, Position, QueueInfo, QueueName, QueueSpec};

use crate::context::Context;
use crate::duration;
use crate::output::Table;
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
    /// Drop what is ready in a queue; what is leased stays
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
}

impl Add {
    fn spec(self) -> QueueSpec {
        let default = QueueSpec::new(self.queue.clone());
        let filters = if self.filter.is_empty() { default.filters.clone() } else { self.filter };
        QueueSpec {
            filters,
            lease_ms: self.lease.map_or(default.lease_ms, duration::millis),
            attempts_max: self.attempts.unwrap_or(default.attempts_max),
            backoff_min_ms: self.backoff_min.map_or(default.backoff_min_ms, duration::millis),
            backoff_max_ms: self.backoff_max.map_or(default.backoff_max_ms, duration::millis),
            messages_max: self.messages_max.unwrap_or(default.messages_max),
            bytes_max: self.bytes_max.unwrap_or(default.bytes_max),
            ..default
        }
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.verb {
            Verb::Ls => look(context, Ask::Queues, list),
            Verb::Show { queue } => look(context, Ask::Queue { queue }, |queues| queues.iter().map(details).collect()),
            Verb::Peek { queue, from, count } => {
                context.attached(async |client| peek(client, context.output(), queue, from, count).await)
            }
            Verb::Add(add) => manage(context, Command::Declare(add.spec())),
            Verb::Rm { queue, force } => manage(context, Command::Delete { queue, force }),
            Verb::Purge { queue } => manage(context, Command::Purge { queue }),
            Verb::Redrive { queue, count } => manage(context, Command::Redrive { queue, limit: count }),
        }
    }
}

fn manage(context: &Context, command: Command) -> anyhow::Result<()> {
    let verb = match &command {
        Command::Purge { .. } => "dropped",
        Command::Redrive { .. } => "moved back",
        _ => "done",
    };
    context.attached(async |client| {
        let answer = client.manage(command).await?;
        let words = match &answer {
            Answer::Count(1) => format!("1 message {verb}"),
            Answer::Count(count) => format!("{count} messages {verb}"),
            Answer::Done { .. } => String::new(),
        };
        if answer == (Answer::Done { changed: false }) {
            context.output().note("it was so already");
        }
        Ok(context.output().answer(&answer, words)?)
    })
}

fn look(context: &Context, ask: Ask, words: impl Fn(&[QueueInfo]) -> String) -> anyhow::Result<()> {
    let one = matches!(ask, Ask::Queue { .. });
    context.attached(async |client| match client.query(ask).await? {
        Page::Queues(queues) => {
            if queues.is_empty() {
                context.output().note("no queues yet. Add one: skep queue add jobs");
            }
            match queues.as_slice() {
                [queue] if one => Ok(context.output().answer(queue, words(&queues))?),
                _ => Ok(context.output().answer(&queues, words(&queues))?),
            }
        }
        other => Err(unexpected(&other).into()),
    })
}

fn list(queues: &[QueueInfo]) -> String {
    let mut table = Table::new(["queue", "ready", "leased", "delayed", "dead", "consumers", "filters"]);
    for info in queues {
        let counts = [info.ready, info.leased, info.delayed, info.dead, info.consumers].map(|n| n.to_string());
        let [ready, leased, delayed, dead, consumers] = counts;
        table.row([label(&info.spec.name), ready, leased, delayed, dead, consumers, filters(info)]);
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

fn filters(info: &QueueInfo) -> String {
    let filters: Vec<&str> = info.spec.filters.iter().map(Filter::as_str).collect();
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
        filters(info),
        duration::show(spec.lease_ms),
        spec.messages_max,
        spec.bytes_max
    )
}
