//! Neighbours in a line: open, so that they can be changed, or packed.

use std::collections::VecDeque;

use super::entry::Entry;
use super::packed::Packed;

/// Messages in order.
#[derive(Debug)]
pub(super) enum Block {
    Open(VecDeque<Entry>),
    Packed(Box<Packed>),
}

impl Block {
    pub(super) fn len(&self) -> usize {
        match self {
            Block::Open(open) => open.len(),
            Block::Packed(packed) => packed.len(),
        }
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        match self {
            Block::Open(open) => open.front(),
            Block::Packed(packed) => Some(packed.first()),
        }
    }

    /// The position of the last one.
    pub(super) fn last(&self) -> Option<u64> {
        match self {
            Block::Open(open) => open.back().map(|last| last.position),
            Block::Packed(packed) => Some(packed.last()),
        }
    }

    /// The how-manieth is the one at a position, if it is there.
    pub(super) fn place_of(&self, position: u64) -> Option<usize> {
        match self {
            Block::Open(open) => open.binary_search_by_key(&position, |entry| entry.position).ok(),
            Block::Packed(packed) => packed.iter().position(|entry| entry.position == position),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        let (open, packed) = match self {
            Block::Open(open) => (Some(open), None),
            Block::Packed(packed) => (None, Some(packed)),
        };
        open.into_iter().flatten().copied().chain(packed.into_iter().flat_map(|packed| packed.iter()))
    }

    /// What it is packed as, if it is.
    pub(super) fn packed(&self) -> Option<&Packed> {
        match self {
            Block::Open(_) => None,
            Block::Packed(packed) => Some(packed),
        }
    }

    /// It can be changed from now on.
    pub(super) fn open(&mut self) -> &mut VecDeque<Entry> {
        if let Block::Packed(packed) = self {
            let mut open = VecDeque::with_capacity(packed.len());
            open.extend(packed.iter());
            *self = Block::Open(open);
        }
        match self {
            Block::Open(open) => open,
            Block::Packed(_) => unreachable!("it was opened a moment ago"),
        }
    }

    /// Packs it, if it is open; answers as what.
    pub(super) fn pack(&mut self) -> Option<&Packed> {
        let Block::Open(open) = self else { return None };
        *self = Block::Packed(Box::new(Packed::of(open)?));
        self.packed()
    }
}
