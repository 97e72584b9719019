//! Subscriptions: what is delivered goes to whoever reads it, also after a reconnect.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use skep_protocol::{
    Code, Error, Filter, Frame, LeaseToken, Message, QueueName, Subscribe, SubscriptionId, Target, Window,
};

use crate::clock::Moment;
use crate::limits::{LIVE_BYTES_MAX, LIVE_MESSAGES_MAX, PARTING_MAX, SUBSCRIPTIONS_MAX};
use crate::mailbox::Mailbox;
use crate::verb::{Asker, Credit, Feed, Held};

/// By the number that this side drew. Bounded; one too many is refused.
#[derive(Default)]
pub(super) struct Subscriptions {
    all: BTreeMap<SubscriptionId, Subscription>,
    /// Live ones whose filter is a topic, by that topic.
    literal: HashMap<String, Vec<SubscriptionId>>,
    /// The other live ones.
    wild: Vec<SubscriptionId>,
    /// Unsubscribed, each with the ping that was sent right behind: until that comes back,
    /// the hub may not have seen it.
    parting: VecDeque<(SubscriptionId, u64)>,
}

pub(super) struct Subscription {
    kind: Kind,
    /// Waits for the hub's first word on it.
    asker: Option<Asker<()>>,
    /// Whether the hub said yes, in the session that stands.
    confirmed: bool,
}

enum Kind {
    Queue {
        queue: QueueName,
        credit: Credit,
        mailbox: Arc<Mailbox<Held>>,
        leases: usize,
        /// The reader left; what it still works on is waited for.
        closing: bool,
    },
    Live {
        filter: Filter,
        mailbox: Arc<Mailbox<Message>>,
    },
}

/// What a subscription whose reader left asks for next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// There is none such.
    Unknown,
    /// It takes no more, and ends when its last lease is settled.
    NoMore(Window),
    /// It ends now.
    Over,
}

/// What became of a delivery here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// It waits for its reader; these leases that waited before it have run out.
    Taken(Vec<LeaseToken>),
    /// Nobody takes it.
    Return(LeaseToken),
}

impl Subscriptions {
    /// Adds one; gives back the frame that asks for it, unless it is refused here.
    pub(super) fn add(&mut self, id: SubscriptionId, feed: Feed, asker: Asker<()>) -> Option<Frame> {
        if self.all.len() >= SUBSCRIPTIONS_MAX {
            let text = format!("this client holds {SUBSCRIPTIONS_MAX} subscriptions; no more are taken");
            let _gave_up = asker.send(Err(Error::new(Code::Busy, text)));
            return None;
        }
        let kind = match feed {
            Feed::Queue { mailbox, .. } if mailbox.is_deserted() => return None,
            Feed::Live { mailbox, .. } if mailbox.is_deserted() => return None,
            Feed::Queue { queue, options: credit, mailbox } => {
                Kind::Queue { queue, credit, mailbox, leases: 0, closing: false }
            }
            Feed::Live { filter, mailbox } => {
                if filter.is_literal() {
                    self.literal.entry(filter.as_str().to_owned()).or_default().push(id);
                } else {
                    self.wild.push(id);
                }
                Kind::Live { filter, mailbox }
            }
        };
        let frame = kind.subscribe(id);
        self.all.insert(id, Subscription { kind, asker: Some(asker), confirmed: false });
        Some(frame)
    }

    pub(super) fn confirmed(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.all.get_mut(&id) {
            subscription.confirmed = true;
            if let Some(asker) = subscription.asker.take() {
                let _gave_up = asker.send(Ok(()));
            }
        }
    }

    /// The hub said no; also to one that stood before a reconnect.
    pub(super) fn refused(&mut self, id: SubscriptionId, error: Error) {
        if let Some(subscription) = self.remove(id) {
            subscription.end(&error);
        }
    }

    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let subscription = self.all.remove(&id)?;
        if let Kind::Live { filter, .. } = &subscription.kind {
            self.wild.retain(|known| *known != id);
            if let Some(ids) = self.literal.get_mut(filter.as_str()) {
                ids.retain(|known| *known != id);
                if ids.is_empty() {
                    self.literal.remove(filter.as_str());
                }
            }
        }
        Some(subscription)
    }

    /// The reader of a subscription left.
    pub(super) fn leave(&mut self, id: SubscriptionId) -> Farewell {
        match self.all.get_mut(&id).map(|subscription| &mut subscription.kind) {
            None => Farewell::Unknown,
            Some(Kind::Queue { leases, closing, .. }) if *leases > 0 => {
                *closing = true;
                Farewell::NoMore(no_more(id))
            }
            Some(_) => Farewell::Over,
        }
    }

    /// Remembers an Unsubscribe until the ping behind it comes back.
    pub(super) fn parts(&mut self, id: SubscriptionId, ping: u64) {
        if self.parting.len() >= PARTING_MAX {
            self.parting.pop_front();
        }
        self.parting.push_back((id, ping));
    }

    pub(super) fn pong(&mut self, ping: u64) {
        self.parting.retain(|(_, behind)| *behind > ping);
    }

    /// Gives a delivery to the reader of its queue; gives back the leases that are over instead:
    /// this one when nobody takes it, or those that ran out while they waited for a slow reader.
    pub(super) fn deliver(&mut self, held: Held, now: Moment) -> Delivered {
        let (id, lease) = (held.delivery.subscription, held.delivery.lease);
        let kind = self.all.get_mut(&id).map(|subscription| &mut subscription.kind);
        let Some(Kind::Queue { leases, closing, mailbox, .. }) = kind else { return Delivered::Return(lease) };
        *leases += 1;
        if *closing {
            return Delivered::Return(lease);
        }
        let Err(held) = mailbox.offer(held) else { return Delivered::Taken(Vec::new()) };
        let mut over = Vec::new();
        mailbox.retain(|waiting| {
            let lasts = waiting.since + Duration::from_millis(waiting.delivery.lease_ms) > now;
            if !lasts {
                over.push(waiting.delivery.lease);
            }
            lasts
        });
        if !over.is_empty() && mailbox.offer(held).is_ok() { Delivered::Taken(over) } else { Delivered::Return(lease) }
    }

    /// A lease of it ended; whether it was the last that a closing one waited for.
    pub(super) fn lease_ended(&mut self, id: SubscriptionId) -> bool {
        match self.all.get_mut(&id).map(|subscription| &mut subscription.kind) {
            Some(Kind::Queue { leases, closing, .. }) => {
                *leases = leases.saturating_sub(1);
                *leases == 0 && *closing
            }
            _ => false,
        }
    }

    /// Gives a live message to every subscription that matches, once each.
    pub(super) fn live(&self, message: &Message) {
        let mut given: Vec<SubscriptionId> = Vec::new();
        for topic in message.view().to() {
            let literal = self.literal.get(topic).into_iter().flatten();
            let wild = self.wild.iter().filter(|id| self.filter_of(**id).is_some_and(|filter| filter.matches(topic)));
            for id in literal.chain(wild) {
                if given.contains(id) {
                    continue;
                }
                given.push(*id);
                if let Some(Kind::Live { mailbox, .. }) = self.all.get(id).map(|subscription| &subscription.kind) {
                    mailbox.push(message.clone(), message.bytes().len());
                }
            }
        }
    }

    fn filter_of(&self, id: SubscriptionId) -> Option<&Filter> {
        match &self.all.get(&id)?.kind {
            Kind::Live { filter, .. } => Some(filter),
            Kind::Queue { .. } => None,
        }
    }

    /// What waits for a reader under these leases is handed out no more.
    pub(super) fn take_back(&self, lost: &HashSet<LeaseToken>) {
        for subscription in self.all.values() {
            if let Kind::Queue { mailbox, .. } = &subscription.kind {
                mailbox.retain(|held| !lost.contains(&held.delivery.lease));
            }
        }
    }

    /// What is to be said when a session stands again.
    pub(super) fn again(&mut self, resumed: bool) -> Vec<Frame> {
        if !resumed {
            self.parting.clear();
            self.all.retain(|_, subscription| !matches!(subscription.kind, Kind::Queue { closing: true, .. }));
            self.all.values_mut().for_each(|subscription| subscription.confirmed = false);
        }
        let mut frames: Vec<Frame> = self.parting.iter().map(|(id, _)| Frame::Unsubscribe(*id)).collect();
        frames.extend(self.parting.back().map(|(_, ping)| Frame::Ping(*ping)));
        for (id, subscription) in &self.all {
            match &subscription.kind {
                Kind::Queue { closing: true, .. } => frames.push(Frame::Window(no_more(*id))),
                kind if !subscription.confirmed => frames.push(kind.subscribe(*id)),
                _ => {}
            }
        }
        frames
    }

    pub(super) fn end(&mut self, error: &Error) {
        std::mem::take(&mut self.all).into_values().for_each(|subscription| subscription.end(error));
        (self.literal, self.wild) = (HashMap::new(), Vec::new());
    }
}

impl Subscription {
    /// Tells whoever reads it, or waits for it, why it is over.
    fn end(self, error: &Error) {
        if let Some(asker) = self.asker {
            let _gave_up = asker.send(Err(error.clone()));
        }
        match self.kind {
            Kind::Queue { mailbox, .. } => mailbox.end(error.clone()),
            Kind::Live { mailbox, .. } => mailbox.end(error.clone()),
        }
    }
}

impl Kind {
    fn subscribe(&self, id: SubscriptionId) -> Frame {
        Frame::Subscribe(match self {
            Kind::Queue { queue, credit, .. } => Subscribe {
                id,
                target: Target::Queue(queue.clone()),
                window: Window { subscription: id, messages: credit.messages, bytes: credit.bytes },
                handlers: credit.handlers,
                binding: credit.binding,
            },
            Kind::Live { filter, .. } => Subscribe {
                id,
                target: Target::Live(filter.clone()),
                window: Window {
                    subscription: id,
                    messages: u32::try_from(LIVE_MESSAGES_MAX).unwrap_or(u32::MAX),
                    bytes: LIVE_BYTES_MAX as u64,
                },
                handlers: 1,
                binding: skep_protocol::Binding::Connection,
            },
        })
    }
}

fn no_more(id: SubscriptionId) -> Window {
    Window { subscription: id, messages: 0, bytes: 0 }
}
