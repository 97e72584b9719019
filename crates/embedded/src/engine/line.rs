//! Ready messages of one priority, in order of position.
//!
//! They lie in blocks: what comes and goes at the ends touches the end blocks alone, and one that comes back into the midst moves those
//! of its block aside and no others, so that the return of many costs little whatever their order. No block is ever empty.
//!
//! The last block has room for what is in it and for an eighth of the line more: a short line is small, and a long one does not move what
//! it holds to grow. A full block behind which another begins is packed, and opened when somebody takes from it. What has drained takes no
//! memory.

use std::collections::VecDeque;

use super::block::Block;
use super::entry::Entry;

/// Messages of a block, at most.
pub(super) const BLOCK: usize = 64;
/// So many messages' room is made at once.
const ROOM_MIN: usize = 4;
/// Two neighbours become one block where they are no more than this together, so that it is not split again at once.
const MERGED: usize = BLOCK / 4 * 3;

/// Messages in order.
#[derive(Debug, Default)]
pub(super) struct Line {
    blocks: VecDeque<Block>,
    len: usize,
    /// The block in the midst that was changed last, or the first one: most changes there follow each other. It is packed when another
    /// one is changed.
    changed: usize,
    /// Messages in packed blocks, and the bytes of those.
    packed: usize,
    packed_bytes: usize,
    /// How often a message was moved to make room for others.
    #[cfg(test)]
    moved: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many messages are packed, and what they take, in bytes.
    pub(super) fn packed(&self) -> (usize, usize) {
        (self.packed, self.packed_bytes)
    }

    /// Adds a message, however late it comes.
    pub(super) fn put(&mut self, entry: Entry) {
        self.len += 1;
        match (self.first(), self.blocks.back().and_then(Block::last)) {
            (Some(first), _) if first.position > entry.position => self.put_first(entry),
            (_, Some(last)) if last > entry.position => self.put_between(entry),
            _ => self.put_last(entry),
        }
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&Entry> {
        self.blocks.front()?.first()
    }

    /// Takes the oldest.
    pub(super) fn take(&mut self) -> Option<Entry> {
        let first = self.open(0)?.pop_front();
        self.took(0);
        first
    }

    /// Takes the one at a position, if it is there.
    pub(super) fn take_at(&mut self, position: u64) -> Option<Entry> {
        let at = self.block_of(position);
        let place = self.blocks.get(at)?.place_of(position)?;
        let entry = self.change(at)?.remove(place);
        self.took(at);
        self.merge(at);
        entry
    }

    /// All, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.blocks.iter().flat_map(Block::iter)
    }

    /// Those from a position on, oldest first, so many.
    pub(super) fn from(&self, position: u64, limit: usize) -> impl Iterator<Item = Entry> {
        let blocks = self.blocks.range(self.block_of(position)..);
        blocks.flat_map(Block::iter).skip_while(move |entry| entry.position < position).take(limit)
    }

    /// The block in which a position stands or would stand.
    fn block_of(&self, position: u64) -> usize {
        let begins = |block: &Block| block.first().is_some_and(|first| first.position <= position);
        self.blocks.partition_point(begins).saturating_sub(1)
    }

    fn put_first(&mut self, entry: Entry) {
        match self.open_with_room(0) {
            Some(block) => block.push_front(entry),
            None => self.add_block(0, entry),
        }
    }

    fn put_last(&mut self, entry: Entry) {
        let blocks = self.blocks.len();
        match self.open_with_room(blocks.saturating_sub(1)) {
            Some(block) => block.push_back(entry),
            None => {
                self.add_block(blocks, entry);
                // The one that was last, if there was one.
                blocks.checked_sub(1).into_iter().for_each(|last| self.pack(last));
            }
        }
    }

    fn put_between(&mut self, entry: Entry) {
        self.split_if_full(self.block_of(entry.position));
        // It may belong into the second half.
        let at = self.block_of(entry.position);
        self.change(at);
        let Some(block) = self.open_with_room(at) else { return };
        let place = block.partition_point(|known| known.position < entry.position);
        let moved = place.min(block.len() - place);
        block.insert(place, entry);
        self.note_moved(moved);
    }

    /// A block that is to be changed in the midst; the one that was before is packed.
    fn change(&mut self, at: usize) -> Option<&mut VecDeque<Entry>> {
        let before = std::mem::replace(&mut self.changed, at);
        self.pack_in_the_midst(before);
        self.open(at)
    }

    /// A block that takes one more.
    fn open_with_room(&mut self, at: usize) -> Option<&mut VecDeque<Entry>> {
        self.blocks.get(at).filter(|block| block.len() < BLOCK)?;
        let room = self.room();
        let block = self.open(at)?;
        if block.len() == block.capacity() {
            block.reserve_exact(room.min(BLOCK - block.len()));
        }
        Some(block)
    }

    fn open(&mut self, at: usize) -> Option<&mut VecDeque<Entry>> {
        let block = self.blocks.get_mut(at)?;
        if let Some(packed) = block.packed() {
            self.packed -= packed.len();
            self.packed_bytes -= size_of::<Block>() + packed.bytes();
        }
        Some(block.open())
    }

    fn pack(&mut self, at: usize) {
        if let Some(packed) = self.blocks.get_mut(at).and_then(Block::pack) {
            self.packed += packed.len();
            self.packed_bytes += size_of::<Block>() + packed.bytes();
        }
    }

    /// Packs a block, unless it is the first or the last one, or the one that is being changed.
    fn pack_in_the_midst(&mut self, at: usize) {
        if (1..self.blocks.len().saturating_sub(1)).contains(&at) && at != self.changed {
            self.pack(at);
        }
    }

    fn add_block(&mut self, at: usize, entry: Entry) {
        let mut block = VecDeque::with_capacity(self.room());
        block.push_back(entry);
        self.add(at, block);
    }

    fn add(&mut self, at: usize, block: VecDeque<Entry>) {
        if self.blocks.len() == self.blocks.capacity() {
            self.blocks.reserve_exact(self.blocks.len() / 8 + 1);
        }
        self.blocks.insert(at, Block::Open(block));
        if at <= self.changed && self.changed > 0 {
            self.changed += 1;
        }
        // The one that was first stays open: it may be first again at once. The one that was second does not.
        self.pack_in_the_midst(2);
    }

    fn remove(&mut self, at: usize) {
        self.blocks.remove(at);
        match at < self.changed {
            true => self.changed -= 1,
            false if at == self.changed => self.changed = 0,
            false => {}
        }
    }

    /// For how many more a block makes room at once.
    fn room(&self) -> usize {
        (self.len / 8).clamp(ROOM_MIN, BLOCK)
    }

    fn split_if_full(&mut self, at: usize) {
        if self.blocks.get(at).is_none_or(|block| block.len() < BLOCK) {
            return;
        }
        let Some(block) = self.change(at) else { return };
        let second = block.split_off(BLOCK / 2);
        block.shrink_to_fit();
        self.add(at + 1, second);
        self.pack_in_the_midst(at + 1);
    }

    /// One was taken out of an open block. Once it holds a quarter of what there is room for, half of the room goes back.
    fn took(&mut self, at: usize) {
        self.len -= 1;
        let Some(block) = self.open(at) else { return };
        let room = block.capacity();
        if block.is_empty() {
            self.remove(at);
            let room = self.blocks.capacity();
            if self.blocks.len() <= room / 4 {
                self.blocks.shrink_to(room / 2);
            }
        } else if room > ROOM_MIN && block.len() <= room / 4 {
            block.shrink_to(room / 2);
        }
    }

    /// A block from which one was taken is joined with a neighbour, if both have become short.
    fn merge(&mut self, at: usize) {
        let of = |at: usize| self.blocks.get(at).map(Block::len);
        let are_short = |first: &usize| of(*first).zip(of(first + 1)).is_some_and(|(one, next)| one + next <= MERGED);
        let Some(first) = [at, at.saturating_sub(1)].into_iter().find(are_short) else { return };
        let next = self.open(first + 1).map(std::mem::take).unwrap_or_default();
        self.remove(first + 1);
        self.note_moved(next.len());
        if let Some(block) = self.change(first) {
            block.reserve_exact(next.len());
            block.extend(next);
        }
    }

    #[cfg(test)]
    fn note_moved(&mut self, count: usize) {
        self.moved += count;
    }

    #[cfg(not(test))]
    fn note_moved(&mut self, _count: usize) {}
}

#[cfg(test)]
mod tests {
    use skep_core::Level;
    use skep_protocol::Priority;

    use super::super::entry::Place;
    use super::super::packed::Packed;
    use super::*;
    use crate::log::BatchAt;

    const MANY: u64 = 40_000;
    /// The first two, the last one, and the one that was changed.
    const OPEN_MAX: usize = 4;

    fn entry(position: u64) -> Entry {
        let place = Place::new(BatchAt { segment: 1, offset: 0 }, 0, 1).expect("a place");
        Entry { position, place, attempts: 0, priority: Priority::Normal, level: Level::FSYNC, expires_ms: 0 }
    }

    fn drained(line: &mut Line) -> Vec<u64> {
        std::iter::from_fn(|| line.take()).map(|entry| entry.position).collect()
    }

    /// For how many messages there is room.
    fn room(line: &Line) -> usize {
        let of = |block: &Block| if let Block::Open(open) = block { open.capacity() } else { block.len() };
        line.blocks.iter().map(of).sum()
    }

    /// How many blocks are open; what is said of the others is so.
    fn open(line: &Line) -> usize {
        let packed = line.blocks.iter().filter_map(Block::packed);
        let bytes = packed.clone().map(|packed| size_of::<Block>() + packed.bytes()).sum();
        assert_eq!(line.packed(), (packed.clone().map(Packed::len).sum(), bytes));
        line.blocks.len() - packed.count()
    }

    /// The positions of one of four that were served in turn, or of one of four that were served one after the other.
    fn share(of: u64, in_turn: bool) -> impl DoubleEndedIterator<Item = u64> {
        (0..MANY / 4).map(move |nth| if in_turn { 4 * nth + of } else { of * (MANY / 4) + nth })
    }

    #[test]
    fn the_return_of_many_moves_a_part_of_a_block_for_each_whatever_the_order() {
        for in_turn in [false, true] {
            for oldest_first in [false, true] {
                let mut line = Line::default();
                for of in [2, 0, 3, 1] {
                    let share = share(of, in_turn);
                    match oldest_first {
                        true => share.for_each(|position| line.put(entry(position))),
                        false => share.rev().for_each(|position| line.put(entry(position))),
                    }
                }
                assert!(line.moved <= BLOCK / 4 * MANY as usize, "{} moves for {MANY}", line.moved);
                assert!(open(&line) <= OPEN_MAX, "{} blocks are open", open(&line));
                assert_eq!(drained(&mut line), (0..MANY).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn one_in_the_midst_is_seen_and_taken_like_every_other() {
        let mut line = Line::default();
        [1, 9, 5, 4, 7].into_iter().for_each(|n| line.put(entry(n)));
        assert_eq!(line.len(), 5);
        let seen: Vec<u64> = line.from(4, 2).map(|entry| entry.position).collect();
        assert_eq!(seen, [4, 5]);
        assert_eq!(line.iter().count(), 5);
        assert_eq!(line.take_at(5).map(|entry| entry.position), Some(5));
        assert_eq!(line.take_at(5), None);
        assert_eq!(drained(&mut line), [1, 4, 7, 9]);
    }

    #[test]
    fn a_line_that_has_drained_gives_its_room_back() {
        let mut line = Line::default();
        (0..10_000).for_each(|n| line.put(entry(n)));
        let taken = (0..9_990).filter_map(|_| line.take()).count();
        assert_eq!(taken, 9_990);
        assert!(room(&line) <= 2 * BLOCK, "room for {}", room(&line));
        assert_eq!(drained(&mut line), (9_990..10_000).collect::<Vec<_>>());
        assert_eq!((room(&line), line.blocks.capacity() <= 4), (0, true));
    }

    #[test]
    fn a_line_of_which_most_was_taken_from_the_midst_gives_their_room_back() {
        for keep in [2, 3, 10, 63, 64, 1_000] {
            let mut line = Line::default();
            (0..MANY).for_each(|n| line.put(entry(n)));
            (0..MANY).filter(|n| n % keep != 0).for_each(|n| assert!(line.take_at(n).is_some()));
            assert!(open(&line) <= OPEN_MAX, "{} blocks are open", open(&line));
            assert!(line.packed().1 <= 40 * line.len(), "{:?} of {}", line.packed(), line.len());
            assert_eq!(drained(&mut line), (0..MANY).filter(|n| n % keep == 0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_line_has_room_for_an_eighth_more_than_it_holds() {
        let mut line = Line::default();
        for n in 0..MANY {
            line.put(entry(n));
            let most = line.len() + ROOM_MIN.max(line.len() / 8).min(BLOCK);
            assert!(room(&line) <= most, "room for {} of {}", room(&line), line.len());
            assert_eq!(open(&line), 1, "only the last block is open, and a first one that is the last");
        }
    }

    #[test]
    fn what_comes_between_others_of_a_full_first_block_leaves_few_blocks_open() {
        let (mut line, mut lowest) = (Line::default(), 1 << 40);
        for _ in 0..20 {
            while line.blocks.front().is_none_or(|first| first.len() < BLOCK) || line.blocks.len() % 2 == 0 {
                lowest -= 16;
                line.put(entry(lowest));
            }
            line.put(entry(lowest + 1));
            assert!(open(&line) <= OPEN_MAX, "{} blocks are open", open(&line));
        }
        assert!(drained(&mut line).is_sorted());
    }

    #[test]
    fn messages_that_come_and_go_at_random_keep_their_order() {
        let (mut line, mut held, mut random) = (Line::default(), std::collections::BTreeSet::new(), 7u64);
        for _ in 0..200_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let position = (random >> 33) % 2_000;
            match random >> 60 {
                0..=9 if held.insert(position) => line.put(entry(position)),
                0..=11 => assert_eq!(line.take().map(|entry| entry.position), held.pop_first()),
                12 | 13 => assert_eq!(line.take_at(position).is_some(), held.remove(&position)),
                14 => {
                    let seen: Vec<u64> = line.from(position, 3).map(|entry| entry.position).collect();
                    assert_eq!(seen, held.range(position..).take(3).copied().collect::<Vec<_>>());
                }
                _ => assert_eq!(line.len(), held.len()),
            }
            assert!(line.blocks.iter().all(|block| (1..=BLOCK).contains(&block.len())));
            assert!(open(&line) <= OPEN_MAX, "{} blocks are open", open(&line));
        }
        assert_eq!(drained(&mut line), held.into_iter().collect::<Vec<_>>());
    }
}
