//! Receive over HTTP: a long poll whose leases live to their deadline.
//!
//! Nothing may be leased to nobody. [`Taking`] owns what was leased, and dropped before it has
//! handed that over, it gives all of it back, uncharged: because the client went away (hyper
//! then drops the handler's future), or because the connection broke before the answer was
//! taken from [`Handing`]. When the answer is decided the window is closed and the mailbox
//! emptied into it; a message that is leased by then but has not come yet, because it is still
//! read from disk, finds the session gone, and the hub takes it back. What remains is the answer that is lost on the network after
//! it was written; for that there is the lease's deadline.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use serde::{Deserialize, Serialize};
use skep_core::SessionEvent;
use skep_protocol::limits::{LEASE_MS_MAX, LEASE_MS_MIN};
use skep_protocol::{
    Action, AgentId, Binding, Code, Delivery, Error, Outcome, QueueName, Settle, SettleBatch, Settlement, Subscribe,
    SubscriptionId, Target, Window,
};
use tokio::time::timeout;

use super::Answered;
use super::extract::{Asked, At, Caller, Object};
use super::problem::Problem;
use super::visit::Visit;
use crate::limits::{RECEIVE_BYTES_MAX, RECEIVE_MAX, RECEIVE_WAIT_MAX_MS, RECEIVE_WAIT_MIN_MS};

/// The one subscription of a receive.
const SUBSCRIPTION: SubscriptionId = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowMany {
    max: Option<u32>,
    wait_ms: Option<u64>,
    lease_ms: Option<u64>,
}

#[derive(Serialize)]
struct Received<'a> {
    deliveries: &'a [Delivery],
}

/// `POST /v1/inbox/{agent}/receive`
pub(crate) async fn receive_inbox(
    caller: Caller,
    At(agent): At<AgentId>,
    how: Asked<HowMany>,
    body: Object,
) -> Answered {
    receive(caller, At(QueueName::inbox(&agent)), how, body).await
}

/// `POST /v1/queues/{queue}/receive`
pub(crate) async fn receive(
    caller: Caller,
    At(queue): At<QueueName>,
    Asked(how): Asked<HowMany>,
    body: Object,
) -> Answered {
    body.nothing("max, wait_ms and lease_ms")?;
    let (max, wait_ms) = (how.max.unwrap_or(1), how.wait_ms.unwrap_or(0));
    if max == 0 || max > RECEIVE_MAX {
        return Err(Problem::argument(format!("max is {max}; expected 1 to {RECEIVE_MAX}")));
    }
    if wait_ms > RECEIVE_WAIT_MAX_MS {
        return Err(Problem::argument(format!("wait_ms is {wait_ms}; expected at most {RECEIVE_WAIT_MAX_MS}")));
    }
    if let Some(lease_ms) = how.lease_ms.filter(|ms| !(LEASE_MS_MIN..=LEASE_MS_MAX).contains(ms)) {
        let text = format!("lease_ms is {lease_ms}; expected {LEASE_MS_MIN} to {LEASE_MS_MAX}");
        return Err(Problem::argument(text));
    }
    let shared = caller.shared.clone();
    let mut taking = Taking::begin(caller.visit()?, queue, max);
    tokio::select! {
        // Deliveries come first: what is here is not lost by a hub that closes meanwhile.
        biased;
        first = timeout(Duration::from_millis(wait_ms.max(RECEIVE_WAIT_MIN_MS)), taking.first()) => {
            first.unwrap_or(Ok(()))?;
        }
        () = shared.shutdown.cancelled() => {}
    }
    taking.close();
    if let Some(lease_ms) = how.lease_ms {
        taking.extend(lease_ms).await;
    }
    Ok(taking.into_response())
}

/// Messages that are being taken, and are not yet the client's.
struct Taking {
    visit: Visit,
    deliveries: Vec<Delivery>,
    /// Before, nothing is leased, and afterwards by the window, anything may be.
    is_subscribed: bool,
    is_handed_over: bool,
}

impl Taking {
    fn begin(mut visit: Visit, queue: QueueName, max: u32) -> Self {
        visit.session().subscribe(Subscribe {
            id: SUBSCRIPTION,
            target: Target::Queue(queue),
            window: Window { subscription: SUBSCRIPTION, messages: max, bytes: RECEIVE_BYTES_MAX },
            handlers: max,
            binding: Binding::Deadline,
        });
        Taking { visit, deliveries: Vec::new(), is_subscribed: false, is_handed_over: false }
    }

    /// Waits until something is here. May be cancelled: what is here stays here.
    async fn first(&mut self) -> Result<(), Error> {
        loop {
            match self.visit.next().await {
                SessionEvent::Deliver(delivery) => {
                    self.deliveries.push(delivery);
                    return Ok(());
                }
                SessionEvent::Subscribed(_) => self.is_subscribed = true,
                SessionEvent::NotSubscribed(_, error) => return Err(error),
                _ => {}
            }
        }
    }

    /// Takes what came until now, and no more. The window bounds it: it is never more than was asked for.
    fn close(&mut self) {
        if !self.is_subscribed {
            return;
        }
        self.visit.session().set_window(Window { subscription: SUBSCRIPTION, messages: 0, bytes: 0 });
        let more = self.visit.take_deliveries();
        self.deliveries.extend(more);
    }

    /// Lets all leases last this long from now. A lease that is lost already is not handed out; one that cannot be
    /// extended stands all the same, and is handed out with the time that it has.
    async fn extend(&mut self, lease_ms: u64) {
        if self.deliveries.is_empty() {
            return;
        }
        let extend = || Action::Extend { lease_ms: Some(lease_ms), progress: None };
        let settles =
            self.deliveries.iter().map(|delivery| Settle { lease: delivery.lease, action: extend() }).collect();
        let batch = SettleBatch { tag: 0, settles, atomic: false, publish: None };
        let mut results = self.visit.settle(batch).await.results.into_iter();
        self.deliveries.retain_mut(|delivery| {
            delivery.lease_ms = match results.next() {
                Some(Settlement::Ok(())) => lease_ms,
                Some(Settlement::Error(error)) if error.code == Code::LeaseLost => return false,
                Some(Settlement::Error(error)) if error.outcome == Outcome::Refused => delivery.lease_ms,
                // Nobody knows which of the two it is: at least the shorter.
                _ => delivery.lease_ms.min(lease_ms),
            };
            true
        });
    }

    fn into_response(self) -> Response {
        let bytes = serde_json::to_vec(&Received { deliveries: &self.deliveries }).expect("deliveries are JSON").into();
        let body = Body::new(Handing { bytes, taking: Some(self) });
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if self.is_handed_over || !self.is_subscribed {
            return;
        }
        self.close();
        let unclaimed = self.deliveries.drain(..);
        let settles: Vec<Settle> =
            unclaimed.map(|delivery| Settle { lease: delivery.lease, action: Action::Return }).collect();
        if !settles.is_empty() {
            self.visit.settle_unheard(settles);
        }
    }
}

/// The answer: the leases are the client's once its bytes are on their way.
struct Handing {
    bytes: Bytes,
    taking: Option<Taking>,
}

impl HttpBody for Handing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut taking) = self.taking.take() else { return Poll::Ready(None) };
        taking.is_handed_over = true;
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.taking.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
