//! Frames to bytes and back, in both encodings.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::heard::{self, Heard};
use super::{Frame, Publish};
use crate::limits::{BATCH_MAX, FRAME_BYTES_MAX};
use crate::pack::{Malformed, Reader, put_array, put_bin, put_uint};
use crate::{Code, Error, Message};

/// The two encodings of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text, for people and quick scripts.
    Json,
    /// MessagePack.
    Compact,
}

impl Encoding {
    /// The WebSocket subprotocol that asks for it.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Encoding::Json => "skep.v1.json",
            Encoding::Compact => "skep.v1.msgpack",
        }
    }

    /// Appends a frame to `out`.
    pub fn encode(self, frame: &Frame, out: &mut Vec<u8>) {
        match self {
            Encoding::Json => serde_json::to_writer(out, frame).expect("a frame is JSON"),
            Encoding::Compact => encode_compact(frame, out),
        }
    }

    /// Reads one frame whole. Messages of a compact publish share the memory of `bytes`.
    ///
    /// # Errors
    /// `invalid_frame`, `invalid_message` or `too_large`, saying what was expected.
    pub fn decode(self, bytes: &Bytes) -> Result<Frame, Error> {
        if bytes.len() > FRAME_BYTES_MAX {
            let text = format!("frame has {} bytes; at most {FRAME_BYTES_MAX} are taken", bytes.len());
            return Err(Error::new(Code::TooLarge, text));
        }
        let frame = match self {
            Encoding::Json => serde_json::from_slice(bytes).map_err(|e| {
                let expected = "expected an object with one member, such as {\"publish\":{..}}";
                carried(&e.to_string()).unwrap_or_else(|| invalid(&format!("{e}; {expected}")))
            })?,
            Encoding::Compact => decode_compact(bytes)?,
        };
        frame.check_batch()?;
        Ok(frame)
    }

    /// Reads one frame as a hub does: a message in it that cannot be read costs itself only.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), of what surrounds the messages.
    pub fn hear(self, bytes: &Bytes) -> Result<Heard, Error> {
        let whole = self.decode(bytes);
        // Only what cannot be read whole is read a second time, message by message.
        let in_pieces = match (&whole, self) {
            (Ok(_), _) => None,
            (Err(_), _) if bytes.len() > FRAME_BYTES_MAX => None,
            (Err(_), Encoding::Json) => heard::from_json(bytes),
            (Err(_), Encoding::Compact) => {
                head_of(bytes).ok().and_then(|(number, body)| heard::from_compact(number, &body))
            }
        };
        match in_pieces.filter(|heard| heard.count() <= BATCH_MAX) {
            Some(heard) => Ok(heard),
            None => whole.map(Heard::Frame),
        }
    }
}

impl Frame {
    /// Checks how much it holds. [`Encoding::decode`] does; a frame that came as a value needs it, too.
    ///
    /// # Errors
    /// `too_large`.
    pub fn check_batch(&self) -> Result<(), Error> {
        let count = match self {
            Frame::Publish(publish) => publish.messages.len(),
            Frame::Settle(batch) => batch.settles.len() + batch.publish.as_ref().map_or(0, |p| p.messages.len()),
            Frame::Connect(connect) => connect.held.len(),
            _ => 0,
        };
        if count > BATCH_MAX {
            let text = format!("frame holds {count} items; at most {BATCH_MAX} are taken");
            return Err(Error::new(Code::TooLarge, text));
        }
        Ok(())
    }
}

/// Appends a live frame of messages that are held elsewhere.
pub fn encode_live<'a>(encoding: Encoding, messages: impl ExactSizeIterator<Item = &'a Message>, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Json => encoding.encode(&Frame::Live(messages.cloned().collect()), out),
        Encoding::Compact => {
            put_array(out, 2);
            put_uint(out, LIVE);
            put_messages(messages, out);
        }
    }
}

fn put_messages<'a>(messages: impl ExactSizeIterator<Item = &'a Message>, out: &mut Vec<u8>) {
    put_array(out, messages.len());
    messages.for_each(|message| put_bin(out, message.bytes()));
}

fn encode_compact(frame: &Frame, out: &mut Vec<u8>) {
    put_array(out, 2);
    put_uint(out, number(frame));
    match frame {
        Frame::Publish(publish) => encode_publish(publish, out),
        Frame::Live(messages) => put_messages(messages.iter(), out),
        Frame::Connect(body) => body_to(out, body),
        Frame::Welcome(body) => body_to(out, body),
        Frame::Receipt(body) => body_to(out, body),
        Frame::Subscribe(body) => body_to(out, body),
        Frame::Subscribed(body) | Frame::Unsubscribe(body) => body_to(out, body),
        Frame::Window(body) => body_to(out, body),
        Frame::Deliver(body) => body_to(out, body),
        Frame::Settle(body) => body_to(out, body),
        Frame::Settled(body) => body_to(out, body),
        Frame::Manage(body) => body_to(out, body),
        Frame::Managed(body) => body_to(out, body),
        Frame::Query(body) => body_to(out, body),
        Frame::Page(body) => body_to(out, body),
        Frame::Ping(body) | Frame::Pong(body) => body_to(out, body),
        Frame::Error(body) => body_to(out, body),
        Frame::Goodbye(body) => body_to(out, body),
    }
}

const LIVE: u64 = 10;

/// The numbers are the wire's: they never change.
const fn number(frame: &Frame) -> u64 {
    match frame {
        Frame::Connect(_) => 1,
        Frame::Welcome(_) => 2,
        Frame::Publish(_) => 3,
        Frame::Receipt(_) => 4,
        Frame::Subscribe(_) => 5,
        Frame::Subscribed(_) => 6,
        Frame::Unsubscribe(_) => 7,
        Frame::Window(_) => 8,
        Frame::Deliver(_) => 9,
        Frame::Live(_) => LIVE,
        Frame::Settle(_) => 11,
        Frame::Settled(_) => 12,
        Frame::Manage(_) => 13,
        Frame::Managed(_) => 14,
        Frame::Query(_) => 15,
        Frame::Page(_) => 16,
        Frame::Ping(_) => 17,
        Frame::Pong(_) => 18,
        Frame::Error(_) => 19,
        Frame::Goodbye(_) => 20,
    }
}

/// The number of a compact frame, and its body.
fn head_of(bytes: &Bytes) -> Result<(u64, Bytes), Error> {
    let mut reader = Reader::new(bytes);
    let head =
        reader.array().and_then(|n| if n == 2 { reader.uint() } else { Err(Malformed("expected two elements")) });
    let number = head.map_err(|m| invalid(&format!("{}; expected [number, body]", m.0)))?;
    Ok((number, bytes.slice(reader.at()..)))
}

fn decode_compact(bytes: &Bytes) -> Result<Frame, Error> {
    let (number, body) = head_of(bytes)?;
    match number {
        1 => body_of(&body).map(Frame::Connect),
        2 => body_of(&body).map(Frame::Welcome),
        3 => decode_publish(&body).map(Frame::Publish),
        4 => body_of(&body).map(Frame::Receipt),
        5 => body_of(&body).map(Frame::Subscribe),
        6 => body_of(&body).map(Frame::Subscribed),
        7 => body_of(&body).map(Frame::Unsubscribe),
        8 => body_of(&body).map(Frame::Window),
        9 => body_of(&body).map(Frame::Deliver),
        10 => decode_messages(&body, &mut Reader::new(&body)).map(Frame::Live),
        11 => body_of(&body).map(Frame::Settle),
        12 => body_of(&body).map(Frame::Settled),
        13 => body_of(&body).map(Frame::Manage),
        14 => body_of(&body).map(Frame::Managed),
        15 => body_of(&body).map(Frame::Query),
        16 => body_of(&body).map(Frame::Page),
        17 => body_of(&body).map(Frame::Ping),
        18 => body_of(&body).map(Frame::Pong),
        19 => body_of(&body).map(Frame::Error),
        20 => body_of(&body).map(Frame::Goodbye),
        n => Err(invalid(&format!("no frame has number {n}; this hub speaks version {}", super::VERSION))),
    }
}

fn body_to(out: &mut Vec<u8>, body: &impl Serialize) {
    body.serialize(&mut rmp_serde::Serializer::new(out)).expect("a frame is MessagePack");
}

pub(super) fn body_of<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    // A body is skipped over first: that bounds its nesting and its lengths before anything is built from it.
    let mut reader = Reader::new(body);
    reader.skip().map_err(|m| invalid(m.0))?;
    if !reader.is_done() {
        return Err(invalid("bytes follow its body"));
    }
    rmp_serde::from_slice(body).map_err(|e| carried(&e.to_string()).unwrap_or_else(|| invalid(&e.to_string())))
}

fn encode_publish(publish: &Publish, out: &mut Vec<u8>) {
    put_array(out, 2);
    put_uint(out, publish.sequence);
    put_messages(publish.messages.iter(), out);
}

fn decode_publish(body: &Bytes) -> Result<Publish, Error> {
    let mut reader = Reader::new(body);
    let head = reader.array().and_then(|_| reader.uint());
    let sequence = head.map_err(|m| invalid(&format!("publish: {}; expected [sequence, messages]", m.0)))?;
    Ok(Publish { sequence, messages: decode_messages(body, &mut reader)? })
}

fn decode_messages(body: &Bytes, reader: &mut Reader<'_>) -> Result<Vec<Message>, Error> {
    let bad = |m: Malformed| invalid(&format!("messages: {}", m.0));
    let count = reader.array().map_err(bad)?;
    if count > BATCH_MAX {
        return Err(Error::new(Code::TooLarge, format!("frame holds {count} items; at most {BATCH_MAX} are taken")));
    }
    // What is announced is not there yet: each takes a byte at least.
    let mut messages: Vec<Message> = Vec::with_capacity(count.min(body.len()));
    for _ in 0..count {
        let bytes = reader.bin().map_err(bad)?;
        messages.push(Message::parse_after(body.slice_ref(bytes), messages.last())?);
    }
    Ok(messages)
}

/// The error of a part of the frame, such as a message. serde carries only text, so its code
/// stands before it, as errors are displayed.
fn carried(text: &str) -> Option<Error> {
    let (code, text) = text.split_once(": ")?;
    let code = Code::ALL.iter().find(|known| known.as_str() == code)?;
    Some(Error::new(*code, text))
}

fn invalid(why: &str) -> Error {
    Error::new(Code::InvalidFrame, format!("frame: {why}"))
}
