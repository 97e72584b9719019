//! The state as bytes: all that replay has built and the rest of a replay needs, and nothing of one opening.
//!
//! Every struct of the state is taken apart here without a rest, so that whoever adds a field decides whether it is kept.
//! All that has no order is written in order: equal states are equal bytes. They pass through a buffer: beside that, a large state takes
//! as much memory as it takes to put its queues and its producers in order, and none for its messages. [`Engine::load`] reads them.
//!
//! Numbers are LEB128; a text or a list begins with its length. Seeds, keys and hashes have a fixed length, little-endian, that is said
//! below. An end or an expiry is the moment (unix ms) and one more, 0 where there is none; what may be without text is 0 or 1, and a text.
//!
//! | part | holds |
//! |---|---|
//! | keys | seed of their hashes 8 |
//! | queues | next id; of each: id, declaration as JSON, ready entries, notes (position, end of an attempt), died, tries, order by key |
//! | delayed | of each: queue, until (unix ms), entry |
//! | recovering | of each: queue, entry, progress |
//! | settled | of each: when, token (opening, count), kind 1, position of its record |
//! | producers | seed 8, uses; of each: key 16, last use, highest, runs (sequence, count, position, queues); uses (number, key 16, when) |
//! | ids | seed 8; of each: when, hash 16, position, queues, hash of the payload 8 |
//! | facts | of each: key, revision, end, value |
//! | owed | of each: position of the death, place, position, queue, reason, attempts |
//! | fingerprints | of each producer: key 16, those of its last sequences 4, or 0; not in a snapshot of version 2 |
//!
//! Ready entries are those of each priority in order of position. Died is of each dead letter of which it is known: position, when (unix
//! ms). Tries are of each message that says itself how it is tried again: position, the text of its `retry`. The end of an attempt is its
//! reason and progress.
//!
//! Order by key is: keys of messages held (position, key 8), those that joined late (position, joined, due), dead letters (position, key 8,
//! expiry), and of each key of which one is ready, leased or waits: itself 8, the position of its head or 0, the entries that wait.
//!
//! An entry is told as in memory, by how it differs from the one that was written before it, wherever that was, as [`packed`](super::packed)
//! says; the first from one whose numbers are all 0, of normal priority and without expiry. Each has the strongest level. A place is: batch
//! (number of the segment times 2^30, and its offset in units of 8), offset within it, length.

mod out;

use std::collections::BTreeMap;
use std::io::{self, Write};

use foldhash::HashMap;
use skep_protocol::Ended;

use self::out::Out;
use super::Engine;
use super::asides::Asides;
use super::dead::Notice;
use super::dedup::{Id, Ids, Producer, Producers, Stored, Use};
use super::delay::Waiting;
use super::entry::NEVER;
use super::facts::{FactTable, Known};
use super::keys::{Chain, Died, Key, Keys, Rank};
use super::queue::Queue;
use super::replay::Recovering;
use super::settled::{Kind, Settled};
use crate::journal::{QueueId, Token};

impl Engine {
    /// Writes the state, some of it at a time. Only of an engine that has replayed and does not serve yet.
    ///
    /// # Errors
    /// Those of `to`, to which nothing is written after the first.
    pub(crate) fn dump(&self, to: &mut dyn Write) -> io::Result<()> {
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
        let mut out = Out::new(to, self.dump_bytes_max());
        out.hash(*seed);
        out.number(*next_queue);
        out.list(sorted(queues), |out, (id, queue)| out.queue(*id, queue));
        out.list(delayed, |out, ((queue, _), Waiting { entry, until_ms, handle: _ })| {
            out.number(*queue);
            out.number(*until_ms);
            out.entry(entry);
        });
        out.recovering(recovering);
        out.settled(settled);
        out.producers(producers);
        out.ids(ids);
        out.facts(facts);
        out.owed(owed);
        out.fingerprints(producers);
        out.finish()
    }
}

/// What a settle is written as.
pub(super) const KINDS: [Kind; 4] = [Kind::Ack, Kind::Nack, Kind::Reject, Kind::Return];

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
            died,
            tries,
            // These follow from the notes and the entries.
            notes_bytes: _,
            expiring: _,
        } = asides.as_deref().unwrap_or(&none);
        self.number(id);
        self.bytes(&serde_json::to_vec(spec).expect("a declaration is JSON"));
        self.items(queue.ready_count(), queue.in_line(), |out, entry| out.entry(&entry));
        self.list(notes, |out, (position, Ended { reason, progress })| {
            out.number(*position);
            out.bytes(reason.as_bytes());
            out.optional(progress.as_deref());
        });
        self.list(died, |out, (position, at_ms)| {
            out.number(*position);
            out.number(*at_ms);
        });
        self.list(tries, |out, (position, tries)| {
            out.number(*position);
            out.bytes(tries.to_string().as_bytes());
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
            out.number(*position);
            out.hash(*key);
        });
        // All that follows is of messages that were just said, but for the dead.
        let ranks = of.keys().filter_map(|position| late.get(position));
        self.items(late.len() as u64, ranks, |out, Rank { joined, due_ms, position }| {
            out.number(*position);
            out.number(*joined);
            out.number(*due_ms);
        });
        self.list(dead, |out, (position, Died { key, expires_ms })| {
            out.number(*position);
            out.hash(*key);
            out.end(*expires_ms);
        });
        // What joins later is among the delayed; the dead were said above.
        let begins = |(position, key): (&u64, &Key)| {
            let chain = chains.get(key).filter(|chain| chain.first() == Some(*position))?;
            Some((*key, chain))
        };
        let count = of.iter().filter_map(begins).count() as u64;
        self.items(count, of.iter().filter_map(begins), |out, (key, Chain { head, waiting, later: _, dead: _ })| {
            out.hash(key);
            out.number(head.unwrap_or(0));
            out.list(waiting.values(), |out, entry| out.entry(entry));
        });
    }

    fn recovering(&mut self, recovering: &BTreeMap<(QueueId, u64), Recovering>) {
        self.list(recovering, |out, ((queue, _), Recovering { entry, progress })| {
            out.number(*queue);
            out.entry(entry);
            out.optional(progress.as_deref());
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
            out.number(*revision);
            out.end(until_ms.unwrap_or(NEVER));
            out.bytes(value);
        });
    }

    fn owed(&mut self, owed: &BTreeMap<u64, Notice>) {
        self.list(owed, |out, (at, Notice { place, position, queue, reason, attempts })| {
            out.number(*at);
            out.place(place);
            out.number(*position);
            out.bytes(queue.as_str().as_bytes());
            out.bytes(reason.as_bytes());
            out.number(*attempts);
        });
    }

    fn settled(&mut self, Settled { known, order }: &Settled) {
        self.list(order, |out, (unix_ms, token)| {
            let Token { open, count } = token;
            let (kind, at) = known.get(token).copied().unwrap_or((Kind::Ack, 0));
            out.number(*unix_ms);
            out.number(*open);
            out.number(*count);
            out.fixed(&[KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u8]);
            out.number(at);
        });
    }

    fn producers(&mut self, producers: &Producers) {
        let Producers {
            seed,
            known,
            uses,
            uses_count,
            // These follow from the fingerprints, which come last.
            fingerprints: _,
            bare: _,
        } = producers;
        self.hash(*seed);
        self.number(*uses_count);
        self.list(sorted(known), |out, (key, Producer { stored, used })| {
            let (highest, runs) = stored.runs();
            out.fixed(&key.to_le_bytes());
            out.number(*used);
            out.number(highest);
            out.list(runs, |out, (first, count, Stored { position, queues })| {
                out.number(first);
                out.number(count);
                out.number(*position);
                out.number(*queues);
            });
        });
        self.list(uses, |out, Use { number, key, unix_ms }| {
            out.number(*number);
            out.fixed(&key.to_le_bytes());
            out.number(*unix_ms);
        });
    }

    fn fingerprints(&mut self, producers: &Producers) {
        self.list(sorted(&producers.known), |out, (key, Producer { stored, used: _ })| {
            out.fixed(&key.to_le_bytes());
            out.list(stored.fingerprints(), |out, told_by| out.fixed(&told_by.to_le_bytes()));
        });
    }

    fn ids(&mut self, Ids { seed, order, known }: &Ids) {
        self.hash(*seed);
        self.list(order, |out, (unix_ms, hash, position)| {
            // Stored again since, it is the later one that is known.
            let Id { queues, payload, position: _ } = known.get(hash).copied().unwrap_or_default();
            out.number(*unix_ms);
            out.fixed(hash);
            out.number(*position);
            out.number(queues);
            out.hash(payload);
        });
    }
}

fn sorted<K: Ord + Copy, V>(map: &HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut all: Vec<(&K, &V)> = map.iter().collect();
    all.sort_unstable_by_key(|(key, _)| **key);
    all
}
