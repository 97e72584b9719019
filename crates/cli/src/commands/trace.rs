//! `skep trace`: what became of messages.

mod chart;
mod history;
mod list;

use std::time::Duration;

use skep_client::Client;
use skep_protocol::verdict::{Inquiry, Verdict, worst};
use skep_protocol::{Ask, Error, Found, MessageId, Page, Position, Search, Traced, Wanted};

use crate::context::Context;
use crate::duration::{self, millis};
use crate::exit::Usage;
use crate::health::is_damaged;
use crate::output::{now_ms, word};
use crate::stored::unexpected;

/// How far back a list goes unless it is said.
const SINCE: Duration = Duration::from_secs(24 * 3_600);

/// Show what became of messages, why, and what to do
///
/// Of one message its whole history; of a conversation a chart of who said what to whom; else a list.
/// It ends with one sentence of cause and a command to run next.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The message's id, as its receipt showed it
    #[arg(value_name = "MESSAGE_ID")]
    message: Option<MessageId>,
    #[command(flatten)]
    which: Which,
}

/// Which messages.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which messages")]
pub(crate) struct Which {
    /// Of this conversation; it is drawn as a chart
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// To this agent, topic or queue
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// From this agent, source or party
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Stored so long ago or later, such as 10m or 2h; unsaid, of a list 24h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Stored so long ago or earlier
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    until: Option<Duration>,
    /// Only what nobody has and nobody has done: the same as --outcome undelivered
    #[arg(long, conflicts_with = "outcome")]
    undelivered: bool,
    /// Only what stands so: delivered, undelivered, or dead, refused, unmatched, dropped,
    /// expired, retrying, waiting, delayed, leased, removed, purged, acked
    #[arg(long)]
    outcome: Option<Wanted>,
    /// Begin at this position, or where the last list said to go on
    #[arg(long, value_name = "POSITION")]
    after: Option<Position>,
    /// Show at most so many, oldest first; unsaid 20, of a conversation 200
    #[arg(short = 'n', long = "count", value_name = "N")]
    count: Option<u32>,
}

const EXAMPLES: &str = "\
Examples:
  skep trace 0193a1b2-…
  skep trace --to coder-2 --since 1h --undelivered
  skep trace --from coder-2 --outcome dead
  skep trace --conversation 0193a1b2-…
  skep trace 0193a1b2-… --json | jq '.events[].what'

Messages that were refused, dropped or unmatched are known as long as the hub runs, the newest of
them; all others as long as the log.";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let which = self.which;
        context.attached(async |client| match &self.message {
            Some(message) => history::show(context, client, message, which.search()).await,
            None if which.conversation.is_some() => chart::show(context, client, &which).await,
            None if which.is_unsaid() => {
                let text = "say which messages: an id, --to, --from, --conversation, --since or --undelivered; \
                            skep trace --help shows examples";
                Err(Usage(text.into()).into())
            }
            None => list::show(context, client, &which).await,
        })
    }
}

impl Which {
    fn is_unsaid(&self) -> bool {
        let said = [self.to.is_some(), self.from.is_some(), self.since.is_some(), self.until.is_some()];
        let outcome = self.undelivered || self.outcome.is_some();
        !outcome && self.after.is_none() && !said.contains(&true)
    }

    fn search(&self) -> Search {
        let ago = |span: Duration| now_ms().saturating_sub(millis(span));
        Search {
            conversation: self.conversation.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            since_ms: self.since.map(ago),
            until_ms: self.until.map(ago),
            outcome: if self.undelivered { Some(Wanted::Undelivered) } else { self.outcome },
            limit: self.count,
            next: self.after,
            whole: false,
        }
    }

    /// As one would type it, to go on from a position.
    fn typed(&self, after: Position) -> String {
        let mut words = "trace".to_owned();
        let since = self.since.map(|since| duration::show(millis(since)));
        let until = self.until.map(|until| duration::show(millis(until)));
        for (flag, value) in [
            ("--conversation", self.conversation.clone()),
            ("--to", self.to.clone()),
            ("--from", self.from.clone()),
            ("--since", since),
            ("--until", until),
            ("--outcome", self.outcome.map(|outcome| outcome.to_string())),
            ("-n", self.count.map(|count| count.to_string())),
        ] {
            words.extend(value.map(|value| format!(" {flag} {}", word(&value))));
        }
        if self.undelivered {
            words.push_str(" --undelivered");
        }
        format!("{words} --after {after}")
    }
}

/// The first so many messages of a search, page by page.
async fn search(client: &Client, message: &str, mut search: Search, count: u32) -> Result<Found, Error> {
    let mut found = Found { messages: Vec::new(), next: search.next, unstored_since_ms: 0 };
    loop {
        let left = count.saturating_sub(u32::try_from(found.messages.len()).unwrap_or(u32::MAX));
        (search.next, search.limit) = (found.next, Some(left));
        let asked = Ask::Trace { message: message.into(), search: Some(search.clone()) };
        let page = match client.query(asked).await? {
            Page::Traced(page) => page,
            other => return Err(unexpected(&other)),
        };
        found.messages.extend(page.messages);
        (found.next, found.unstored_since_ms) = (page.next, page.unstored_since_ms);
        if page.next.is_none() || found.messages.len() >= usize::try_from(count).unwrap_or(usize::MAX) {
            return Ok(found);
        }
    }
}

/// What is asked of the hub to say how messages stand: about the one that decides.
async fn inquire(client: &Client, messages: &[Traced]) -> Inquiry {
    let mut inquiry = Inquiry::about(worst(messages), now_ms());
    while let Some(ask) = inquiry.ask() {
        if let Ok(page) = client.query(ask).await {
            inquiry.learn(page);
        }
    }
    inquiry
}

/// What to type next: of a store that takes nothing new, what changes anything comes after the look at its damage.
async fn next(context: &Context, client: &Client, verdict: Option<&Verdict>) -> Option<String> {
    let words = &verdict?.next;
    let changes = ["receive ", "queue redrive ", "queue add ", "agents add "];
    let is_refused = changes.iter().any(|verb| words.starts_with(verb)) && is_damaged(client).await;
    Some(context.command(if is_refused { "verify" } else { words }))
}

/// Since when messages that were never stored are known; said where one would look for them.
fn unstored_note(since_ms: u64) -> String {
    let since = skep_protocol::format_time(since_ms);
    format!("(refused, dropped and unmatched messages are kept in memory only: known since {since})")
}
