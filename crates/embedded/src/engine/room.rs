//! Who may take what is left of the log, and what is refused when the disk is full.
//!
//! What is staged cannot be taken back, so it is asked before whether room is prepared for it. Of the last room that is prepared each
//! claim leaves something to those below it: what grows the store to what is handed out, that to what settles it, what is tried again
//! to hand-outs and what settles them, and settles to what drops messages unsettled.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use skep_protocol::Error;

use super::ahead::Ahead;
use super::{Engine, lapse::Lapse};
use crate::journal::QueueId;
use crate::limits::{CLEARING_ROOM_BYTES, LEASE_ROOM_BYTES, ROLLS_MAX, TRYING_ROOM_BYTES};
use crate::log::Room;

/// What asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It grows the store: a publish, a fact, a declaration, a redrive.
    Growth,
    /// A message is handed out, or leaves its queue because time asks for it.
    Handing,
    /// What is handed out goes on, or is tried again: nothing becomes less by it.
    Trying,
    /// A lease ends, or a fact.
    Settling,
    /// A queue is deleted, or messages in it.
    Clearing,
}

/// Room in the log: bytes of records, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) claim: Claim,
    pub(crate) bytes: usize,
    pub(crate) records: u32,
}

/// What is refused, and why, while the disk has no room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shortage {
    /// What grows the store: the next segment, or what is kept for a full disk, cannot be had.
    pub(crate) growth: Option<Error>,
    /// What settles, too, once what is prepared is used up: nothing more can be.
    pub(crate) settles: Option<Error>,
}

/// What waits until there is room.
#[derive(Default)]
pub(super) struct Postponed {
    /// Queues from which nothing was handed out.
    queues: BTreeSet<QueueId>,
    /// Leases that are to end, and why.
    lapses: BTreeMap<u64, Lapse>,
    /// How many segments were begun since anything else was staged, and the position after the last of them.
    rolls: (u32, u64),
    /// The next position when it was last asked whether one is wanted.
    seen: u64,
}

impl Claim {
    /// Whether what is ahead leaves enough for claims before this one; so many leases are held.
    pub(super) fn leaves_enough(self, ahead: &Ahead, leases: usize) -> bool {
        match self {
            Claim::Growth => ahead.has_settle_room(),
            Claim::Handing => {
                !ahead.is_last() || ahead.left() >= CLEARING_ROOM_BYTES + LEASE_ROOM_BYTES * leases as u64
            }
            Claim::Trying => {
                let room = CLEARING_ROOM_BYTES + TRYING_ROOM_BYTES + LEASE_ROOM_BYTES * leases as u64;
                !ahead.is_last() || ahead.left() >= room
            }
            Claim::Settling => ahead.left() >= CLEARING_ROOM_BYTES,
            Claim::Clearing => true,
        }
    }
}

impl Shortage {
    /// Why a claim is refused where there is no room for it, if that is known; else it waits.
    pub(crate) fn of(&self, claim: Claim) -> Option<&Error> {
        match claim {
            Claim::Growth | Claim::Handing | Claim::Trying => self.growth.as_ref(),
            Claim::Settling | Claim::Clearing => self.settles.as_ref(),
        }
    }
}

impl Engine {
    /// Whether room is prepared for this in the log now.
    pub(crate) fn has_room(&self, need: &Need) -> bool {
        self.staging.is_prepared(need, self.leases.len())
    }

    /// The same for what nobody waits for.
    pub(super) fn has_room_for(&self, claim: Claim, bytes: usize, records: u32) -> bool {
        self.has_room(&Need { claim, bytes, records })
    }

    /// The writer has written what it took, and the log has this room now.
    pub(crate) fn written(&mut self, room: Room) {
        self.staging.written(room);
        self.go_on();
    }

    /// The spare has this room, 0 where there is none; whether that is all that can be had for now.
    pub(crate) fn prepared(&mut self, spare: u64, is_last: bool) {
        self.staging.prepared(spare, is_last);
        self.go_on();
    }

    /// Nothing is handed out from a queue until there is room.
    pub(super) fn hand_out_later(&mut self, id: QueueId) {
        self.postponed.queues.insert(id);
    }

    /// A lease ends when there is room.
    pub(super) fn lapse_later(&mut self, count: u64, why: Lapse) {
        self.postponed.lapses.entry(count).or_insert(why);
    }

    /// The deadline of a lease is a later one.
    pub(super) fn lapse_not(&mut self, count: u64) {
        if self.postponed.lapses.get(&count).is_some_and(|why| why.is_by_time()) {
            self.postponed.lapses.remove(&count);
        }
    }

    /// Whether the spare, which has this room, is to be begun although there is room before it: on a full disk, so that snapshots cover
    /// what was settled, and what is held needs no more room than that.
    /// Asked again and again, it is wanted once nothing is staged any more.
    pub(crate) fn wants_roll(&mut self, spare: u64) -> bool {
        let (rolls, position) = self.postponed.rolls;
        let has_news = position != self.staging.position();
        let is_quiet = mem::replace(&mut self.postponed.seen, self.staging.position()) == self.staging.position();
        let held: u64 = self.queues.values().map(|queue| queue.held).sum();
        is_quiet && (has_news || rolls < ROLLS_MAX) && spare > 0 && held.saturating_mul(LEASE_ROOM_BYTES) <= spare
    }

    /// Stages a record that says nothing in the next segment, which the writer is to begin.
    pub(crate) fn roll(&mut self) {
        let (rolls, position) = self.postponed.rolls;
        let rolls = if position == self.staging.position() { rolls } else { 0 };
        self.staging.roll();
        self.postponed.rolls = (rolls + 1, self.staging.position());
    }

    /// What waited for room is tried again.
    fn go_on(&mut self) {
        let (queues, lapses) = (mem::take(&mut self.postponed.queues), mem::take(&mut self.postponed.lapses));
        // What came to lie in a mailbox since then is under leases that end now.
        self.withdraw(lapses.keys().copied());
        // The newest first: what goes back to the front of a queue then costs little.
        for (count, why) in lapses.into_iter().rev() {
            let queue = self.lapse(count, why);
            self.touched.extend(queue);
        }
        self.touched.extend(queues);
    }
}
