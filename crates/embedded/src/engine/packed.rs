//! Neighbours in a line, packed: what waits in the midst of a long line takes a few bytes, in memory and in a snapshot.
//!
//! Each message is told by how it differs from the one before it: positions and places go up by little, and most say nothing of their
//! own. Of each: a byte of flags; the step of its position, upwards; the batch if it is another one (flag 1), as a step; the offset, as a
//! step from the end of the one before, or from 0 in another batch; the step of its length; attempts, priority (a byte) and level, if one of
//! them is another (flag 2); the step of its expiry, if that is another (flag 4). Numbers are LEB128, steps are zigzag; a level is told by
//! how far it is from the strongest. What never expires does so at the largest number.

use std::collections::VecDeque;
use std::iter;

use skep_core::Level;
use skep_protocol::Priority;

use super::entry::{Entry, NEVER, Place};
use super::leb128::{NUMBER_BYTES_MAX, put, put_step, take, take_step};

/// It lies in another batch than the one before it.
const OTHER_BATCH: u8 = 1;
/// It has other attempts, another priority or another level.
const OTHER_KIND: u8 = 2;
/// It expires at another moment.
const OTHER_EXPIRY: u8 = 4;

/// What one takes at most, in bytes: flags and priority of one byte each, offset, length and attempts of five, a level of three.
pub(super) const STEP_BYTES_MAX: u64 = 2 + 3 * 5 + 3 + 3 * NUMBER_BYTES_MAX;

/// What the first one differs from.
pub(super) const NOTHING: Entry = Entry {
    position: 0,
    place: Place::staged(0, 0),
    attempts: 0,
    priority: Priority::Normal,
    level: Level::FSYNC,
    expires_ms: NEVER,
};

// Packed, a message takes no less than in a snapshot: the first of a block is told as it is, the others as they are there.
const _: () = assert!(size_of::<Packed>() as u64 >= STEP_BYTES_MAX);

/// Messages in order, at least one.
#[derive(Debug)]
pub(super) struct Packed {
    first: Entry,
    /// The position of the last one.
    last: u64,
    /// Those after the first one.
    rest: Box<[u8]>,
    len: usize,
}

impl Packed {
    /// None where there is none.
    pub(super) fn of(entries: &VecDeque<Entry>) -> Option<Self> {
        let (first, last) = (entries.front()?, entries.back()?);
        let mut rest = Vec::new();
        entries.iter().zip(entries.iter().skip(1)).for_each(|(before, entry)| step(&mut rest, before, entry));
        Some(Packed { first: *first, last: last.position, rest: rest.into(), len: entries.len() })
    }

    pub(super) fn first(&self) -> &Entry {
        &self.first
    }

    /// The position of the last one.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.rest.len()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        let mut rest = self.rest.iter().copied();
        iter::successors(Some(self.first), move |before| next(&mut || rest.next(), before))
    }
}

/// Appends how a message differs from the one before it.
pub(super) fn step(out: &mut Vec<u8>, before: &Entry, entry: &Entry) {
    let (was, is) = (before.place.raw(), entry.place.raw());
    let kind = |entry: &Entry| (entry.attempts, entry.priority, entry.level);
    let flag = |flag, is_set: bool| if is_set { flag } else { 0 };
    let flags = flag(OTHER_BATCH, was.0 != is.0)
        | flag(OTHER_KIND, kind(before) != kind(entry))
        | flag(OTHER_EXPIRY, before.expires_ms != entry.expires_ms);
    out.push(flags);
    put(out, entry.position.wrapping_sub(before.position));
    if flags & OTHER_BATCH != 0 {
        put_step(out, was.0, is.0);
    }
    put_step(out, offset_before(&before.place, flags), u64::from(is.1));
    put_step(out, u64::from(was.2), u64::from(is.2));
    if flags & OTHER_KIND != 0 {
        put(out, u64::from(entry.attempts));
        out.push(entry.priority.number());
        put(out, u64::from(Level::FSYNC.number() - entry.level.number()));
    }
    if flags & OTHER_EXPIRY != 0 {
        put_step(out, before.expires_ms, entry.expires_ms);
    }
}

/// The message behind the one before it; none where the bytes end, or tell of none.
pub(super) fn next(byte: &mut impl FnMut() -> Option<u8>, before: &Entry) -> Option<Entry> {
    let flags = byte()?;
    let position = before.position.wrapping_add(take(byte)?);
    let (batch, _, len) = before.place.raw();
    let batch = if flags & OTHER_BATCH != 0 { take_step(byte, batch)? } else { batch };
    let offset = take_step(byte, offset_before(&before.place, flags))?;
    let len = take_step(byte, u64::from(len))?;
    let place = Place::of_raw(batch, u32::try_from(offset).ok()?, u32::try_from(len).ok()?);
    let (attempts, priority, level) = match flags & OTHER_KIND != 0 {
        true => {
            let (attempts, priority, below) = (take(byte)?, byte()?, take(byte)?);
            let level = u64::from(Level::FSYNC.number()).checked_sub(below)?;
            let level = Level::from_number(u16::try_from(level).ok()?)?;
            (u32::try_from(attempts).ok()?, Priority::from_number(priority.into())?, level)
        }
        false => (before.attempts, before.priority, before.level),
    };
    let expires_ms = if flags & OTHER_EXPIRY != 0 { take_step(byte, before.expires_ms)? } else { before.expires_ms };
    Some(Entry { position, place, attempts, priority, level, expires_ms })
}

/// What an offset is told from.
fn offset_before(place: &Place, flags: u8) -> u64 {
    let (_, offset, len) = place.raw();
    if flags & OTHER_BATCH != 0 { 0 } else { u64::from(offset) + u64::from(len) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As most are, and as none should be.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..3_u64, 2 => 0..500_u64, 1 => any::<u64>(), 1 => Just(NEVER)]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let place = (number(), 0..3_u32, any::<u32>(), prop_oneof![0..300_u32, any::<u32>()]);
        let place = place.prop_map(|(batch, offset, far, len)| {
            Place::of_raw(batch, if offset == 0 { far } else { offset * 100 }, len)
        });
        let level = prop_oneof![Just(Level::FSYNC), Just(Level::OS), Just(Level::MEMORY)];
        let kind = (prop_oneof![0..2_u32, any::<u32>()], level, 0..Priority::ALL.len());
        (number(), place, kind, number()).prop_map(|(position, place, (attempts, level, priority), expires_ms)| Entry {
            position,
            place,
            attempts,
            level,
            priority: Priority::ALL[priority],
            expires_ms,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn what_is_packed_is_unpacked_as_it_was(entries in prop::collection::vec(entry(), 1..100)) {
            let entries: VecDeque<Entry> = entries.into();
            let mut bytes = Vec::new();
            step(&mut bytes, &NOTHING, &entries[0]);
            prop_assert!(bytes.len() as u64 <= STEP_BYTES_MAX);
            let mut rest = bytes.iter().copied();
            prop_assert_eq!(next(&mut || rest.next(), &NOTHING), Some(entries[0]));
            let packed = Packed::of(&entries).expect("some");
            prop_assert_eq!((packed.len(), packed.last()), (entries.len(), entries[entries.len() - 1].position));
            prop_assert!(packed.iter().eq(entries));
        }
    }
}
