//! Messages of a queue are moved back or dropped by what they are: in bounded steps, oldest first, at the rate that was
//! asked for; or it is only said which they would be.

use std::cell::Cell;
use std::time::Duration;

use skep_client::Client;
use skep_protocol::{Answer, Code, Command, Error, Pick, Picked, Position, QueueName};
use tokio::time::{Instant, sleep_until};

use super::messages;
use crate::advice::{Named, advised};
use crate::context::Context;
use crate::duration::{self, millis};
use crate::exit::{Interrupted, Usage};
use crate::output::{now_ms, word};
use crate::stored::dead_table;

/// Messages of one step: as many as the hub takes.
const STEP_MAX: u32 = 1_000;
/// Where a rate is said, about so long is one step.
const STEP_TIME: Duration = Duration::from_millis(100);

/// Which messages are meant; those of which all holds that is said.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only the message of this id
    #[arg(long, value_name = "ID", help_heading = "Which")]
    message: Option<String>,
    /// Only the one at this position
    #[arg(long, value_name = "POSITION", help_heading = "Which")]
    position: Option<Position>,
    /// Only those whose last attempt ended with a reason that contains this
    #[arg(long, value_name = "TEXT", help_heading = "Which")]
    reason: Option<String>,
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE", help_heading = "Which")]
    kind: Option<String>,
    /// Only those of this source, such as agent/alice
    #[arg(long, value_name = "SOURCE", help_heading = "Which")]
    source: Option<String>,
    /// Only those of this partition key
    #[arg(long, value_name = "KEY", help_heading = "Which")]
    key: Option<String>,
    /// Only those that died so long ago or longer; in other queues, were stored
    #[arg(long, value_name = "DURATION", help_heading = "Which", value_parser = duration::parse)]
    older: Option<Duration>,
    /// Only those that died so long ago or later
    #[arg(long, value_name = "DURATION", help_heading = "Which", value_parser = duration::parse)]
    younger: Option<Duration>,
    /// Only those from this position on
    #[arg(long, value_name = "POSITION", help_heading = "Which")]
    from: Option<Position>,
    /// At most so many, oldest first [default: all]
    #[arg(short = 'n', long = "count", value_name = "N", help_heading = "Which")]
    count: Option<u64>,
    /// Change nothing: say how many it would be, and show the first few
    #[arg(long, help_heading = "How")]
    dry_run: bool,
    /// At most so many in a time, such as 10/s or 30/min
    #[arg(long, value_name = "N/s", help_heading = "How", value_parser = parse_rate)]
    rate: Option<Rate>,
}

/// How long each message takes at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Duration);

/// What is done to the messages that are meant.
#[derive(Clone, Copy)]
pub(super) enum Verb<'a> {
    /// Dead letters go back to this queue.
    Redrive(&'a QueueName),
    /// Messages of this queue are dropped.
    Purge(&'a QueueName),
}

/// How far it came.
#[derive(Default)]
struct Way {
    picked: Cell<Picked>,
    /// Messages that a step may have changed whose answer was not heard.
    under_way: Cell<u32>,
}

impl Which {
    /// Whether nothing is said: all are meant, at once.
    pub(super) fn is_all(&self) -> bool {
        self.pick() == Pick::default() && self.count.is_none() && self.rate.is_none()
    }

    fn pick(&self) -> Pick {
        let now_ms = now_ms();
        let ago = |span: Duration| now_ms.saturating_sub(millis(span));
        Pick {
            message: self.message.clone(),
            position: self.position,
            reason: self.reason.clone(),
            kind: self.kind.clone(),
            source: self.source.clone(),
            partitionkey: self.key.clone(),
            since_ms: self.younger.map(ago),
            until_ms: self.older.map(ago),
            from: self.from,
            limit: None,
            dry_run: self.dry_run,
        }
    }

    /// Does it to all that are meant, and says what it did.
    pub(super) fn run(&self, context: &Context, verb: Verb<'_>) -> anyhow::Result<()> {
        if self.dry_run && self.rate.is_some() {
            return Err(Usage("--dry-run changes nothing, so it needs no --rate; leave one of them out".into()).into());
        }
        let way = Way::default();
        let done = context.attached(async |client| {
            self.walk(context, client, verb, &way).await?;
            let picked = way.picked.take();
            let words =
                if self.dry_run { verb.would(&picked) } else { verb.done(&picked, self.pick() == Pick::default()) };
            Ok(context.output().answer(&picked, words)?)
        });
        if done.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
            let (picked, under_way) = (way.picked.take(), way.under_way.get());
            context.output().answer(&picked, verb.stopped(&picked, under_way))?;
            if let Some(next) = picked.next.filter(|_| !self.dry_run) {
                let more = format!("queue {} {} --from {next}", verb.name(), word(verb.queue().as_str()));
                context.output().note(format!("to go on, with the options of before: {}", context.command(&more)));
            }
        }
        done
    }

    async fn walk(&self, context: &Context, client: &Client, verb: Verb<'_>, way: &Way) -> anyhow::Result<()> {
        let (mut pick, begun) = (self.pick(), Instant::now());
        let mut left = self.count.unwrap_or(u64::MAX);
        loop {
            let limit = self.rate.map_or(STEP_MAX, Rate::step).min(u32::try_from(left).unwrap_or(u32::MAX));
            pick.limit = Some(limit);
            way.under_way.set(limit);
            let asked = client.manage(verb.command(pick.clone()));
            let step = match advised(context, client, Named::Queue(verb.queue()), asked).await? {
                Answer::Picked(step) => step,
                other => return Err(Error::new(Code::Internal, format!("the hub answered {other:?}")).into()),
            };
            way.under_way.set(0);
            let mut sum = way.picked.take();
            left = left.saturating_sub(step.count + step.skipped);
            (sum.count, sum.skipped, sum.next) = (sum.count + step.count, sum.skipped + step.skipped, step.next);
            if sum.first.is_empty() {
                sum.first = step.first;
            }
            let changed = sum.count;
            way.picked.set(sum);
            if step.next.is_none() || left == 0 {
                return Ok(());
            }
            pick.from = step.next;
            if let Some(Rate(each)) = self.rate {
                sleep_until(begun + each.saturating_mul(u32::try_from(changed).unwrap_or(u32::MAX))).await;
            }
        }
    }
}

impl Verb<'_> {
    fn command(self, pick: Pick) -> Command {
        match self {
            Verb::Redrive(queue) => Command::RedrivePicked { queue: queue.clone(), pick: Box::new(pick) },
            Verb::Purge(queue) => Command::PurgePicked { queue: queue.clone(), pick: Box::new(pick) },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Verb::Redrive(_) => "redrive",
            Verb::Purge(_) => "purge",
        }
    }

    fn queue(&self) -> &QueueName {
        match self {
            Verb::Redrive(queue) | Verb::Purge(queue) => queue,
        }
    }

    fn done(self, picked: &Picked, is_all: bool) -> String {
        let what = match (self, picked.count) {
            (Verb::Redrive(queue), 0) => {
                let such = if is_all { "" } else { "such " };
                format!("{queue} has no {such}dead letters to move back; those that expired stay")
            }
            (Verb::Redrive(queue), count) => format!("{} moved back to {queue}", messages(count)),
            (Verb::Purge(queue), count) => format!("{} dropped from {queue}", messages(count)),
        };
        let skipped = picked.skipped;
        let gone = if skipped == 0 { String::new() } else { format!("; {} gone before", messages(skipped)) };
        let more = if picked.next.is_some() { "; there are more" } else { "" };
        what + &gone + more
    }

    fn would(self, picked: &Picked) -> String {
        let what = match self {
            Verb::Redrive(queue) => format!("would move {} back to {queue}", messages(picked.count)),
            Verb::Purge(queue) => format!("would drop {} from {queue}", messages(picked.count)),
        };
        let more = picked.count.saturating_sub(picked.first.len() as u64);
        match (picked.count, more) {
            (0, _) => format!("{what}; nothing was changed"),
            (_, 0) => format!("{what}; nothing was changed:\n{}", dead_table(&picked.first)),
            (_, more) => format!("{what}; nothing was changed:\n{}and {more} more", dead_table(&picked.first)),
        }
    }

    fn stopped(self, picked: &Picked, under_way: u32) -> String {
        let perhaps = if under_way == 0 { String::new() } else { format!(", and perhaps {under_way} more") };
        match self {
            Verb::Redrive(queue) => {
                format!("stopped: {}{perhaps} moved back to {queue}; the rest is untouched", messages(picked.count))
            }
            Verb::Purge(queue) => {
                format!("stopped: {}{perhaps} dropped from {queue}; the rest is untouched", messages(picked.count))
            }
        }
    }
}

impl Rate {
    /// How many messages are one step.
    fn step(self) -> u32 {
        let Rate(each) = self;
        let step = STEP_TIME.as_nanos() / each.as_nanos().max(1);
        u32::try_from(step).unwrap_or(STEP_MAX).clamp(1, STEP_MAX)
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let expected = || "expected a rate of messages such as 10/s or 30/min".to_owned();
    let (count, unit) = text.split_once('/').ok_or_else(expected)?;
    let span = match unit {
        "s" => Duration::from_secs(1),
        "m" | "min" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        _ => return Err(expected()),
    };
    let count: u32 = count.parse().map_err(|_| expected())?;
    span.checked_div(count).map(Rate).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_in_a_time_and_its_steps_are_bounded() {
        assert_eq!(parse_rate("10/s").map(|rate| (rate, rate.step())), Ok((Rate(Duration::from_millis(100)), 1)));
        assert_eq!(parse_rate("200/s").map(Rate::step), Ok(20));
        assert_eq!(parse_rate("30/min"), Ok(Rate(Duration::from_secs(2))));
        assert_eq!(parse_rate("4000000000/s").map(Rate::step), Ok(STEP_MAX));
        for text in ["10", "0/s", "/s", "ten/s", "10/day", "-1/s"] {
            assert!(parse_rate(text).unwrap_err().contains("10/s"), "{text}");
        }
    }
}
