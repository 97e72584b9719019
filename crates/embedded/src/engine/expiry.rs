//! Messages whose expiry has passed: they are delivered no more and go where their queue says.

use skep_core::Now;
use skep_protocol::Expired;

use super::deliver::HANDED_BYTES;
use super::entry::Entry;
use super::timers::Timer;
use super::{Claim, Engine};
use crate::journal::{By, LeaseOf, QueueId, Record, Token};
use crate::limits::{EXPIRE_MAX, EXPIRE_RETRY_MS};

/// Why they died, as records and notices have it.
pub(crate) const EXPIRED: &str = "expired";
/// More bytes than the records of one take, with the declaration of its dead letters.
const EXPIRED_BYTES: usize = 256 * 1024;

impl Engine {
    /// What expired in a queue leaves it; answers whether that was all of it.
    pub(super) fn expire(&mut self, id: QueueId, now: Now) -> bool {
        for _ in 0..EXPIRE_MAX {
            let has_room =
                self.staging.has_room(EXPIRED_BYTES, 3) && self.has_room_for(Claim::Handing, HANDED_BYTES, 2);
            let Some(queue) = self.queues.get_mut(&id) else { return true };
            if !queue.has_expired(now.unix_ms) {
                self.watch(id, 0);
                return true;
            }
            if !has_room {
                self.watch(id, now.unix_ms + EXPIRE_RETRY_MS);
                return false;
            }
            let Some(position) = queue.take_expired() else { return true };
            let ready = queue.take_at(position);
            // One that is leased is not interrupted; it is looked at again if it comes back.
            match ready.or_else(|| self.end_delay(id, position)) {
                Some(entry) => self.expire_one(id, entry),
                // Or it is a dead letter, which comes back no more.
                None => self.queues.get_mut(&id).into_iter().for_each(|queue| queue.give_up(position)),
            }
        }
        self.watch(id, 0);
        false
    }

    fn expire_one(&mut self, id: QueueId, entry: Entry) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let lease = LeaseOf { queue: id, position: entry.position, token: Token::default(), attempt: entry.attempts };
        match queue.spec.expired {
            Expired::DeadLetter => {
                let progress = queue.ended(entry.position).and_then(|ended| ended.progress.clone());
                self.bury(&lease, entry, progress, EXPIRED, By::Hub);
            }
            Expired::Drop => {
                self.release(id, &entry);
                self.staging.append_at(entry.level, &Record::Drop { lease, by: By::Hub, reason: EXPIRED });
            }
        }
    }

    /// The queue is looked at when the next of its messages expires, and not before `from_ms`.
    pub(super) fn watch(&mut self, id: QueueId, from_ms: u64) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let Some(at_ms) = queue.next_expiry().map(|at_ms| at_ms.max(from_ms)) else { return };
        match queue.alarm {
            Some((known_ms, _)) if known_ms <= at_ms => return,
            Some((_, later)) => self.calendar.clear(later, Timer::Expiry(id)),
            None => {}
        }
        queue.alarm = Some((at_ms, self.calendar.set(at_ms, Timer::Expiry(id))));
    }

    /// A message of a queue may have expired.
    pub(super) fn look_for_expired(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.alarm = None;
            self.touched.push(id);
        }
    }
}
