//! What a client and a hub say to each other, without a socket and without a clock.
//!
//! Verbs, frames and moments come in; frames and answers come out. Whatever was sent and not
//! answered is kept, so that a lost link is an interruption and no loss: see `link_down` and
//! `welcome` for what each kind of thing becomes then.

mod asking;
mod calls;
mod greeting;
mod hearing;
mod heartbeat;
mod leases;
mod publishes;
mod requests;
mod settles;
mod subscriptions;

use std::collections::VecDeque;

use skep_protocol::{Code, Error, Frame};
use tokio::sync::{oneshot, watch};

pub(crate) use greeting::{Identity, Session};
pub(crate) use settles::hand_over_bytes;

use crate::clock::Moment;
use crate::limits::{CONTROL_FRAMES_MAX, FRAME_FILL_BYTES};
use crate::link::lost;
use calls::Calls;
use heartbeat::{Due, Heartbeat};
use leases::Leases;
use publishes::{Publishes, Run};
use requests::Requests;
use settles::Settles;
use subscriptions::Subscriptions;

/// Tags of settles, commands and questions begin beyond the numbers of subscriptions, because a
/// refused Subscribe is answered under its own number.
const FIRST_TAG: u64 = 1 << 32;

/// Both sides of the state: what was asked for, and what the hub knows of it.
pub(crate) struct Conversation {
    identity: Identity,
    phase: Phase,
    session: watch::Sender<Session>,
    resume: Option<skep_protocol::ResumeToken>,
    /// Frames without messages, to be sent first. Bounded as what they speak of is; what must
    /// not be lost is kept elsewhere too, for this is emptied with the link.
    control: VecDeque<Frame>,
    pongs: usize,
    tags: u64,
    publishes: Publishes,
    settles: Settles,
    leases: Leases,
    subscriptions: Subscriptions,
    requests: Requests,
    calls: Calls,
    heartbeat: Heartbeat,
    closing: Option<Closing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no link.
    Apart,
    /// Connect was said; Welcome must come before this moment.
    Greeting(Moment),
    /// The session stands.
    Open,
}

struct Closing {
    by: Moment,
    askers: Vec<oneshot::Sender<()>>,
}

/// An answer has fewer parts than what was asked.
fn short_answer(what: &str) -> Error {
    Error::new(Code::Internal, format!("the hub's answer to a {what} is incomplete"))
}

impl Conversation {
    pub(crate) fn new(identity: Identity, session: watch::Sender<Session>) -> Self {
        Conversation {
            identity,
            phase: Phase::Apart,
            session,
            resume: None,
            control: VecDeque::new(),
            pongs: 0,
            tags: FIRST_TAG,
            publishes: Publishes::new(),
            settles: Settles::default(),
            leases: Leases::default(),
            subscriptions: Subscriptions::default(),
            requests: Requests::default(),
            calls: Calls::default(),
            heartbeat: Heartbeat::default(),
            closing: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Nothing more is taken; what was taken is to be answered within the time allowed.
    pub(crate) fn close(&mut self, now: Moment, asker: Option<oneshot::Sender<()>>) {
        let by = now + self.identity.close_timeout;
        self.closing.get_or_insert(Closing { by, askers: Vec::new() }).askers.extend(asker);
    }

    /// Whether it was closed, and everything is answered or may wait no longer.
    pub(crate) fn is_closed(&self, now: Moment) -> bool {
        let answered = self.publishes.is_answered() && self.settles.is_answered() && self.calls.is_answered();
        self.closing.as_ref().is_some_and(|closing| answered || now >= closing.by)
    }

    /// The next moment at which [`tick`](Self::tick) has something to do.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let phase = match self.phase {
            Phase::Apart => None,
            Phase::Greeting(by) => Some(by),
            Phase::Open => Some(self.heartbeat.deadline()),
        };
        let closing = self.closing.as_ref().map(|closing| closing.by);
        phase.into_iter().chain(closing).min()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The link is dead.
    pub(crate) fn tick(&mut self, now: Moment) -> Result<(), Error> {
        match self.phase {
            Phase::Greeting(by) if now >= by => Err(lost("the hub did not answer Connect")),
            Phase::Open => match self.heartbeat.due(now) {
                Due::Nothing => Ok(()),
                Due::Ping => {
                    // Sent at the next turn of the link; asked for once however long that takes.
                    if !self.control.iter().any(|frame| matches!(frame, Frame::Ping(_))) {
                        let n = self.tag();
                        self.say(Some(Frame::Ping(n)));
                    }
                    self.heartbeat.spoke(now);
                    Ok(())
                }
                Due::Gone => Err(lost(format!("the hub was silent for {:?}", self.heartbeat.silence()))),
            },
            _ => Ok(()),
        }
    }

    /// Whether there is something to send.
    pub(crate) fn wants_write(&mut self) -> bool {
        !self.control.is_empty() || (self.is_open() && (self.settles.is_ready() || self.publishes.is_ready()))
    }

    /// Adds what is to be sent, about half a frame's worth of messages: first what is small, then
    /// settles (accepted work is finished first), then messages in the order of their sequences.
    pub(crate) fn transmit(&mut self, out: &mut Vec<Frame>, now: Moment) {
        let control = self.control.len().min(CONTROL_FRAMES_MAX);
        for frame in self.control.drain(..control) {
            self.pongs -= usize::from(matches!(frame, Frame::Pong(_)));
            out.push(frame);
        }
        if self.is_open() {
            let tags = &mut self.tags;
            if let Some(batch) = self.settles.next_batch(|| next(tags)) {
                out.push(Frame::Settle(batch));
            }
            let mut bytes = 0;
            while bytes < FRAME_FILL_BYTES
                && let Some(run) = self.publishes.next_run()
            {
                let publish = match run {
                    Run::Publish(publish) => Some(Frame::Publish(publish)),
                    Run::HandOver(tag) => self.settles.hand_over_batch(tag).map(Frame::Settle),
                };
                bytes += publish.as_ref().map_or(0, bytes_of);
                out.extend(publish);
            }
        }
        if !out.is_empty() {
            self.heartbeat.spoke(now);
        }
    }

    /// Says something now; apart, there is nobody to say it to, and it is said anew with the session.
    fn say(&mut self, frame: Option<Frame>) {
        if self.is_open() {
            self.control.extend(frame);
        }
    }

    fn tag(&mut self) -> u64 {
        next(&mut self.tags)
    }

    /// The last words, and the end of everything that waits.
    pub(crate) fn end(&mut self, error: &Error) {
        self.phase = Phase::Apart;
        self.publishes.end();
        self.settles.end();
        self.requests.lost();
        self.calls.end();
        self.subscriptions.end(error);
        self.leases.all_lost();
        for asker in self.closing.take().into_iter().flat_map(|closing| closing.askers) {
            let _gave_up = asker.send(());
        }
    }
}

fn next(tags: &mut u64) -> u64 {
    *tags += 1;
    *tags - 1
}

fn bytes_of(frame: &Frame) -> usize {
    match frame {
        Frame::Publish(publish) => publish.messages.iter().map(|message| message.bytes().len()).sum(),
        Frame::Settle(batch) => batch.publish.as_ref().map_or(0, |publish| hand_over_bytes(&publish.messages)),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
