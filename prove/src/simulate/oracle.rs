//! What was promised, kept in the simplest way that can be thought of, and compared with everything that the hub says.
//!
//! It hears each frame as the hub takes it, and each frame as the hub says it, and accuses only where there is no other explanation:
//! what was not answered may have happened or not.

mod delivered;
mod said;
mod taken;

use std::collections::{BTreeMap, HashMap};

use skep_core::Now;
use skep_protocol::{LeaseToken, Message, SubscriptionId};

use super::counts::Counts;
use super::places;

/// A message that somebody made.
pub(super) struct Letter {
    pub(super) message: Message,
    pub(super) topic: &'static str,
    pub(super) key: Option<u64>,
    /// Times it was given to the hub, without those that were certainly refused.
    possible: u32,
    position: Option<u64>,
    /// How many queues took it, as a receipt said.
    queues: Option<u32>,
    step: Option<usize>,
}

/// A message in one queue.
#[derive(Default)]
struct Copy {
    /// A receipt says it is there.
    is_owed: bool,
    /// Somebody may have dropped it: by a purge, with its queue, or by its own moment.
    may_be_gone: bool,
    is_acked: bool,
    /// Acks that may have happened.
    possible_acks: u32,
    /// It is a dead letter for certain.
    is_dead: bool,
    /// And nobody may have taken it away from there: its key waits for it.
    is_parking: bool,
    /// The next attempt is this one at least.
    attempt_min: u32,
    lease: Option<LeaseToken>,
    was_delivered: bool,
}

/// A lease that was said.
struct Lease {
    letter: usize,
    place: usize,
    in_dead: bool,
    attempt: u32,
    client: usize,
    subscription: SubscriptionId,
    /// It may still be held.
    is_open: bool,
    /// It is certainly held until this moment of the monotonic clock, unless it is over before.
    sure_until_ms: u64,
    lease_ms: u64,
    /// Settles that were tried under it.
    tried: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ack,
    Nack,
    Reject,
    Extend(u64),
    Return,
}

/// A settle that waits for its answer.
struct Asked {
    lease: LeaseToken,
    kind: Kind,
    /// Its lease was over when it came, and it was no repetition.
    is_stale: bool,
    /// It is no repetition of what was asked before.
    is_first: bool,
    /// Redrives of its queue by then.
    redrives: u64,
}

/// A settle and publishes that are one.
#[derive(Default)]
struct Step {
    letter: usize,
    place: usize,
    /// It was made: its messages were seen, or it was answered so.
    is_done: bool,
    /// It was not made: its input came again.
    is_void: bool,
}

/// What a command that is not answered yet may do.
#[derive(Default)]
struct Busy {
    /// Purges and deletions.
    drops: u32,
    redrives: u32,
    /// How many redrives began or ended so far.
    redriven: u64,
}

/// What was asked under a tag.
enum Waiting {
    Settles(Vec<Asked>, Option<usize>),
    Drop(usize),
    Redrive(usize),
}

struct Subscribed {
    window: usize,
    since_ms: u64,
}

/// See the module.
pub(super) struct Oracle {
    pub(super) letters: Vec<Letter>,
    copies: BTreeMap<(usize, usize), Copy>,
    leases: HashMap<LeaseToken, Lease>,
    steps: Vec<Step>,
    waiting: BTreeMap<(usize, u64), Waiting>,
    sequences: HashMap<(usize, u64), usize>,
    positions: HashMap<u64, usize>,
    subscribed: BTreeMap<(usize, SubscriptionId), Subscribed>,
    busy: [Busy; places::PLACES.len()],
    /// Of each key of the queue with order by key, the highest position that was delivered.
    keys: HashMap<u64, u64>,
    now: Now,
    wall_max_ms: u64,
    pub(super) counts: Counts,
}

/// What was broken.
pub(super) type Judged = Result<(), String>;

impl Oracle {
    pub(super) fn new(now: Now) -> Self {
        Oracle {
            letters: Vec::new(),
            copies: BTreeMap::new(),
            leases: HashMap::new(),
            steps: Vec::new(),
            waiting: BTreeMap::new(),
            sequences: HashMap::new(),
            positions: HashMap::new(),
            subscribed: BTreeMap::new(),
            busy: Default::default(),
            keys: HashMap::new(),
            now,
            wall_max_ms: now.unix_ms,
            counts: Counts::default(),
        }
    }

    pub(super) fn set_time(&mut self, now: Now) {
        self.now = now;
        self.wall_max_ms = self.wall_max_ms.max(now.unix_ms);
    }

    /// Somebody has a message to send; answers its number.
    pub(super) fn make(&mut self, message: Message, topic: &'static str, key: Option<u64>) -> usize {
        let letter = self.letters.len();
        self.letters.push(Letter { message, topic, key, possible: 0, position: None, queues: None, step: None });
        self.copies.extend(places::of(topic).map(|place| ((letter, place), Copy::default())));
        letter
    }

    /// The hub is no more: every lease of it is over, and what was not answered never will be.
    pub(super) fn died(&mut self) {
        self.leases.values_mut().for_each(|lease| lease.is_open = false);
        for place in 0..places::PLACES.len() {
            if self.busy[place].drops > 0 {
                self.may_drop(place);
            }
            if self.busy[place].redrives > 0 {
                self.may_redrive(place);
            }
        }
        self.busy.iter_mut().for_each(|busy| (busy.drops, busy.redrives) = (0, 0));
        self.waiting.clear();
        self.subscribed.clear();
    }

    /// A client's connection broke: its session waits for a while, unless it ended with it.
    pub(super) fn cut(&mut self, client: usize, is_closing: bool) {
        let grace_ms = if is_closing { 0 } else { skep_core::limits::RESUME_GRACE_MS };
        let until_ms = self.now.mono_ms + grace_ms;
        for lease in self.leases.values_mut().filter(|lease| lease.client == client) {
            lease.sure_until_ms = lease.sure_until_ms.min(until_ms);
        }
    }

    /// Everything was worked off: nothing that was promised is missing.
    pub(super) fn judge_books(&self) -> Judged {
        for ((letter, place), copy) in &self.copies {
            let of = &self.letters[*letter];
            let expires = of.message.view().expires_ms().ok().flatten();
            let is_expired = places::PLACES[*place].drops_expired && expires.is_some_and(|at| at <= self.wall_max_ms);
            let is_accounted = copy.is_acked || copy.possible_acks > 0 || copy.may_be_gone || is_expired;
            if copy.is_owed && !is_accounted {
                let name = places::PLACES[*place].name;
                return Err(format!("lost: m{letter} has a receipt at {:?}, and is not in queue {name}", of.position));
            }
        }
        Ok(())
    }

    fn copy(&mut self, letter: usize, place: usize) -> &mut Copy {
        self.copies.entry((letter, place)).or_default()
    }

    fn may_drop(&mut self, place: usize) {
        let sent = |letter: usize| self.letters[letter].possible > 0;
        for (_, copy) in self.copies.iter_mut().filter(|((letter, of), _)| *of == place && sent(*letter)) {
            (copy.may_be_gone, copy.is_parking) = (true, false);
        }
    }

    fn may_redrive(&mut self, place: usize) {
        for (_, copy) in self.copies.iter_mut().filter(|((_, of), _)| *of == place) {
            (copy.is_dead, copy.is_parking, copy.attempt_min) = (false, false, 0);
        }
    }
}
