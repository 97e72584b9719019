//! The state, read from what [`Engine::dump`] wrote. Whatever else the bytes are, the answer is an error: nothing is allocated
//! but for what is there, and no sum runs over.

use skep_core::{Level, Recent};
use skep_protocol::{DeadKey, Ended, Priority, QueueName, QueueSpec};

use super::Engine;
use super::dead::Notice;
use super::dedup::{Producer, Use};
use super::dump::KINDS;
use super::entry::{Entry, NEVER, Place};
use super::keys::{Keys, Rank};
use super::queue::Queue;
use super::replay::{Recovering, beyond};
use crate::journal::{Body, QueueId, Token, text};
use crate::log::{BatchAt, Corrupt};

/// No time and no count is larger, so that what is added to one does not run over.
const NUMBER_MAX: u64 = 1 << 62;

impl Engine {
    /// An engine that goes on replaying at a position, where the one stood that wrote these bytes. `seed` is for its jitter; its
    /// hashes are as they were.
    ///
    /// # Errors
    /// When they are not such bytes.
    pub(crate) fn load(bytes: &[u8], position: u64, seed: u64) -> Result<Self, Corrupt> {
        let mut engine = Engine::new(seed);
        let mut loading = Loading { body: Body(bytes), position };
        engine.seed = loading.body.u64()?;
        let next_queue = loading.body.u32()?;
        loading.list(|loading| loading.queue(&mut engine, next_queue))?;
        engine.next_queue = next_queue;
        loading.list(|loading| {
            let (queue, until_ms, entry) = (loading.body.u32()?, loading.body.u64()?, loading.entry()?);
            hold(&mut engine, queue, &entry)?;
            engine.delay(queue, entry, until_ms);
            Ok(())
        })?;
        loading.list(|loading| {
            let (queue, entry, progress) = (loading.body.u32()?, loading.entry()?, loading.optional()?);
            hold(&mut engine, queue, &entry)?;
            // It waited here before it was leased.
            engine.queues.get_mut(&queue).into_iter().for_each(|queue| queue.note_expiry(&entry));
            engine.recovering.insert((queue, entry.position), Recovering { entry, progress });
            Ok(())
        })?;
        loading.settled(&mut engine)?;
        loading.producers(&mut engine)?;
        loading.ids(&mut engine)?;
        loading.list(|loading| {
            let (key, revision, until_ms) = (loading.text()?, loading.body.u64()?, loading.body.u64()?);
            engine.facts.put(key, revision, loading.bytes()?, (until_ms != NEVER).then_some(until_ms));
            Ok(())
        })?;
        loading.list(|loading| {
            let (at, place, position) = (loading.position()?, loading.place()?, loading.position()?);
            let queue = QueueName::new(loading.text()?).map_err(|error| Corrupt(error.text))?;
            let (reason, attempts) = (loading.text()?.to_owned(), loading.body.u32()?);
            engine.owed.insert(at, Notice { place, position, queue, reason, attempts });
            Ok(())
        })?;
        // A state of before ends here.
        if !loading.body.0.is_empty() {
            loading.of_messages(&mut engine)?;
        }
        match loading.body.0 {
            [] => Ok(engine),
            rest => Err(Corrupt(format!("{} bytes follow the state", rest.len()))),
        }
    }
}

/// A message that a queue has nowhere yet is held by it.
fn hold(engine: &mut Engine, queue: QueueId, entry: &Entry) -> Result<(), Corrupt> {
    let key = (queue, entry.position);
    let known = engine.delayed.contains_key(&key) || engine.recovering.contains_key(&key);
    match engine.queues.get_mut(&queue) {
        Some(held) if !known && !held.has_ready(entry.position) => held.hold(entry),
        _ => return Err(Corrupt(format!("queue {queue} is not there, or holds position {} twice", entry.position))),
    }
    Ok(())
}

/// What is left of the bytes.
struct Loading<'a> {
    body: Body<'a>,
    /// All positions are below it.
    position: u64,
}

impl<'a> Loading<'a> {
    fn queue(&mut self, engine: &mut Engine, next_queue: QueueId) -> Result<(), Corrupt> {
        let id = self.body.u32()?;
        let spec: QueueSpec = serde_json::from_slice(self.bytes()?)
            .map_err(|error| Corrupt(format!("the declaration of queue {id}: {error}")))?;
        if id >= next_queue || engine.queues.contains_key(&id) || engine.names.contains_key(&spec.name) {
            return Err(Corrupt(format!("queue {id}, {}, is there twice, or its number was never given", spec.name)));
        }
        engine.set_spec(id, spec);
        let queue = engine.queues.get_mut(&id).expect("it was declared a moment ago");
        // What it inherited of dead letters that were read before it is said below, if it is still so.
        queue.keys = None;
        queue.forget(|asides| asides.expiring.clear());
        let mut free_from = 0;
        self.list(|loading| {
            let entry = loading.entry()?;
            if entry.position < free_from {
                return Err(Corrupt(format!("position {} of queue {id} is out of order", entry.position)));
            }
            free_from = entry.position + 1;
            queue.hold(&entry);
            queue.put(entry);
            Ok(())
        })?;
        self.list(|loading| {
            let position = loading.position()?;
            let (reason, progress) = (loading.text()?.to_owned(), loading.optional()?);
            queue.note(position, Ended { reason, progress });
            Ok(())
        })?;
        self.keys(queue)
    }

    /// The order by key.
    fn keys(&mut self, queue: &mut Queue) -> Result<(), Corrupt> {
        let is_dead = queue.name.is_dead();
        let mut keys = Keys::new(queue.spec.on_dead_key == DeadKey::Park);
        self.list(|loading| {
            keys.hold(loading.position()?, loading.body.u64()?);
            Ok(())
        })?;
        self.list(|loading| {
            let (position, joined, due_ms) = (loading.position()?, loading.number()?, loading.body.u64()?);
            keys.late.insert(position, Rank { joined, due_ms, position });
            Ok(())
        })?;
        self.list(|loading| {
            let (position, key, expires_ms) = (loading.position()?, loading.body.u64()?, loading.body.u64()?);
            keys.bury(position, key, expires_ms, !is_dead);
            if !is_dead && expires_ms != NEVER {
                queue.beside().expiring.insert((expires_ms, position));
            }
            Ok(())
        })?;
        self.list(|loading| {
            let (key, head) = (loading.body.u64()?, loading.position()?);
            let mut waiting = Vec::new();
            loading.list(|loading| {
                let entry = loading.entry()?;
                if queue.has_ready(entry.position) {
                    return Err(Corrupt(format!("position {} waits for its key, and is ready", entry.position)));
                }
                queue.hold(&entry);
                queue.note_expiry(&entry);
                waiting.push(entry);
                Ok(())
            })?;
            match keys.restore(key, (head != 0).then_some(head), waiting) {
                true => Ok(()),
                false => Err(Corrupt(format!("{} orders messages by a key that they do not have", queue.name))),
            }
        })?;
        queue.keys = (!keys.is_empty()).then(|| Box::new(keys));
        Ok(())
    }

    /// What is known of dead letters, and of messages that say themselves how they are tried again.
    fn of_messages(&mut self, engine: &mut Engine) -> Result<(), Corrupt> {
        fn queue(engine: &mut Engine, id: QueueId) -> Result<&mut Queue, Corrupt> {
            let queue = engine.queues.get_mut(&id).map(|queue| &mut **queue);
            queue.ok_or_else(|| Corrupt(format!("queue {id} is not there, and has messages")))
        }
        self.list(|loading| {
            let (id, position, at_ms) = (loading.body.u32()?, loading.position()?, loading.number()?);
            queue(engine, id)?.hold_died(position, at_ms);
            Ok(())
        })?;
        self.list(|loading| {
            let (id, position, tries) = (loading.body.u32()?, loading.position()?, loading.text()?);
            let tries = tries.parse().map_err(|error: skep_protocol::Error| Corrupt(error.text))?;
            queue(engine, id)?.hold_tries(position, tries);
            Ok(())
        })
    }

    fn settled(&mut self, engine: &mut Engine) -> Result<(), Corrupt> {
        self.list(|loading| {
            let unix_ms = loading.number()?;
            let token = Token { open: loading.body.u64()?, count: loading.body.u64()? };
            let [kind] = loading.body.take()?;
            let kind = KINDS.get(usize::from(kind)).ok_or_else(|| Corrupt(format!("a settle is of kind {kind}")))?;
            let at = loading.position()?;
            if engine.settled.known.insert(token, (*kind, at)).is_some() {
                return Err(Corrupt("a lease was settled twice".into()));
            }
            engine.settled.order.push_back((unix_ms, token));
            Ok(())
        })
    }

    fn producers(&mut self, engine: &mut Engine) -> Result<(), Corrupt> {
        let producers = &mut engine.producers;
        (producers.seed, producers.uses_count) = (self.body.u64()?, self.number()?);
        self.list(|loading| {
            let (key, used, highest) = (loading.key()?, loading.number()?, loading.number()?);
            let mut runs = Vec::new();
            loading.list(|loading| {
                let (first, count, position) = (loading.number()?, loading.number()?, loading.position()?);
                runs.push((first, count, position));
                Ok(())
            })?;
            let stored = Recent::from_runs(highest, runs);
            let stored = stored.ok_or_else(|| Corrupt("the sequences of a producer are out of order".into()))?;
            producers.known.insert(key, Producer { stored, used });
            Ok(())
        })?;
        self.list(|loading| {
            let (number, key, unix_ms) = (loading.number()?, loading.key()?, loading.number()?);
            producers.uses.push_back(Use { number, key, unix_ms });
            Ok(())
        })
    }

    fn ids(&mut self, engine: &mut Engine) -> Result<(), Corrupt> {
        engine.ids.seed = self.body.u64()?;
        self.list(|loading| {
            let (unix_ms, hash, position) = (loading.number()?, loading.key()?, loading.position()?);
            let payload = loading.body.u64()?;
            // Stored again since, it is the later one which is known.
            engine.ids.known.insert(hash, (position, payload));
            engine.ids.order.push_back((unix_ms, hash, position));
            Ok(())
        })
    }

    fn entry(&mut self) -> Result<Entry, Corrupt> {
        let (position, place, attempts) = (self.position()?, self.place()?, self.body.u32()?);
        let [priority] = self.body.take()?;
        let known = Priority::from_number(priority.into());
        let priority = known.ok_or_else(|| Corrupt(format!("position {position} has priority {priority}")))?;
        Ok(Entry { position, place, attempts, priority, level: Level::FSYNC, expires_ms: self.body.u64()? })
    }

    fn place(&mut self) -> Result<Place, Corrupt> {
        let batch = BatchAt { segment: self.body.u64()?, offset: self.body.u64()? };
        Place::new(batch, self.body.u32()?, self.body.u32()?).ok_or_else(|| beyond(batch))
    }

    /// Reads item after item. How many are said to follow is not believed: where the bytes end, an item is an error.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Corrupt>) -> Result<(), Corrupt> {
        let count = self.body.u64()?;
        (0..count).try_for_each(|_| item(self))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let bytes = usize::try_from(self.body.u64()?).map_err(|_| Corrupt("a length is too large".into()))?;
        self.body.slice(bytes)
    }

    fn text(&mut self) -> Result<&'a str, Corrupt> {
        text(self.bytes()?)
    }

    fn optional(&mut self) -> Result<Option<String>, Corrupt> {
        let [some] = self.body.take()?;
        let text = self.text()?;
        Ok((some != 0).then(|| text.to_owned()))
    }

    fn key(&mut self) -> Result<u128, Corrupt> {
        self.body.take().map(u128::from_le_bytes)
    }

    fn position(&mut self) -> Result<u64, Corrupt> {
        let position = self.body.u64()?;
        match position < self.position {
            true => Ok(position),
            false => Err(Corrupt(format!("position {position} is not below {}", self.position))),
        }
    }

    fn number(&mut self) -> Result<u64, Corrupt> {
        let number = self.body.u64()?;
        match number <= NUMBER_MAX {
            true => Ok(number),
            false => Err(Corrupt(format!("{number} is no time and no count"))),
        }
    }
}
