//! `skep trace`: what happened to a message.

mod verdict;

use serde::Serialize;
use skep_protocol::{Ask, Event, MessageId, Page, format_time};

use crate::context::Context;
use crate::output::{Table, one_line};
use crate::stored::unexpected;

/// Show what happened to a message: stored, leased, settled, dead-lettered
///
/// It ends with how the message stands, and a command to run next.
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

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Traced<'a> {
            events: &'a [Event],
            verdict: Option<&'a str>,
            next: Option<&'a str>,
        }
        context.attached(async |client| {
            let events = match client.query(Ask::Trace { message: self.message.as_str().into() }).await? {
                Page::Trace(events) => events,
                other => return Err(unexpected(&other).into()),
            };
            let verdict = verdict::of(&events);
            let (said, next) = verdict.as_ref().map(|verdict| (verdict.said.as_str(), verdict.next.as_str())).unzip();
            let mut words = table(&events).to_string();
            if let (Some(said), Some(next)) = (said, next) {
                words.push_str(&format!("\n{said}\nnext: {next}\n"));
            }
            Ok(context.output().answer(&Traced { events: &events, verdict: said, next }, words)?)
        })
    }
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
