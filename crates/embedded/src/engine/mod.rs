//! The pure engine: queues, leases, dedup and facts as state machines fed by the log.
//!
//! [`Engine::submit`] stages records and remembers who waits; [`Engine::advance`] is told
//! what has reached its level and lets it take effect; [`Engine::tick`] does what time asks
//! for; [`Engine::replay`] rebuilds the state from the log. No I/O, no clock, no threads:
//! time, randomness and what is durable are arguments. Staged state never rolls back.

mod ahead;
mod asides;
mod block;
mod bridge;
mod command;
mod consumer;
mod dead;
pub(crate) mod dedup;
mod delay;
mod deliver;
mod dump;
mod dump_bytes;
pub(crate) mod entry;
mod expiry;
mod facts;
mod keys;
mod lapse;
mod leb128;
mod levels;
mod line;
mod load;
mod memory;
mod needed;
mod order;
mod packed;
mod publish;
pub(crate) mod queue;
mod refusals;
mod replay;
mod room;
mod settle;
mod settled;
mod staging;
mod stand;
mod submission;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, RwLock};

use foldhash::HashMap;
use skep_core::{Completion, Level, Now, Outlet, Reply, Router, Wakes};
use skep_protocol::{Ended, Error, Filter, LeaseToken, QueueName};

pub(crate) use self::command::Held;
pub(crate) use self::consumer::ConsumerId;
use self::consumer::ConsumerState;
pub(crate) use self::dead::{HUB, Notice};
use self::dedup::{Ids, Producers};
use self::delay::Waiting;
use self::deliver::Lease;
use self::entry::{Entry, Place};
pub(crate) use self::expiry::EXPIRED;
pub(crate) use self::facts::FACT_END_BYTES;
use self::facts::FactTable;
use self::lapse::Lapses;
use self::levels::Levels;
pub(crate) use self::needed::{Needed, NeededBy};
use self::queue::Queue;
use self::replay::Recovering;
use self::room::Postponed;
pub(crate) use self::room::{Claim, Need, Shortage};
use self::settled::Settled;
pub(crate) use self::staging::Staging;
pub(crate) use self::stand::Stand;
pub(crate) use self::submission::{Begun, Left, Results, Submission};
use self::timers::Timers;
use crate::journal::{QueueId, Token};
use crate::limits::MEMORY_BYTES;
use crate::log::Written;
use crate::retained::Trees;

/// The state of a store.
pub(crate) struct Engine {
    /// How often the store was opened; the first half of every lease token.
    open: u64,
    /// Records below this are synced.
    durable: u64,
    /// Records below this have reached their level: they are written, and synced where that is theirs.
    reached: u64,
    /// Positions below this are never given out again, whatever is lost.
    reserved: u64,
    levels: Levels,
    /// Topic trees that are kept for looks, whether a queue takes them or not.
    trees: Arc<Trees>,
    queues: HashMap<QueueId, Box<Queue>>,
    /// In order, so that a look goes through them page by page.
    names: BTreeMap<QueueName, QueueId>,
    next_queue: QueueId,
    /// From topic to queues; shared, so that a publish can ask without the engine's lock.
    router: Arc<RwLock<Router<QueueId>>>,
    consumers: HashMap<ConsumerId, ConsumerState>,
    next_consumer: ConsumerId,
    leases: HashMap<u64, Lease>,
    next_lease: u64,
    /// Messages that wait, by queue and position.
    delayed: BTreeMap<(QueueId, u64), Waiting>,
    /// On the monotonic clock.
    timers: Timers,
    /// On the clock on the wall.
    calendar: Timers,
    settled: Settled,
    lapses: Lapses,
    producers: Producers,
    ids: Ids,
    facts: FactTable,
    /// What takes effect once records below it have reached their level, in order: a batch is synced before any of it takes
    /// effect if one of its records asks for that, so that none overtakes another.
    pending: VecDeque<(u64, Pending)>,
    /// What waits until records are synced that were not staged as such and may be written already, in order.
    until_synced: VecDeque<(u64, Pending)>,
    staging: Staging,
    /// Known to this store alone: it makes lease tokens hard to guess.
    secret: u64,
    /// Makes the hashes of keys its own.
    seed: u64,
    /// For the jitter of backoff; splitmix64.
    random: u64,
    /// Queues matched by the message at hand, or one after the other by those of an atomic step;
    /// kept for its room.
    matched: Vec<QueueId>,
    /// Messages routed so far: a queue that is matched again for the same one bears its number.
    routed: u64,
    /// Steps of the router for the message, or the atomic step, at hand.
    route_steps: usize,
    /// Queues from which something may be handed out once the write at hand is staged.
    touched: Vec<QueueId>,
    /// What senders of dead letters are owed, by the position of its record, until it is stored.
    owed: BTreeMap<u64, Notice>,
    /// Of those, the ones that the shell has not taken yet.
    notices: Vec<u64>,
    /// What waits for room in the log.
    postponed: Postponed,
    /// What the queues take in memory, and what the whole index may, in bytes.
    weight: u64,
    memory_max: u64,
    /// Leases seen during replay that nothing has ended yet.
    recovering: BTreeMap<(QueueId, u64), Recovering>,
}

/// What waits for a record.
enum Pending {
    /// A message becomes ready.
    Show { queue: QueueId, entry: Entry, is_new: bool, not_before_ms: u64 },
    /// A write is answered.
    Answer(Reply, Completion),
    /// A consumer is told that its queue is no more.
    End(Outlet, Error),
    /// Somebody is told.
    Call(Box<dyn FnOnce() + Send>),
}

/// What is to be done outside: the shell does it, in order.
#[derive(Default)]
pub(crate) struct Effects {
    /// Messages on their way to consumers.
    pub(crate) due: Vec<Due>,
    /// Senders to be told that their message died: what they are owed, and where the message lies.
    pub(crate) notices: Vec<(u64, Place)>,
    /// Mailboxes to wake once the lock is released.
    pub(crate) wakes: Wakes,
}

/// A message to be handed to a consumer.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) consumer: ConsumerId,
    pub(crate) outlet: Outlet,
    pub(crate) queue: QueueName,
    pub(crate) position: u64,
    pub(crate) place: Place,
    pub(crate) attempt: u32,
    pub(crate) token: Token,
    pub(crate) lease: LeaseToken,
    pub(crate) lease_ms: u64,
    pub(crate) previous: Option<Ended>,
}

impl Engine {
    /// An empty engine. `seed` makes its hashes and jitter its own.
    pub(crate) fn new(seed: u64) -> Self {
        Engine {
            open: 0,
            durable: 0,
            reached: 0,
            reserved: 0,
            levels: Levels::default(),
            trees: Arc::default(),
            queues: HashMap::default(),
            names: BTreeMap::new(),
            next_queue: 1,
            router: Arc::default(),
            consumers: HashMap::default(),
            next_consumer: 1,
            leases: HashMap::default(),
            next_lease: 1,
            delayed: BTreeMap::new(),
            timers: Timers::default(),
            calendar: Timers::default(),
            settled: Settled::default(),
            lapses: Lapses::default(),
            producers: Producers::new(seed),
            ids: Ids::new(seed),
            facts: FactTable::default(),
            pending: VecDeque::new(),
            until_synced: VecDeque::new(),
            staging: Staging::default(),
            secret: 0,
            seed,
            random: seed,
            matched: Vec::new(),
            routed: 0,
            route_steps: 0,
            touched: Vec::new(),
            owed: BTreeMap::new(),
            notices: Vec::new(),
            postponed: Postponed::default(),
            weight: 0,
            memory_max: MEMORY_BYTES,
            recovering: BTreeMap::new(),
        }
    }

    /// From topic to queues, for asking without the engine's lock.
    pub(crate) fn router(&self) -> Arc<RwLock<Router<QueueId>>> {
        self.router.clone()
    }

    /// Topic trees and how durable their messages are made; all others are synced.
    pub(crate) fn set_levels(&mut self, trees: Vec<(Filter, Level)>) {
        self.levels = Levels::new(trees);
    }

    /// Topic trees with a retention of their own.
    pub(crate) fn set_trees(&mut self, trees: Arc<Trees>) {
        self.trees = trees;
    }

    /// Topic trees with a retention of their own.
    pub(crate) fn trees(&self) -> Arc<Trees> {
        self.trees.clone()
    }

    /// A batch was written, and synced if any record in it asks for that. Lets take effect what waits for it, at most so many
    /// effects at once; answers whether more wait.
    pub(crate) fn advance(&mut self, written: Written, now: Now, most: usize, fx: &mut Effects) -> bool {
        self.reached = self.reached.max(written.end);
        self.reserved = self.reserved.max(written.reserved);
        self.synced(written.durable, fx);
        for _ in 0..most {
            if self.pending.front().is_none_or(|(at, _)| *at >= self.reached) {
                return false;
            }
            let Some((at, pending)) = self.pending.pop_front() else { return false };
            match pending {
                Pending::Show { queue, mut entry, is_new, not_before_ms } => {
                    if is_new && (written.first..written.end).contains(&at) {
                        let place = Place::new(written.batch, entry.place.offset, entry.place.len);
                        entry.place = place.expect("no file is longer than its bound");
                    }
                    self.show(queue, entry, not_before_ms, now, fx);
                }
                pending => tell(pending, fx),
            }
        }
        self.pending.front().is_some_and(|(at, _)| *at < self.reached)
    }

    /// Everything below a position is synced.
    pub(crate) fn synced(&mut self, durable: u64, fx: &mut Effects) {
        self.durable = self.durable.max(durable);
        while self.until_synced.front().is_some_and(|(at, _)| *at < self.durable) {
            self.until_synced.pop_front().into_iter().for_each(|(_, pending)| tell(pending, fx));
        }
    }

    /// Records below this are synced.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Records below this have reached their level.
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    #[cfg(test)]
    pub(crate) fn forget_reserved(&mut self) {
        self.reserved = 0;
    }

    /// Whether somebody waits for a sync of what may be written already.
    pub(crate) fn wants_sync(&self) -> bool {
        !self.until_synced.is_empty()
    }

    /// Whether records are to be written now: somebody waits for them, or there are many. Leases
    /// alone go with the next batch, or after a pause.
    pub(crate) fn is_due(&self) -> bool {
        !self.pending.is_empty() || self.staging.is_large() || self.wants_sync()
    }

    /// Whether anything is staged, even if nobody waits for it.
    pub(crate) fn has_staged(&self) -> bool {
        !self.staging.is_empty()
    }

    /// The records to be written next.
    pub(crate) fn staging(&mut self) -> &mut Staging {
        &mut self.staging
    }

    /// Calls back once everything staged so far is synced.
    pub(crate) fn when_durable(&mut self, call: impl FnOnce() + Send + 'static) {
        match self.staging.last() {
            Some(at) if at >= self.durable => self.wait_synced(at, Pending::Call(Box::new(call))),
            _ => call(),
        }
    }

    /// Drops everybody who waits: their replies answer `unknown`.
    pub(crate) fn abandon(&mut self) {
        self.pending.clear();
        self.until_synced.clear();
        self.facts.tellers.clear();
    }

    /// Answers once the record has reached its level, or is synced.
    fn answer(&mut self, at: Option<u64>, is_synced: bool, reply: Reply, completion: Completion, fx: &mut Effects) {
        match at {
            Some(at) if is_synced && at >= self.durable => self.wait_synced(at, Pending::Answer(reply, completion)),
            Some(at) if at >= self.reached => self.wait(at, Pending::Answer(reply, completion)),
            _ => reply.complete(completion, &mut fx.wakes),
        }
    }

    /// What waits, waits in order: for an older record no shorter than those who came before.
    fn wait(&mut self, at: u64, pending: Pending) {
        let at = self.pending.back().map_or(at, |(last, _)| at.max(*last));
        self.pending.push_back((at, pending));
    }

    /// What is still to be written is to be synced with it; for the rest the writer is asked.
    fn wait_synced(&mut self, at: u64, pending: Pending) {
        if at >= self.staging.first() {
            self.staging.ask(Level::FSYNC, at);
            return self.wait(at, pending);
        }
        let at = self.until_synced.back().map_or(at, |(last, _)| at.max(*last));
        self.until_synced.push_back((at, pending));
    }

    fn show(&mut self, queue: QueueId, entry: Entry, not_before_ms: u64, now: Now, fx: &mut Effects) {
        // A queue that was deleted meanwhile holds nothing any more.
        if let Some(held) = self.queues.get_mut(&queue) {
            if held.name.is_dead() {
                held.hold_died(entry.position, now.unix_ms);
            }
            if not_before_ms > now.unix_ms {
                self.delay(queue, entry, not_before_ms);
            } else {
                held.put(entry);
            }
            self.dispatch(queue, now, fx);
        }
    }
}

/// What waited for a record and changes nothing here is done.
fn tell(pending: Pending, fx: &mut Effects) {
    match pending {
        Pending::Answer(reply, completion) => reply.complete(completion, &mut fx.wakes),
        Pending::End(outlet, error) => {
            if outlet.mailbox.push(skep_core::Entry::Ended(outlet.subscription, outlet.nth, error)) {
                fx.wakes.add(&outlet.mailbox);
            }
        }
        Pending::Call(call) => call(),
        // It waits for its level only.
        Pending::Show { .. } => {}
    }
}
