//! What was said becomes verbs of the session.

use skep_protocol::limits::SEQUENCE_MAX;
use skep_protocol::{Code, Error, Frame, Heard, Message, Publish};

use super::{Connection, Form, Incoming, State};
use crate::clock::Now;

impl Connection {
    pub(super) fn hear(&self, incoming: Incoming) -> Result<Heard, Error> {
        match (incoming, self.form) {
            (Incoming::Frame(frame), _) => frame.check_batch().map(|()| Heard::Frame(frame)),
            (Incoming::Bytes(bytes), Form::Encoded(encoding)) => encoding.hear(&bytes),
            (Incoming::Bytes(_), Form::Values) => {
                Err(Error::new(Code::InvalidFrame, "bytes came over a link of values"))
            }
        }
    }

    /// Publishes that follow one by one become one batch; everything else ends it.
    pub(super) fn gather(&mut self, heard: Heard, batch: &mut Option<Publish>, now: Now) {
        match (heard, batch.as_mut()) {
            (Heard::Frame(Frame::Publish(next)), Some(open)) if follows(open, &next) => {
                open.messages.extend(next.messages);
            }
            (Heard::Frame(Frame::Publish(next)), _) if matches!(self.state, State::Open(_)) => {
                self.publish(batch.replace(next), now);
            }
            (heard, _) => {
                self.publish(batch.take(), now);
                self.take(heard, now);
            }
        }
    }

    pub(super) fn publish(&mut self, batch: Option<Publish>, now: Now) {
        let (Some(publish), State::Open(session)) = (batch, &mut self.state) else { return };
        if let Err(error) = check_sequence(publish.sequence) {
            return self.out.push(Frame::Error(error));
        }
        session.publish(publish.sequence, &publish.messages, now);
    }

    /// A publish in which some messages could not be read: these are refused, each under its own
    /// sequence, and the others go their way.
    fn publish_readable(&mut self, mut sequence: u64, messages: &[Result<Message, Error>], now: Now) {
        let State::Open(session) = &mut self.state else { return };
        if let Err(error) = check_sequence(sequence) {
            return self.out.push(Frame::Error(error));
        }
        for run in messages.chunk_by(|a, b| a.is_ok() && b.is_ok()) {
            match run {
                [Err(error)] => session.refuse(sequence, error),
                run => session.publish(sequence, &run.iter().flatten().cloned().collect::<Vec<_>>(), now),
            }
            sequence += run.len() as u64;
        }
    }

    pub(super) fn take(&mut self, heard: Heard, now: Now) {
        match &mut self.state {
            State::New => self.connect(heard),
            State::Connecting { waiting, .. } => waiting.push(heard),
            State::Open(session) => match heard {
                Heard::Frame(frame) => self.take_frame(frame, now),
                Heard::Publish { sequence, messages } => self.publish_readable(sequence, &messages, now),
                Heard::Settle { tag, settles, sequence, messages, error } => {
                    session.refuse_step(tag, settles, sequence, messages, &error);
                }
            },
            State::Closed(_) => {}
        }
    }

    fn take_frame(&mut self, frame: Frame, now: Now) {
        let State::Open(session) = &mut self.state else { return };
        match frame {
            Frame::Publish(publish) => self.publish(Some(publish), now),
            Frame::Settle(batch) => session.settle(&batch, now),
            Frame::Subscribe(subscribe) => session.subscribe(subscribe),
            Frame::Unsubscribe(id) => session.unsubscribe(id, now),
            Frame::Window(window) => session.set_window(window),
            Frame::Manage(manage) => session.manage(manage, now),
            Frame::Query(query) => session.query(query, now),
            Frame::Ping(n) => self.out.push(Frame::Pong(n)),
            Frame::Pong(_) | Frame::Error(_) => {}
            Frame::Goodbye(_) => self.say_goodbye("goodbye", now),
            other => self.broken(unexpected(&other)),
        }
    }
}

/// Whether a publish follows another one by one.
fn follows(open: &Publish, next: &Publish) -> bool {
    open.sequence.checked_add(open.messages.len() as u64) == Some(next.sequence)
}

/// # Errors
/// `invalid_sequence` for a number that no producer reaches by counting.
pub(crate) fn check_sequence(sequence: u64) -> Result<(), Error> {
    if (1..=SEQUENCE_MAX).contains(&sequence) {
        return Ok(());
    }
    let text = format!("sequence {sequence}: expected the number of the first message, 1 to {SEQUENCE_MAX}");
    Err(Error::new(Code::InvalidSequence, text))
}

fn unexpected(frame: &Frame) -> Error {
    let name = match frame {
        Frame::Connect(_) => "a second connect frame",
        _ => "a frame that only the hub sends",
    };
    Error::new(Code::InvalidFrame, format!("{name} came; expected publish, subscribe, settle, ..."))
}
