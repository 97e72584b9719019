//! One party, attached to the hub, however it came. Read this file first.
//!
//! Everything a party does goes through its [`Session`]: `publish`, `settle`, `subscribe`,
//! `set_window`, `manage`, `query`. The verbs return at once; what becomes of them arrives
//! in the session's mailbox and comes out of [`Session::poll_events`]: receipts (true ones:
//! what they say has happened), deliveries, live messages, answers.
//!
//! A connection that is lost parks its session for some seconds, so that the client can
//! resume it and lose no lease. A session that is dropped is lost: its leases return.

use std::sync::Arc;
use std::task::{Context, Poll};

use skep_protocol::{
    Accepted, Error, Manage, Managed, Message, ProducerId, Query, Report, ResumeToken, SettleBatch, Settlement,
    Subscribe, SubscriptionId, Window,
};

use crate::admission::Way;
use crate::backend::{BoxFuture, Consumer, End, Outgoing, Write};
use crate::clock::Now;
use crate::event::SessionEvent;
use crate::expiry::check_expiry;
use crate::guard::Sender;
use crate::hub::Hub;
use crate::limits::{
    UNANSWERED_BYTES_MAX, UNANSWERED_COMMANDS_MAX, UNANSWERED_MESSAGES_MAX, WINDOW_BYTES_MAX, WINDOW_MESSAGES_MAX,
};
use crate::mailbox::{Entry, Mailbox, Taken, Wakes};
use crate::policy::Party;
use crate::recent::Recent;
use crate::subscription::{Subscription, Subscriptions};

/// One authenticated party, attached to the hub.
pub struct Session {
    pub(crate) hub: Arc<Hub>,
    pub(crate) party: Party,
    /// Whose numbers its publishes carry, to recognise resends; without, numbers only name receipts.
    pub(crate) producer: Option<ProducerId>,
    pub(crate) resume: ResumeToken,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Where live replies to this session go.
    pub(crate) replies: String,
    pub(crate) subscriptions: Subscriptions,
    /// Cold verbs that wait for their answer.
    pending: Vec<BoxFuture<'static, Done>>,
    /// What was passed on live, so that a resend is not heard again.
    pub(crate) recent: Recent<Accepted>,
    /// What was known at once.
    pub(crate) ready: Vec<SessionEvent>,
    taken: Taken,
    pub(crate) unanswered_messages: usize,
    pub(crate) unanswered_bytes: usize,
    /// Its agent counts as connected through it.
    is_here: bool,
}

/// A cold verb is done.
pub(crate) enum Done {
    /// The number of a subscription, which one of that number, and what became of it.
    Consumer(SubscriptionId, u64, Result<Box<dyn Consumer>, Error>),
    Event(SessionEvent),
}

impl Session {
    pub(crate) fn new(
        hub: Arc<Hub>,
        party: Party,
        producer: Option<ProducerId>,
        resume: ResumeToken,
        replies: &str,
    ) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let replies = hub.replies.open(replies, &mailbox);
        Session {
            hub,
            party,
            producer,
            resume,
            mailbox,
            replies,
            subscriptions: Subscriptions::default(),
            pending: Vec::new(),
            recent: Recent::default(),
            ready: Vec::new(),
            taken: Taken::default(),
            unanswered_messages: 0,
            unanswered_bytes: 0,
            is_here: false,
        }
    }

    /// Who is attached.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// The topic to which replies to live requests go; a token may be added.
    #[must_use]
    pub fn replies(&self) -> &str {
        &self.replies
    }

    /// Publishes messages, numbered from `sequence` on. Each gets a receipt, under its
    /// number, when what the receipt says is true.
    pub fn publish(&mut self, sequence: u64, batch: &[Message], now: Now) {
        let mut wakes = Wakes::default();
        let judged = self.hub.admit_all(|sequence| self.sender(sequence), sequence, batch, now);
        let (mut judged, mut rest, mut sequence) = (judged.as_slice(), batch, sequence);
        while let [first, ..] = judged {
            let stored = judged.iter().take_while(|run| self.is_stored_or_may_be(&run.way)).count();
            let (these, others) = judged.split_at(stored.max(1));
            let count = these.iter().map(|run| run.count).sum();
            let (run, later) = rest.split_at(count);
            match stored {
                0 => self.pass_on(&first.way, sequence, run, now, &mut wakes),
                _ => self.store(sequence, run, these, now),
            }
            (judged, rest, sequence) = (others, later, sequence + count as u64);
        }
        wakes.wake();
        self.hub.telemetry.published(batch.len());
    }

    /// Whether the backend is to judge: it alone knows whether what is refused now was stored before, and then it is not refused.
    fn is_stored_or_may_be(&self, way: &Way) -> bool {
        matches!(way, Way::Store { .. }) || matches!(way, Way::Refused(_) if self.producer.is_some())
    }

    /// Settles leases; with publishes, as one atomic step guarded by every lease.
    pub fn settle(&mut self, batch: &SettleBatch, now: Now) {
        let publish = batch.publish.as_ref();
        let messages = publish.map_or(&[][..], |publish| &publish.messages);
        let sequence = publish.map_or(0, |publish| publish.sequence);
        let required = match self.check_settle(batch, messages, now) {
            Ok(required) => required,
            Err(error) => {
                let mut reply = self.promise_settle(batch, sequence, messages);
                let outgoing: Vec<Outgoing<'_>> = messages.iter().map(Outgoing::new).collect();
                reply.note_all_left(&outgoing, &error);
                let mut wakes = Wakes::default();
                reply.fail(&error, &mut wakes);
                return wakes.wake();
            }
        };
        let outgoing: Vec<Outgoing<'_>> = messages
            .iter()
            .zip(sequence..)
            .zip(required)
            .map(|((message, sequence), required)| Outgoing { sequence, required, ..Outgoing::new(message) })
            .collect();
        let reply = self.promise_settle(batch, sequence, messages);
        let write = Write {
            settles: &batch.settles,
            publishes: &outgoing,
            atomic: batch.atomic,
            party: &self.party.name,
            producer: self.producer,
        };
        self.hub.backend.submit(write, now, reply);
    }

    /// Subscribes to a queue or to live topics; answered by an event.
    pub fn subscribe(&mut self, subscribe: Subscribe) {
        let id = subscribe.id;
        if let Err(error) = self.begin_subscription(subscribe) {
            self.ready.push(SessionEvent::NotSubscribed(id, error));
        }
    }

    /// Ends a subscription. What it holds returns, uncharged.
    pub fn unsubscribe(&mut self, id: SubscriptionId, now: Now) {
        if let Some(subscription) = self.subscriptions.remove(id) {
            subscription.end(&self.hub, &self.mailbox, End::Goodbye, now);
        }
    }

    /// Sets the most that may be unsettled at once. Of a live subscription it says nothing.
    pub fn set_window(&mut self, window: Window) {
        let (messages, bytes) = (window.messages.min(WINDOW_MESSAGES_MAX), window.bytes.min(WINDOW_BYTES_MAX));
        match self.subscriptions.get(window.subscription) {
            Some(Subscription::Queue { consumer, window, .. }) => {
                *window = (messages, bytes);
                consumer.set_window(messages, bytes);
            }
            Some(Subscription::Pending { window, .. }) => *window = (messages, bytes),
            Some(Subscription::Live(_)) | None => {}
        }
    }

    /// Runs a command; answered by an event.
    pub fn manage(&mut self, Manage { tag, command }: Manage, now: Now) {
        let (hub, party) = (self.hub.clone(), self.party.clone());
        self.begin(
            |error| SessionEvent::Managed(Managed { tag, result: Settlement::Error(error) }),
            Box::pin(async move {
                let result = hub.manage(&party, command, now).await.into();
                Done::Event(SessionEvent::Managed(Managed { tag, result }))
            }),
        );
    }

    /// Answers a question; answered by an event.
    pub fn query(&mut self, Query { tag, ask }: Query, now: Now) {
        let (hub, party) = (self.hub.clone(), self.party.clone());
        self.begin(
            |error| SessionEvent::Page(Report { tag, result: Settlement::Error(error) }),
            Box::pin(async move {
                let result = hub.look(&party, ask, now).await.into();
                Done::Event(SessionEvent::Page(Report { tag, result }))
            }),
        );
    }

    /// What happened, in order, appended to `into`; pending when nothing did.
    pub fn poll_events(&mut self, cx: &mut Context<'_>, now: Now, into: &mut Vec<SessionEvent>) -> Poll<()> {
        let before = into.len();
        self.poll_pending(cx, now);
        into.append(&mut self.ready);
        while into.len() == before {
            let is_any = self.mailbox.take(&mut self.taken, cx.waker());
            self.look_again();
            if !is_any {
                break;
            }
            self.tell(now, into);
        }
        if into.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What it did not take in time went back, and nothing more came: now it comes again, which wakes it.
    fn look_again(&mut self) {
        if std::mem::take(&mut self.taken.withdrawn) {
            self.subscriptions
                .consumers()
                .for_each(|(consumer, (messages, bytes))| consumer.set_window(messages, bytes));
        }
    }

    /// Whether it may publish more now: what waits for its receipt is bounded.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.unanswered_messages < UNANSWERED_MESSAGES_MAX
            && self.unanswered_bytes < UNANSWERED_BYTES_MAX
            && self.pending.len() < UNANSWERED_COMMANDS_MAX
    }

    /// Leaves: everything it holds returns at once, uncharged.
    pub fn goodbye(mut self, now: Now) {
        self.end(End::Goodbye, now);
    }

    pub(crate) fn sender(&self, sequence: u64) -> Sender<'_> {
        Sender { party: &self.party, producer: self.producer, sequence }
    }

    pub(crate) fn begin(&mut self, refused: impl FnOnce(Error) -> SessionEvent, verb: BoxFuture<'static, Done>) {
        if self.pending.len() < UNANSWERED_COMMANDS_MAX {
            self.pending.push(verb);
        } else {
            let text = format!("this session has {UNANSWERED_COMMANDS_MAX} commands unanswered; wait for one");
            self.ready.push(refused(Error::new(skep_protocol::Code::Busy, text)));
        }
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>, now: Now) {
        let mut at = 0;
        while let Some(verb) = self.pending.get_mut(at) {
            match verb.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(done) => {
                    drop(self.pending.remove(at));
                    self.finish(done, now);
                }
            }
        }
    }

    fn tell(&mut self, now: Now, into: &mut Vec<SessionEvent>) {
        let Taken { entries, live, dropped, .. } = &mut self.taken;
        for entry in entries.drain(..) {
            match entry {
                Entry::Delivery(delivery) => {
                    self.hub.telemetry.delivered(1);
                    into.push(SessionEvent::Deliver(delivery));
                }
                Entry::Ended(id, nth, error) => {
                    // Its consumer is gone already; one that was unsubscribed meanwhile needs no word.
                    if self.subscriptions.end(id, nth, error.clone()) {
                        into.push(SessionEvent::NotSubscribed(id, error));
                    }
                }
                Entry::Answer(answer) => {
                    self.unanswered_messages -= answer.messages;
                    self.unanswered_bytes -= answer.bytes;
                    self.hub.explain(&self.party.name, answer, now, into);
                }
            }
        }
        if *dropped > 0 {
            into.push(SessionEvent::Dropped(std::mem::take(dropped)));
        }
        // A slow listener misses what expired while it waited.
        // Those that came together say the same of when they expire.
        let current = live.drain(..).filter(|live| check_expiry(&live.message().view(), now).is_ok());
        into.extend(current.map(SessionEvent::Live));
    }

    /// Its agent is connected from now on.
    pub(crate) fn arrive(&mut self, now: Now) {
        if let Some(agent) = self.party.agent.as_ref().filter(|_| !self.is_here) {
            self.hub.registry.arrive(agent, now);
            self.is_here = true;
        }
    }

    /// And no more: nobody hears what comes, until the session is taken up again.
    pub(crate) fn depart(&mut self, now: Now) {
        if let Some(agent) = self.party.agent.as_ref().filter(|_| self.is_here) {
            self.hub.registry.leave(agent, now);
            self.is_here = false;
        }
    }

    fn end(&mut self, end: End, now: Now) {
        // What it gives back is for others, not for it.
        self.subscriptions.consumers().for_each(|(consumer, _)| consumer.set_window(0, 0));
        self.give_back(self.mailbox.close(), now);
        let (hub, mailbox) = (self.hub.clone(), self.mailbox.clone());
        self.subscriptions.drain().for_each(|subscription| subscription.end(&hub, &mailbox, end, now));
        hub.replies.close(&self.replies);
        self.replies.clear();
        self.depart(now);
        hub.gone(self.resume);
    }
}

impl Drop for Session {
    /// A session that did not say goodbye is lost.
    fn drop(&mut self) {
        if !self.replies.is_empty() {
            let now = self.hub.now();
            self.end(End::Lost, now);
        }
    }
}
