//! Neighbours in a line, packed: what waits in the midst of a long line takes a few bytes.
//!
//! Each message is told by how it differs from the one before it: positions and places go up by little, and most say nothing of their
//! own. Of each: a byte of flags; the step of its position; the batch if it is another one, as a step; the offset, as a step from the
//! end of the one before, or as it is in another batch; the step of its length; the number of its kind and the step of its expiry, if
//! they are others. Numbers are LEB128, steps are zigzag. It never leaves the memory of the process.

use std::collections::VecDeque;
use std::iter;

use skep_core::Level;
use skep_protocol::Priority;

use super::entry::{Entry, Place};

/// It lies in another batch than the one before it.
const OTHER_BATCH: u8 = 1;
/// It is of another kind.
const OTHER_KIND: u8 = 2;
/// It expires at another moment.
const OTHER_EXPIRY: u8 = 4;

/// What is the same of most messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    attempts: u32,
    priority: Priority,
    level: Level,
}

impl Kind {
    fn of(entry: &Entry) -> Self {
        Kind { attempts: entry.attempts, priority: entry.priority, level: entry.level }
    }
}

/// Messages in order, at least one.
#[derive(Debug)]
pub(super) struct Packed {
    first: Entry,
    /// The position of the last one.
    last: u64,
    /// Those after the first one.
    rest: Box<[u8]>,
    kinds: Box<[Kind]>,
    len: usize,
}

impl Packed {
    /// None where there is none, or where they are of more kinds than there are numbers.
    pub(super) fn of(entries: &VecDeque<Entry>) -> Option<Self> {
        let (first, last) = (entries.front()?, entries.back()?);
        let (mut rest, mut kinds) = (Vec::new(), Vec::new());
        kind_number(&mut kinds, first)?;
        for (before, entry) in entries.iter().zip(entries.iter().skip(1)) {
            let kind = kind_number(&mut kinds, entry)?;
            step(&mut rest, before, entry, kind);
        }
        Some(Packed { first: *first, last: last.position, rest: rest.into(), kinds: kinds.into(), len: entries.len() })
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
        size_of::<Self>() + self.rest.len() + size_of_val(&*self.kinds)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        let mut rest = &*self.rest;
        iter::successors(Some(self.first), move |before| next(&mut rest, &self.kinds, before))
    }
}

/// The number of a message's kind, which is added if it is new.
fn kind_number(kinds: &mut Vec<Kind>, entry: &Entry) -> Option<u8> {
    let kind = Kind::of(entry);
    let known = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
        kinds.push(kind);
        kinds.len() - 1
    });
    u8::try_from(known).ok()
}

fn step(out: &mut Vec<u8>, before: &Entry, entry: &Entry, kind: u8) {
    let (was, is) = (before.place.raw(), entry.place.raw());
    let flag = |flag, is_set: bool| if is_set { flag } else { 0 };
    let flags = flag(OTHER_BATCH, was.0 != is.0)
        | flag(OTHER_KIND, Kind::of(before) != Kind::of(entry))
        | flag(OTHER_EXPIRY, before.expires_ms != entry.expires_ms);
    out.push(flags);
    put(out, entry.position.wrapping_sub(before.position));
    if flags & OTHER_BATCH != 0 {
        put_step(out, was.0, is.0);
    }
    put_step(out, offset_before(&before.place, flags), u64::from(is.1));
    put_step(out, u64::from(was.2), u64::from(is.2));
    if flags & OTHER_KIND != 0 {
        out.push(kind);
    }
    if flags & OTHER_EXPIRY != 0 {
        put_step(out, before.expires_ms, entry.expires_ms);
    }
}

fn next(rest: &mut &[u8], kinds: &[Kind], before: &Entry) -> Option<Entry> {
    let flags = take_byte(rest)?;
    let position = before.position.wrapping_add(take(rest)?);
    let (batch, _, len) = before.place.raw();
    let batch = if flags & OTHER_BATCH != 0 { take_step(rest, batch)? } else { batch };
    let offset = take_step(rest, offset_before(&before.place, flags))?;
    let len = take_step(rest, u64::from(len))?;
    let place = Place::of_raw(batch, u32::try_from(offset).ok()?, u32::try_from(len).ok()?);
    let Kind { attempts, priority, level } = match flags & OTHER_KIND != 0 {
        true => *kinds.get(usize::from(take_byte(rest)?))?,
        false => Kind::of(before),
    };
    let expires_ms = if flags & OTHER_EXPIRY != 0 { take_step(rest, before.expires_ms)? } else { before.expires_ms };
    Some(Entry { position, place, attempts, priority, level, expires_ms })
}

/// What an offset is told from.
fn offset_before(place: &Place, flags: u8) -> u64 {
    let (_, offset, len) = place.raw();
    if flags & OTHER_BATCH != 0 { 0 } else { u64::from(offset) + u64::from(len) }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_step(out: &mut Vec<u8>, from: u64, to: u64) {
    let step = to.wrapping_sub(from).cast_signed();
    put(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some(*byte)
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take_byte(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_step(rest: &mut &[u8], from: u64) -> Option<u64> {
    let number = take(rest)?;
    Some(from.wrapping_add((number >> 1) ^ (number & 1).wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::NEVER;
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
            let packed = Packed::of(&entries).expect("few kinds");
            prop_assert_eq!((packed.len(), packed.last()), (entries.len(), entries[entries.len() - 1].position));
            prop_assert!(packed.iter().eq(entries));
        }
    }
}
