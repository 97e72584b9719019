//! One message: all that happened to it.

use serde::Serialize;
use skep_client::Client;
use skep_protocol::verdict::sender;
use skep_protocol::{Code, Error, Event, MessageId, Search, Traced, format_time};

use super::{inquire, next, search, unstored_note};
use crate::context::Context;
use crate::health::warn_if_damaged;
use crate::output::{Table, cell, one_line, word};

/// Messages of one id that are shown.
const SAME_ID_MAX: u32 = 100;

/// Leases are written with what is written next: nobody waits for their record.
const LEASED_TIMES: &str = "leased: the time of its record; the message was handed out then or a little before, and \
                            leases of the last moment before a crash are missing";

pub(super) async fn show(context: &Context, client: &Client, message: &MessageId, which: Search) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Shown<'a> {
        messages: &'a [Traced],
        /// Of all of them, one message after the other.
        events: &'a [&'a Event],
        verdict: Option<&'a str>,
        next: Option<&'a str>,
        note: Option<&'a str>,
    }
    let which = Search { whole: true, ..which };
    let is_filtered = which != Search { whole: true, ..Search::default() };
    let found = search(client, message.as_str(), which, SAME_ID_MAX).await?;
    if found.messages.is_empty() {
        warn_if_damaged(context, client).await;
        let all = Search { limit: Some(1), ..Search::default() };
        if is_filtered && !search(client, message.as_str(), all, 1).await?.messages.is_empty() {
            return Err(filtered_out(context, message).into());
        }
        return Err(not_found(message, found.unstored_since_ms).into());
    }
    let events: Vec<&Event> = found.messages.iter().flat_map(|traced| &traced.events).collect();
    let verdict = inquire(client, &found.messages).await.of_same_id(&found.messages);
    let next = next(context, client, verdict.as_ref()).await;
    let (said, next) = (verdict.as_ref().map(|verdict| verdict.said.as_str()), next.as_deref());
    let note = events.iter().any(|event| event.what == "leased").then_some(LEASED_TIMES);
    let mut words = words(&found.messages);
    words.extend(note.map(|note| format!("({note})\n")));
    if found.messages.iter().any(|traced| traced.position.is_none()) {
        words.push_str(&unstored_note(found.unstored_since_ms));
        words.push('\n');
    }
    if let (Some(said), Some(next)) = (said, next) {
        words.push_str(&format!("\n{said}\nnext: {next}\n"));
    }
    let shown = Shown { messages: &found.messages, events: &events, verdict: said, next, note };
    context.output().answer(&shown, words)?;
    if let Some(more) = found.next {
        let more = context.command(&format!("trace {} --after {more}", word(message.as_str())));
        context.output().note(format!("there are more messages with this id: {more}"));
    }
    Ok(())
}

/// What happened; of several messages with one id, to each by itself.
fn words(messages: &[Traced]) -> String {
    let several = messages.len() > 1;
    let each = messages.iter().map(|traced| {
        let place = traced.position.map_or_else(|| "stored nowhere".into(), |at| format!("position {at}"));
        let head = format!(
            "from {}, {}, {place}: {}\n",
            one_line(sender(traced).as_bytes()),
            cell(&traced.kind),
            traced.state
        );
        format!("{}{}", if several { head } else { String::new() }, table(&traced.events))
    });
    each.collect::<Vec<_>>().join("\n")
}

/// It is there, and the options beside its id hide it.
fn filtered_out(context: &Context, message: &MessageId) -> Error {
    let trace = context.command(&format!("trace {}", word(message.as_str())));
    let text = format!(
        "a message with the id {:?} is known, but none that the other options mean; without them: {trace}",
        message.as_str()
    );
    Error::new(Code::NotFound, text)
}

fn not_found(message: &MessageId, since_ms: u64) -> Error {
    let text = format!(
        "no message with the id {:?} is known; what was heard live only is not stored {}",
        message.as_str(),
        unstored_note(since_ms)
    );
    Error::new(Code::NotFound, text)
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
