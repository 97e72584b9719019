//! `skep replay`: stored messages once more.

use skep_protocol::{Ask, Filter, Position, Stored};

use crate::context::Context;
use crate::output::{age, one_line};
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
  skep replay agent.bob.inbox --json | jq .message.data";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.attached(async |client| {
            let (mut from, mut left) = (self.from, self.count);
            loop {
                let ask = Ask::Replay { filter: self.filter.clone(), from, limit: left };
                let (page, next) = messages(client.query(ask).await?)?;
                for stored in &page {
                    context.output().answer(stored, words(stored))?;
                }
                left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
                match next {
                    Some(next) if left == 0 => {
                        context.output().note(format!("there are more: skep replay '{}' --from {next}", self.filter));
                        return Ok(());
                    }
                    Some(next) => from = next,
                    None => return Ok(()),
                }
            }
        })
    }
}

fn words(stored: &Stored) -> String {
    let view = stored.message.view();
    let topics: Vec<&str> = view.to().collect();
    let payload = one_line(view.payload().unwrap_or_default());
    let (position, age) = (stored.position, age(stored.time_ms));
    format!("{position}  {age}  {}  {}  {}  {payload}", topics.join(","), view.source(), view.kind())
}
