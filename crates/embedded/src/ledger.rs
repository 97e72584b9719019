//! The past, read from the log: stored messages again, and what happened to one of them.

use foldhash::{HashMap, HashSet};
use skep_core::Seen;
use skep_protocol::{Code, Error, Event, Filter, Message, MessageRef, Position, QueueName, Stored};

use crate::journal::{LeaseOf, QueueId, Record, runs};
use crate::limits::LOOK_BYTES_MAX;
use crate::log::RecordView;
use crate::look::unreadable;
use crate::store::Store;

/// Stored messages whose topic matches, settled or not, from a position on.
pub(crate) fn replay(store: &Store, filter: &Filter, from: Position, limit: u32) -> Result<Seen, Error> {
    let from = from.number().unwrap_or(u64::MAX);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for batch in store.reader.scan(from, store.lock().engine.durable()) {
        let batch = batch.map_err(unreadable)?;
        for view in batch.records().flatten().filter(|view| view.position >= from) {
            let Ok(Some(Record::Message(record))) = Record::decode(&view) else { continue };
            let Ok(found) = MessageRef::parse(record.message) else { continue };
            if !found.to().any(|topic| filter.matches(topic)) {
                continue;
            }
            bytes += record.message.len();
            if messages.len() >= limit as usize || (bytes > LOOK_BYTES_MAX && !messages.is_empty()) {
                return Ok(Seen::Messages(messages, Some(Position::Number(view.position))));
            }
            let position = Position::Number(view.position);
            let Ok(message) = Message::parse(batch.bytes.slice_ref(record.message)) else { continue };
            messages.push(Stored {
                position,
                time_ms: view.time_ms,
                attempts: 0,
                previous: None,
                message,
                holder: None,
                due_ms: None,
            });
        }
    }
    Ok(Seen::Messages(messages, None))
}

/// What the log knows of the messages with an id, in order.
pub(crate) fn trace(store: &Store, id: &str) -> Result<Seen, Error> {
    let mut history = History { id, positions: HashSet::default(), queues: HashMap::default(), events: Vec::new() };
    for batch in store.reader.scan(0, store.lock().engine.durable()) {
        let batch = batch.map_err(unreadable)?;
        for view in batch.records().flatten() {
            if let Ok(Some(record)) = Record::decode(&view) {
                history.see(&view, &record);
            }
        }
    }
    if history.events.is_empty() {
        let text = format!("no stored message has the id {id:?}; live messages and refused ones leave no trace yet");
        return Err(Error::new(Code::NotFound, text));
    }
    Ok(Seen::Events(history.events))
}

/// A history in the making.
struct History<'a> {
    id: &'a str,
    /// Where messages with the id stand.
    positions: HashSet<u64>,
    queues: HashMap<QueueId, QueueName>,
    events: Vec<Event>,
}

impl History<'_> {
    fn see(&mut self, view: &RecordView<'_>, record: &Record<'_>) {
        match record {
            Record::Declare { queue, spec } => drop(self.queues.insert(*queue, spec.name.clone())),
            Record::Message(message) => {
                let Ok(found) = MessageRef::parse(message.message) else { return };
                if found.id() == self.id {
                    self.positions.insert(view.position);
                    let to = found.to().collect::<Vec<_>>().join(", ");
                    for queue in message.queues() {
                        let event = self.event(view, "stored", Some(queue), None);
                        self.events.push(Event {
                            party: text(message.party),
                            detail: text(&format!("to {to}")),
                            ..event
                        });
                    }
                }
            }
            Record::Lease { lease, party } => self.leased(view, "leased", lease, party, ""),
            Record::Ack(lease) => self.leased(view, "acked", lease, "", ""),
            Record::Nack { lease, reason, .. } => self.leased(view, "nacked", lease, "", reason),
            Record::Dead { lease, reason, .. } => self.leased(view, "dead_lettered", lease, "", reason),
            Record::Drop { lease, reason, .. } => self.leased(view, "dropped", lease, "", reason),
            Record::Return { lease, charged: true, reason } => self.leased(view, "returned", lease, "", reason),
            Record::Return { lease, charged: false, reason: "" } => {
                self.leased(view, "returned", lease, "", "uncharged");
            }
            Record::Return { lease, charged: false, reason } => {
                self.leased(view, "returned", lease, "", &format!("{reason}, uncharged"));
            }
            Record::Told { position, refused, .. } if !refused.is_empty() && self.positions.contains(position) => {
                let event = self.event(view, "notice_refused", None, None);
                self.events.push(Event { detail: text(refused), ..event });
            }
            Record::Extend { lease, progress, .. } => self.leased(view, "extended", lease, "", progress),
            Record::Redrive { to, position, .. } if self.positions.contains(position) => {
                let event = self.event(view, "redriven", Some(*to), None);
                self.events.push(event);
            }
            Record::Purge { queue, runs: bytes } => {
                let purged = runs(bytes).any(|(first, count)| {
                    self.positions.iter().any(|position| (first..first.saturating_add(count)).contains(position))
                });
                if purged {
                    let event = self.event(view, "purged", Some(*queue), None);
                    self.events.push(event);
                }
            }
            _ => {}
        }
    }

    fn leased(&mut self, view: &RecordView<'_>, what: &str, lease: &LeaseOf, party: &str, detail: &str) {
        if self.positions.contains(&lease.position) {
            let event = self.event(view, what, Some(lease.queue), Some(lease.attempt));
            self.events.push(Event { party: text(party), detail: text(detail), ..event });
        }
    }

    fn event(&self, view: &RecordView<'_>, what: &str, queue: Option<QueueId>, attempt: Option<u32>) -> Event {
        Event {
            time_ms: view.time_ms,
            position: Position::Number(view.position),
            what: what.to_owned(),
            queue: queue.and_then(|id| self.queues.get(&id).cloned()),
            attempt,
            party: None,
            detail: None,
        }
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
