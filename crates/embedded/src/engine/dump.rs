//! The state as bytes: all that replay has built and the rest of a replay needs, and nothing of one opening.
//!
//! Every struct of the state is taken apart here without a rest, so that whoever adds a field decides whether it is kept.
//! All that has no order is written in order: equal states are equal bytes. [`Engine::load`] reads them. Little-endian; a text or
//! a list begins with its length, 8 bytes.
//!
//! | part | holds |
//! |---|---|
//! | keys | seed of their hashes 8 |
//! | queues | next id 4; of each: id 4, declaration as JSON, ready entries, notes (position 8, end of an attempt), order by key |
//! | delayed | of each: queue 4, until (unix ms) 8, entry |
//! | recovering | of each: queue 4, entry, progress |
//! | settled | of each: when 8, token 16, kind 1, position of its record 8 |
//! | producers | seed 8, uses 8; of each: key 16, last use 8, highest 8, runs (sequence 8, count 8, position 8); uses (number 8, key 16, when 8) |
//! | ids | seed 8; of each: when 8, hash 16, position 8, hash of the payload 8 |
//! | facts | of each: key, revision 8, when it ends (unix ms) 8 or a number without end, value |
//! | owed | of each: position of the death 8, place, position 8, queue, reason, attempts 4 |
//! | died | of each dead letter of which it is known: queue 4, position 8, when (unix ms) 8; states of before end in front of it |
//! | tries | of each message that says itself how it is tried again: queue 4, position 8, the text of its `retry` |
//!
//! Order by key is: keys of messages held (position 8, key 8), those that joined late (position 8, joined 8, due 8), dead letters (position 8,
//! key 8, expires 8), and of each key: itself 8, the position of its head or 0, the entries that wait.
//!
//! An entry is: position 8, place, attempts 4, priority 1, expires (unix ms) 8. A place is: segment 8, offset of the batch 8, offset
//! within it 4, length 4.

use std::collections::BTreeMap;

use foldhash::HashMap;
use skep_protocol::Ended;

use super::Engine;
use super::asides::Asides;
use super::dead::Notice;
use super::dedup::{Ids, Producer, Producers, Use};
use super::delay::Waiting;
use super::entry::{Entry, NEVER, Place};
use super::facts::{FactTable, Known};
use super::keys::{Chain, Died, Keys, Rank};
use super::queue::Queue;
use super::replay::Recovering;
use super::settled::{Kind, Settled};
use crate::journal::{QueueId, Token};
use crate::log::BatchAt;

impl Engine {
    /// Appends the state. Only of an engine that has replayed and does not serve yet.
    pub(crate) fn dump(&self, out: &mut Vec<u8>) {
        let Engine {
            queues,
            next_queue,
            seed,
            delayed,
            recovering,
            settled,
            producers,
            ids,
            facts,
            owed,
            // These follow from the queues and what they hold.
            names: _,
            router: _,
            calendar: _,
            weight: _,
            // An opening says them anew.
            open: _,
            durable: _,
            reached: _,
            reserved: _,
            levels: _,
            trees: _,
            secret: _,
            memory_max: _,
            random: _,
            // Replay does not touch them: nobody is there to be served.
            consumers: _,
            next_consumer: _,
            leases: _,
            next_lease: _,
            timers: _,
            lapses: _,
            pending: _,
            until_synced: _,
            staging: _,
            matched: _,
            routed: _,
            route_steps: _,
            touched: _,
            notices: _,
            postponed: _,
        } = self;
        let mut out = Out(out);
        out.u64(*seed);
        out.u32(*next_queue);
        out.list(sorted(queues), |out, (id, queue)| out.queue(*id, queue));
        out.list(delayed, |out, ((queue, _), Waiting { entry, until_ms, handle: _ })| {
            out.u32(*queue);
            out.u64(*until_ms);
            out.entry(entry);
        });
        out.list(sorted(recovering), |out, ((queue, _), Recovering { entry, progress })| {
            out.u32(*queue);
            out.entry(entry);
            out.optional(progress.as_deref());
        });
        out.settled(settled);
        out.producers(producers);
        out.ids(ids);
        out.facts(facts);
        out.owed(owed);
        out.died(queues);
        out.tries(queues);
    }
}

/// What a settle is written as.
pub(super) const KINDS: [Kind; 4] = [Kind::Ack, Kind::Nack, Kind::Reject, Kind::Return];

/// Bytes in the making.
struct Out<'a>(&'a mut Vec<u8>);

impl Out<'_> {
    fn queue(&mut self, id: QueueId, queue: &Queue) {
        let Queue {
            spec,
            // Written in order of position.
            ready: _,
            keys,
            asides,
            // The declaration's own.
            name: _,
            // These follow from the entries.
            held: _,
            held_bytes: _,
            declared: _,
            weight: _,
            delayed: _,
            // Of one opening.
            takes: _,
            leased: _,
            alarm: _,
            consumers: _,
            turn: _,
            routed: _,
        } = queue;
        let none = Asides::default();
        let Asides {
            notes,
            // Said at the end, with those of all queues.
            tries: _,
            died: _,
            // These follow from the notes and the entries.
            notes_bytes: _,
            expiring: _,
        } = asides.as_deref().unwrap_or(&none);
        self.u32(id);
        self.bytes(&serde_json::to_vec(spec).expect("a declaration is JSON"));
        self.u64(queue.ready_count());
        queue.in_line().for_each(|entry| self.entry(&entry));
        self.list(sorted(notes), |out, (position, Ended { reason, progress })| {
            out.u64(*position);
            out.bytes(reason.as_bytes());
            out.optional(progress.as_deref());
        });
        self.keys(keys.as_deref().unwrap_or(&Keys::default()));
    }

    fn keys(&mut self, keys: &Keys) {
        let Keys {
            of,
            late,
            dead,
            chains,
            // The declaration says it.
            parks: _,
            // These follow from the chains.
            waiting: _,
            parked: _,
            parked_keys: _,
        } = keys;
        self.list(of, |out, (position, key)| {
            out.u64(*position);
            out.u64(*key);
        });
        self.list(sorted(late), |out, (position, Rank { joined, due_ms, position: _ })| {
            out.u64(*position);
            out.u64(*joined);
            out.u64(*due_ms);
        });
        self.list(dead, |out, (position, Died { key, expires_ms })| {
            out.u64(*position);
            out.u64(*key);
            out.u64(*expires_ms);
        });
        // What joins later is among the delayed; the dead were said above.
        self.list(sorted(chains), |out, (key, Chain { head, waiting, later: _, dead: _ })| {
            out.u64(*key);
            out.u64(head.unwrap_or(0));
            out.list(waiting.values(), |out, entry| out.entry(entry));
        });
    }

    fn facts(&mut self, table: &FactTable) {
        let FactTable {
            known,
            // These follow from them.
            bytes: _,
            ending: _,
            // Of one opening.
            alarm: _,
            tellers: _,
        } = table;
        self.list(known, |out, (key, Known { revision, value, until_ms })| {
            out.bytes(key.as_bytes());
            out.u64(*revision);
            out.u64(until_ms.unwrap_or(NEVER));
            out.bytes(value);
        });
    }

    fn owed(&mut self, owed: &BTreeMap<u64, Notice>) {
        self.list(owed, |out, (at, Notice { place, position, queue, reason, attempts })| {
            out.u64(*at);
            out.place(place);
            out.u64(*position);
            out.bytes(queue.as_str().as_bytes());
            out.bytes(reason.as_bytes());
            out.u32(*attempts);
        });
    }

    fn died(&mut self, queues: &HashMap<QueueId, Box<Queue>>) {
        self.list(of_messages(queues, |asides| &asides.died), |out, (queue, position, at_ms)| {
            out.u32(queue);
            out.u64(position);
            out.u64(at_ms);
        });
    }

    fn tries(&mut self, queues: &HashMap<QueueId, Box<Queue>>) {
        self.list(of_messages(queues, |asides| &asides.tries), |out, (queue, position, tries)| {
            out.u32(queue);
            out.u64(position);
            out.bytes(tries.to_string().as_bytes());
        });
    }

    fn settled(&mut self, Settled { known, order }: &Settled) {
        self.list(order, |out, (unix_ms, token)| {
            let Token { open, count } = token;
            let (kind, at) = known.get(token).copied().unwrap_or((Kind::Ack, 0));
            out.u64(*unix_ms);
            out.u64(*open);
            out.u64(*count);
            out.0.push(KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u8);
            out.u64(at);
        });
    }

    fn producers(&mut self, Producers { seed, known, uses, uses_count }: &Producers) {
        self.u64(*seed);
        self.u64(*uses_count);
        self.list(sorted(known), |out, (key, Producer { stored, used })| {
            let (highest, runs) = stored.runs();
            out.u128(*key);
            out.u64(*used);
            out.u64(highest);
            out.list(runs, |out, (first, count, position)| {
                out.u64(first);
                out.u64(count);
                out.u64(*position);
            });
        });
        self.list(uses, |out, Use { number, key, unix_ms }| {
            out.u64(*number);
            out.u128(*key);
            out.u64(*unix_ms);
        });
    }

    fn ids(&mut self, Ids { seed, order, known }: &Ids) {
        self.u64(*seed);
        self.list(order, |out, (unix_ms, hash, position)| {
            out.u64(*unix_ms);
            out.u128(*hash);
            out.u64(*position);
            // Stored again since, it is the later payload that is known.
            out.u64(known.get(hash).map_or(0, |(_, payload)| *payload));
        });
    }

    fn entry(&mut self, entry: &Entry) {
        // An entry that is loaded has the strongest level.
        let Entry { position, place, attempts, priority, level: _, expires_ms } = entry;
        self.u64(*position);
        self.place(place);
        self.u32(*attempts);
        self.0.push(priority.number());
        self.u64(*expires_ms);
    }

    fn place(&mut self, place: &Place) {
        let BatchAt { segment, offset } = place.batch();
        self.u64(segment);
        self.u64(offset);
        self.u32(place.offset);
        self.u32(place.len);
    }

    fn list<I: IntoIterator<IntoIter: ExactSizeIterator>>(&mut self, items: I, put: impl Fn(&mut Out<'_>, I::Item)) {
        let items = items.into_iter();
        self.u64(items.len() as u64);
        items.for_each(|item| put(&mut Out(self.0), item));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.push(u8::from(text.is_some()));
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u128(&mut self, number: u128) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }
}

/// What is known of messages of all queues, by queue and position.
fn of_messages<T: Copy>(
    queues: &HashMap<QueueId, Box<Queue>>,
    known: impl Fn(&Asides) -> &HashMap<u64, T>,
) -> Vec<(QueueId, u64, T)> {
    let mut all = Vec::new();
    for (id, queue) in sorted(queues) {
        let known = queue.asides().map(|asides| sorted(known(asides))).unwrap_or_default();
        all.extend(known.into_iter().map(|(position, known)| (*id, *position, *known)));
    }
    all
}

fn sorted<K: Ord + Copy, V>(map: &HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut all: Vec<(&K, &V)> = map.iter().collect();
    all.sort_unstable_by_key(|(key, _)| **key);
    all
}
