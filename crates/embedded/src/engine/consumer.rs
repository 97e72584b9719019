//! Consumers: who takes from a queue, and how much each may hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashSet;
use skep_core::{Consume, End, Now, Outlet, unknown_queue};
use skep_protocol::{Binding, Code, Consumers, Error, LeaseToken, QueueName, Retry};

use super::lapse::Lapse;
use super::queue::Queue;
use super::{Effects, Engine};
use crate::journal::{QueueId, Token};
use crate::limits::EXCLUSIVE_RETRY_MS;

/// Names a consumer; never reused while the store is open.
pub(crate) type ConsumerId = u64;

/// One consumer of one queue.
pub(super) struct ConsumerState {
    pub(super) queue: QueueId,
    pub(super) outlet: Outlet,
    pub(super) party: Arc<str>,
    pub(super) binding: Binding,
    handlers: usize,
    window_messages: u32,
    window_bytes: u64,
    pub(super) held_bytes: u64,
    /// It did not take what was for it, and has not looked into its mailbox since.
    pub(super) is_idle: bool,
    /// Its leases, oldest first.
    pub(super) leases: BTreeSet<u64>,
}

impl ConsumerState {
    /// Whether one more message of so many bytes is within its window; one may always pass.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        !self.is_idle
            && (self.leases.len() as u64) < u64::from(self.window_messages)
            && (self.leases.is_empty() || self.held_bytes + bytes <= self.window_bytes)
    }

    /// It gets nothing more until its window is set again.
    pub(super) fn pause(&mut self) {
        self.window_messages = 0;
    }
}

impl Engine {
    /// Attaches a consumer.
    pub(crate) fn attach(
        &mut self,
        name: &QueueName,
        how: &Consume,
        outlet: Outlet,
        now: Now,
        fx: &mut Effects,
    ) -> Result<ConsumerId, Error> {
        let queue = *self.names.get(name).ok_or_else(|| unknown_queue(name))?;
        self.check_exclusive(queue)?;
        let id = self.next_consumer;
        self.next_consumer += 1;
        let state = ConsumerState {
            queue,
            outlet,
            party: how.party.as_str().into(),
            binding: how.binding,
            handlers: usize::try_from(how.handlers).unwrap_or(usize::MAX),
            window_messages: how.messages,
            window_bytes: how.bytes,
            held_bytes: 0,
            is_idle: false,
            leases: BTreeSet::new(),
        };
        self.consumers.insert(id, state);
        if let Some(held) = self.queues.get_mut(&queue) {
            held.consumers.push(id);
        }
        self.dispatch(queue, now, fx);
        Ok(id)
    }

    /// An exclusive queue takes no second consumer.
    fn check_exclusive(&self, id: QueueId) -> Result<(), Error> {
        let Some(queue) = self.queues.get(&id).filter(|queue| queue.spec.consumers == Consumers::Exclusive) else {
            return Ok(());
        };
        let Some(holder) = self.first_consumer(queue) else { return Ok(()) };
        let text = format!(
            "queue {} is exclusive, and {holder} consumes from it; try again when it has gone, or declare the queue with \
             consumers single_active, so that others stand by",
            queue.name
        );
        // What it waits for, somebody else does: to ask again as it is may help.
        Err(Error { retry: Retry::After(EXCLUSIVE_RETRY_MS), ..Error::new(Code::InUse, text) })
    }

    /// Who has consumed longest from a queue.
    pub(super) fn first_consumer(&self, queue: &Queue) -> Option<&str> {
        queue.consumers.first().and_then(|first| self.consumers.get(first)).map(|state| &*state.party)
    }

    /// Sets a consumer's window.
    pub(crate) fn set_window(&mut self, id: ConsumerId, messages: u32, bytes: u64, now: Now, fx: &mut Effects) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        (consumer.window_messages, consumer.window_bytes, consumer.is_idle) = (messages, bytes, false);
        let queue = consumer.queue;
        self.dispatch(queue, now, fx);
    }

    /// After a resume: gives back, uncharged, every lease of a consumer that is not held;
    /// answers which of `held` are its leases.
    pub(crate) fn keep(&mut self, id: ConsumerId, held: &[LeaseToken], now: Now, fx: &mut Effects) -> Vec<LeaseToken> {
        let Some(consumer) = self.consumers.get(&id) else { return Vec::new() };
        let queue = consumer.queue;
        let mine: Vec<u64> = consumer.leases.iter().copied().collect();
        let (held, mut kept): (HashSet<_>, _) = (held.iter().collect(), Vec::new());
        for count in mine.into_iter().rev() {
            let token = Token { open: self.open, count };
            let lease = token.sealed(self.secret);
            if held.contains(&lease) {
                kept.push(lease);
            } else {
                self.lapse(count, Lapse::NotResumed);
            }
        }
        self.dispatch(queue, now, fx);
        kept
    }

    /// Detaches a consumer. Leases bound to their deadline stay if their deliveries were taken; of the others, those of a lost
    /// consumer that it worked on are charged, and the rest is not.
    pub(crate) fn detach(&mut self, id: ConsumerId, end: End, now: Now, fx: &mut Effects) {
        let Some(consumer) = self.consumers.remove(&id) else { return };
        if let Some(queue) = self.queues.get_mut(&consumer.queue) {
            queue.consumers.retain(|known| *known != id);
        }
        if consumer.binding == Binding::Connection {
            // What still lies in its mailbox is under leases that end here.
            let subscription = consumer.outlet.subscription;
            consumer.outlet.mailbox.withdraw_all(subscription);
            // What never reached it nobody can have worked on.
            let reached = |count: &&u64| self.leases.get(count).is_some_and(|lease| lease.is_handed_over);
            let charged = if end == End::Lost { consumer.handlers } else { 0 };
            let charged: Vec<u64> = consumer.leases.iter().filter(reached).take(charged).copied().collect();
            for count in consumer.leases.iter().rev() {
                let is_charged = charged.binary_search(count).is_ok();
                self.lapse(*count, if is_charged { Lapse::Lost } else { Lapse::Left });
            }
        }
        if consumer.binding == Binding::Deadline {
            self.lapse_untaken(&consumer);
        }
        self.dispatch(consumer.queue, now, fx);
    }

    /// What a consumer that is gone has not taken, nobody will.
    fn lapse_untaken(&mut self, gone: &ConsumerState) {
        let lease = |count: u64| Token { open: self.open, count }.sealed(self.secret);
        let leases: HashSet<LeaseToken> = gone.leases.iter().map(|count| lease(*count)).collect();
        let untaken = gone.outlet.mailbox.withdraw(|lease| leases.contains(lease));
        let untaken: HashSet<LeaseToken> = untaken.into_iter().collect();
        for count in gone.leases.iter().rev() {
            let reached = self.leases.get(count).is_some_and(|lease| lease.is_handed_over);
            if !reached || untaken.contains(&Token { open: self.open, count: *count }.sealed(self.secret)) {
                self.lapse(*count, Lapse::Left);
            }
        }
    }
}
