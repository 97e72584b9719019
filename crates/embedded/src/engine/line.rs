//! Ready messages of one priority, in order of position.
//!
//! Almost all come and go at the ends. One that comes back later than its neighbours belongs in the midst; moving others aside for
//! each would make the return of many cost the square of their number, so those wait, and are merged in all at once when somebody
//! looks.

use std::collections::VecDeque;

use super::queue::Entry;

/// So many messages' room is never given back.
const ROOM_KEPT: usize = 32;

/// Messages in order.
#[derive(Debug, Default)]
pub(super) struct Line {
    line: VecDeque<Entry>,
    /// In no order: those that belong between others.
    late: Vec<Entry>,
    /// How often a message was moved to make room for others.
    #[cfg(test)]
    moved: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.line.len() + self.late.len()
    }

    /// Adds a message, however late it comes.
    pub(super) fn put(&mut self, entry: Entry) {
        match (self.line.front(), self.line.back()) {
            (Some(first), _) if first.position > entry.position => self.line.push_front(entry),
            (_, Some(last)) if last.position > entry.position => self.late.push(entry),
            _ => self.line.push_back(entry),
        }
    }

    /// The oldest.
    pub(super) fn first(&mut self) -> Option<&Entry> {
        self.merge();
        self.line.front()
    }

    /// Takes the oldest.
    pub(super) fn take(&mut self) -> Option<Entry> {
        self.merge();
        let first = self.line.pop_front();
        self.give_room_back();
        first
    }

    /// Takes the one at a position, if it is there.
    pub(super) fn take_at(&mut self, position: u64) -> Option<Entry> {
        self.merge();
        let at = self.line.binary_search_by_key(&position, |entry| entry.position).ok()?;
        let entry = self.line.remove(at);
        self.give_room_back();
        entry
    }

    /// Once it holds a quarter of what there is room for, half of the room goes back: what has drained takes no memory.
    fn give_room_back(&mut self) {
        let room = self.line.capacity();
        if room > ROOM_KEPT && self.line.len() <= room / 4 {
            self.line.shrink_to(room / 2);
        }
    }

    /// All, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.line.iter().chain(&self.late)
    }

    /// Those from a position on, in no order: of them at least the oldest, so many.
    pub(super) fn from(&self, position: u64, limit: usize) -> impl Iterator<Item = &Entry> {
        let first = self.line.partition_point(|entry| entry.position < position);
        let late = self.late.iter().filter(move |entry| entry.position >= position);
        self.line.range(first..).take(limit).chain(late)
    }

    /// Puts what waits where it belongs. It moves each of the others once at most, those towards the nearer end.
    fn merge(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let mut late = std::mem::take(&mut self.late);
        late.sort_unstable_by_key(|entry| entry.position);
        let place = |at: Option<&Entry>| at.map_or(0, |at| self.line.partition_point(|e| e.position < at.position));
        let (before_first, before_last) = (place(late.first()), place(late.last()));
        if before_last < self.line.len() - before_first {
            self.merge_front(&late, before_last);
        } else {
            self.merge_back(&late, before_first);
        }
    }

    /// The messages before a place, and these, go to the front.
    fn merge_front(&mut self, late: &[Entry], place: usize) {
        let mut aside: Vec<Entry> = self.line.drain(..place).collect();
        self.note_moved(aside.len());
        for entry in late.iter().rev() {
            let younger = aside.partition_point(|known| known.position < entry.position);
            aside.drain(younger..).rev().for_each(|known| self.line.push_front(known));
            self.line.push_front(*entry);
        }
        aside.into_iter().rev().for_each(|known| self.line.push_front(known));
    }

    /// The messages from a place on, and these, go to the back.
    fn merge_back(&mut self, late: &[Entry], place: usize) {
        let mut aside = self.line.split_off(place).into_iter().peekable();
        self.note_moved(aside.len());
        for entry in late {
            while let Some(older) = aside.next_if(|known| known.position < entry.position) {
                self.line.push_back(older);
            }
            self.line.push_back(*entry);
        }
        self.line.extend(aside);
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

    use super::super::queue::Place;
    use super::*;
    use crate::log::BatchAt;

    const MANY: u64 = 40_000;

    fn entry(position: u64) -> Entry {
        let place = Place { batch: BatchAt { segment: 1, offset: 0 }, offset: 0, len: 1 };
        Entry { position, place, attempts: 0, priority: Priority::Normal, level: Level::FSYNC, expires_ms: 0 }
    }

    fn drained(line: &mut Line) -> Vec<u64> {
        std::iter::from_fn(|| line.take()).map(|entry| entry.position).collect()
    }

    /// The positions of one of four that were served in turn, or of one of four that were served one after the other.
    fn share(of: u64, in_turn: bool) -> impl DoubleEndedIterator<Item = u64> {
        (0..MANY / 4).map(move |nth| if in_turn { 4 * nth + of } else { of * (MANY / 4) + nth })
    }

    #[test]
    fn the_return_of_many_moves_each_message_a_few_times_whatever_the_order() {
        for in_turn in [false, true] {
            for oldest_first in [false, true] {
                let mut line = Line::default();
                for of in [2, 0, 3, 1] {
                    let share = share(of, in_turn);
                    match oldest_first {
                        true => share.for_each(|position| line.put(entry(position))),
                        false => share.rev().for_each(|position| line.put(entry(position))),
                    }
                    assert!(line.first().is_some(), "after each of them somebody looks");
                }
                assert!(line.moved <= 4 * MANY as usize, "{} moves for {MANY}", line.moved);
                assert_eq!(drained(&mut line), (0..MANY).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn one_that_comes_late_moves_those_to_the_nearer_end_alone() {
        let mut line = Line::default();
        (0..1_000).filter(|n| *n != 10 && *n != 990).for_each(|n| line.put(entry(n)));
        for (position, moves) in [(10, 10), (990, 9)] {
            line.moved = 0;
            line.put(entry(position));
            assert_eq!(line.first().map(|first| first.position), Some(0));
            assert_eq!(line.moved, moves);
        }
        assert_eq!(drained(&mut line), (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_waits_to_be_merged_is_seen_and_taken_like_every_other() {
        let mut line = Line::default();
        [1, 9, 5, 4, 7].into_iter().for_each(|n| line.put(entry(n)));
        assert_eq!(line.len(), 5);
        let mut seen: Vec<u64> = line.from(4, 2).map(|entry| entry.position).collect();
        seen.sort_unstable();
        assert_eq!(seen[..2], [4, 5]);
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
        assert!(line.line.capacity() <= 4 * ROOM_KEPT, "room for {}", line.line.capacity());
        assert_eq!(drained(&mut line), (9_990..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn messages_that_come_and_go_at_random_keep_their_order() {
        let (mut line, mut held, mut random) = (Line::default(), std::collections::BTreeSet::new(), 7u64);
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let position = (random >> 33) % 500;
            match random >> 60 {
                0..=9 if held.insert(position) => line.put(entry(position)),
                0..=12 => assert_eq!(line.take().map(|entry| entry.position), held.pop_first()),
                13 => assert_eq!(line.take_at(position).is_some(), held.remove(&position)),
                _ => assert_eq!(line.len(), held.len()),
            }
        }
        assert_eq!(drained(&mut line), held.into_iter().collect::<Vec<_>>());
    }
}
