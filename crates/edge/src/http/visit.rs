//! The session of one HTTP request: attached for it, gone after it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::vec::IntoIter;

use skep_core::{Hub, Party, Session, SessionEvent};
use skep_protocol::{
    Accepted, Action, Answer, Ask, Code, Command, Delivery, Error, LeaseToken, Manage, Message, Page, Query, Settle,
    SettleBatch, Settled, Settlement,
};

/// The tag of whatever a visit asks: it asks one thing at a time.
const TAG: u64 = 1;

/// A party attached to the hub for one request. Dropped, it says goodbye: nothing that its
/// request has done is undone, and nobody waits for a client that went away.
pub(crate) struct Visit {
    hub: Arc<Hub>,
    /// Until it is dropped.
    session: Option<Session>,
    events: IntoIter<SessionEvent>,
    /// Leases of messages that came while an answer was awaited: nobody takes them any more.
    missed: Vec<LeaseToken>,
}

impl Visit {
    pub(crate) fn begin(hub: &Arc<Hub>, party: Party) -> Result<Self, Error> {
        let session = hub.attach(party, None)?;
        Ok(Visit { hub: hub.clone(), session: Some(session), events: Vec::new().into_iter(), missed: Vec::new() })
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("it is there until the visit is dropped")
    }

    /// What happens next. May be cancelled: no event is lost by that.
    pub(crate) async fn next(&mut self) -> SessionEvent {
        loop {
            if let Some(event) = self.events.next() {
                return event;
            }
            let mut batch = Vec::new();
            poll_fn(|cx| {
                let now = self.hub.now();
                self.session().poll_events(cx, now, &mut batch)
            })
            .await;
            self.events = batch.into_iter();
        }
    }

    /// Whether a reply answers the request of that id.
    pub(crate) fn is_answered_by(&mut self, reply: &Message, request: &str) -> bool {
        let now = self.hub.now();
        self.session().is_answered_by(reply, request, now)
    }

    /// The deliveries that are here just now; whatever else is here is dropped.
    pub(crate) fn take_deliveries(&mut self) -> Vec<Delivery> {
        let mut events: Vec<SessionEvent> = self.events.by_ref().collect();
        let (now, mut cx) = (self.hub.now(), Context::from_waker(Waker::noop()));
        while self.session().poll_events(&mut cx, now, &mut events).is_ready() {}
        let delivery = |event| match event {
            SessionEvent::Deliver(delivery) => Some(delivery),
            _ => None,
        };
        events.into_iter().filter_map(delivery).collect()
    }

    /// Publishes one message; answers when its receipt is true.
    pub(crate) async fn publish(&mut self, message: &Message) -> Result<Accepted, Error> {
        let now = self.hub.now();
        self.session().publish(TAG, std::slice::from_ref(message), now);
        let answer = |event| match event {
            SessionEvent::Receipt(receipt) => Ok(receipt.result.into()),
            other => Err(Box::new(other)),
        };
        self.answer(answer).await
    }

    /// Settles; answers when it is durable.
    pub(crate) async fn settle(&mut self, batch: SettleBatch) -> Settled {
        let now = self.hub.now();
        self.session().settle(&SettleBatch { tag: TAG, ..batch }, now);
        let answer = |event| match event {
            SessionEvent::Settled(settled) => Ok(settled),
            other => Err(Box::new(other)),
        };
        self.answer(answer).await
    }

    /// Waits for one answer. A message that comes meanwhile, read from disk, comes too late for
    /// this request, and is given back at its end.
    async fn answer<T>(&mut self, is_it: impl Fn(SessionEvent) -> Result<T, Box<SessionEvent>>) -> T {
        loop {
            match is_it(self.next().await) {
                Ok(answer) => return answer,
                Err(other) => self.missed.extend(lease_of(&other)),
            }
        }
    }

    /// Settles without waiting for the answer.
    pub(crate) fn settle_unheard(&mut self, settles: Vec<Settle>) {
        let now = self.hub.now();
        let batch = SettleBatch { tag: 0, settles, atomic: false, publish: None };
        self.session().settle(&batch, now);
    }

    /// Runs a command.
    pub(crate) async fn command(&mut self, command: Command) -> Result<Answer, Error> {
        let now = self.hub.now();
        self.session().manage(Manage { tag: TAG, command }, now);
        let answer = |event| match event {
            SessionEvent::Managed(managed) => Ok(managed.result.into()),
            other => Err(Box::new(other)),
        };
        self.answer(answer).await
    }

    /// Looks.
    pub(crate) async fn ask(&mut self, ask: Ask) -> Result<Page, Error> {
        let now = self.hub.now();
        self.session().query(Query { tag: TAG, ask }, now);
        let answer = |event| match event {
            SessionEvent::Page(report) => Ok(report.result.into()),
            other => Err(Box::new(other)),
        };
        self.answer(answer).await
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.missed.extend(self.events.by_ref().filter_map(|event| lease_of(&event)));
        if !self.missed.is_empty() {
            let missed = std::mem::take(&mut self.missed).into_iter();
            self.settle_unheard(missed.map(|lease| Settle { lease, action: Action::Return }).collect());
        }
        if let Some(session) = self.session.take() {
            session.goodbye(self.hub.now());
        }
    }
}

fn lease_of(event: &SessionEvent) -> Option<LeaseToken> {
    match event {
        SessionEvent::Deliver(delivery) => Some(delivery.lease),
        _ => None,
    }
}

/// What one lease's settle came to.
pub(crate) fn one(settled: Settled) -> Result<(), Error> {
    match settled.results.into_iter().next() {
        Some(Settlement::Ok(())) => Ok(()),
        Some(Settlement::Error(error)) => Err(error),
        None => Err(Error::new(Code::Internal, "the backend did not answer this settle")),
    }
}
