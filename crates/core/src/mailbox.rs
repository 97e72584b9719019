//! The mailbox of a session: everything that comes back to it arrives here, by batch.
//!
//! One lock around a buffer that the session swaps with a spare, and one waker. Every
//! entry is paid for beforehand, so the buffer needs no bound of its own: an answer by the
//! session's limit on unanswered verbs, a delivery by its window, a live message by the
//! byte bound of the live queue, an end by its subscription.

use std::sync::{Arc, PoisonError};
use std::task::Waker;

use skep_protocol::{Delivery, Error, LeaseToken, Message, SubscriptionId};
use tokio::sync::Notify;

use crate::live::{Live, LiveQueue};
use crate::reply::Answer;
use crate::sync::{Mutex, MutexGuard};

#[cfg(skep_loom)]
pub mod models;

/// Something that came back to a session.
#[derive(Debug)]
pub enum Entry {
    /// The answer to a publish or settle.
    Answer(Answer),
    /// A message under a lease.
    Delivery(Delivery),
    /// The queue of a subscription is no more, which one of its number that is, and why. Comes at most once for each.
    Ended(SubscriptionId, u64, Error),
}

/// Where everything that comes back to one session arrives.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    /// Told when no connection holds the session any more.
    pub(crate) let_go: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    live: LiveQueue,
    replies: LiveQueue,
    waker: Option<Waker>,
    /// Deliveries were taken out that it had not taken, and it was not told.
    withdrawn: bool,
    /// The session is gone: nothing is kept any more.
    closed: bool,
    /// Another connection takes the session up: this one is to let go of it.
    evicted: bool,
    /// Woken by that alone, and so also while its peer takes nothing and it looks for nothing here.
    holder: Option<Waker>,
}

/// What was taken from a mailbox at once.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Answers and deliveries, in order.
    pub(crate) entries: Vec<Entry>,
    /// Live messages and replies, in order.
    pub(crate) live: Vec<Live>,
    /// Live messages that were dropped since the last time, for want of room.
    pub(crate) dropped: u64,
    /// Deliveries came that it did not take in time: whoever gave them gives no more until its windows are said again.
    pub(crate) withdrawn: bool,
}

impl Mailbox {
    /// Puts an entry in; the session is woken by [`Wakes`], once a batch. Answers false when the
    /// session is gone: a delivery is then leased to nobody, and is to be taken back.
    pub fn push(&self, entry: Entry) -> bool {
        let mut inner = self.lock();
        if !inner.closed {
            inner.entries.push(entry);
        }
        !inner.closed
    }

    /// Puts live messages in, over the oldest ones if there is no room; answers which were dropped.
    pub fn push_live(&self, all: &[Live]) -> Vec<Message> {
        let mut inner = self.lock();
        if inner.closed { Vec::new() } else { all.iter().flat_map(|live| inner.live.push_over(live)).collect() }
    }

    /// Puts a live reply in; answers whether there was room.
    #[must_use]
    pub fn push_reply(&self, reply: &Live) -> bool {
        let mut inner = self.lock();
        !inner.closed && inner.replies.push(reply)
    }

    /// Asks the connection of this session to let go of it, for another that takes it up.
    pub(crate) fn evict(&self) {
        let mut inner = self.lock();
        inner.evicted = true;
        let holder = inner.holder.take();
        drop(inner);
        if let Some(holder) = holder {
            holder.wake();
        }
    }

    /// Whether that was asked; if not, remembers whom to wake when it is.
    pub(crate) fn is_evicted(&self, holder: &Waker) -> bool {
        let mut inner = self.lock();
        match &mut inner.holder {
            Some(known) => known.clone_from(holder),
            none => *none = Some(holder.clone()),
        }
        inner.evicted
    }

    /// Another connection has taken the session up: it is not the one that was asked to let go.
    pub(crate) fn taken_up(&self) {
        let mut inner = self.lock();
        (inner.evicted, inner.holder) = (false, None);
    }

    /// Puts live messages back that were taken and never written; they come again before all
    /// others, as far as there is room. Answers which were dropped.
    pub(crate) fn put_back(&self, unwritten: Vec<Live>) -> Vec<Message> {
        let mut inner = self.lock();
        let mut dropped = Vec::new();
        if inner.closed {
            return dropped;
        }
        for live in unwritten.into_iter().rev() {
            dropped.extend(if live.is_reply() {
                inner.replies.put_back_reply(live)
            } else {
                inner.live.put_back(live)
            });
        }
        dropped
    }

    /// Wakes the session, if it sleeps and there is something for it.
    pub fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes everything; with nothing there, remembers whom to wake. `into` is the spare
    /// buffer: it must be empty, and its room is kept.
    pub(crate) fn take(&self, into: &mut Taken, waker: &Waker) -> bool {
        let mut inner = self.lock();
        into.withdrawn |= std::mem::take(&mut inner.withdrawn);
        if inner.entries.is_empty() && inner.live.is_empty() && inner.replies.is_empty() {
            match &mut inner.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return false;
        }
        std::mem::swap(&mut inner.entries, &mut into.entries);
        into.dropped += inner.live.drain(&mut into.live);
        into.dropped += inner.replies.drain(&mut into.live);
        true
    }

    /// Takes out the deliveries that nobody has taken yet and whose leases end now; answers those
    /// leases. Backends call it with their own lock held, as they do when they put entries in: no
    /// other lock is taken under this one. When the session looks here next, it says the windows of its consumers again.
    pub fn withdraw(&self, is_ending: impl Fn(&LeaseToken) -> bool) -> Vec<LeaseToken> {
        let mut withdrawn = Vec::new();
        let mut inner = self.lock();
        inner.entries.retain(|entry| match entry {
            Entry::Delivery(delivery) if is_ending(&delivery.lease) => {
                withdrawn.push(delivery.lease);
                false
            }
            _ => true,
        });
        inner.withdrawn |= !withdrawn.is_empty();
        withdrawn
    }

    /// Takes out every delivery of a subscription that ends.
    pub fn withdraw_all(&self, of: SubscriptionId) {
        self.lock().entries.retain(|entry| !matches!(entry, Entry::Delivery(delivery) if delivery.subscription == of));
    }

    /// Drops deliveries that nobody has taken yet: their leases return by
    /// [`Consumer::keep`](crate::Consumer::keep).
    pub(crate) fn forget_deliveries(&self) {
        self.lock().entries.retain(|entry| !matches!(entry, Entry::Delivery(_)));
    }

    /// Closes it: what is in it and what still comes is dropped. Answers the leases of
    /// deliveries that nobody took.
    pub(crate) fn close(&self) -> Vec<LeaseToken> {
        let mut inner = self.lock();
        inner.closed = true;
        inner.waker = None;
        (inner.live, inner.replies) = (LiveQueue::default(), LiveQueue::default());
        let lease = |entry| match entry {
            Entry::Delivery(delivery) => Some(delivery.lease),
            Entry::Answer(_) | Entry::Ended(..) => None,
        };
        std::mem::take(&mut inner.entries).into_iter().filter_map(lease).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic halfway through a change, so a poisoned lock still guards whole entries.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the deliveries of one subscription go.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// The mailbox of its session.
    pub mailbox: Arc<Mailbox>,
    /// The subscription's number in that session.
    pub subscription: SubscriptionId,
    /// Which one of that number: it may be drawn again.
    pub nth: u64,
}

/// Mailboxes that got something and are to be woken, once each, when all locks are released.
#[derive(Debug, Default)]
pub struct Wakes(Vec<Arc<Mailbox>>);

impl Wakes {
    /// Remembers a mailbox. Runs of the same one are kept once.
    pub fn add(&mut self, mailbox: &Arc<Mailbox>) {
        if !self.0.iter().rev().take(4).any(|known| Arc::ptr_eq(known, mailbox)) {
            self.0.push(mailbox.clone());
        }
    }

    /// Wakes all and forgets them.
    pub fn wake(&mut self) {
        self.0.drain(..).for_each(|mailbox| mailbox.wake());
    }
}
