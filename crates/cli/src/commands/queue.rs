//! `skep queue`: durable queues.

mod add;
mod pick;

use clap::Subcommand;
use skep_protocol::{
    AgentId, Answer, Ask, Code, Command, Consumers, DeadKey, Error, Filter, Page, Position, QueueInfo, QueueName,
    QueueSpec,
};

use self::add::Add;
use self::pick::{Verb as Picking, Which};

use crate::advice::{Named, advised};
use crate::context::Context;
use crate::duration;
use crate::exit::Usage;
use crate::health::warn_if_damaged;
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
  skep queue add ledger --consumers single-active       # one works, the others stand by
  skep queue ls
  skep queue peek '$dead.jobs'                          # the dead letters, and why they died
  skep queue peek jobs --from 120 -n 10
  skep queue redrive jobs --reason 'no such' --dry-run  # which would go back
  skep queue redrive jobs --older 1h --rate 10/s        # and back with them, slowly
  skep queue purge '$dead.jobs' --type probe            # of these nobody wants any
  skep queue purge jobs";

const ADD_EXAMPLES: &str = "\
Examples:
  skep queue add jobs                                   # takes what is published to jobs
  skep queue add images --filter 'jobs.*.image' --lease 5m --attempts 3";

const REDRIVE_EXAMPLES: &str = "\
Examples:
  skep queue redrive jobs --message 0193a1b2-…          # this one only
  skep queue redrive jobs --reason 'no such' --dry-run  # which would go back
  skep queue redrive jobs --older 1h --rate 10/s        # and back with them, slowly";

#[derive(Subcommand)]
enum Verb {
    /// Show all queues and what they hold
    #[command(after_help = "Examples:\n  skep queue ls\n  skep queue ls --json | jq .[].spec.name")]
    Ls,
    /// Add a queue, or change the one of that name: what is not said stays as it is, and its messages stay
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<Add>),
    /// Remove a queue
    #[command(
        after_help = "Examples:\n  skep queue rm jobs\n  skep queue rm jobs --force                            # even if it holds messages"
    )]
    Rm {
        /// Its name
        queue: QueueName,
        /// Even if it holds messages; they are lost
        #[arg(long)]
        force: bool,
    },
    /// Show all there is to know of a queue
    #[command(after_help = "Examples:\n  skep queue show jobs\n  skep queue show agent.bob.inbox --json")]
    Show {
        /// Its name
        queue: QueueName,
    },
    /// Look at the messages of a queue, oldest first; nothing is taken
    #[command(
        after_help = "Examples:\n  skep queue peek '$dead.jobs'                          # the dead letters, and why they died\n  skep queue peek jobs --from 120 -n 10"
    )]
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
    #[command(
        after_help = "Examples:\n  skep queue purge jobs\n  skep queue purge '$dead.jobs' --type probe            # of these nobody wants any"
    )]
    Purge {
        /// Its name
        queue: QueueName,
        #[command(flatten)]
        which: Box<Which>,
    },
    /// Move dead letters back to the queue they came from, oldest first
    ///
    /// They begin anew: with all their attempts, and with the priority and the key that they had. What expired stays. Ctrl-C leaves
    /// those untouched that were not reached, and says how far it came.
    #[command(after_help = REDRIVE_EXAMPLES)]
    Redrive {
        /// The queue they came from
        queue: QueueName,
        #[command(flatten)]
        which: Box<Which>,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.verb {
            Verb::Ls => ls(context),
            Verb::Show { queue } => show(context, &queue),
            Verb::Peek { queue, from, count } => {
                context.attached(async |client| peek(context, client, &queue, from, count).await)
            }
            Verb::Add(add) => declare(context, &add),
            Verb::Rm { queue, force } => {
                let done = |_| format!("removed {queue}");
                manage(context, Named::GoneQueue(&queue), Command::Delete { queue: queue.clone(), force }, done)
            }
            Verb::Purge { queue, which } if !which.is_all() => which.run(context, Picking::Purge(&queue)),
            Verb::Purge { queue, .. } => {
                let done = |count| format!("{} dropped from {queue}", messages(count));
                manage(context, Named::Queue(&queue), Command::Purge { queue: queue.clone() }, done)
            }
            Verb::Redrive { queue, which } => redrive(context, &queue, &which),
        }
    }
}

fn messages(count: u64) -> String {
    counted(count, "message", "messages")
}

fn redrive(context: &Context, queue: &QueueName, which: &Which) -> anyhow::Result<()> {
    if let Some(origin) = queue.origin() {
        let redrive = context.command(&format!("queue redrive {origin}"));
        return Err(Usage(format!("name the queue that the dead letters came from: {redrive}")).into());
    }
    which.run(context, Picking::Redrive(queue))
}

/// Runs a command on a queue, and says in one line what it did.
fn manage(
    context: &Context,
    queue: Named<'_>,
    command: Command,
    done: impl FnOnce(u64) -> String,
) -> anyhow::Result<()> {
    context.attached(async |client| {
        let answer = advised(context, client, queue, client.manage(command)).await?;
        let count = match answer {
            Answer::Count(count) => count,
            Answer::Picked(ref picked) => picked.count,
            Answer::Done { changed } => u64::from(changed),
        };
        Ok(context.output().answer(&answer, done(count))?)
    })
}

fn declare(context: &Context, add: &Add) -> anyhow::Result<()> {
    context.attached(async |client| {
        let present = match client.query(Ask::Queue { queue: add.queue().clone() }).await {
            Ok(page) => queues(page)?.into_iter().next().map(|info| info.spec),
            Err(error) if error.code == Code::UnknownQueue => None,
            Err(error) => return Err(error.into()),
        };
        let was_there = present.is_some();
        let spec = add.spec(present.unwrap_or_else(|| QueueSpec::new(add.queue().clone())));
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
        if queues.is_empty() && !warn_if_damaged(context, client).await {
            context.output().note(format!("no queues yet. Add one: {}", context.command("queue add jobs")));
        }
        Ok(context.output().answer(&queues, list(&queues))?)
    })
}

fn show(context: &Context, queue: &QueueName) -> anyhow::Result<()> {
    context.attached(async |client| {
        let asked = client.query(Ask::Queue { queue: queue.clone() });
        let found = queues(advised(context, client, Named::Queue(queue), asked).await?)?;
        found.iter().try_for_each(|info| Ok(context.output().answer(info, details(info, context))?))
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

fn details(info: &QueueInfo, context: &Context) -> String {
    let QueueInfo { spec, ready, leased, delayed, bytes, dead, .. } = info;
    let attempts = if spec.attempts_max == 0 { "without end".into() } else { spec.attempts_max.to_string() };
    let backoff = format!("{} to {}", duration::show(spec.backoff_min_ms), duration::show(spec.backoff_max_ms));
    format!(
        "{}\nready      {ready}\nleased     {leased}\ndelayed    {delayed}\n{}bytes      {bytes}\ndead       {dead}\n\
         consumers  {}\nfilters    {}\nlease      {}\nattempts   {attempts}\nbackoff    {backoff}\n\
         limits     {} messages, {} bytes\n{}",
        label(&spec.name),
        parked(info, context),
        consumers(info),
        filters(spec),
        duration::show(spec.lease_ms),
        spec.messages_max,
        spec.bytes_max,
        if spec.on_dead_key == DeadKey::Continue { "dead keys  continue\n" } else { "" }
    )
}

/// What waits for dead letters of its key, and what to type that it goes on.
fn parked(info: &QueueInfo, context: &Context) -> String {
    if info.parked_keys == 0 {
        return String::new();
    }
    let name = &info.spec.name;
    let dead = name.dead().map(|dead| dead.to_string()).unwrap_or_default();
    format!(
        "parked     {} of {}, behind a dead letter; redrive it: {}, or drop it: {}\n",
        messages(info.parked),
        counted(info.parked_keys, "key", "keys"),
        context.command(&format!("queue redrive {name}")),
        context.command(&format!("queue purge '{dead}'"))
    )
}

fn consumers(info: &QueueInfo) -> String {
    let how = match info.spec.consumers {
        Consumers::Shared => return info.consumers.to_string(),
        Consumers::Exclusive => "exclusive",
        Consumers::SingleActive => "single active",
    };
    match &info.active {
        None => format!("0 ({how})"),
        Some(active) => {
            format!("1 ({how}): {active}; {} by", counted(info.consumers.saturating_sub(1), "stands", "stand"))
        }
    }
}
