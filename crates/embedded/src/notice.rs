//! The notice to a sender whose message died.

use skep_core::Now;
use skep_protocol::{AgentId, Kind, Message, MessageId, MessageRef, Topic};

use crate::engine::{Effects, Engine, HUB, Notice};
use crate::journal::MessageRecord;

/// Pays the notice that is owed for a death: puts it into the inbox of the agent that published the
/// dead letter. Dead letters of notices bring none, and neither do those of parties without an inbox.
pub(crate) fn tell(engine: &mut Engine, at: u64, record: Option<MessageRecord<'_>>, now: Now, fx: &mut Effects) {
    let Some(notice) = engine.owed(at) else { return };
    let message = record.and_then(|record| write(at, notice, &record));
    engine.pay(at, message.as_ref(), now, fx);
}

fn write(at: u64, notice: &Notice, record: &MessageRecord<'_>) -> Option<Message> {
    let dead = MessageRef::parse(record.message).ok()?;
    let sender = AgentId::new(record.party.strip_prefix("agent/")?).ok()?;
    if dead.kind() == Kind::DELIVERY_DEAD_LETTERED.as_str() {
        return None;
    }
    let data = serde_json::json!({
        "message": dead.id(),
        "to": dead.to().collect::<Vec<_>>().join(","),
        "queue": notice.queue.as_str(),
        "position": notice.position,
        "attempts": notice.attempts,
        "reason": notice.reason,
    });
    // The same death gives the same id, and another one of the same message another.
    let id = MessageId::new(&format!("dead-{at}")).expect("a short id");
    let message = Message::build(&id, HUB, Kind::DELIVERY_DEAD_LETTERED)
        .to(&Topic::inbox(&sender))
        .correlation(dead.id())
        .causation(dead.id())
        .conversation(dead.conversation())
        .json(data.to_string())
        .finish();
    message.inspect_err(|error| tracing::error!(%error, "a notice cannot be written")).ok()
}
