//! What a session listens to.

use std::collections::VecDeque;
use std::sync::Arc;

use skep_protocol::{Code, Error, Filter, QueueName, Subscribe, SubscriptionId, Target};

use crate::backend::{Consume, Consumer, End};
use crate::clock::Now;
use crate::event::SessionEvent;
use crate::hub::Hub;
use crate::limits::{SUBSCRIPTIONS_MAX, WINDOW_BYTES_MAX, WINDOW_MESSAGES_MAX};
use crate::mailbox::{Mailbox, Outlet};
use crate::policy::Action;
use crate::session::{Done, Session};

/// One subscription of a session.
pub(crate) enum Subscription {
    /// To a durable queue: it holds leases.
    Queue {
        /// Its end at the backend.
        consumer: Box<dyn Consumer>,
        /// Which one it is.
        reading: Reading,
        /// Messages and bytes; it stands again after a resume.
        window: (u32, u64),
    },
    /// To live messages.
    Live(Filter),
    /// Asked for; the consumer comes when the backend answers, with this window.
    Pending {
        /// Which one it is.
        reading: Reading,
        /// Messages and bytes.
        window: (u32, u64),
    },
}

/// A queue that is read. A client may draw a number again: what is still under way for an earlier one is not for this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) queue: QueueName,
    pub(crate) nth: u64,
}

impl Subscription {
    /// Ends it.
    pub(crate) fn end(self, hub: &Hub, mailbox: &Arc<Mailbox>, end: End, now: Now) {
        match self {
            Subscription::Queue { consumer, .. } => consumer.detach(end, now),
            Subscription::Live(filter) => hub.unlisten(&filter, mailbox),
            Subscription::Pending { .. } => {}
        }
    }

    fn nth(&self) -> Option<u64> {
        match self {
            Subscription::Queue { reading, .. } | Subscription::Pending { reading, .. } => Some(reading.nth),
            Subscription::Live(_) => None,
        }
    }

    fn is_to(&self, target: &Target) -> bool {
        match (self, target) {
            (Subscription::Live(filter), Target::Live(other)) => filter == other,
            (Subscription::Queue { reading, .. } | Subscription::Pending { reading, .. }, Target::Queue(other)) => {
                reading.queue == *other
            }
            _ => false,
        }
    }
}

/// The subscriptions of a session, few, in the order of their making.
#[derive(Default)]
pub(crate) struct Subscriptions {
    all: Vec<(SubscriptionId, Subscription)>,
    /// Those whose queue is no more, and why: the word of it may be lost with the connection, so it is said again
    /// when the session is taken up. As many as can have ended at once.
    ended: VecDeque<(SubscriptionId, Error)>,
    /// How many queues were asked for.
    asked: u64,
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.all.iter_mut().find(|(known, _)| *known == id).map(|(_, subscription)| subscription)
    }

    pub(crate) fn insert(&mut self, id: SubscriptionId, subscription: Subscription) {
        self.ended.retain(|(known, _)| *known != id);
        self.all.push((id, subscription));
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let at = self.all.iter().position(|(known, _)| *known == id)?;
        Some(self.all.remove(at).1)
    }

    /// The queue of one is no more; answers whether there is such a one.
    pub(crate) fn end(&mut self, id: SubscriptionId, nth: u64, error: Error) -> bool {
        let is_known = self.is_nth(id, nth);
        if is_known {
            self.remove(id);
            if self.ended.len() >= SUBSCRIPTIONS_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back((id, error));
        }
        is_known
    }

    fn is_nth(&mut self, id: SubscriptionId, nth: u64) -> bool {
        self.get(id).is_some_and(|subscription| subscription.nth() == Some(nth))
    }

    /// What has ended, as far as it is remembered.
    pub(crate) fn ended(&self) -> impl Iterator<Item = SessionEvent> {
        self.ended.iter().map(|(id, error)| SessionEvent::NotSubscribed(*id, error.clone()))
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Subscription> {
        self.all.drain(..).map(|(_, subscription)| subscription)
    }

    /// The consumers of durable queues, and their windows.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = (&dyn Consumer, (u32, u64))> {
        self.all.iter().filter_map(|(_, subscription)| match subscription {
            Subscription::Queue { consumer, window, .. } => Some((&**consumer, *window)),
            Subscription::Live(_) | Subscription::Pending { .. } => None,
        })
    }
}

impl Session {
    pub(crate) fn begin_subscription(&mut self, subscribe: Subscribe) -> Result<(), Error> {
        let Subscribe { id, target, window, handlers, binding } = subscribe;
        match self.subscriptions.get(id) {
            None => {}
            Some(standing) if !standing.is_to(&target) => {
                let text =
                    format!("subscription {id} stands, for another target; end it first, or draw another number");
                return Err(Error::new(Code::InvalidArgument, text));
            }
            // A client that did not hear the answer asks again. That is harmless.
            Some(Subscription::Pending { .. }) => return Ok(()),
            Some(_) => {
                self.ready.push(SessionEvent::Subscribed(id));
                return Ok(());
            }
        }
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(Error::new(Code::Busy, format!("a session has at most {SUBSCRIPTIONS_MAX} subscriptions")));
        }
        match target {
            Target::Live(filter) => {
                self.hub.policy.authorize(&self.party, Action::Listen(&filter))?;
                self.hub.listen(&filter, &self.mailbox)?;
                self.subscriptions.insert(id, Subscription::Live(filter));
                self.ready.push(SessionEvent::Subscribed(id));
            }
            Target::Queue(queue) => {
                self.hub.policy.authorize(&self.party, Action::Consume(&queue))?;
                let window = (window.messages.min(WINDOW_MESSAGES_MAX), window.bytes.min(WINDOW_BYTES_MAX));
                let party = self.party.name.clone();
                let how = Consume { messages: window.0, bytes: window.1, handlers, binding, party };
                self.subscriptions.asked += 1;
                let nth = self.subscriptions.asked;
                let outlet = Outlet { mailbox: self.mailbox.clone(), subscription: id, nth };
                let hub = self.hub.clone();
                let reading = Reading { queue: queue.clone(), nth };
                self.subscriptions.insert(id, Subscription::Pending { reading, window });
                self.begin(
                    |error| SessionEvent::NotSubscribed(id, error),
                    Box::pin(async move { Done::Consumer(id, nth, hub.backend.consume(&queue, how, outlet).await) }),
                );
            }
        }
        Ok(())
    }

    /// A cold verb is done.
    pub(crate) fn finish(&mut self, done: Done, now: Now) {
        let event = match done {
            Done::Event(event) => event,
            // It was unsubscribed meanwhile; another may have its number.
            Done::Consumer(id, nth, result) if !self.subscriptions.is_nth(id, nth) => {
                return result.map_or((), |consumer| consumer.detach(End::Goodbye, now));
            }
            Done::Consumer(id, _, result) => match (self.subscriptions.remove(id), result) {
                (Some(Subscription::Pending { reading, window }), Ok(consumer)) => {
                    consumer.set_window(window.0, window.1);
                    self.subscriptions.insert(id, Subscription::Queue { consumer, reading, window });
                    SessionEvent::Subscribed(id)
                }
                (_, Ok(consumer)) => return consumer.detach(End::Goodbye, now),
                (_, Err(error)) => SessionEvent::NotSubscribed(id, error),
            },
        };
        self.ready.push(event);
    }
}
