//! A bounded queue with one reader, from which the writer can also take back.
//!
//! A channel would do, were it not that leases are lost while they wait (they must not be
//! handed out any more) and that live messages give way oldest first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_protocol::Error;
use tokio::sync::Notify;

/// The most that may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) items: usize,
    pub(crate) weight: usize,
}

impl Bound {
    pub(crate) const fn items(items: usize) -> Self {
        Bound { items, weight: usize::MAX }
    }
}

#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    bound: Bound,
    /// Held for a few instructions, never over an await; no other lock is taken meanwhile.
    state: Mutex<State<T>>,
    arrived: Notify,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    dropped: u64,
    ended: Option<Error>,
    deserted: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(bound: Bound) -> Self {
        let state = State { items: VecDeque::new(), weight: 0, dropped: 0, ended: None, deserted: false };
        Mailbox { bound, state: Mutex::new(state), arrived: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item; gives it back when there is no room, or nobody to read it.
    pub(crate) fn offer(&self, item: T) -> Result<(), T> {
        self.offer_of(item, 0)
    }

    /// The same of an item of some weight. One always fits.
    pub(crate) fn offer_of(&self, item: T, weight: usize) -> Result<(), T> {
        let mut state = self.state();
        let full = state.items.len() >= self.bound.items
            || (!state.items.is_empty() && state.weight.saturating_add(weight) > self.bound.weight);
        if state.deserted || state.ended.is_some() || full {
            return Err(item);
        }
        state.items.push_back((item, weight));
        state.weight = state.weight.saturating_add(weight);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Adds an item of some weight; the oldest give way and are counted. One always fits.
    pub(crate) fn push(&self, item: T, weight: usize) {
        let mut state = self.state();
        if state.deserted || state.ended.is_some() {
            return;
        }
        while !state.items.is_empty()
            && (state.items.len() >= self.bound.items || state.weight.saturating_add(weight) > self.bound.weight)
        {
            state.pop();
            state.dropped += 1;
        }
        state.items.push_back((item, weight));
        state.weight = state.weight.saturating_add(weight);
        drop(state);
        self.arrived.notify_one();
    }

    /// Takes back what does not hold.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&T) -> bool) {
        self.state().items.retain(|(item, _)| keep(item));
    }

    /// Nothing more will come; the reader still gets what is there, then the end.
    pub(crate) fn end(&self, error: Error) {
        self.state().ended.get_or_insert(error);
        self.arrived.notify_one();
    }

    /// Why nothing more will come.
    pub(crate) fn ended(&self) -> Option<Error> {
        self.state().ended.clone()
    }

    /// The reader leaves; what nobody will read is given back.
    pub(crate) fn desert(&self) -> Vec<T> {
        let mut state = self.state();
        state.deserted = true;
        state.items.drain(..).map(|(item, _)| item).collect()
    }

    pub(crate) fn is_deserted(&self) -> bool {
        self.state().deserted
    }

    /// How many gave way.
    pub(crate) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// The next item; none after the end. One reader at a time; it may be cancelled.
    pub(crate) async fn next(&self) -> Option<T> {
        loop {
            {
                let mut state = self.state();
                if let Some(item) = state.pop() {
                    return Some(item);
                }
                if state.ended.is_some() {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }
}

impl<T> State<T> {
    fn pop(&mut self) -> Option<T> {
        let (item, weight) = self.items.pop_front()?;
        self.weight = self.weight.saturating_sub(weight);
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::Code;

    use super::*;

    #[tokio::test]
    async fn the_oldest_give_way_by_number_and_by_weight_and_are_counted() {
        let mailbox = Mailbox::new(Bound { items: 3, weight: 10 });
        (1..=4).for_each(|n| mailbox.push(n, 1));
        assert_eq!(mailbox.dropped(), 1);
        mailbox.push(5, 9);
        assert_eq!((mailbox.dropped(), mailbox.next().await), (3, Some(4)));
        mailbox.push(6, 100);
        assert_eq!((mailbox.dropped(), mailbox.next().await), (4, Some(6)));
    }

    #[tokio::test]
    async fn the_reader_gets_what_is_there_and_then_the_end() {
        let mailbox = Mailbox::new(Bound::items(1));
        assert_eq!(mailbox.offer(1), Ok(()));
        assert_eq!(mailbox.offer(2), Err(2));
        mailbox.end(Error::new(Code::ShuttingDown, "closed"));
        assert_eq!((mailbox.next().await, mailbox.next().await), (Some(1), None));
        assert_eq!(mailbox.ended().unwrap().code, Code::ShuttingDown);
    }

    #[test]
    fn a_deserted_mailbox_gives_everything_back() {
        let mailbox = Mailbox::new(Bound::items(2));
        mailbox.offer(1).unwrap();
        assert_eq!(mailbox.desert(), [1]);
        assert_eq!(mailbox.offer(2), Err(2));
    }

    #[tokio::test]
    async fn what_is_too_heavy_beside_what_waits_is_given_back() {
        let mailbox = Mailbox::new(Bound { items: 9, weight: 10 });
        assert_eq!((mailbox.offer_of(1, 11), mailbox.offer_of(2, 1)), (Ok(()), Err(2)));
        assert_eq!((mailbox.next().await, mailbox.offer_of(2, 1)), (Some(1), Ok(())));
    }
}
