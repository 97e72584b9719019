//! The one task of a client: it owns the link, opens another when one is lost, and lets the
//! conversation decide what is said. It ends when the client is closed, the last handle goes,
//! or the hub cannot be reached for longer than it was told to try.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use skep_protocol::{Code, Error, Retry};
use tokio::sync::{mpsc, oneshot};

use crate::address::no_hub;
use crate::backoff::Backoff;
use crate::clock::{Alarm, Clock, Moment, jitter, within};
use crate::conversation::Conversation;
use crate::limits::{GOODBYE_MAX, STABLE_AFTER, VERBS_TURN};
use crate::link::{Connector, Link, Ready};
use crate::mailbox::Mailbox;
use crate::verb::{Left, Verb};

pub(crate) struct Driver {
    pub(crate) conversation: Conversation,
    pub(crate) connector: Connector,
    pub(crate) callers: Callers,
    pub(crate) clock: Clock,
    /// The caller's token, which goes before one that was found.
    pub(crate) token: Option<String>,
    pub(crate) patience: Patience,
    /// Told of the first session, or why there is none.
    pub(crate) first: Option<oneshot::Sender<Result<(), Error>>>,
    pub(crate) ended: Arc<OnceLock<Error>>,
}

/// What callers send.
pub(crate) struct Callers {
    verbs: mpsc::Receiver<Verb>,
    left: Arc<Mailbox<Left>>,
    taken: Vec<Verb>,
    /// All of them are gone.
    gone: bool,
}

/// How long a hub is looked for.
pub(crate) struct Patience {
    pub(crate) first: Duration,
    pub(crate) later: Option<Duration>,
}

/// How a link ended.
enum End {
    /// The client was closed.
    Closed,
    /// With how long the session stood, if it did.
    Lost(Option<Duration>, Error),
}

/// How a wait ended.
enum Waited<T> {
    Done(T),
    Closed,
    Late,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let error = self.keep_connected().await;
        // In this order: whoever finds the way closed finds the reason too.
        let _only_once = self.ended.set(error.clone());
        self.conversation.end(&error);
        if let Some(first) = self.first.take() {
            let _gave_up = first.send(Err(error));
        }
    }

    /// One link after another; gives back why there is no next one.
    async fn keep_connected(&mut self) -> Error {
        let (mut backoff, mut alone_since) = (Backoff::default(), self.clock.now());
        loop {
            let End::Lost(stood, error) = self.one_link(self.give_up_at(alone_since)).await else { return closed() };
            if let Some(stood) = stood {
                tracing::warn!(address = self.connector.address(), %error, "lost the hub; trying again");
                alone_since = self.clock.now();
                if stood >= STABLE_AFTER {
                    backoff.reset();
                }
            }
            if self.is_final(&error) {
                return error;
            }
            let next_try = self.clock.now() + backoff.next(jitter());
            if self.give_up_at(alone_since).is_some_and(|at| next_try >= at) {
                return self.gave_up(error);
            }
            if let Waited::Closed = self.meanwhile(self.clock.until(next_try), None).await {
                return closed();
            }
        }
    }

    /// Opens a link and talks over it until it ends.
    async fn one_link(&mut self, give_up_at: Option<Moment>) -> End {
        let opening = self.connector.open();
        let mut link = match self.meanwhile(opening, give_up_at).await {
            Waited::Done(Ok(link)) => link,
            Waited::Done(Err(error)) => return End::Lost(None, error),
            Waited::Closed => return End::Closed,
            Waited::Late => return End::Lost(None, no_hub(self.connector.address(), &"no answer in time")),
        };
        let token = self.token.clone().or_else(|| link.token.take());
        self.conversation.link_up(token, self.clock.now());
        let mut opened = None;
        let error = self.talk(&mut link, &mut opened, give_up_at).await;
        let now = self.clock.now();
        let Some(error) = error else {
            let _hub_is_slow = within(GOODBYE_MAX, link.close(self.conversation.farewell())).await;
            return End::Closed;
        };
        self.conversation.link_down();
        End::Lost(opened.map(|at| now.saturating_sub(at)), error)
    }

    /// Talks until the link is lost, and says why; or until the client is closed.
    async fn talk(
        &mut self,
        link: &mut Link,
        opened: &mut Option<Moment>,
        give_up_at: Option<Moment>,
    ) -> Option<Error> {
        let mut alarm = self.clock.alarm();
        loop {
            let now = self.clock.now();
            if self.conversation.is_closed(now) {
                return None;
            }
            if opened.is_none() && give_up_at.is_some_and(|at| now >= at) {
                return Some(no_hub(self.connector.address(), &"it does not answer Connect"));
            }
            alarm.set(self.conversation.deadline());
            if opened.is_none() {
                alarm.set(give_up_at);
            }
            if let Err(error) = self.turn(link, &mut alarm).await {
                return Some(error);
            }
            if opened.is_none() && self.conversation.is_open() {
                *opened = Some(self.clock.now());
                tracing::info!(address = self.connector.address(), "connected");
                if let Some(first) = self.first.take() {
                    let _gave_up = first.send(Ok(()));
                }
            }
        }
    }

    /// One step, of whatever is ready first.
    async fn turn(&mut self, link: &mut Link, alarm: &mut Alarm) -> Result<(), Error> {
        let wants_write = self.conversation.wants_write();
        tokio::select! {
            ready = poll_fn(|cx| link.poll(cx, wants_write)) => match ready? {
                Ready::Received(frames) => self.conversation.hear(frames, self.clock.now()),
                Ready::Writable => {
                    let mut frames = Vec::new();
                    self.conversation.transmit(&mut frames, self.clock.now());
                    if frames.is_empty() { Ok(()) } else { link.send(frames) }
                }
            },
            () = self.callers.hear(&mut self.conversation, self.clock) => Ok(()),
            () = alarm.ring() => self.conversation.tick(self.clock.now()),
        }
    }

    /// Waits for something without a link; what callers ask for is taken meanwhile.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>, by: Option<Moment>) -> Waited<T> {
        let (mut work, mut alarm) = (pin!(work), self.clock.alarm());
        loop {
            let now = self.clock.now();
            if self.conversation.is_closed(now) {
                return Waited::Closed;
            }
            if by.is_some_and(|by| now >= by) {
                return Waited::Late;
            }
            alarm.set(by);
            alarm.set(self.conversation.deadline());
            tokio::select! {
                done = &mut work => return Waited::Done(done),
                () = self.callers.hear(&mut self.conversation, self.clock) => {}
                () = alarm.ring() => {}
            }
        }
    }

    fn give_up_at(&self, alone_since: Moment) -> Option<Moment> {
        let patience = if self.first.is_some() { Some(self.patience.first) } else { self.patience.later };
        patience.map(|patience| alone_since + patience)
    }

    /// Whether trying again makes no sense. Once a session stood, only the hub's judgement of
    /// this party is final: a hub that restarts may be gone for a while, with all its files.
    fn is_final(&self, error: &Error) -> bool {
        let judged = matches!(error.code, Code::Unauthenticated | Code::Forbidden | Code::UnsupportedVersion);
        error.retry == Retry::Never && (judged || self.first.is_some())
    }

    /// Why nobody is asked any longer. A hub that answered, and took nobody in, has said why itself.
    fn gave_up(&self, error: Error) -> Error {
        let turned_away = self.first.is_some() && error.code != Code::ConnectionLost;
        if turned_away || error.code == Code::NoHub { error } else { no_hub(self.connector.address(), &error.text) }
    }
}

impl Callers {
    pub(crate) fn new(verbs: mpsc::Receiver<Verb>, left: Arc<Mailbox<Left>>) -> Self {
        Callers { verbs, left, taken: Vec::new(), gone: false }
    }

    /// Takes what callers ask for and what they dropped. It may be cancelled: nothing is lost.
    async fn hear(&mut self, conversation: &mut Conversation, clock: Clock) {
        tokio::select! {
            count = self.verbs.recv_many(&mut self.taken, VERBS_TURN), if !self.gone => {
                let now = clock.now();
                if count == 0 {
                    self.gone = true;
                    conversation.close(now, None);
                }
                self.taken.drain(..).for_each(|verb| conversation.take(verb, now));
            }
            left = self.left.next() => left.into_iter().for_each(|left| conversation.leave(left)),
        }
    }
}

fn closed() -> Error {
    Error::new(Code::ShuttingDown, "the client is closed")
}

#[cfg(test)]
mod tests;
