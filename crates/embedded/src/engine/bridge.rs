//! Replay across a loss that a repair accepted: what the lost records said is missing, and those that follow may speak of it.
//!
//! Nothing is invented but what the records that are left imply: a queue that messages name exists, of two queues with one name the
//! older one was deleted, and a message that is spoken of among the dead letters was moved there, or back. Whatever else speaks of a message that is not where it should be has no effect, provided that
//! the message is older than the loss; so a message whose settle was lost comes back, and none that was settled afterwards does.

use skep_protocol::{Ended, QueueName, QueueSpec};

use super::Engine;
use super::entry::Entry;
use crate::journal::{QueueId, Record};

/// Name of a queue whose declaration was lost, before its number.
const NAMELESS: &str = "lost.queue-";

impl Engine {
    /// Makes up for the declarations and deletions that are lost, as far as this record implies them.
    pub(super) fn bridge(&mut self, record: &Record<'_>) {
        match record {
            Record::Message(message) => message.queues().for_each(|queue| self.imply(queue, None)),
            Record::Dead { lease, to, .. } => {
                let name = self.queues.get(&lease.queue).and_then(|queue| queue.name.dead());
                self.imply(*to, name);
            }
            Record::Redrive { to, .. } => self.imply(*to, None),
            Record::Declare { queue, spec } => self.rename(*queue, spec),
            _ => {}
        }
    }

    /// Whether the record speaks of a message older than this position that is nowhere, or of a queue that is not there: the record
    /// that would have put it there, or took it away, is lost.
    pub(super) fn names_what_is_lost(&mut self, record: &Record<'_>, lost_until: u64) -> bool {
        let (queue, position) = match record {
            Record::Lease { lease, .. }
            | Record::Ack(lease)
            | Record::Nack { lease, .. }
            | Record::Return { lease, .. }
            | Record::Drop { lease, .. }
            | Record::Dead { lease, .. } => (lease.queue, lease.position),
            Record::Redrive { dead, position, .. } => (*dead, *position),
            // Each of its positions is looked at by itself.
            Record::Purge { queue, .. } => return !self.queues.contains_key(queue),
            _ => return false,
        };
        !self.queues.contains_key(&queue) || position < lost_until && !self.brings(queue, position)
    }

    /// Whether the message is in the queue, after it was moved there from the dead letters, or the other way, if it was there.
    pub(super) fn brings(&mut self, queue: QueueId, position: u64) -> bool {
        if self.has_message(queue, position) {
            return true;
        }
        let Some((other, is_dead)) = self.other_side(queue) else { return false };
        if !self.has_message(other, position) {
            return false;
        }
        let Ok(entry) = self.pull_at(other, position) else { return false };
        if is_dead {
            self.revive(other, queue, entry);
        } else {
            let ended = Ended { reason: "lost".to_owned(), progress: None };
            self.die(other, queue, &entry, ended, true);
        }
        let attempts = if is_dead { 0 } else { entry.attempts };
        self.queues.get_mut(&queue).into_iter().for_each(|queue| queue.put(Entry { attempts, ..entry }));
        true
    }

    /// The dead letters of a queue (and that they are these), or the queue of dead letters.
    fn other_side(&self, queue: QueueId) -> Option<(QueueId, bool)> {
        let name = &self.queues.get(&queue)?.name;
        match name.dead() {
            Some(dead) => Some((*self.names.get(&dead)?, true)),
            None => {
                let living = self.names.iter().find(|(living, _)| living.dead().as_ref() == Some(name));
                living.map(|(_, id)| (*id, false))
            }
        }
    }

    /// Whether the message is in the queue, ready, delayed or leased.
    fn has_message(&self, queue: QueueId, position: u64) -> bool {
        self.recovering.contains_key(&(queue, position))
            || self.delayed.contains_key(&(queue, position))
            || self.queues.get(&queue).is_some_and(|queue| queue.has_ready(position))
    }

    fn imply(&mut self, queue: QueueId, name: Option<QueueName>) {
        if self.queues.contains_key(&queue) {
            return;
        }
        let free = |name: &QueueName| !self.names.contains_key(name);
        let made_up = || (0_u32..).find_map(|n| QueueName::new(&made_up_name(queue, n)).ok().filter(free));
        if let Some(name) = name.filter(free).or_else(made_up) {
            self.set_spec(queue, QueueSpec { filters: Vec::new(), ..QueueSpec::new(name) });
        }
    }

    /// A queue gets the name that it really has, and whichever had it before is gone.
    fn rename(&mut self, queue: QueueId, spec: &QueueSpec) {
        if let Some(older) = self.names.get(&spec.name).copied().filter(|older| *older != queue) {
            self.replay_undeclare(older);
        }
        if let Some(known) = self.queues.get_mut(&queue)
            && known.name != spec.name
        {
            self.names.remove(&known.name);
            known.name = spec.name.clone();
        }
    }

    /// The queues whose declaration was lost, under the names they got.
    pub(crate) fn nameless(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.names.keys().map(ToString::to_string).filter(|name| name.starts_with(NAMELESS)).collect();
        names.sort();
        names
    }
}

fn made_up_name(queue: QueueId, n: u32) -> String {
    if n == 0 { format!("{NAMELESS}{queue}") } else { format!("{NAMELESS}{queue}-{n}") }
}
