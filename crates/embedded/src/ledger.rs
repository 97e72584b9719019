//! The past, read from the log: stored messages again, and what became of them.

mod followed;
mod hidden;
mod history;
mod index;
mod passage;

use foldhash::{HashMap, HashSet};
use skep_core::Seen;
use skep_protocol::{AgentId, Error, Filter, Message, MessageRef, Position, QueueName, Search, Stored, Traced};

use self::followed::Followed;
use self::history::{History, Sought};
use self::index::Key;
use self::passage::Passage;
use crate::engine::{Engine, Stand};
use crate::journal::{QueueId, Record};
use crate::limits::{LOOK_BYTES_MAX, SEARCH_BYTES_MAX, STANDS_MAX};
use crate::look::unreadable;
use crate::retained::Horizons;
use crate::store::Store;

/// Queues by what records call them.
type Names = HashMap<QueueId, QueueName>;

/// Stored messages whose topic matches, settled or not, from a position on.
pub(crate) fn replay(store: &Store, filter: &Filter, from: Position, limit: u32) -> Result<Seen, Error> {
    let from = from.number().unwrap_or(u64::MAX);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let (trees, reached) = {
        let engine = &store.lock().engine;
        (engine.trees(), engine.reached())
    };
    let mut horizons = Horizons::new(store, &trees, reached);
    let mut read = 0;
    for batch in store.reader.scan(from, reached) {
        let batch = batch.map_err(unreadable)?;
        if let Some(first) = batch.records().flatten().next().filter(|_| read > SEARCH_BYTES_MAX) {
            return Ok(Seen::Messages(messages, Some(Position::Number(first.position.max(from)))));
        }
        read += batch.bytes.len();
        let hidden = hidden::in_batch(store, &trees, &mut horizons, &batch, from)?;
        for view in batch.records().flatten().filter(|view| view.position >= from && !hidden.contains(&view.position)) {
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
                died_ms: None,
                behind: None,
            });
        }
    }
    Ok(Seen::Messages(messages, None))
}

/// What became of the messages of an id, if one is named, that a search means: a bounded piece of
/// the work, and where to go on.
pub(crate) fn trace(store: &Store, id: Option<String>, search: Search) -> Result<Seen, Error> {
    let from = search.next.map_or(0, |next| next.number().unwrap_or(u64::MAX));
    let since = match search.since_ms {
        Some(since_ms) => store.reader.position_before(since_ms),
        None => 0,
    };
    let sought = {
        let shared = store.lock();
        let queues = search.to.as_deref().map(|to| called(&shared.engine, to)).unwrap_or_default();
        Sought::new(id, search, queues, from.max(since)..shared.engine.reached())
    };
    let mut history = History::new(&sought);
    let mut passage = Passage::new(store, sought.from, sought.until);
    while let Some(batch) = passage.next(|stretch| history.wants(stretch))? {
        history.see(&batch);
        if history.is_done() {
            break;
        }
    }
    let found = if passage.is_cut_short { None } else { shown(store, &sought, history)? };
    // Cut short, it did its piece of the work: asked again from the same place, it gets further.
    Ok(found.unwrap_or_else(|| Seen::Traced(Vec::new(), Some(Position::Number(sought.from)))))
}

/// The queues that are called so, or are the inbox of an agent that is, and their dead letters.
fn called(engine: &Engine, name: &str) -> Vec<QueueId> {
    let inbox = AgentId::new(name).ok().map(|agent| QueueName::inbox(&agent));
    let names = QueueName::new(name).ok().into_iter().chain(inbox);
    let with_dead = names.flat_map(|name| [name.dead(), Some(name)]).flatten();
    with_dead.filter_map(|name| engine.queue_id(&name)).collect()
}

/// What a pass has come to, held against what the engine knows now; none if it is not all known yet.
fn shown(store: &Store, sought: &Sought, history: History<'_>) -> Result<Option<Seen>, Error> {
    let (mut next, followed) = (history.next, history.followed);
    let gap = store.reader.last_gap();
    let mut open: Vec<(QueueId, u64)> =
        followed.values().flat_map(|one| one.open().map(|queue| (queue, one.position))).collect();
    let (mut names, mut dead) = (Names::default(), HashMap::<QueueId, QueueId>::default());
    {
        let engine = &store.lock().engine;
        for queue in followed.values().flat_map(Followed::queues) {
            let Some(name) = engine.queue_name(queue) else { continue };
            if let Some((id, name)) = name.dead().and_then(|name| Some((engine.queue_id(&name)?, name))) {
                dead.insert(queue, id);
                names.insert(id, name);
            }
            names.insert(queue, name.clone());
        }
    }
    // Where a part of the log is gone that may have told of its death, it is looked for among the dead letters.
    let died = open.iter().filter(|(_, position)| *position < gap);
    let died: Vec<_> = died.filter_map(|(queue, position)| Some((*dead.get(queue)?, *position))).collect();
    open.extend(died);
    let mut stands: HashMap<(QueueId, u64), Stand> = HashMap::default();
    for part in open.chunks(STANDS_MAX) {
        let now = store.clock.now();
        let found = store.lock().engine.stands(part, now);
        stands.extend(part.iter().zip(found).filter_map(|(key, stand)| Some((*key, stand?))));
    }
    let gone = followed.values().flat_map(Followed::queues).filter(|queue| !names.contains_key(queue)).collect();
    let Some(gone) = names_of_gone(store, gone, sought.until)? else { return Ok(None) };
    names.extend(gone);
    let limit = usize::try_from(sought.search.limit.unwrap_or(1)).unwrap_or(usize::MAX).max(1);
    let (mut messages, mut bytes): (Vec<Traced>, usize) = (Vec::new(), 0);
    let trees = store.lock().engine.trees();
    let mut horizons = Horizons::new(store, &trees, sought.until);
    let held: HashSet<u64> = stands.keys().map(|(_, position)| *position).collect();
    for (position, one) in followed {
        let set = one.trees(&trees);
        if set != 0 && !held.contains(&position) && !horizons.keep(set, position, one.time_ms())? {
            continue;
        }
        let stand = |queue| {
            let at = |queue: QueueId| Some((queue, stands.get(&(queue, position))?.clone()));
            at(queue).or_else(|| at(*dead.get(&queue)?).filter(|_| position < gap))
        };
        let Some(traced) = one.shown(&names, |queue| sought.counts(queue), stand, position < gap) else { continue };
        if sought.search.outcome.is_some_and(|outcome| !outcome.means(traced.state, traced.reason.as_deref())) {
            continue;
        }
        bytes += weight(&traced);
        if messages.len() >= limit || (bytes > LOOK_BYTES_MAX && !messages.is_empty()) {
            next = Some(position);
            break;
        }
        messages.push(traced);
    }
    Ok(Some(Seen::Traced(messages, next.map(Position::Number))))
}

/// What a message takes in an answer, about, in bytes.
fn weight(traced: &Traced) -> usize {
    let events = traced.events.iter().map(|event| 160 + event.detail.as_ref().map_or(0, String::len));
    let topics = traced.to.iter().map(String::len);
    let message = traced.message.as_ref().map_or(0, |message| message.bytes().len());
    512 + message + events.chain(topics).sum::<usize>()
}

/// What queues were called that are no more: their declarations are in the log. None if the way to them was cut short.
fn names_of_gone(store: &Store, mut gone: HashSet<QueueId>, until: u64) -> Result<Option<Names>, Error> {
    let mut names = Names::default();
    if gone.is_empty() {
        return Ok(Some(names));
    }
    let mut passage = Passage::new(store, 0, until);
    while let Some(batch) = passage.next(|stretch| gone.iter().any(|queue| stretch.has(Key::declared(*queue))))? {
        for view in batch.records().flatten() {
            if let Ok(Some(Record::Declare { queue, spec })) = Record::decode(&view)
                && gone.remove(&queue)
            {
                names.insert(queue, spec.name);
            }
        }
        if gone.is_empty() {
            return Ok(Some(names));
        }
    }
    Ok((!passage.is_cut_short).then_some(names))
}
