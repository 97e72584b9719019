//! Messages as a look at a queue or a replay shows them.

use skep_client::Client;
use skep_protocol::{Ask, Code, Error, Page, Position, QueueName, Stored};

use crate::output::{Output, Table, age, one_line};

/// Shows the messages of a queue, from a position on if one is said; nothing is taken.
pub(crate) async fn peek(
    client: &Client,
    output: &Output,
    queue: QueueName,
    mut from: Option<Position>,
    count: u32,
) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let mut left = count;
    let next = loop {
        let ask = Ask::Peek { queue: queue.clone(), limit: left, from };
        let (page, next) = messages(client.query(ask).await?)?;
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
        found.extend(page);
        if next.is_none() || left == 0 {
            break next;
        }
        from = next;
    };
    if output.is_json() {
        return Ok(output.value(&found)?);
    }
    if found.is_empty() && next.is_none() {
        output.note(format!("nothing waits in {queue}"));
        return Ok(());
    }
    let mut table = Table::new(["position", "stored", "from", "type", "attempts", "payload"]);
    for stored in &found {
        let view = stored.message.view();
        let attempts = match &stored.previous {
            Some(ended) => format!("{} ({})", stored.attempts, one_line(ended.reason.as_bytes())),
            None => stored.attempts.to_string(),
        };
        table.row([
            stored.position.to_string(),
            age(stored.time_ms),
            view.source().into(),
            view.kind().into(),
            attempts,
            one_line(view.payload().unwrap_or_default()),
        ]);
    }
    output.answer(&found, table)?;
    if let Some(next) = next {
        output.note(format!("there are more: skep queue peek '{queue}' --from {next}"));
    }
    Ok(())
}

/// The messages of a page.
pub(crate) fn messages(page: Page) -> Result<(Vec<Stored>, Option<Position>), Error> {
    match page {
        Page::Messages { messages, next } => Ok((messages, next)),
        other => Err(unexpected(&other)),
    }
}

/// The hub answered another question.
pub(crate) fn unexpected(page: &Page) -> Error {
    let kind = match page {
        Page::Queues(_) => "queues",
        Page::Messages { .. } => "messages",
        Page::Agents(_) => "agents",
        Page::Trace(_) => "a trace",
        Page::Status(_) => "a status",
    };
    Error::new(Code::Internal, format!("the hub answered with {kind}, which was not asked for"))
}
