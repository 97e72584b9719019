//! Dead letters: where messages go that were rejected or tried too often.

use skep_core::{Now, Outgoing, Write};
use skep_protocol::{Ended, Message, QueueName, QueueSpec};

use super::entry::{Entry, Place};
use super::expiry::EXPIRED;
use super::publish::Plan;
use super::queue::Queue;
use super::submission::Results;
use super::timers::Timer;
use super::{Claim, Effects, Engine, Pending};
use crate::journal::{By, LeaseOf, QueueId, Record, Token};
use crate::limits::NOTICE_RETRY_MS;

/// The party that the hub is when it publishes.
pub(crate) const HUB: &str = "skep/hub";

/// More bytes than the record takes of a dead letter that is dropped.
const DROP_BYTES: usize = 128;
/// Bytes of a Told record beside its text.
const TOLD_BYTES: usize = 64;

/// A sender to be told that a message of theirs died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) place: Place,
    pub(crate) position: u64,
    pub(crate) queue: QueueName,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
}

impl Engine {
    /// Moves a message to the dead letters of its queue, with the reason; answers the record.
    /// A dead letter that dies again is dropped: dead letters have none of their own.
    pub(super) fn bury(
        &mut self,
        lease: &LeaseOf,
        entry: Entry,
        progress: Option<String>,
        reason: &str,
        by: By,
    ) -> u64 {
        let Some(queue) = self.queues.get(&lease.queue) else { return 0 };
        let Some(name) = queue.name.dead() else {
            self.release(lease.queue, &entry);
            return self.staging.append_at(entry.level, &Record::Drop { lease: *lease, by, reason });
        };
        let notice = Notice::of(queue, &entry, reason);
        let spec = QueueSpec { filters: Vec::new(), attempts_max: 0, ..QueueSpec::new(name.clone()) };
        let dead = match self.names.get(&name) {
            Some(dead) => *dead,
            None => self.declare_new(spec),
        };
        let record = Record::Dead { lease: *lease, to: dead, by, owed: true, reason };
        let at = self.staging.append_at(entry.level, &record);
        self.owed.insert(at, notice);
        self.notices.push(at);
        let ended = Ended { reason: reason.to_owned(), progress };
        self.die(lease.queue, dead, &entry, ended, comes_back(by, reason));
        self.pending.push_back((at, Pending::Show { queue: dead, entry, is_new: false, not_before_ms: 0 }));
        // Room is made later: what is dropped for it must not stand between records of one step.
        self.touched.push(dead);
        at
    }

    /// A message is among the dead letters of its queue, with the reason beside it; if it may come back, its key is parked.
    pub(super) fn die(&mut self, from: QueueId, dead: QueueId, entry: &Entry, ended: Ended, comes_back: bool) {
        let tries = self.queues.get(&from).and_then(|queue| queue.tries(entry.position));
        let key = self.queues.get_mut(&from).and_then(|queue| queue.die(entry, comes_back));
        if let Some(queue) = self.queues.get_mut(&dead) {
            queue.hold(entry);
            tries.into_iter().for_each(|tries| queue.hold_tries(entry.position, tries));
            queue.note(entry.position, ended);
            key.into_iter().for_each(|key| queue.hold_dead_key(entry, key));
        }
        self.weigh(from);
        self.weigh(dead);
    }

    /// Dead letters beyond their bounds drop their oldest, and the log tells. One may always stay.
    pub(super) fn trim(&mut self, id: QueueId) {
        while let Some(queue) = self.queues.get(&id) {
            if !queue.is_over() || !queue.name.is_dead() {
                return;
            }
            if !self.has_room_for(Claim::Handing, DROP_BYTES, 1) {
                return self.hand_out_later(id);
            }
            let Some(queue) = self.queues.get_mut(&id) else { return };
            let Some(oldest) = queue.take_oldest() else { return };
            self.release(id, &oldest);
            let lease =
                LeaseOf { queue: id, position: oldest.position, token: Token::default(), attempt: oldest.attempts };
            let record = Record::Drop { lease, by: By::Hub, reason: "the dead letters are full" };
            self.staging.append_at(oldest.level, &record);
        }
    }
}

impl Engine {
    /// Senders are to be told now.
    pub(super) fn tell_senders(&mut self, fx: &mut Effects) {
        // What time brings comes newest first.
        self.notices.sort_unstable();
        let owed = &self.owed;
        fx.notices.extend(self.notices.drain(..).filter_map(|at| Some((at, owed.get(&at)?.place))));
    }

    /// What the sender of a dead letter is owed, by the position of its record.
    pub(crate) fn owed(&self, at: u64) -> Option<&Notice> {
        self.owed.get(&at)
    }

    /// A notice that cannot be paid now is tried again.
    pub(crate) fn pay_later(&mut self, at: u64, now: Now) {
        self.timers.set(now.mono_ms + NOTICE_RETRY_MS, Timer::Notice(at));
    }

    /// Stores a notice that is owed and, in the same batch, that it is owed no more: however the hub
    /// ends, it is told once. Without a message there is nobody to tell. Without room in the log it
    /// stays owed, and is tried again; a full inbox is not waited for.
    pub(crate) fn pay(&mut self, at: u64, message: Option<&Message>, now: Now, fx: &mut Effects) {
        let Some(position) = self.owed.get(&at).map(|notice| notice.position) else { return };
        let write = Write { settles: &[], publishes: &[], atomic: false, party: HUB, producer: None };
        let outgoing = message.map(Outgoing::new);
        let plan = match &outgoing {
            Some(outgoing) => {
                self.begin_routes();
                // On a full disk it may take what room is prepared, and then waits: the letter is dead already.
                self.plan(&write, outgoing, now, None)
            }
            None => Plan::Unmatched,
        };
        let refused = if let Plan::Refused(error) = &plan { error.to_string() } else { String::new() };
        let (bytes, records) = outgoing.as_ref().map_or((0, 0), |outgoing| Self::cost(&plan, &write, outgoing));
        let (bytes, records) = (bytes + refused.len() + TOLD_BYTES, records + 1);
        let is_stored = matches!(plan, Plan::Store { .. });
        let claim = if is_stored { Claim::Growth } else { Claim::Settling };
        let is_short = !self.has_room_for(claim, bytes, records);
        if is_short || self.check_crowd(plan.entries()).is_err() || !self.staging.has_room(bytes, records) {
            return self.pay_later(at, now);
        }
        self.staging.together(bytes, records);
        if let Some(outgoing) = &outgoing {
            self.publish(&write, outgoing, plan, now, &mut Results::default());
        }
        self.staging.append(&Record::Told { dead: at, position, refused: &refused });
        self.owed.remove(&at);
        self.dispatch_touched(now, fx);
    }
}

impl Notice {
    pub(super) fn of(queue: &Queue, entry: &Entry, reason: &str) -> Self {
        let (place, position, attempts) = (entry.place, entry.position, entry.attempts);
        Notice { place, position, queue: queue.name.clone(), reason: reason.to_owned(), attempts }
    }
}

/// Whether a dead letter may come back: not one that expired.
pub(super) fn comes_back(by: By, reason: &str) -> bool {
    by != By::Hub || reason != EXPIRED
}
