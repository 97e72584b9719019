//! The state, read from what [`Engine::dump`] wrote, some of it at a time. Whatever else the bytes are, the answer is an error: nothing is
//! allocated but for what is there, and no sum runs over.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, Read};

use skep_core::{Level, Recent};
use skep_protocol::{DeadKey, Ended, QueueName, QueueSpec};

use super::Engine;
use super::dead::Notice;
use super::dedup::{Id, Producer, Stored, Use};
use super::dump::KINDS;
use super::entry::{Entry, NEVER, Place};
use super::keys::{Keys, Rank};
use super::leb128::take;
use super::packed::{NOTHING, next};
use super::queue::Queue;
use super::replay::{Recovering, beyond};
use crate::journal::{QueueId, Token};
use crate::log::Corrupt;

/// Snapshots say from this version on by what messages are told from others under their sequence.
const WITH_FINGERPRINTS: u32 = 3;
/// No time and no count is larger, so that what is added to one does not run over.
const NUMBER_MAX: u64 = 1 << 62;

impl Engine {
    /// An engine that goes on replaying at a position, where the one stood that wrote these bytes, of a snapshot of this version.
    /// `seed` is for its jitter; its hashes are as they were.
    ///
    /// # Errors
    /// When they are not such bytes, or cannot be read.
    pub(crate) fn load(from: &mut dyn BufRead, version: u32, position: u64, seed: u64) -> Result<Self, Corrupt> {
        let mut engine = Engine::new(seed);
        let mut loading = Loading { from, position, before: NOTHING };
        engine.seed = loading.hash()?;
        let next_queue = loading.small()?;
        loading.list(|loading| loading.queue(&mut engine, next_queue))?;
        engine.next_queue = next_queue;
        loading.list(|loading| {
            let (queue, until_ms, entry) = (loading.small()?, loading.any()?, loading.entry()?);
            hold(&mut engine, queue, &entry)?;
            engine.delay(queue, entry, until_ms);
            Ok(())
        })?;
        loading.list(|loading| {
            let (queue, entry, progress) = (loading.small()?, loading.entry()?, loading.optional()?);
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
            let (key, revision, until_ms) = (loading.text()?, loading.any()?, loading.end()?);
            engine.facts.put(&key, revision, &loading.bytes()?, (until_ms != NEVER).then_some(until_ms));
            Ok(())
        })?;
        loading.list(|loading| {
            let (at, place, position) = (loading.position()?, loading.place()?, loading.position()?);
            let queue = QueueName::new(&loading.text()?).map_err(|error| Corrupt(error.text))?;
            let (reason, attempts) = (loading.text()?, loading.small()?);
            engine.owed.insert(at, Notice { place, position, queue, reason, attempts });
            Ok(())
        })?;
        if version >= WITH_FINGERPRINTS {
            loading.fingerprints(&mut engine)?;
        }
        match loading.byte() {
            Ok(_) => Err(Corrupt("something follows the state".into())),
            Err(_) => Ok(engine),
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
    from: &'a mut dyn BufRead,
    /// All positions are below it.
    position: u64,
    /// The entry that was read last.
    before: Entry,
}

impl Loading<'_> {
    fn queue(&mut self, engine: &mut Engine, next_queue: QueueId) -> Result<(), Corrupt> {
        let id = self.small()?;
        let spec: QueueSpec = serde_json::from_slice(&self.bytes()?)
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
            // Behind all that were read nothing has to be looked for.
            if entry.position < free_from && queue.has_ready(entry.position) {
                return Err(Corrupt(format!("position {} of queue {id} is there twice", entry.position)));
            }
            free_from = free_from.max(entry.position + 1);
            queue.hold(&entry);
            queue.put(entry);
            Ok(())
        })?;
        self.list(|loading| {
            let position = loading.position()?;
            let (reason, progress) = (loading.text()?, loading.optional()?);
            queue.note(position, Ended { reason, progress });
            Ok(())
        })?;
        self.list(|loading| {
            queue.hold_died(loading.position()?, loading.number()?);
            Ok(())
        })?;
        self.list(|loading| {
            let (position, tries) = (loading.position()?, loading.text()?);
            queue.hold_tries(position, tries.parse().map_err(|error: skep_protocol::Error| Corrupt(error.text))?);
            Ok(())
        })?;
        self.keys(queue)
    }

    /// The order by key.
    fn keys(&mut self, queue: &mut Queue) -> Result<(), Corrupt> {
        let is_dead = queue.name.is_dead();
        let mut keys = Keys::new(queue.spec.on_dead_key == DeadKey::Park);
        self.list(|loading| {
            keys.hold(loading.position()?, loading.hash()?);
            Ok(())
        })?;
        self.list(|loading| {
            let (position, joined, due_ms) = (loading.position()?, loading.number()?, loading.any()?);
            keys.late.insert(position, Rank { joined, due_ms, position });
            Ok(())
        })?;
        self.list(|loading| {
            let (position, key, expires_ms) = (loading.position()?, loading.hash()?, loading.end()?);
            keys.bury(position, key, expires_ms, !is_dead);
            if !is_dead && expires_ms != NEVER {
                queue.beside().expiring.insert((expires_ms, position));
            }
            Ok(())
        })?;
        self.list(|loading| {
            let (key, head) = (loading.hash()?, loading.position()?);
            let mut waiting = BTreeMap::new();
            loading.list(|loading| {
                let entry = loading.entry()?;
                if queue.has_ready(entry.position) {
                    return Err(Corrupt(format!("position {} waits for its key, and is ready", entry.position)));
                }
                queue.hold(&entry);
                queue.note_expiry(&entry);
                waiting.insert(keys.rank(entry.position), entry);
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

    fn settled(&mut self, engine: &mut Engine) -> Result<(), Corrupt> {
        self.list(|loading| {
            let unix_ms = loading.number()?;
            let token = Token { open: loading.any()?, count: loading.any()? };
            let kind = loading.byte()?;
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
        (producers.seed, producers.uses_count) = (self.hash()?, self.number()?);
        self.list(|loading| {
            let (key, used, highest) = (loading.key()?, loading.number()?, loading.number()?);
            let mut runs = Vec::new();
            loading.list(|loading| {
                let (first, count) = (loading.number()?, loading.number()?);
                runs.push((first, count, Stored { position: loading.position()?, queues: loading.small()? }));
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

    fn fingerprints(&mut self, engine: &mut Engine) -> Result<(), Corrupt> {
        self.list(|loading| {
            let (key, mut told_by) = (loading.key()?, VecDeque::new());
            loading.list(|loading| loading.fixed().map(|bytes| told_by.push_back(u32::from_le_bytes(bytes))))?;
            match engine.producers.set_fingerprints(key, told_by) {
                true => Ok(()),
                false => Err(Corrupt("more messages of a producer are known than it sent".into())),
            }
        })
    }

    fn ids(&mut self, engine: &mut Engine) -> Result<(), Corrupt> {
        engine.ids.seed = self.hash()?;
        self.list(|loading| {
            let (unix_ms, hash, position) = (loading.number()?, loading.fixed()?, loading.position()?);
            let (queues, payload) = (loading.small()?, loading.hash()?);
            // Stored again since, it is the later one which is known.
            engine.ids.known.insert(hash, Id { position, payload, queues });
            engine.ids.order.push_back((unix_ms, hash, position));
            Ok(())
        })
    }

    fn entry(&mut self) -> Result<Entry, Corrupt> {
        let before = self.before;
        let entry = next(&mut || self.byte().ok(), &before);
        let Entry { position, place, .. } = entry.ok_or_else(|| Corrupt("an entry is cut off, or none".into()))?;
        self.before = entry.map_or(before, |entry| Entry { level: Level::FSYNC, ..entry });
        self.below(position)?;
        checked(place)?;
        Ok(self.before)
    }

    fn place(&mut self) -> Result<Place, Corrupt> {
        checked(Place::of_raw(self.any()?, self.small()?, self.small()?))
    }

    /// Reads item after item. How many are said to follow is not believed: where the bytes end, an item is an error.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Corrupt>) -> Result<(), Corrupt> {
        let count = self.any()?;
        (0..count).try_for_each(|_| item(self))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Corrupt> {
        let (count, mut bytes) = (self.any()?, Vec::new());
        let read = (&mut *self.from).take(count).read_to_end(&mut bytes);
        match read.is_ok_and(|read| read as u64 == count) {
            true => Ok(bytes),
            false => Err(short()),
        }
    }

    fn text(&mut self) -> Result<String, Corrupt> {
        String::from_utf8(self.bytes()?).map_err(|_| Corrupt("a text in it is not UTF-8".into()))
    }

    fn optional(&mut self) -> Result<Option<String>, Corrupt> {
        let some = self.byte()?;
        let text = self.text()?;
        Ok((some != 0).then_some(text))
    }

    fn position(&mut self) -> Result<u64, Corrupt> {
        let position = self.any()?;
        self.below(position)?;
        Ok(position)
    }

    fn below(&self, position: u64) -> Result<(), Corrupt> {
        match position < self.position {
            true => Ok(()),
            false => Err(Corrupt(format!("position {position} is not below {}", self.position))),
        }
    }

    /// A time or a count.
    fn number(&mut self) -> Result<u64, Corrupt> {
        let number = self.any()?;
        match number <= NUMBER_MAX {
            true => Ok(number),
            false => Err(Corrupt(format!("{number} is no time and no count"))),
        }
    }

    fn small(&mut self) -> Result<u32, Corrupt> {
        let number = self.any()?;
        u32::try_from(number).map_err(|_| Corrupt(format!("{number} is larger than it can be")))
    }

    /// Of what ends or expires: when.
    fn end(&mut self) -> Result<u64, Corrupt> {
        Ok(self.any()?.wrapping_sub(1))
    }

    fn any(&mut self) -> Result<u64, Corrupt> {
        take(&mut || self.byte().ok()).ok_or_else(short)
    }

    fn key(&mut self) -> Result<u128, Corrupt> {
        self.fixed().map(u128::from_le_bytes)
    }

    fn hash(&mut self) -> Result<u64, Corrupt> {
        self.fixed().map(u64::from_le_bytes)
    }

    fn byte(&mut self) -> Result<u8, Corrupt> {
        let [byte] = self.fixed()?;
        Ok(byte)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|_| short())?;
        Ok(bytes)
    }
}

/// A place where a batch can lie.
fn checked(place: Place) -> Result<Place, Corrupt> {
    let batch = place.batch();
    Place::new(batch, place.offset, place.len).ok_or_else(|| beyond(batch))
}

fn short() -> Corrupt {
    Corrupt("it is too short".into())
}
