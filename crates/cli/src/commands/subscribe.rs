//! `skep subscribe`: live messages, as they come.

use skep_client::LiveSubscription;
use skep_protocol::{Filter, Message};

use super::reply;
use crate::context::Context;
use crate::output::{cell, counted, one_line};

/// Listen to live messages, until Ctrl-C
///
/// Nothing is stored by it and nothing taken: what was published before, or while nobody
/// listened, is not shown. For that: `replay`, or a queue and `receive`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which topics: * stands for one token, a last > for the rest
    filter: Filter,
    /// End after so many messages
    #[arg(short = 'n', long = "count", value_name = "N")]
    count: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  skep subscribe 'workspace.docs.>'
  skep subscribe broadcast -n 1
  skep subscribe '>' --json | jq .data
  skep subscribe service.words          # the requests to a service, and how to answer them";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.attached(async |client| {
            let mut live = client.subscribe(self.filter.clone()).await?;
            context.output().note(format!("listening to {}; end with Ctrl-C", self.filter));
            let (mut left, mut dropped) = (self.count.unwrap_or(u64::MAX), 0);
            while left > 0 {
                let Some(message) = live.next().await else {
                    return live.ended().map_or(Ok(()), |error| Err(error.into()));
                };
                dropped = tell_dropped(context, &live, dropped);
                show(context, &message)?;
                left -= 1;
            }
            Ok(())
        })
    }
}

fn tell_dropped(context: &Context, live: &LiveSubscription, told: u64) -> u64 {
    let dropped = live.dropped();
    if dropped > told {
        let missed = counted(dropped - told, "message", "messages");
        context.output().note(format!("missed {missed} that came faster than they could be shown"));
    }
    dropped
}

fn show(context: &Context, message: &Message) -> anyhow::Result<()> {
    let view = message.view();
    let topics: Vec<&str> = view.to().collect();
    let payload = one_line(view.payload().unwrap_or_default());
    let [source, kind] = [view.source(), view.kind()].map(cell);
    context.output().answer(message, format!("{}  {source}  {kind}  {payload}", topics.join(",")))?;
    if let Some(how) = reply::how_to(context.global(), message) {
        context.output().note(format!("  {how}"));
    }
    Ok(())
}
