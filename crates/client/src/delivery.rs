//! Receiving from a queue: a reader, and the leased messages it hands out.

use std::fmt;
use std::future::pending;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use skep_protocol::{Accepted, Action, Code, Delivery, Error, LeaseToken, Message, Outcome, SubscriptionId};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::clock::Moment;
use crate::handle::Handle;
use crate::mailbox::Mailbox;
use crate::verb::{Held, Left};

/// A reader of a queue. It outlives reconnects. Dropped, what it had not handed out returns to
/// the queue uncharged; what it had is not touched.
pub struct Deliveries {
    id: SubscriptionId,
    mailbox: Arc<Mailbox<Held>>,
    handle: Arc<Handle>,
}

impl Deliveries {
    pub(crate) fn new(id: SubscriptionId, mailbox: Arc<Mailbox<Held>>, handle: Arc<Handle>) -> Self {
        Deliveries { id, mailbox, handle }
    }

    /// The next message whose lease still holds; none after the end, see [`ended`](Self::ended).
    ///
    /// It may be cancelled: nothing is lost.
    pub async fn next(&mut self) -> Option<Leased> {
        loop {
            let held = self.mailbox.next().await?;
            let mut leased = Leased::new(held, Arc::clone(&self.handle));
            if !leased.is_lost() {
                return Some(leased);
            }
        }
    }

    /// Why nothing more comes: the queue is gone, the client closed or gave up. None while it may.
    #[must_use]
    pub fn ended(&self) -> Option<Error> {
        self.mailbox.ended()
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        let waiting = self.mailbox.desert().into_iter().map(|held| Left::Lease(held.delivery.lease));
        for left in waiting.chain([Left::Subscription(self.id)]) {
            let _ended = self.handle.left.offer(left);
        }
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deliveries({})", self.id)
    }
}

/// One message under a lease, to be settled: [`ack`](Self::ack), [`nack`](Self::nack),
/// [`reject`](Self::reject) or [`hand_over`](Self::hand_over).
///
/// Every settle waits for the hub's word, across reconnects if need be, and may be tried again if
/// it is refused. Dropped unsettled, the message returns to its queue, uncharged. Nobody renews the
/// lease but [`extend`](Self::extend); [`Client::consume`](crate::Client::consume) does so by itself.
pub struct Leased {
    delivery: Delivery,
    word: Word,
    /// When the lease ends unless it is extended: never later than the hub thinks.
    expires: Moment,
    /// A settle is on its way, or was answered.
    settled: bool,
    handle: Arc<Handle>,
}

/// What is known of the lease's loss.
enum Word {
    NotYet(oneshot::Receiver<()>),
    Lost,
    /// It was settled, so it cannot be lost any more.
    Never,
}

impl Leased {
    pub(crate) fn new(held: Held, handle: Arc<Handle>) -> Self {
        let expires = held.since + Duration::from_millis(held.delivery.lease_ms);
        Leased { delivery: held.delivery, word: Word::NotYet(held.lost), expires, settled: false, handle }
    }

    /// Done: it never comes back.
    ///
    /// # Errors
    /// `lease_lost`: it was handed to somebody else. `connection_lost` when the client gave up or closed first.
    pub async fn ack(&mut self) -> Result<(), Error> {
        self.settle(Action::Ack).await
    }

    /// Not done: deliver it again, after this long or else after the queue's backoff. The reason (at
    /// most 4,096 bytes) is shown to the next attempt.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); `too_large`.
    pub async fn nack(&mut self, after: Option<Duration>, reason: impl Into<String>) -> Result<(), Error> {
        self.settle(Action::Nack { after_ms: after.map(millis), reason: reason.into() }).await
    }

    /// Never to be done: to the dead letters, with the reason (at most 4,096 bytes).
    ///
    /// # Errors
    /// As [`ack`](Self::ack); `too_large`.
    pub async fn reject(&mut self, reason: impl Into<String>) -> Result<(), Error> {
        self.settle(Action::Reject { reason: reason.into() }).await
    }

    /// Not yet done: the lease lasts this much longer from now, unsaid the queue's lease. Progress (at
    /// most 64 KiB) is shown to the next attempt if this one fails.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); `too_large`.
    pub async fn extend(&mut self, lease: Option<Duration>, progress: Option<String>) -> Result<(), Error> {
        let asked = self.handle.clock.now();
        let action = Action::Extend { lease_ms: lease.map(millis), progress };
        let coming = self.handle.settle(self.delivery.lease, action).await?;
        self.handle.answer(coming).await?;
        self.expires = asked + lease.unwrap_or(Duration::from_millis(self.delivery.lease_ms));
        Ok(())
    }

    /// Acks this message and publishes others, in one atomic step: both or neither, also when the
    /// connection is lost in between. Each of these must find a queue, but for those that ask for `best_effort`.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); `no_queue`; as [`publish`](crate::Client::publish) of the first message that was refused:
    /// then nothing was published, and the lease still holds. `too_large` beyond 4,095 messages or one frame.
    pub async fn hand_over(&mut self, messages: Vec<Message>) -> Result<Vec<Accepted>, Error> {
        if messages.is_empty() {
            return self.ack().await.map(|()| Vec::new());
        }
        let coming = self.handle.hand_over(self.delivery.lease, messages).await?;
        self.settled = true;
        let result = self.handle.answer(coming).await;
        self.after(result)
    }

    /// Leaves the message leased, to be settled by its token: see [`Client::settle`](crate::Client::settle).
    /// That makes sense for a lease bound to its deadline, which outlives this client.
    #[must_use = "without its token nobody settles it"]
    pub fn keep(mut self) -> LeaseToken {
        self.settled = true;
        self.delivery.lease
    }

    /// Ends when the hub says that the lease is lost. It may be cancelled.
    pub async fn lost(&mut self) {
        if let Word::NotYet(told) = &mut self.word {
            self.word = if told.await.is_ok() { Word::Lost } else { Word::Never };
        }
        if matches!(self.word, Word::Never) {
            pending::<()>().await;
        }
    }

    /// Whether the lease is lost or has run out.
    #[must_use]
    pub fn is_lost(&mut self) -> bool {
        if let Word::NotYet(told) = &mut self.word {
            match told.try_recv() {
                Ok(()) => self.word = Word::Lost,
                Err(TryRecvError::Closed) => self.word = Word::Never,
                Err(TryRecvError::Empty) => {}
            }
        }
        matches!(self.word, Word::Lost) || self.remaining().is_zero()
    }

    /// How long the lease lasts unless it is extended.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.expires.saturating_sub(self.handle.clock.now())
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(crate) fn lease(&self) -> LeaseToken {
        self.delivery.lease
    }

    async fn settle(&mut self, action: Action) -> Result<(), Error> {
        let coming = self.handle.settle(self.delivery.lease, action).await?;
        self.settled = true;
        let result = self.handle.answer(coming).await;
        self.after(result)
    }

    /// What was certainly refused may be tried again, or returns when this is dropped.
    fn after<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.settled = error.code == Code::LeaseLost || error.outcome == Outcome::Unknown;
        }
        result
    }
}

impl Deref for Leased {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.delivery
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if !self.settled {
            let _ended = self.handle.left.offer(Left::Lease(self.delivery.lease));
        }
    }
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.delivery.fmt(f)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
