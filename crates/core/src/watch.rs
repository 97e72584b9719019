//! A watch: changes of facts on their way to one who wants to hear of them.
//!
//! What waits is bounded. Who takes it too slowly is told so instead, once, and hears of what changes from then on: by listing
//! the facts anew it misses nothing, and what it hears twice it knows by the revision.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::Notify;

use crate::limits::{WATCH_BYTES_MAX, WATCH_CHANGES_MAX};
use crate::sync::{Mutex, MutexGuard};

/// A fact was put, or is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactChange {
    /// Its key.
    pub key: String,
    /// Larger than those of all changes before, whatever their key; that of a put is the fact's own.
    pub revision: u64,
    /// Its value; none: it was deleted, or its time is over.
    pub value: Option<Vec<u8>>,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactEvent {
    /// A durable change.
    Changed(Arc<FactChange>),
    /// Changes were left out, because too many waited: the facts are to be listed anew.
    Resync,
}

/// Hears of changes, in order, until it is dropped.
#[derive(Debug)]
pub struct Watch(Arc<Line>);

/// Tells one watch of changes; dropped, the watch ends.
#[derive(Debug)]
pub struct Teller {
    prefix: String,
    line: Weak<Line>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<Arc<FactChange>>,
    bytes: usize,
    /// Some were left out.
    is_behind: bool,
    is_over: bool,
}

impl Watch {
    /// A watch of keys that begin with a prefix, and who tells it.
    #[must_use]
    pub fn new(prefix: &str) -> (Teller, Self) {
        let line = Arc::new(Line::default());
        (Teller { prefix: prefix.to_owned(), line: Arc::downgrade(&line) }, Watch(line))
    }

    /// What comes next; none when nothing will. May be cancelled: nothing is lost by that.
    pub async fn next(&mut self) -> Option<FactEvent> {
        loop {
            {
                let mut waiting = self.0.lock();
                if std::mem::take(&mut waiting.is_behind) {
                    return Some(FactEvent::Resync);
                }
                if let Some(change) = waiting.changes.pop_front() {
                    waiting.bytes -= change.bytes();
                    return Some(FactEvent::Changed(change));
                }
                if waiting.is_over {
                    return None;
                }
            }
            self.0.wake.notified().await;
        }
    }
}

impl Teller {
    /// Whether the watch is still there, and wants to hear of a key.
    #[must_use]
    pub fn minds(&self, key: &str) -> bool {
        self.is_heard() && key.starts_with(&self.prefix)
    }

    /// Whether the watch is still there.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.line.strong_count() > 0
    }

    /// Tells of a change. Where too many wait, all of them are left out.
    pub fn tell(&self, change: &Arc<FactChange>) {
        let Some(line) = self.line.upgrade() else { return };
        let mut waiting = line.lock();
        // Who is told that some were left out lists the facts afterwards, and finds this one.
        if !waiting.is_behind {
            waiting.bytes += change.bytes();
            waiting.changes.push_back(change.clone());
            if waiting.changes.len() > WATCH_CHANGES_MAX || waiting.bytes > WATCH_BYTES_MAX {
                *waiting = Waiting { is_behind: true, ..Waiting::default() };
            }
        }
        drop(waiting);
        line.wake.notify_one();
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(line) = self.line.upgrade() {
            line.lock().is_over = true;
            line.wake.notify_one();
        }
    }
}

impl FactChange {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(revision: u64, bytes: usize) -> Arc<FactChange> {
        Arc::new(FactChange { key: "a.b".into(), revision, value: Some(vec![0; bytes]) })
    }

    #[tokio::test]
    async fn a_slow_watch_is_told_once_to_list_anew_and_goes_on_from_there() {
        for (count, bytes) in [(WATCH_CHANGES_MAX as u64 + 1, 1), (9, WATCH_BYTES_MAX / 8)] {
            let (teller, mut watch) = Watch::new("a.");
            (0..count + 5).for_each(|n| teller.tell(&change(n, bytes)));
            assert!(watch.0.lock().changes.is_empty(), "nothing waits that is not told");
            assert_eq!(watch.next().await, Some(FactEvent::Resync));
            teller.tell(&change(count + 5, bytes));
            assert_eq!(watch.next().await, Some(FactEvent::Changed(change(count + 5, bytes))));
            drop(teller);
            assert_eq!(watch.next().await, None);
        }
    }

    #[tokio::test]
    async fn what_was_told_before_the_end_is_heard() {
        let (teller, mut watch) = Watch::new("a.");
        (1..=WATCH_CHANGES_MAX as u64).for_each(|n| teller.tell(&change(n, 1)));
        drop(teller);
        for n in 1..=WATCH_CHANGES_MAX as u64 {
            assert_eq!(watch.next().await, Some(FactEvent::Changed(change(n, 1))));
        }
        assert_eq!(watch.next().await, None);
    }

    #[test]
    fn a_watch_minds_its_prefix_until_it_is_dropped() {
        let (teller, watch) = Watch::new("a.");
        assert!(teller.minds("a.b") && !teller.minds("b.a"));
        drop(watch);
        assert!(!teller.minds("a.b") && !teller.is_heard());
    }
}
