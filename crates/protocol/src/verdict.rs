//! How messages stand, in one sentence of cause, and the command to run next.
//!
//! It follows from what a search shows of them; of one that waits it hangs also on who might take it, which an
//! [`Inquiry`] asks of the hub. The words are the same wherever they are read.

mod inquiry;
mod many;
mod one;
mod unmatched;

pub use inquiry::Inquiry;

use crate::{Fate, QueueName, Stored, Topic, Traced, text};

/// The sentence and the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why it stands so.
    pub said: String,
    /// What to type behind `skep`.
    pub next: String,
}

/// Why nobody takes a message that waits, or took one that reached nobody, and what to run then, if it is not what is
/// run otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Takers {
    said: String,
    next: Option<String>,
}

/// Why a queue that one consumer reads at a time hands nothing out while leases on it are open, by a look at its messages.
#[must_use]
pub fn one_at_a_time(messages: &[Stored], now_ms: u64) -> String {
    let held = messages.iter().find_map(|stored| stored.holder.as_ref().map(|holder| (stored.position, holder)));
    let keeps = match held {
        Some((position, holder)) => {
            let left = text::left(holder.until_ms, now_ms);
            format!(
                "the lease of {} on position {position} keeps it for another {left}, unless it is settled",
                holder.party
            )
        }
        None => "leases on it are open".to_owned(),
    };
    format!("one consumer at a time reads it, and {keeps}")
}

/// The one that stands worst, and of those the newest: it decides what is said of all.
#[must_use]
pub fn worst(messages: &[Traced]) -> Option<&Traced> {
    messages.iter().rev().min_by_key(|traced| traced.state)
}

/// Why it stands so, whole: people act on it.
fn why(traced: &Traced) -> String {
    let why = traced.reason.as_deref().unwrap_or("no reason was given");
    text::plain(why).replace('\n', "\\n").trim_end_matches('.').to_owned()
}

/// Whether it died because nobody had done it in time: then it stays where it is.
fn has_expired(traced: &Traced) -> bool {
    traced.state == Fate::Dead && traced.reason.as_deref() == Some(Fate::Expired.as_str())
}

/// The queue, as one calls it.
fn place(traced: &Traced) -> String {
    traced.queue.as_ref().map_or_else(|| "its queue".into(), ToString::to_string)
}

/// The queue that dead letters come from.
fn origin(traced: &Traced) -> String {
    let origin = traced.queue.as_ref().and_then(QueueName::origin);
    origin.map_or_else(|| place(traced), |origin| origin.to_string())
}

/// The command that shows what is in a queue.
fn look(queue: &QueueName) -> String {
    match Topic::agent_of(queue.as_str()) {
        Some(agent) => format!("inbox {agent}"),
        None => format!("queue peek {}", text::word(queue.as_str())),
    }
}

/// Who sent it, as one calls them.
#[must_use]
pub fn sender(traced: &Traced) -> &str {
    let source = if traced.source.is_empty() { &traced.party } else { &traced.source };
    source.strip_prefix("agent/").unwrap_or(source)
}
