//! What became of messages: of one, of a conversation, of all that a search means.

use serde::{Deserialize, Serialize};
use skep_core::limits::LOOK_MAX;
use skep_protocol::verdict::{Inquiry, Verdict};
use skep_protocol::{Ask, Code, Error, Found, MessageId, Page, Position, Search, Traced};

use super::extract::{Asked, At, Bare, Caller, at_most};
use super::problem::Problem;
use super::queues::page;
use super::visit::Visit;
use super::{Answered, json};
use crate::limits::LOOK;

/// What a search may say. Times are unix milliseconds, or a span back from now such as `1h`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    conversation: Option<String>,
    from: Option<String>,
    to: Option<String>,
    since: Option<String>,
    until: Option<String>,
    outcome: Option<String>,
    limit: Option<u32>,
    /// Where the last answer said to go on.
    next: Option<String>,
}

/// How much of a conversation or of an id is shown at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paged {
    limit: Option<u32>,
    next: Option<String>,
}

/// The name of a conversation, which is free.
pub(crate) struct Conversation(String);

impl std::str::FromStr for Conversation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(Conversation(text.to_owned()))
    }
}

/// `GET /v1/trace`: messages in order of time, and how each stands.
pub(crate) async fn search(caller: Caller, Asked(said): Asked<Said>) -> Answered {
    let now_ms = caller.shared.hub.now().unix_ms;
    let search = Search {
        since_ms: said.since.as_deref().map(|text| moment("since", text, now_ms)).transpose()?,
        until_ms: said.until.as_deref().map(|text| moment("until", text, now_ms)).transpose()?,
        outcome: said.outcome.as_deref().map(str::parse).transpose()?,
        next: said.next.as_deref().map(str::parse).transpose()?,
        limit: Some(at_most(said.limit, LOOK, LOOK_MAX)?),
        conversation: said.conversation,
        from: said.from,
        to: said.to,
        whole: false,
    };
    let mut visit = caller.visit()?;
    match visit.ask(Ask::Trace { message: String::new(), search: Some(search) }).await? {
        Page::Traced(found) => told(&mut visit, &found, now_ms, false).await,
        other => Ok(page(other)),
    }
}

/// `GET /v1/messages/{message}`: the message, how it stands, and all that happened to it.
pub(crate) async fn message(caller: Caller, At(message): At<MessageId>, how: Asked<Paged>) -> Answered {
    let named = format!("no message {:?}", message.as_str());
    whole(caller, message.as_str(), Search::default(), how, &named).await
}

/// `GET /v1/conversations/{conversation}`: its messages, the same of each.
pub(crate) async fn conversation(caller: Caller, At(name): At<Conversation>, how: Asked<Paged>) -> Answered {
    let named = format!("no message of conversation {:?}", name.0);
    whole(caller, "", Search { conversation: Some(name.0), ..Search::default() }, how, &named).await
}

async fn whole(caller: Caller, message: &str, search: Search, Asked(how): Asked<Paged>, named: &str) -> Answered {
    let next = how.next.as_deref().map(str::parse).transpose()?;
    let mut search = Search { limit: Some(at_most(how.limit, LOOK, LOOK_MAX)?), next, whole: true, ..search };
    let now_ms = caller.shared.hub.now().unix_ms;
    let (mut visit, begins) = (caller.visit()?, next.is_none());
    loop {
        let ask = Ask::Trace { message: message.to_owned(), search: Some(search.clone()) };
        let found = match visit.ask(ask).await? {
            Page::Traced(found) => found,
            other => return Ok(page(other)),
        };
        match found {
            Found { next: None, ref messages, .. } if messages.is_empty() && begins => {
                let since = skep_protocol::format_time(found.unstored_since_ms);
                let text = format!("{named} is stored, and none was refused, dropped or unmatched since {since}");
                return Err(Error::new(Code::NotFound, text).into());
            }
            // Nothing yet: the search goes on.
            Found { next: Some(next), ref messages, .. } if messages.is_empty() => search.next = Some(next),
            found => return told(&mut visit, &found, now_ms, !message.is_empty()).await,
        }
    }
}

/// A page of what was found, and why: of each message, and of those on this page together.
#[derive(Serialize)]
struct Told<'a> {
    messages: Vec<Explained<'a>>,
    next: Option<Position>,
    unstored_since_ms: u64,
    #[serde(flatten)]
    why: Option<Why>,
}

#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    traced: &'a Traced,
    #[serde(flatten)]
    why: Why,
}

/// One sentence of cause, and one command to run next.
#[derive(Serialize)]
struct Why {
    verdict: String,
    next_command: String,
}

impl From<Verdict> for Why {
    fn from(verdict: Verdict) -> Self {
        Why { verdict: verdict.said, next_command: format!("skep {}", verdict.next) }
    }
}

/// What was found, with why each stands so. What the hub refuses to tell of a queue is left unsaid.
async fn told(visit: &mut Visit, found: &Found, now_ms: u64, of_one_id: bool) -> Answered {
    let mut inquiry = Inquiry::about(&found.messages, now_ms);
    while let Some(ask) = inquiry.ask() {
        if let Ok(page) = visit.ask(ask).await {
            inquiry.learn(page);
        }
    }
    let Found { messages, next, unstored_since_ms } = found;
    let why = match of_one_id {
        true => inquiry.of_same_id(messages),
        false => inquiry.of_many(messages, next.is_none()),
    };
    let explained = messages.iter().map(|traced| Explained { traced, why: inquiry.of(traced).into() });
    let (messages, why) = (explained.collect(), why.map(Why::from));
    Ok(json(&Told { messages, next: *next, unstored_since_ms: *unstored_since_ms, why }))
}

/// `GET /v1/trace/{message}`: only what happened to it.
pub(crate) async fn events(caller: Caller, At(message): At<MessageId>, _: Bare) -> Answered {
    let ask = Ask::Trace { message: message.as_str().to_owned(), search: None };
    Ok(page(caller.visit()?.ask(ask).await?))
}

/// A moment as one says it.
pub(super) fn moment(name: &str, text: &str, now_ms: u64) -> Result<u64, Problem> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "" => return number.parse().map_err(|_| no_moment(name, text)),
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(no_moment(name, text)),
    };
    let number: u64 = number.parse().map_err(|_| no_moment(name, text))?;
    Ok(now_ms.saturating_sub(number.saturating_mul(ms)))
}

fn no_moment(name: &str, text: &str) -> Problem {
    Problem::argument(format!("{name}={text:?}: expected unix milliseconds, or a span back from now such as 30s or 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_unix_milliseconds_or_a_span_back_from_now() {
        for (text, expected) in [("5", 5), ("1s", 9_000), ("0h", 10_000), ("1d", 0), ("250ms", 9_750)] {
            assert_eq!(moment("since", text, 10_000).ok(), Some(expected), "{text}");
        }
        for text in ["", "h", "-1", "1 h", "99999999999999999999"] {
            assert!(moment("since", text, 10_000).is_err(), "{text}");
        }
    }
}
