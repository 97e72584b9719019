//! Dead letters: where messages go that were rejected or tried too often.

use skep_protocol::{Ended, QueueSpec};

use super::queue::{Entry, Queue};
use super::{Engine, Notice, Pending};
use crate::journal::{LeaseOf, QueueId, Record, Token};

impl Engine {
    /// Moves a message to the dead letters of its queue, with the reason; answers the record.
    /// A dead letter that is rejected is gone: dead letters have none of their own.
    pub(super) fn bury(&mut self, lease: &LeaseOf, entry: Entry, progress: Option<&str>, reason: &str) -> u64 {
        let Some(queue) = self.queues.get_mut(&lease.queue) else { return 0 };
        let Some(name) = queue.name.dead() else {
            queue.release(&entry);
            return self.staging.append(&Record::Ack(*lease));
        };
        self.notices.push(Notice {
            place: entry.place,
            position: entry.position,
            queue: queue.name.clone(),
            reason: reason.to_owned(),
            attempts: entry.attempts,
        });
        queue.release(&entry);
        let spec = QueueSpec { filters: Vec::new(), attempts_max: 0, ..QueueSpec::new(name.clone()) };
        let dead = match self.names.get(&name) {
            Some(dead) => *dead,
            None => self.declare_new(spec),
        };
        self.make_room(dead, &entry);
        let at = self.staging.append(&Record::Dead { lease: *lease, to: dead, reason });
        if let Some(queue) = self.queues.get_mut(&dead) {
            let progress = progress.map(str::to_owned);
            hold_dead(queue, &entry, Ended { reason: reason.to_owned(), progress });
            self.pending.push_back((at, Pending::Show { queue: dead, entry, is_new: false }));
        }
        at
    }

    /// Full dead letters drop their oldest, and the log tells.
    fn make_room(&mut self, dead: QueueId, entry: &Entry) {
        while let Some(queue) = self.queues.get_mut(&dead) {
            if queue.has_room(usize::try_from(entry.bytes()).unwrap_or(usize::MAX)) {
                return;
            }
            let Some(oldest) = queue.ready().min_by_key(|entry| entry.position).copied() else { return };
            queue.take_at(oldest.position);
            queue.release(&oldest);
            let lease =
                LeaseOf { queue: dead, position: oldest.position, token: Token::default(), attempt: oldest.attempts };
            self.staging.append(&Record::Ack(lease));
        }
    }
}

/// A dead letter is held, with the reason beside it.
pub(super) fn hold_dead(queue: &mut Queue, entry: &Entry, ended: Ended) {
    queue.hold(entry);
    queue.notes.insert(entry.position, ended);
}
