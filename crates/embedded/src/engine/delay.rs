//! Messages that wait for a moment by the clock on the wall: after a nack, or because their sender
//! said so.

use skep_core::Now;

use super::Engine;
use super::entry::Entry;
use super::timers::{Handle, Timer};
use crate::journal::QueueId;
use crate::limits::CALENDAR_LOOK_MS;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) entry: Entry,
    /// On the clock on the wall: a restart does not change it.
    pub(super) until_ms: u64,
    pub(super) handle: Handle,
}

impl Engine {
    /// A message that its queue holds is ready at a moment, and not before.
    pub(super) fn delay(&mut self, id: QueueId, entry: Entry, until_ms: u64) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.delayed += 1;
        queue.note_expiry(&entry);
        queue.keys_mut().into_iter().for_each(|keys| keys.delay(entry.position, until_ms));
        let handle = self.calendar.set(until_ms, Timer::Delayed(id, entry.position));
        self.delayed.insert((id, entry.position), Waiting { entry, until_ms, handle });
    }

    /// A message waits no more; what becomes of it, the caller says.
    pub(super) fn end_delay(&mut self, id: QueueId, position: u64) -> Option<Entry> {
        let waiting = self.delayed.remove(&(id, position))?;
        self.calendar.clear(waiting.handle, Timer::Delayed(id, position));
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.delayed -= 1;
            queue.keys_mut().into_iter().for_each(|keys| keys.end_delay(position, waiting.until_ms));
        }
        Some(waiting.entry)
    }

    /// The same of all that wait in a queue.
    pub(super) fn end_delays(&mut self, id: QueueId) -> Vec<Entry> {
        let positions: Vec<u64> = self.delayed.range((id, 0)..=(id, u64::MAX)).map(|((_, at), _)| *at).collect();
        positions.into_iter().filter_map(|position| self.end_delay(id, position)).collect()
    }

    /// The moment of a message has come.
    pub(super) fn come_due(&mut self, id: QueueId, position: u64) {
        let next = self.staging.position();
        self.join(id, position, next);
        self.touched.push(id);
    }

    /// A message that waited is ready, or joins those of its key, before what is taken from that position on.
    pub(super) fn join(&mut self, id: QueueId, position: u64, next: u64) {
        let until_ms = self.delayed.get(&(id, position)).map(|waiting| waiting.until_ms);
        let entry = self.end_delay(id, position);
        if let (Some(entry), Some(queue)) = (entry, self.queues.get_mut(&id)) {
            queue.put_due(entry, until_ms.map(|until_ms| (until_ms, next)));
        }
    }

    /// When [`tick`](Self::tick) is next to be called, on the monotonic clock.
    pub(crate) fn next_tick(&self, now: Now) -> Option<u64> {
        // Nobody tells that the clock on the wall was set.
        let until_ms = |at_ms: u64| at_ms.saturating_sub(now.unix_ms).min(CALENDAR_LOOK_MS);
        let by_calendar = self.calendar.next().map(|at_ms| now.mono_ms.saturating_add(until_ms(at_ms)));
        self.timers.next().into_iter().chain(by_calendar).min()
    }
}
