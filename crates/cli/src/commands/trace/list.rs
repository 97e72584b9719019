//! Many messages: a line each.

use serde::Serialize;
use skep_client::Client;
use skep_protocol::verdict::sender;
use skep_protocol::{Error, Found, Position, Search, Topic, Traced, Wanted};

use super::{SINCE, Which, inquire, next, search, unstored_note};
use crate::advice::{unknown_receiver, unknown_sender};
use crate::context::Context;
use crate::duration::{millis, show as span};
use crate::health::warn_if_damaged;
use crate::output::{Table, age, now_ms, one_line, until, word};
use crate::stored::waits_for;

/// Messages that are shown unless it is said: one screen.
const LIST: u32 = 20;

/// Delivered messages that are counted where none is undelivered.
const DELIVERED: u32 = 1_000;

impl Which {
    /// From when on a list is looked for.
    fn since_ms(&self) -> Option<u64> {
        let unsaid = || self.begins_unsaid().then(|| now_ms().saturating_sub(millis(SINCE)));
        self.search().since_ms.or_else(unsaid)
    }

    /// What was asked for, in words behind `no message`.
    fn told(&self) -> String {
        let mut words = String::new();
        let named = [("of the conversation", &self.conversation), ("from", &self.from), ("to", &self.to)];
        for (how, name) in named {
            words.extend(name.as_ref().map(|name| format!(" {how} {}", word(name))));
        }
        let outcome = self.outcome.filter(|outcome| *outcome != Wanted::Undelivered);
        words.extend(outcome.map(|outcome| format!(" that is {outcome}")));
        // A conversation is looked for in all that there is.
        let unsaid = || (self.begins_unsaid() && self.conversation.is_none()).then_some(SINCE);
        words.extend(self.since.or_else(unsaid).map(|since| format!(" in the last {}", span(millis(since)))));
        words.extend(self.until.map(|until| format!(" until {} ago", span(millis(until)))));
        words.extend(self.after.map(|after| format!(" from position {after} on")));
        words
    }

    fn begins_unsaid(&self) -> bool {
        self.since.is_none() && self.after.is_none() && self.until.is_none()
    }
}

pub(super) async fn show(context: &Context, client: &Client, which: &Which) -> anyhow::Result<()> {
    let found =
        search(client, "", Search { since_ms: which.since_ms(), ..which.search() }, which.count.unwrap_or(LIST))
            .await?;
    let mut words = if found.messages.is_empty() { String::new() } else { table(&found.messages).to_string() };
    tell(context, client, which, &found, &mut words).await
}

/// The answer: what there is to see, the cause in a sentence, and what to run next.
pub(super) async fn tell(
    context: &Context,
    client: &Client,
    which: &Which,
    found: &Found,
    words: &mut String,
) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Shown<'a> {
        messages: &'a [Traced],
        more: Option<Position>,
        unstored_since_ms: u64,
        verdict: Option<&'a str>,
        next: Option<&'a str>,
    }
    let verdict = inquire(client, &found.messages).await.of_many(&found.messages, found.next.is_none());
    let next = next(context, client, verdict.as_ref()).await;
    let nothing = if found.messages.is_empty() { Some(nothing_found(client, which).await?) } else { None };
    let (said, next) = (verdict.as_ref().map(|verdict| verdict.said.as_str()), next.as_deref());
    if let (Some(said), Some(next)) = (said, next) {
        words.push_str(&format!("\n{said}\nnext: {next}\n"));
    }
    let shown = Shown {
        messages: &found.messages,
        more: found.next,
        unstored_since_ms: found.unstored_since_ms,
        verdict: said.or(nothing.as_deref()),
        next,
    };
    context.output().answer(&shown, words)?;
    if let Some(more) = found.next {
        context.output().note(format!("there are more: {}", context.command(&which.typed(more))));
    }
    if let Some(nothing) = nothing {
        warn_if_damaged(context, client).await;
        context.output().note(nothing);
    }
    // Only where one would look for them.
    let looks_for_them = which.undelivered || found.messages.iter().any(|traced| traced.position.is_none());
    if looks_for_them || found.messages.is_empty() {
        context.output().note(unstored_note(found.unstored_since_ms));
    }
    Ok(())
}

/// Why a search found nothing, as far as that is known: nobody is called so, or all is as it should be.
async fn nothing_found(client: &Client, which: &Which) -> Result<String, Error> {
    if let Some(to) = &which.to
        && let Some(unknown) = unknown_receiver(client, to).await
    {
        return Ok(format!("no such message: {unknown}"));
    }
    if let Some(from) = &which.from
        && let Some(unknown) = unknown_sender(client, from).await
    {
        return Ok(format!("no message{} is known: {unknown}", which.told()));
    }
    if which.search().outcome != Some(Wanted::Undelivered) {
        return Ok(format!("no message{} is known.", which.told()));
    }
    let since_ms = which.since_ms();
    let delivered = Search { since_ms, outcome: Some(Wanted::Delivered), ..which.search() };
    let delivered = search(client, "", delivered, DELIVERED).await?;
    let more = if delivered.next.is_some() { " or more" } else { "" };
    Ok(format!("nothing undelivered{}; {}{more} delivered.", which.told(), delivered.messages.len()))
}

fn table(messages: &[Traced]) -> Table {
    let mut table = Table::new(["id", "stored", "from", "to", "type", "state", "reason"]);
    for traced in messages {
        let state = match traced.attempts {
            0 => traced.state.to_string(),
            attempts => format!("{}, attempt {attempts}", traced.state),
        };
        let holder = traced.holder.as_ref().map(|holder| format!("leased to {}", holder.party));
        let due = traced.due_ms.map(|due_ms| format!("due in {}", until(due_ms)));
        let behind = traced.behind.as_ref().map(waits_for);
        let reason = holder.or_else(|| traced.reason.clone()).or(due).or(behind).unwrap_or_default();
        let to: Vec<&str> = traced.to.iter().map(|topic| short(topic)).collect();
        table.row([
            if traced.id.is_empty() { "(unreadable)".into() } else { traced.id.clone() },
            age(traced.time_ms),
            sender(traced).into(),
            to.join(","),
            traced.kind.clone(),
            state,
            cut(&one_line(reason.as_bytes()), 48),
        ]);
    }
    table
}

/// A topic as one calls it: an inbox goes by its agent.
pub(super) fn short(topic: &str) -> &str {
    Topic::agent_of(topic).unwrap_or(topic)
}

/// At most so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}
