//! The way from callers to the client's task. Everything a caller holds shares one handle; when
//! the last goes, the task says goodbye and ends.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use skep_protocol::limits::{BATCH_MAX, FRAME_BYTES_MAX};
use skep_protocol::{Accepted, Action, Code, Error, LeaseToken, Message, SubscriptionId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::clock::{Clock, Ids};
use crate::conversation::{Session, hand_over_bytes};
use crate::limits::{CALLS_MAX, FRAME_FILL_BYTES, MESSAGE_COST_MIN, REQUESTS_MAX, SETTLES_MAX, UNANSWERED_BYTES_MAX};
use crate::mailbox::Mailbox;
use crate::options::Options;
use crate::verb::{Left, Paid, Verb};

pub(crate) struct Handle {
    verbs: mpsc::Sender<Verb>,
    /// What was dropped; at most one entry a lease, subscription and request.
    pub(crate) left: Arc<Mailbox<Left>>,
    pub(crate) session: watch::Receiver<Session>,
    /// Why the client ended; set before the other end of `verbs` goes.
    ended: Arc<OnceLock<Error>>,
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    subscriptions: AtomicU32,
    requests: AtomicU64,
    /// Permits are bytes.
    room_for_messages: Arc<Semaphore>,
    room_for_settles: Arc<Semaphore>,
    room_for_requests: Arc<Semaphore>,
    room_for_calls: Arc<Semaphore>,
}

/// An answer on its way.
pub(crate) type Coming<T> = oneshot::Receiver<T>;

impl Handle {
    pub(crate) fn new(
        verbs: mpsc::Sender<Verb>,
        left: Arc<Mailbox<Left>>,
        session: watch::Receiver<Session>,
        ended: Arc<OnceLock<Error>>,
        (options, clock, ids): (Options, Clock, Ids),
    ) -> Self {
        Handle {
            verbs,
            left,
            session,
            ended,
            options,
            clock,
            ids,
            subscriptions: AtomicU32::new(1),
            requests: AtomicU64::new(1),
            room_for_messages: Arc::new(Semaphore::new(UNANSWERED_BYTES_MAX)),
            room_for_settles: Arc::new(Semaphore::new(SETTLES_MAX)),
            room_for_requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            room_for_calls: Arc::new(Semaphore::new(CALLS_MAX)),
        }
    }

    pub(crate) fn next_subscription(&self) -> SubscriptionId {
        self.subscriptions.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for room for messages of this cost.
    pub(crate) async fn pay_for(&self, cost: usize) -> Result<Paid, Error> {
        let permits = u32::try_from(cost.min(UNANSWERED_BYTES_MAX)).unwrap_or(u32::MAX);
        self.room(&self.room_for_messages, permits).await
    }

    pub(crate) async fn room_for_request(&self) -> Result<Paid, Error> {
        self.room(&self.room_for_requests, 1).await
    }

    pub(crate) async fn room_for_call(&self) -> Result<Paid, Error> {
        self.room(&self.room_for_calls, 1).await
    }

    async fn room(&self, semaphore: &Arc<Semaphore>, permits: u32) -> Result<Paid, Error> {
        Arc::clone(semaphore).acquire_many_owned(permits).await.map_err(|_| self.why_ended())
    }

    /// Passes a verb to the task. Once this is done it takes effect, whether or not its answer
    /// is waited for.
    pub(crate) async fn pass<T>(&self, verb: impl FnOnce(oneshot::Sender<T>) -> Verb) -> Result<Coming<T>, Error> {
        let (asker, coming) = oneshot::channel();
        self.say(verb(asker)).await?;
        Ok(coming)
    }

    /// The same of a verb that is answered in another way.
    pub(crate) async fn say(&self, verb: Verb) -> Result<(), Error> {
        self.verbs.send(verb).await.map_err(|_| self.why_ended())
    }

    pub(crate) async fn answer<T>(&self, coming: Coming<Result<T, Error>>) -> Result<T, Error> {
        coming.await.unwrap_or_else(|_| Err(self.why_ended()))
    }

    pub(crate) fn why_ended(&self) -> Error {
        self.ended.get().cloned().unwrap_or_else(|| Error::new(Code::ConnectionLost, "the client's task ended"))
    }

    /// Passes a settle; its answer comes later.
    pub(crate) async fn settle(&self, lease: LeaseToken, action: Action) -> Result<Coming<Result<(), Error>>, Error> {
        action.check()?;
        let paid = self.room(&self.room_for_settles, 1).await?;
        self.pass(|asker| Verb::Settle { lease, action, paid, asker }).await
    }

    /// Passes an ack together with messages, all or nothing.
    pub(crate) async fn hand_over(
        &self,
        lease: LeaseToken,
        messages: Vec<Message>,
    ) -> Result<Coming<Result<Vec<Accepted>, Error>>, Error> {
        let bytes = hand_over_bytes(&messages);
        if messages.len() >= BATCH_MAX || bytes > FRAME_BYTES_MAX - FRAME_FILL_BYTES / 16 {
            let text = format!(
                "a hand-over of {} messages and {bytes} bytes; one frame takes {} and {} bytes",
                messages.len(),
                BATCH_MAX - 1,
                FRAME_BYTES_MAX - FRAME_FILL_BYTES / 16
            );
            return Err(Error::new(Code::TooLarge, text));
        }
        let paid = self.pay_for(messages.iter().map(cost).sum()).await?;
        self.pass(|asker| Verb::HandOver { lease, messages, paid, asker }).await
    }
}

/// What a message counts for while it is unanswered, in bytes.
pub(crate) fn cost(message: &Message) -> usize {
    message.bytes().len().max(MESSAGE_COST_MIN)
}

#[cfg(test)]
mod tests {
    use skep_protocol::MessageId;
    use skep_protocol::limits::PRODUCER_WINDOW;

    use super::*;

    impl Handle {
        pub(crate) fn requests_waiting(&self) -> usize {
            REQUESTS_MAX - self.room_for_requests.available_permits()
        }
    }

    #[test]
    fn the_room_for_messages_holds_one_window_of_them_and_fewer_large_ones() {
        let build = || Message::build(&MessageId::new("m").unwrap(), "client/test", "note");
        let small = cost(&build().finish().unwrap());
        assert_eq!(UNANSWERED_BYTES_MAX / small, usize::try_from(PRODUCER_WINDOW).unwrap());
        let large = cost(&build().payload("application/octet-stream", vec![0; 1 << 20]).finish().unwrap());
        assert!(large > 1 << 20);
    }
}
