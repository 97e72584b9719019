//! Messages as a look at a queue or a replay shows them.

use skep_client::Client;
use skep_protocol::{Ask, Behind, Code, Error, Page, Position, QueueName, Stored, format_time};

use crate::advice::{Named, advise};
use crate::context::Context;
use crate::health::warn_if_damaged;
use crate::output::{Table, age, one_line, until};

/// Shows the messages of a queue, from a position on if one is said; nothing is taken.
pub(crate) async fn peek(
    context: &Context,
    client: &Client,
    queue: &QueueName,
    mut from: Option<Position>,
    count: u32,
) -> anyhow::Result<()> {
    let output = context.output();
    let (mut found, mut left) = (Vec::new(), count);
    let next = loop {
        let asked = client.query(Ask::Peek { queue: queue.clone(), limit: left, from }).await;
        let (page, next) = match asked {
            Ok(page) => messages(page)?,
            Err(error) if has_no_dead_letters(client, queue, &error).await => (Vec::new(), None),
            Err(error) => return Err(advise(context, client, Named::Queue(queue), error).await.into()),
        };
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
        found.extend(page);
        if next.is_none() || left == 0 {
            break next;
        }
        from = next;
    };
    let is_empty = found.is_empty() && next.is_none();
    let is_damaged = is_empty && warn_if_damaged(context, client).await;
    if output.is_json() {
        return Ok(output.value(&found)?);
    }
    if is_damaged {
        return Ok(());
    }
    if is_empty {
        output.note(match queue.origin() {
            Some(origin) => format!("{origin} has no dead letters"),
            None => format!("nothing waits in {queue}"),
        });
        return Ok(());
    }
    output.answer(&found, if queue.is_dead() { dead_table(&found) } else { table(queue, &found) })?;
    if let Some(next) = next {
        let more = context.global().command(&format!("queue peek '{queue}' --from {next}"));
        output.note(format!("there are more: {more}"));
    }
    Ok(())
}

/// The queue of dead letters comes with the first of them: until then there are none.
async fn has_no_dead_letters(client: &Client, queue: &QueueName, error: &Error) -> bool {
    let origin = queue.origin().filter(|_| error.code == Code::UnknownQueue);
    match origin {
        Some(origin) => client.query(Ask::Queue { queue: origin }).await.is_ok(),
        None => false,
    }
}

fn table(queue: &QueueName, messages: &[Stored]) -> Table {
    let mut table = Table::new(["position", "id", "stored", "from", "type", "key", "state", "payload"]);
    for stored in messages {
        let view = stored.message.view();
        table.row([
            stored.position.to_string(),
            view.id().into(),
            age(stored.time_ms),
            view.source().into(),
            view.kind().into(),
            one_line(view.text_attribute("partitionkey").unwrap_or_default().as_bytes()),
            state(queue, stored),
            one_line(view.payload().unwrap_or_default()),
        ]);
    }
    table.without_if_empty("key")
}

/// The one of its key that a message waits for, in few words.
pub(crate) fn waits_for(behind: &Behind) -> String {
    let position = behind.position;
    match &behind.holder {
        _ if behind.dead => format!("parked behind the dead letter {position}"),
        Some(holder) => format!("waits behind {position}, leased to {}", holder.party),
        None => format!("waits behind {position}"),
    }
}

/// Dead letters: why and when each died, after how many attempts, and how far the last of them came.
pub(crate) fn dead_table(messages: &[Stored]) -> Table {
    let mut table = Table::new(["position", "id", "from", "type", "died", "attempts", "reason", "progress", "payload"]);
    for stored in messages {
        let view = stored.message.view();
        let ended = stored.previous.as_ref();
        let said = |text: Option<&str>| one_line(text.unwrap_or_default().as_bytes());
        table.row([
            stored.position.to_string(),
            view.id().into(),
            view.source().into(),
            view.kind().into(),
            stored.died_ms.map(age).unwrap_or_default(),
            stored.attempts.to_string(),
            said(ended.map(|ended| ended.reason.as_str())),
            said(ended.and_then(|ended| ended.progress.as_deref())),
            one_line(view.payload().unwrap_or_default()),
        ]);
    }
    table
}

/// How a message stands in a queue: who has it, or that it waits, and how the last attempt ended.
fn state(queue: &QueueName, stored: &Stored) -> String {
    let attempts = stored.attempts;
    if let Some(holder) = &stored.holder {
        return format!("leased to {}, {} left, attempt {attempts}", holder.party, until(holder.until_ms));
    }
    if let Some(due_ms) = stored.due_ms {
        return format!("delayed until {}, {} left", format_time(due_ms), until(due_ms));
    }
    if let Some(behind) = &stored.behind {
        return waits_for(behind);
    }
    let ended = stored.previous.as_ref().map(|ended| one_line(ended.reason.as_bytes()));
    match ended {
        Some(reason) if queue.is_dead() => format!("dead: {reason}"),
        Some(reason) => format!("waits, attempt {attempts} ended: {reason}"),
        None => "waits".into(),
    }
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
        Page::Queues(_) | Page::QueuesPart { .. } => "queues",
        Page::Messages { .. } => "messages",
        Page::Agents(_) | Page::AgentsPart { .. } => "agents",
        Page::Trace(_) | Page::Traced(_) => "a trace",
        Page::Status(_) => "a status",
    };
    Error::new(Code::Internal, format!("the hub answered with {kind}, which was not asked for"))
}
