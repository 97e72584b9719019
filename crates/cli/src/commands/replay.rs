//! `skep replay`: stored messages once more.

use skep_client::Client;
use skep_protocol::{Ask, Filter, Position, Stored};

use crate::advice::near_topic;
use crate::context::Context;
use crate::output::{age, cell, one_line, word};
use crate::stored::messages;

/// Show stored messages whose topic matches, settled or not; nothing is taken
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which topics: * stands for one token, a last > for the rest
    filter: Filter,
    /// Begin at this position
    #[arg(long, value_name = "POSITION", default_value = "0")]
    from: Position,
    /// Show at most so many
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 100)]
    count: u32,
}

const EXAMPLES: &str = "\
Examples:
  skep replay '>'
  skep replay 'jobs.*' --from 120 -n 10
  skep replay agent.bob.inbox --json | jq .message.data

A line holds position, id, age, topics, sender, type and payload. What became of a message says
`skep trace ID`.";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.attached(async |client| {
            let (mut from, mut left, mut shown) = (self.from, self.count, 0);
            loop {
                let ask = Ask::Replay { filter: self.filter.clone(), from, limit: left };
                let (page, next) = messages(client.query(ask).await?)?;
                for stored in &page {
                    context.output().answer(stored, words(stored))?;
                }
                shown += page.len();
                left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
                match next {
                    Some(next) if left == 0 => {
                        let more = format!("replay {} --from {next}", word(self.filter.as_str()));
                        context.output().note(format!("there are more: {}", context.command(&more)));
                        return Ok(());
                    }
                    Some(next) => from = next,
                    None if shown == 0 => return self.tell_none(context, client).await,
                    None => return Ok(()),
                }
            }
        })
    }

    /// Nothing matches: that is an answer, but often a mistyped one.
    async fn tell_none(&self, context: &Context, client: &Client) -> anyhow::Result<()> {
        if !context.output().is_json() {
            if let Some(before) = self.before(client).await? {
                let all = context.command(&format!("replay {} --from {before}", word(self.filter.as_str())));
                let from = self.from;
                context.output().note(format!(
                    "no message to {} is stored at position {from} or behind it; there are some before: {all}",
                    self.filter
                ));
                return Ok(());
            }
            let near = near_topic(client, self.filter.as_str()).await.unwrap_or_default();
            context.output().note(format!("no message to {} is stored. {near}", self.filter).trim_end());
        }
        Ok(())
    }

    /// Where the first message stands that matches and lies before the position to begin at.
    async fn before(&self, client: &Client) -> anyhow::Result<Option<Position>> {
        let mut from = Some(Position::Number(0));
        while let Some(at) = from.filter(|at| *at < self.from) {
            let ask = Ask::Replay { filter: self.filter.clone(), from: at, limit: 1 };
            let (page, next) = messages(client.query(ask).await?)?;
            if let Some(first) = page.first() {
                return Ok(Some(first.position).filter(|first| *first < self.from));
            }
            from = next;
        }
        Ok(None)
    }
}

fn words(stored: &Stored) -> String {
    let view = stored.message.view();
    let topics: Vec<&str> = view.to().collect();
    let payload = one_line(view.payload().unwrap_or_default());
    let (position, age) = (stored.position, age(stored.time_ms));
    let [id, source, kind] = [view.id(), view.source(), view.kind()].map(cell);
    format!("{position}  {id}  {age}  {}  {source}  {kind}  {payload}", topics.join(","))
}
