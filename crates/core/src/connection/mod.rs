//! Frames to session and back, without any I/O: no socket, and no clock but to wait for whoever is to let go of a session.
//!
//! A driver owns the socket. It hands what it read to [`Connection::turn`], writes what
//! [`Connection::poll_transmit`] gives it, calls [`Connection::on_deadline`] when
//! [`Connection::deadline`] has come, and says at the end how it ended: [`Connection::lost`]
//! parks the session for a resume, a goodbye ends it.

mod hear;
mod transmit;

use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use skep_protocol::{
    Code, Connect, Encoding, Error, FEATURES, Frame, Goodbye, Heard, LeaseToken, ProducerId, VERSION, Welcome,
};

pub(crate) use hear::check_sequence;
pub use transmit::{Block, Transmit};

use crate::backend::BoxFuture;
use crate::clock::Now;
use crate::hub::{Hub, random};
use crate::limits::{CONNECT_MAX_MS, HEARTBEAT_MS, SILENCE_MAX_MS};
use crate::policy::{Credentials, Party};
use crate::session::Session;

/// Frames that cannot be read before a connection is closed: a script may err, a flood may not.
const BROKEN_FRAMES_MAX: u32 = 16;

/// The form in which frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As bytes.
    Encoded(Encoding),
    /// As values, within one process.
    Values,
}

/// A frame as it came.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// As bytes, one whole frame.
    Bytes(Bytes),
    /// As a value.
    Frame(Frame),
}

/// The connection ends, when what is to be transmitted is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why, for the log.
    pub reason: String,
}

/// One connection of one party.
pub struct Connection {
    hub: Arc<Hub>,
    form: Form,
    /// What the transport brought to be known by.
    credentials: Credentials,
    state: State,
    /// Frames to send that are no answers of the session.
    out: Vec<Frame>,
    broken_frames: u32,
    /// When it began; who it is must be said soon after, whatever else is said.
    opened_ms: u64,
    heard_ms: u64,
    said_ms: u64,
    pings: u64,
}

enum State {
    /// Nobody has said who they are.
    New,
    /// The policy judges; what is said meanwhile waits.
    Connecting { connect: Connect, party: BoxFuture<'static, Result<Party, Error>>, waiting: Vec<Heard> },
    /// The session stands.
    Open(Box<Session>),
    /// The last word is said.
    Closed(String),
}

impl Connection {
    /// A connection over which nothing was said yet. `credentials` are what the transport
    /// brought; what Connect says besides is added.
    #[must_use]
    pub fn new(hub: Arc<Hub>, form: Form, credentials: Credentials, now: Now) -> Self {
        Connection {
            hub,
            form,
            credentials,
            state: State::New,
            out: Vec::new(),
            broken_frames: 0,
            opened_ms: now.mono_ms,
            heard_ms: now.mono_ms,
            said_ms: now.mono_ms,
            pings: 0,
        }
    }

    /// Takes what was read, in order: decodes it, judges it, hands publishes on by batch.
    ///
    /// # Errors
    /// When the connection is to end after what is left to transmit.
    pub fn turn(&mut self, frames: impl IntoIterator<Item = Incoming>, now: Now) -> Result<(), Closing> {
        self.heard_ms = now.mono_ms;
        let mut batch = None;
        for incoming in frames {
            match self.hear(incoming) {
                Ok(heard) => self.gather(heard, &mut batch, now),
                Err(error) => self.broken(error),
            }
        }
        self.publish(batch, now);
        self.closing()
    }

    /// Whether it takes more now. If not, the driver reads no more, and the peer feels it.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match &self.state {
            State::New => true,
            State::Open(session) => session.has_room(),
            State::Connecting { .. } | State::Closed(_) => false,
        }
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called, on the monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        match self.state {
            State::New | State::Connecting { .. } => self.opened_ms + CONNECT_MAX_MS,
            State::Open(_) => (self.heard_ms + SILENCE_MAX_MS).min(self.said_ms + HEARTBEAT_MS),
            State::Closed(_) => self.said_ms,
        }
    }

    /// Does what time asks for: a ping, or the end.
    ///
    /// # Errors
    /// When the peer was silent for too long.
    pub fn on_deadline(&mut self, now: Now) -> Result<(), Closing> {
        let silent_ms = now.mono_ms.saturating_sub(self.heard_ms);
        match self.state {
            State::New | State::Connecting { .. } if now.mono_ms >= self.opened_ms + CONNECT_MAX_MS => {
                self.refuse(Error::new(Code::Unauthenticated, "expected a connect frame within 10 s"));
            }
            State::Open(_) if silent_ms >= SILENCE_MAX_MS => {
                return Err(Closing { reason: format!("silent for {} s", silent_ms / 1000) });
            }
            State::Open(_) if now.mono_ms.saturating_sub(self.said_ms) >= HEARTBEAT_MS => {
                self.pings += 1;
                self.said_ms = now.mono_ms;
                self.out.push(Frame::Ping(self.pings));
            }
            _ => {}
        }
        self.closing()
    }

    /// Whether another connection takes its session up: then this one is lost, whatever it still has
    /// to say. If not, the context's waker is called when it is so. With nothing to say,
    /// [`poll_transmit`](Self::poll_transmit) sees to it, and there is a goodbye.
    #[must_use]
    pub fn is_evicted(&self, cx: &Context<'_>) -> bool {
        matches!(&self.state, State::Open(session) if session.mailbox.is_evicted(cx.waker()))
    }

    /// The connection is gone: its session waits for a resume. Of what was not written the live
    /// messages wait with it; everything else is asked for again, or delivered again.
    pub fn lost(self, unwritten: Transmit, now: Now) {
        if let State::Open(session) = self.state {
            session.hub.forget_live(&session.mailbox.put_back(unwritten.into_live()));
            session.park(now);
        }
    }

    /// Whether it is known who speaks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// The hub closes: says goodbye. What the session holds returns, uncharged.
    pub fn shut_down(&mut self, now: Now) {
        self.say_goodbye("the hub is closing", now);
    }

    fn connect(&mut self, heard: Heard) {
        let Heard::Frame(Frame::Connect(mut connect)) = heard else {
            return self.refuse(Error::new(Code::Unauthenticated, "expected a connect frame first"));
        };
        if connect.version == 0 {
            let text = format!("protocol version 0 is not known; this hub speaks version {VERSION}");
            return self.refuse(Error::new(Code::UnsupportedVersion, text));
        }
        let credentials = Credentials {
            token: connect.token.take().or_else(|| self.credentials.token.take()),
            agent: connect.agent.take().or_else(|| self.credentials.agent.take()),
        };
        let (hub, resume) = (self.hub.clone(), connect.resume);
        let party = Box::pin(async move {
            let party = hub.authenticate(credentials).await?;
            if let Some(token) = resume {
                hub.await_parked(token, &party).await;
            }
            Ok(party)
        });
        self.state = State::Connecting { connect, party, waiting: Vec::new() };
    }

    /// The policy has judged.
    fn welcome(&mut self, result: Result<Party, Error>, now: Now) {
        let State::Connecting { connect, waiting, .. } = std::mem::replace(&mut self.state, State::New) else { return };
        match result.and_then(|party| self.open(party, &connect, now)) {
            Err(error) => self.refuse(error),
            Ok((session, welcome)) => {
                self.state = State::Open(Box::new(session));
                self.out.push(Frame::Welcome(welcome));
                waiting.into_iter().for_each(|heard| self.take(heard, now));
            }
        }
    }

    fn open(&self, party: Party, connect: &Connect, now: Now) -> Result<(Session, Welcome), Error> {
        let resumed = connect.resume.and_then(|token| self.hub.resume(token, &party, &connect.held, now));
        let is_resumed = resumed.is_some();
        let (session, lost) = match resumed {
            Some(resumed) => resumed,
            None => {
                let producer = connect.producer.map_or_else(|| random().map(ProducerId), Ok)?;
                (self.hub.attach(party, Some(producer))?, connect.held.clone())
            }
        };
        let welcome = self.greeting(&session, is_resumed, lost);
        Ok((session, welcome))
    }

    fn greeting(&self, session: &Session, resumed: bool, lost: Vec<LeaseToken>) -> Welcome {
        Welcome {
            version: VERSION,
            features: FEATURES,
            hub: self.hub.options().name.clone(),
            agent: session.party().agent.clone(),
            producer: session.producer.unwrap_or(ProducerId([0; 16])),
            resume: session.resume_token(),
            resumed,
            lost,
            replies: session.replies().to_owned(),
            heartbeat_ms: HEARTBEAT_MS,
            payload_bytes_max: self.hub.options().payload_bytes_max as u64,
        }
    }

    /// Another connection takes the session up.
    fn let_go(&mut self, now: Now) {
        let reason = "another connection took this session up";
        if let State::Open(session) = std::mem::replace(&mut self.state, State::Closed(reason.to_owned())) {
            session.park(now);
        }
        self.out.push(Frame::Goodbye(Goodbye { reason: reason.to_owned() }));
    }

    fn broken(&mut self, error: Error) {
        self.broken_frames += 1;
        if matches!(self.state, State::Open(_)) && self.broken_frames < BROKEN_FRAMES_MAX {
            self.out.push(Frame::Error(error));
        } else {
            self.refuse(error);
        }
    }

    /// Says why, and ends. A session that stands is lost with it.
    fn refuse(&mut self, error: Error) {
        let reason = error.to_string();
        self.out.push(Frame::Error(error));
        self.state = State::Closed(reason);
    }

    fn say_goodbye(&mut self, reason: &str, now: Now) {
        if let State::Open(session) = std::mem::replace(&mut self.state, State::Closed(reason.to_owned())) {
            session.goodbye(now);
        }
        self.out.push(Frame::Goodbye(Goodbye { reason: reason.to_owned() }));
    }

    fn closing(&self) -> Result<(), Closing> {
        match &self.state {
            State::Closed(reason) => Err(Closing { reason: reason.clone() }),
            _ => Ok(()),
        }
    }
}
