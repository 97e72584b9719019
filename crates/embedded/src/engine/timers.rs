//! What is to happen when: a hierarchical timer wheel.
//!
//! Each level has 64 slots, each as long as the whole level below it; those of the lowest are 10 ms.
//! A slot is a list of timers that runs through one slab, so that setting and clearing one costs the
//! same however many there are, and one that is cleared leaves nothing behind. A timer goes down a
//! level when its slot is reached, and comes due to the millisecond.

use crate::journal::QueueId;

/// What a moment brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A lease ends.
    Lease(u64),
    /// A message may have waited long enough.
    Delayed(QueueId, u64),
    /// A message of a queue may have expired.
    Expiry(QueueId),
    /// The sender of a dead letter is to be told, as the record at this position says.
    Notice(u64),
    /// A fact may have ended.
    Facts,
}

/// Names a timer that is set, for clearing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(u32);

/// The shortest slot, in milliseconds.
const SLOT_MS: u64 = 10;
/// A level has 2^6 slots.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// As many as every moment of 64 bits needs.
const LEVELS: usize = 11;
/// No timer follows.
const NONE: u32 = u32::MAX;
/// The place in the slab is not used.
const FREE: u32 = u32::MAX - 1;

/// Timers of one clock. One that is needed no more is cleared, so that there are never more than
/// leases, messages that wait, and notices that are owed.
#[derive(Debug)]
pub(crate) struct Timers {
    nodes: Vec<Node>,
    /// The first unused place of the slab.
    free: u32,
    levels: [Level; LEVELS],
    /// The slot of the lowest level, counted from the beginning of time, that was reached.
    reached: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    at_ms: u64,
    timer: Timer,
    next: u32,
    /// The one before it in its slot; [`FREE`] in an unused place.
    previous: u32,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// A bit for each slot that holds timers.
    used: u64,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u32,
    /// No timer in it comes before this moment. Clearing the soonest does not look for the next.
    from_ms: u64,
}

impl Default for Timers {
    fn default() -> Self {
        let slot = Slot { first: NONE, from_ms: u64::MAX };
        let level = Level { used: 0, slots: [slot; SLOTS] };
        Timers { nodes: Vec::new(), free: NONE, levels: [level; LEVELS], reached: 0 }
    }
}

impl Timers {
    pub(crate) fn set(&mut self, at_ms: u64, timer: Timer) -> Handle {
        let node = Node { at_ms, timer, next: NONE, previous: NONE };
        let at = match self.nodes.get_mut(self.free as usize) {
            Some(unused) => {
                let at = std::mem::replace(&mut self.free, unused.next);
                *unused = node;
                at
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("fewer than four billion timers fit into memory")
            }
        };
        self.link(at);
        Handle(at)
    }

    /// Clears a timer; one that has come due is cleared already.
    pub(crate) fn clear(&mut self, handle: Handle, timer: Timer) {
        let set = self.nodes.get(handle.0 as usize).filter(|node| node.previous != FREE && node.timer == timer);
        let Some(node) = set.copied() else { return };
        match self.nodes.get_mut(node.previous as usize) {
            Some(previous) => previous.next = node.next,
            None => {
                let (level, slot) = self.slot_of(node.at_ms);
                let level = &mut self.levels[level];
                level.slots[slot].first = node.next;
                if node.next == NONE {
                    level.used &= !(1 << slot);
                }
            }
        }
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.previous = node.previous;
        }
        self.release(handle.0);
    }

    /// A moment before which nothing comes due; none when nothing is set.
    pub(crate) fn next(&self) -> Option<u64> {
        // What lies on a lower level, or in a lower slot, is sooner.
        let level = self.levels.iter().find(|level| level.used != 0)?;
        Some(level.slots[level.used.trailing_zeros() as usize].from_ms)
    }

    /// Takes all whose time has come, the soonest first; those of one moment in the order of what
    /// they bring. Afterwards [`next`](Self::next) is later than this moment. A clock that was set
    /// back is gone back with.
    pub(crate) fn take(&mut self, now_ms: u64) -> Vec<Timer> {
        let now = now_ms / SLOT_MS;
        let mut due = Vec::new();
        let mut first = if now < self.reached { self.unlink_all() } else { self.unlink_until(now) };
        self.reached = now;
        while let Some(node) = self.nodes.get(first as usize).copied() {
            if node.at_ms <= now_ms {
                due.push((node.at_ms, node.timer));
                self.release(first);
            } else {
                self.link(first);
            }
            first = node.next;
        }
        due.sort_unstable();
        due.into_iter().map(|(_, timer)| timer).collect()
    }

    /// How many are set.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.iter().filter(|node| node.previous != FREE).count()
    }

    /// The slot of a moment: on the level of the highest digit in which it differs from what was
    /// reached. It stays there until that slot is reached.
    fn slot_of(&self, at_ms: u64) -> (usize, usize) {
        let at = (at_ms / SLOT_MS).max(self.reached);
        let level = (at ^ self.reached).checked_ilog2().unwrap_or(0) / SLOT_BITS;
        (level as usize, digit(at, level))
    }

    fn link(&mut self, at: u32) {
        let Some(at_ms) = self.nodes.get(at as usize).map(|node| node.at_ms) else { return };
        let (level, number) = self.slot_of(at_ms);
        let level = &mut self.levels[level];
        let slot = &mut level.slots[number];
        if level.used & (1 << number) == 0 {
            *slot = Slot { first: NONE, from_ms: u64::MAX };
        }
        level.used |= 1 << number;
        slot.from_ms = slot.from_ms.min(at_ms);
        let next = std::mem::replace(&mut slot.first, at);
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = at;
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            (node.next, node.previous) = (next, NONE);
        }
    }

    fn release(&mut self, at: u32) {
        if let Some(node) = self.nodes.get_mut(at as usize) {
            (node.next, node.previous) = (self.free, FREE);
            self.free = at;
        }
    }

    /// Empties every slot that begins until then; answers the first of a list of what was in them.
    fn unlink_until(&mut self, now: u64) -> u32 {
        let mut first = NONE;
        for level in 0..LEVELS {
            let number = u32::try_from(level).unwrap_or_default();
            // Beyond a whole turn of this level every slot of it has begun.
            let whole_turn =
                now.checked_shr((number + 1) * SLOT_BITS) != self.reached.checked_shr((number + 1) * SLOT_BITS);
            let begun = if whole_turn { u64::MAX } else { u64::MAX >> (SLOTS - 1 - digit(now, number)) };
            first = self.unlink(level, begun, first);
        }
        first
    }

    fn unlink_all(&mut self) -> u32 {
        (0..LEVELS).fold(NONE, |first, level| self.unlink(level, u64::MAX, first))
    }

    /// Empties slots of a level; what was in them goes before `after`.
    fn unlink(&mut self, level: usize, slots: u64, mut after: u32) -> u32 {
        let level = &mut self.levels[level];
        while level.used & slots != 0 {
            let slot = (level.used & slots).trailing_zeros();
            level.used &= !(1 << slot);
            let first = level.slots[slot as usize].first;
            let mut last = first;
            while let Some(node) = self.nodes.get_mut(last as usize) {
                if node.next == NONE {
                    node.next = after;
                    break;
                }
                last = node.next;
            }
            after = first;
        }
        after
    }
}

/// A digit of a slot's number, as the levels count.
fn digit(at: u64, level: u32) -> usize {
    (at >> (level * SLOT_BITS)) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Set { after_ms: u64, timer: u64 },
        SetBefore { before_ms: u64, timer: u64 },
        Clear { which: usize },
        Pass { ms: u64 },
        GoBack { ms: u64 },
    }

    /// Near and far, and far beyond what a clock shows.
    fn span() -> impl Strategy<Value = u64> {
        prop_oneof![0..30_u64, 0..1_000_u64, 0..100_000_u64, 0..u64::from(u32::MAX), Just(u64::MAX / 2), Just(u64::MAX)]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (span(), 0..9_u64).prop_map(|(after_ms, timer)| Op::Set { after_ms, timer }),
            1 => (span(), 0..9_u64).prop_map(|(before_ms, timer)| Op::SetBefore { before_ms, timer }),
            4 => (0..64_usize).prop_map(|which| Op::Clear { which }),
            5 => prop_oneof![0..15_u64, 0..700_u64, 0..50_000_u64, 0..10_000_000_u64].prop_map(|ms| Op::Pass { ms }),
            1 => (0..5_000_u64).prop_map(|ms| Op::GoBack { ms }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        /// An ordered set is the model.
        #[test]
        fn the_wheel_tells_what_an_ordered_set_tells(ops in prop::collection::vec(op(), 1..200)) {
            let (mut wheel, mut model, mut now) = (Timers::default(), BTreeSet::new(), 1_000_000_u64);
            let mut handles = Vec::new();
            for (nth, op) in ops.into_iter().enumerate() {
                let mut set = |at_ms: u64, timer| {
                    // Several timers may bring the same: each is one of its own.
                    let timer = if timer < 4 { Timer::Lease(nth as u64) } else { Timer::Delayed(nth as u32, timer) };
                    model.insert((at_ms, timer));
                    handles.push((wheel.set(at_ms, timer), at_ms, timer));
                };
                match op {
                    Op::Set { after_ms, timer } => set(now.saturating_add(after_ms), timer),
                    Op::SetBefore { before_ms, timer } => set(now.saturating_sub(before_ms), timer),
                    Op::Clear { which } => {
                        // Also of one that was cleared, or came due, before.
                        if let Some((handle, at_ms, timer)) = handles.get(which % handles.len().max(1)).copied() {
                            wheel.clear(handle, timer);
                            model.remove(&(at_ms, timer));
                        }
                    }
                    Op::Pass { ms } => now += ms,
                    Op::GoBack { ms } => now -= ms.min(now),
                }
                prop_assert_eq!(wheel.len(), model.len());
                let first = model.first().map(|(at_ms, _)| *at_ms);
                prop_assert_eq!(wheel.next().is_some(), first.is_some());
                prop_assert!(wheel.next() <= first, "{:?} is later than {:?}", wheel.next(), first);
                if nth % 2 == 0 {
                    let later = model.split_off(&(now.saturating_add(1), Timer::Lease(0)));
                    let due: Vec<Timer> = std::mem::replace(&mut model, later).into_iter().map(|(_, timer)| timer).collect();
                    prop_assert_eq!(wheel.take(now), due);
                    prop_assert!(wheel.next().is_none_or(|at| at > now), "what is next lies ahead");
                }
            }
        }
    }

    #[test]
    fn timers_that_are_cleared_leave_nothing_behind() {
        let mut timers = Timers::default();
        for n in 0..100_000 {
            let handle = timers.set(60_000 + n, Timer::Lease(n));
            timers.clear(handle, Timer::Lease(n));
        }
        assert_eq!((timers.len(), timers.nodes.len(), timers.next()), (0, 1, None));
    }

    #[test]
    fn a_timer_is_small() {
        assert!(size_of::<Node>() <= 32, "{} bytes", size_of::<Node>());
    }

    #[test]
    fn a_wait_of_a_day_wakes_only_as_often_as_there_are_levels() {
        let mut timers = Timers::default();
        timers.take(1_000);
        timers.set(86_401_234, Timer::Lease(1));
        let cleared = timers.set(86_400_000, Timer::Lease(2));
        timers.clear(cleared, Timer::Lease(2));
        let mut wakes = 0;
        while let Some(at) = timers.next() {
            wakes += 1;
            let due = timers.take(at);
            assert_eq!(due.is_empty(), at < 86_401_234, "to the millisecond");
        }
        assert!(wakes <= LEVELS, "{wakes} times");
    }
}
