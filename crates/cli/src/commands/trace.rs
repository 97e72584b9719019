//! `skep trace`: what happened to a message.

mod verdict;

use serde::Serialize;
use skep_client::Client;
use skep_protocol::{Ask, Code, Error, Event, MessageId, Page, format_time};

use self::verdict::Present;
use crate::context::Context;
use crate::output::{Table, one_line};
use crate::stored::{LOOK_MAX, messages, unexpected};

/// Show what happened to a message: stored, leased, settled, dead-lettered
///
/// It ends with how the message stands now, and a command to run next. `inbox`, `queue peek` and
/// `replay` show ids.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The message's id, as its receipt showed it
    #[arg(value_name = "MESSAGE_ID")]
    message: MessageId,
}

const EXAMPLES: &str = "\
Examples:
  skep trace 0193a1b2-…
  skep trace 0193a1b2-… --json | jq '.events[].what'";

/// Leases are written with what is written next: nobody waits for their record.
const LEASED_TIMES: &str = "leased: the time of its record; the message was handed out then or a little before, and \
                            leases of the last moment before a crash are missing";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Traced<'a> {
            events: &'a [Event],
            verdict: Option<&'a str>,
            next: Option<&'a str>,
            note: Option<&'a str>,
        }
        context.attached(async |client| {
            let events = match client.query(Ask::Trace { message: self.message.as_str().into() }).await? {
                Page::Trace(events) => events,
                other => return Err(unexpected(&other).into()),
            };
            let verdict = verdict::of(&events, &present(client, &self.message, &events).await?);
            let next = verdict.as_ref().map(|verdict| context.command(&verdict.next));
            let (said, next) = (verdict.as_ref().map(|verdict| verdict.said.as_str()), next.as_deref());
            let note = events.iter().any(|event| event.what == "leased").then_some(LEASED_TIMES);
            let mut words = table(&events).to_string();
            words.extend(note.map(|note| format!("({note})\n")));
            if let (Some(said), Some(next)) = (said, next) {
                words.push_str(&format!("\n{said}\nnext: {next}\n"));
            }
            Ok(context.output().answer(&Traced { events: &events, verdict: said, next, note }, words)?)
        })
    }
}

/// What the hub says now of what the events tell.
async fn present(client: &Client, message: &MessageId, events: &[Event]) -> Result<Present, Error> {
    let mut present = match client.query(Ask::Status).await? {
        Page::Status(status) => Present { started_ms: status.started_ms, ..Present::default() },
        other => return Err(unexpected(&other)),
    };
    for queue in verdict::queues(events) {
        let leased = match client.query(Ask::Queue { queue: queue.clone() }).await {
            Ok(Page::Queues(queues)) => queues.iter().any(|info| info.leased > 0),
            Ok(other) => return Err(unexpected(&other)),
            Err(error) if error.code == Code::UnknownQueue => {
                present.gone.push(queue.clone());
                continue;
            }
            Err(error) => return Err(error),
        };
        if !leased {
            continue;
        }
        let (held, _) = messages(client.query(Ask::Peek { queue: queue.clone(), limit: LOOK_MAX, from: None }).await?)?;
        let here = held.into_iter().find(|stored| stored.message.id() == message.as_str());
        present.held.extend(here.and_then(|stored| Some((queue.clone(), stored.attempts, stored.holder?))));
    }
    Ok(present)
}

fn table(events: &[Event]) -> Table {
    let mut table = Table::new(["time", "what", "queue", "attempt", "party", "detail"]);
    for event in events {
        table.row([
            format_time(event.time_ms),
            event.what.clone(),
            event.queue.as_ref().map(ToString::to_string).unwrap_or_default(),
            event.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
            event.party.clone().unwrap_or_default(),
            event.detail.as_ref().map(|detail| one_line(detail.as_bytes())).unwrap_or_default(),
        ]);
    }
    table
}
