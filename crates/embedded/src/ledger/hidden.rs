//! Which messages a look passes over, for the topic trees that they belong to let them go: those that no queue holds any more.

use foldhash::HashSet;
use skep_protocol::{Error, MessageRef};

use crate::engine::Engine;
use crate::journal::{QueueId, Record};
use crate::limits::STANDS_MAX;
use crate::log::Batch;
use crate::retained::{Horizons, Trees};
use crate::store::Store;

/// The positions of a batch, from one on, that are passed over.
pub(super) fn in_batch(
    store: &Store,
    trees: &Trees,
    horizons: &mut Horizons<'_>,
    batch: &Batch,
    from: u64,
) -> Result<HashSet<u64>, Error> {
    let (mut hidden, mut queues) = (HashSet::default(), Vec::new());
    if trees.is_empty() {
        return Ok(hidden);
    }
    for view in batch.records().flatten().filter(|view| view.position >= from) {
        let Ok(Some(Record::Message(record))) = Record::decode(&view) else { continue };
        let set = MessageRef::parse(record.message).map_or(0, |message| trees.of(&message));
        if set != 0 && !horizons.keep(set, view.position, view.time_ms)? {
            hidden.insert(view.position);
            queues.extend(record.queues().map(|queue| (queue, view.position)));
        }
    }
    for part in queues.chunks(STANDS_MAX / 2) {
        let (shared, now) = (store.lock(), store.clock.now());
        let dead = part.iter().filter_map(|(queue, position)| Some((dead_of(&shared.engine, *queue)?, *position)));
        let wanted: Vec<(QueueId, u64)> = part.iter().copied().chain(dead).collect();
        let stands = shared.engine.stands(&wanted, now);
        for ((_, position), _) in wanted.iter().zip(stands).filter(|(_, stand)| stand.is_some()) {
            hidden.remove(position);
        }
    }
    Ok(hidden)
}

fn dead_of(engine: &Engine, queue: QueueId) -> Option<QueueId> {
    engine.queue_id(&engine.queue_name(queue)?.dead()?)
}
