//! Handlers: each message gets one, its lease is renewed meanwhile, and what it returns settles it.

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use skep_protocol::limits::REASON_BYTES_MAX;
use skep_protocol::{Action, Code, Delivery, Error, LeaseToken, Message};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::clock::pause;
use crate::delivery::{Deliveries, Leased};
use crate::handle::Handle;
use crate::limits::LEASE_MIN;

/// What became of a message, as its handler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Ack,
    /// Not done: deliver again.
    Nack {
        /// After this long; unsaid, after the queue's backoff.
        after: Option<Duration>,
        /// Why, for the next attempt; cut at 4,096 bytes.
        reason: String,
    },
    /// Never to be done: to the dead letters.
    Reject {
        /// Why; cut at 4,096 bytes.
        reason: String,
    },
    /// Done, and these messages follow from it: acked and published in one atomic step.
    HandOver(Vec<Message>),
}

/// A message and what is known of its delivery, given to a handler.
pub struct Work {
    delivery: Delivery,
    handle: Arc<Handle>,
}

impl Work {
    /// Reports progress (at most 64 KiB), which the next attempt is shown if this one fails.
    ///
    /// # Errors
    /// `lease_lost`, `too_large`; `connection_lost` when the client gave up or closed first.
    pub async fn progress(&self, progress: impl Into<String>) -> Result<(), Error> {
        let action = Action::Extend { lease_ms: None, progress: Some(progress.into()) };
        let coming = self.handle.settle(self.delivery.lease, action).await?;
        self.handle.answer(coming).await
    }
}

impl Deref for Work {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.delivery
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.delivery.fmt(f)
    }
}

/// Runs a handler for each delivery until there are no more. The number of tasks is bounded by
/// the window, the number of handlers at work by `handlers`. Dropped, it cancels all of them.
pub(crate) async fn run<H, F>(mut deliveries: Deliveries, window: u32, handlers: u32, handler: H) -> Result<(), Error>
where
    H: Fn(Work) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let (handler, places) = (Arc::new(handler), Arc::new(Semaphore::new(handlers as usize)));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            leased = deliveries.next(), if tasks.len() < window as usize => match leased {
                Some(leased) => drop(tasks.spawn(work(leased, Arc::clone(&handler), Arc::clone(&places)))),
                None => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
    match deliveries.ended() {
        Some(error) if error.code != Code::ShuttingDown => Err(error),
        _ => Ok(()),
    }
}

/// One message from its delivery to its settle. The lease is renewed from the start, while the
/// message waits for its turn too. When the lease is lost the handler is dropped where it stands.
async fn work<H, F>(mut leased: Leased, handler: Arc<H>, places: Arc<Semaphore>)
where
    H: Fn(Work) -> F,
    F: Future<Output = Outcome>,
{
    let lease = Renewal { lease: leased.lease(), lease_ms: leased.lease_ms, left: leased.remaining() };
    let handle = Arc::clone(leased.handle());
    let delivery = Work { delivery: Delivery::clone(&leased), handle: Arc::clone(&handle) };
    let handled = AssertUnwindSafe(async move {
        let _place = places.acquire_owned().await;
        handler(delivery).await
    });
    let outcome = tokio::select! {
        biased;
        () = leased.lost() => Err("the hub took it back"),
        () = renew(&handle, lease) => Err("it ran out"),
        outcome = handled.catch_unwind() => Ok(outcome),
    };
    let settled = match outcome {
        Ok(outcome) => {
            let outcome = outcome.unwrap_or_else(|_| panicked(&leased));
            settle(&mut leased, outcome).await
        }
        Err(why) => Err(Error::new(Code::LeaseLost, format!("the handler was cancelled: {why}"))),
    };
    if let Err(error) = settled {
        tracing::debug!(message = leased.message.id(), queue = %leased.queue, %error, "delivery was not settled");
    }
}

struct Renewal {
    lease: LeaseToken,
    lease_ms: u64,
    left: Duration,
}

/// Renews a lease at every third of it. Ends when it is lost, or ran out before the hub answered.
async fn renew(handle: &Handle, renewal: Renewal) {
    let lease = Duration::from_millis(renewal.lease_ms).max(LEASE_MIN);
    let mut expires = handle.clock.now() + renewal.left;
    loop {
        let now = handle.clock.now();
        let Some(left) = expires.checked_sub(now).filter(|left| !left.is_zero()) else { return };
        pause((lease / 3).min(left / 2)).await;
        let asked = handle.clock.now();
        tokio::select! {
            answer = extend(handle, renewal.lease) => match answer {
                Ok(()) => expires = asked + lease,
                Err(error) if error.code == Code::LeaseLost => return,
                // Refused for now: tried again as long as the lease lasts.
                Err(_) => {}
            },
            () = handle.clock.until(expires) => return,
        }
    }
}

async fn extend(handle: &Handle, lease: LeaseToken) -> Result<(), Error> {
    let coming = handle.settle(lease, Action::Extend { lease_ms: None, progress: None }).await?;
    handle.answer(coming).await
}

fn panicked(leased: &Leased) -> Outcome {
    tracing::error!(message = leased.message.id(), queue = %leased.queue, "a handler panicked");
    Outcome::Nack { after: None, reason: "the handler panicked".into() }
}

/// Settles as the handler said. Where a hand-over is refused, the message is not done.
async fn settle(leased: &mut Leased, outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Ack => leased.ack().await,
        Outcome::Nack { after, reason } => leased.nack(after, cut(reason)).await,
        Outcome::Reject { reason } => leased.reject(cut(reason)).await,
        Outcome::HandOver(messages) => match leased.hand_over(messages).await {
            Err(error) if error.outcome == skep_protocol::Outcome::Refused && error.code != Code::LeaseLost => {
                leased.nack(None, cut(format!("the hand-over was refused: {error}"))).await
            }
            handed => handed.map(drop),
        },
    }
}

fn cut(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = cut("é".repeat(REASON_BYTES_MAX));
        assert_eq!(reason.len(), REASON_BYTES_MAX);
        assert_eq!(cut(format!("x{reason}")).len(), REASON_BYTES_MAX - 1);
    }
}
