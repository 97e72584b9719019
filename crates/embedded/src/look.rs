//! Looks read the disk, so threads of their own answer them: one what is held now, the other the
//! past, so that a long trace keeps no look at a queue waiting.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use skep_core::{BoxFuture, Read, Seen};
use skep_protocol::{Code, Error, Position, QueueName, Stored};
use tokio::sync::oneshot;

use crate::engine::Held;
use crate::engine::entry::Entry;
use crate::ledger;
use crate::limits::{LOOK_BYTES_MAX, LOOKS_MAX};
use crate::log::{Batch, ReadError};
use crate::store::{Store, message};

type Look = (Read, oneshot::Sender<Result<Seen, Error>>);

/// The way to the looking threads.
pub(crate) struct Looks {
    present: SyncSender<Look>,
    past: SyncSender<Look>,
}

/// What one looking thread is asked.
pub(crate) struct Asked(Receiver<Look>);

impl Looks {
    /// The way to two threads: what is asked of the present, and of the past.
    pub(crate) fn new() -> (Self, [Asked; 2]) {
        let ((present, of_present), (past, of_past)) = (sync_channel(LOOKS_MAX), sync_channel(LOOKS_MAX));
        (Looks { present, past }, [Asked(of_present), Asked(of_past)])
    }

    /// Asks for a look.
    pub(crate) fn ask(&self, read: Read) -> BoxFuture<'static, Result<Seen, Error>> {
        let (answer, seen) = oneshot::channel();
        let queue = match read {
            Read::Queues(..) | Read::Peek(..) => &self.present,
            Read::Replay(..) | Read::Trace(..) => &self.past,
        };
        let asked = queue.try_send((read, answer)).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(Code::Busy, format!("{LOOKS_MAX} looks wait already; try again")),
            TrySendError::Disconnected(_) => closed(),
        });
        Box::pin(async move {
            asked?;
            seen.await.map_err(|_| closed())?
        })
    }
}

/// A looking thread: answers until nobody can ask any more.
pub(crate) fn run(store: &Arc<Store>, asked: &Asked) {
    while let Ok(look) = asked.0.recv() {
        answer(store, look);
    }
}

/// Answers once, if anybody asked; answers whether.
pub(crate) fn step(store: &Arc<Store>, asked: &Asked) -> bool {
    asked.0.try_recv().map(|look| answer(store, look)).is_ok()
}

fn answer(store: &Arc<Store>, (read, answer): Look) {
    // Whoever asked may have gone before their turn.
    if answer.is_closed() {
        return;
    }
    let seen = match read {
        Read::Queues(after, limit) => Ok(queues(store, after.as_ref(), limit)),
        Read::Peek(queue, from, limit) => peek(store, &queue, from, limit),
        Read::Replay(filter, from, limit) => ledger::replay(store, &filter, from, limit),
        Read::Trace(message, search) => ledger::trace(store, message, search),
    };
    // Whoever asked may have gone.
    drop(answer.send(seen));
}

fn queues(store: &Store, after: Option<&QueueName>, limit: u32) -> Seen {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (queues, next) = store.lock().engine.infos(after, limit);
    Seen::Queues(queues, next)
}

fn peek(store: &Store, queue: &QueueName, from: Option<Position>, limit: u32) -> Result<Seen, Error> {
    // A position of another backend is none of this one's.
    let from = from.map_or(0, |from| from.number().unwrap_or(u64::MAX));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let now = store.clock.now();
    // One more, to know whether there are more.
    let (id, held, behind) = {
        let engine = &store.lock().engine;
        let held = engine.held(queue, from, limit.saturating_add(1), now)?;
        let id = engine.queue_id(queue);
        let waiting = held.iter().filter(|held| held.holder.is_none() && held.due_ms.is_none());
        let waiting: Vec<_> = waiting.filter_map(|held| Some((id?, held.entry.position))).collect();
        let behind = engine.behind(&waiting, now);
        (id, held, behind)
    };
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let mut read: Option<Batch> = None;
    for Held { entry, previous, holder, due_ms, died_ms } in held {
        bytes += entry.place.len as usize;
        if messages.len() >= limit || (bytes > LOOK_BYTES_MAX && !messages.is_empty()) {
            return Ok(Seen::Messages(messages, Some(Position::Number(entry.position))));
        }
        // In order of position, the messages of a batch come one after the other.
        let batch = match read.take().filter(|batch| batch.at == entry.place.batch()) {
            Some(batch) => batch,
            None => store.reader.batch(entry.place.batch()).map_err(|error| {
                note_damaged(store, queue, &entry, &error);
                unreadable(error)
            })?,
        };
        if let Some(message) = message(&batch.bytes, &entry.place) {
            let position = Position::Number(entry.position);
            let time_ms = batch.header.time_ms;
            let attempts = entry.attempts;
            let behind = id.and_then(|id| behind.get(&(id, entry.position)).cloned());
            messages.push(Stored { position, time_ms, attempts, previous, message, holder, due_ms, died_ms, behind });
        }
        read = Some(batch);
    }
    Ok(Seen::Messages(messages, None))
}

/// A message cannot be read that a queue held a moment ago. If it still does, it is lost, whoever asked.
fn note_damaged(store: &Store, queue: &QueueName, entry: &Entry, error: &ReadError) {
    let now = store.clock.now();
    let held = store.lock().engine.held(queue, entry.position, 1, now).unwrap_or_default();
    let is_held = held.first().is_some_and(|held| held.entry.position == entry.position);
    if is_held && !matches!(error, ReadError::Io { .. }) {
        store.damaged(entry.position, entry.place.batch(), error);
    }
}

/// The error of a batch that cannot be read.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn unreadable(error: ReadError) -> Error {
    Error::new(Code::ReadOnly, error.to_string())
}

fn closed() -> Error {
    Error::new(Code::ShuttingDown, "the hub is closed")
}
