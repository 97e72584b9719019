//! The notice to a sender whose message died.

use skep_core::{Now, Outgoing, Reply, Write};
use skep_protocol::{AgentId, Kind, Message, MessageId, MessageRef, Topic};

use crate::engine::{Effects, Engine, Notice, Submission};
use crate::journal::MessageRecord;

/// The source of what the hub itself says.
const HUB: &str = "skep/hub";

/// Puts a notice into the inbox of the agent that published a dead letter. Dead letters of
/// notices bring none, and neither do those of parties without an inbox.
pub(crate) fn tell(
    engine: &mut Engine,
    notice: &Notice,
    record: Option<MessageRecord<'_>>,
    now: Now,
    fx: &mut Effects,
) {
    let Some(record) = record else { return };
    let Ok(dead) = MessageRef::parse(record.message) else { return };
    let sender = record.party.strip_prefix("agent/").and_then(|id| AgentId::new(id).ok());
    let Some(sender) = sender.filter(|_| dead.kind() != Kind::DELIVERY_DEAD_LETTERED.as_str()) else { return };
    let Ok(message) = write(notice, &dead, &sender) else { return };
    let publishes = [Outgoing::new(&message)];
    let write = Write { settles: &[], publishes: &publishes, atomic: false, party: HUB, producer: None };
    // One message is one slice, and on a full disk it waits for room: the letter is dead already.
    drop(engine.submit(Submission::new(&write, now, Reply::call(|_| {})), None, fx));
}

fn write(notice: &Notice, dead: &MessageRef<'_>, sender: &AgentId) -> Result<Message, skep_protocol::Error> {
    let data = serde_json::json!({
        "message": dead.id(),
        "to": dead.to().collect::<Vec<_>>().join(","),
        "queue": notice.queue.as_str(),
        "position": notice.position,
        "attempts": notice.attempts,
        "reason": notice.reason,
    });
    // The same death gives the same id, however often it is told.
    let id = MessageId::new(&format!("dead-{}-{}-{}", notice.queue, notice.position, notice.attempts))?;
    Message::build(&id, HUB, Kind::DELIVERY_DEAD_LETTERED)
        .to(&Topic::inbox(sender))
        .correlation(dead.id())
        .causation(dead.id())
        .conversation(dead.conversation())
        .json(data.to_string())
        .finish()
}
