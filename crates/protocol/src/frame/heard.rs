//! A frame as a hub reads it: a message that cannot be read costs itself, not its neighbours.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Frame;
use super::codec::body_of;
use crate::limits::BATCH_MAX;
use crate::pack::{Malformed, Reader};
use crate::{Code, Error, Message, Settle};

/// Longest text of such an error, in bytes: a frame may hold thousands of bad messages, and
/// the answer to it must fit in a frame, too.
const TEXT_BYTES_MAX: usize = 512;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A frame, whole.
    Frame(Frame),
    /// A publish in which some messages cannot be read, each with the reason in its place.
    Publish {
        /// The sequence of the first place.
        sequence: u64,
        /// In order.
        messages: Vec<Result<Message, Error>>,
    },
    /// Settles and messages in one step, of which a message cannot be read: it is refused whole.
    Settle {
        /// Comes back in the answer.
        tag: u64,
        /// How many settles.
        settles: usize,
        /// The sequence of the first message.
        sequence: u64,
        /// How many messages.
        messages: usize,
        /// Which message cannot be read, and why.
        error: Error,
    },
}

impl Heard {
    fn publish(Places { sequence, messages }: Places) -> Self {
        Heard::Publish { sequence, messages: messages.into_iter().map(|place| place.0.map_err(clipped)).collect() }
    }

    fn settle(tag: u64, settles: &[Settle], Places { sequence, messages }: Places) -> Option<Self> {
        let (settles, count) = (settles.len(), messages.len());
        let bad = |(at, place): (usize, Place)| {
            let error = place.0.err()?;
            Some(clipped(Error { text: format!("message {} of {count}: {}", at + 1, error.text), ..error }))
        };
        let error = messages.into_iter().enumerate().find_map(bad)?;
        Some(Heard::Settle { tag, settles, sequence, messages: count, error })
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Heard::Frame(_) => 0,
            Heard::Publish { messages, .. } => messages.len(),
            Heard::Settle { settles, messages, .. } => settles + messages,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Envelope {
    Publish(Places),
    Settle(Step),
}

/// A publish, its messages as they came.
#[derive(Deserialize)]
struct Places {
    sequence: u64,
    messages: Vec<Place>,
}

#[derive(Deserialize)]
struct Step {
    tag: u64,
    settles: Vec<Settle>,
    publish: Option<Places>,
}

struct Place(Result<Message, Error>);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(d)?;
        Ok(Place(Message::from_json(raw.get().as_bytes())))
    }
}

/// None when what surrounds the messages cannot be read either.
pub(super) fn from_json(bytes: &[u8]) -> Option<Heard> {
    match serde_json::from_slice(bytes).ok()? {
        Envelope::Publish(places) => Some(Heard::publish(places)),
        Envelope::Settle(Step { tag, settles, publish }) => Heard::settle(tag, &settles, publish?),
    }
}

/// The same of the body of a compact frame.
pub(super) fn from_compact(number: u64, body: &Bytes) -> Option<Heard> {
    let mut reader = Reader::new(body);
    match number {
        3 => places(body, &mut reader).map(Heard::publish),
        11 => {
            reader.array().ok().filter(|members| *members >= 4)?;
            let tag = reader.uint().ok()?;
            let from = reader.at();
            reader.skip().ok()?;
            let settles: Vec<Settle> = body_of(body.get(from..reader.at())?).ok()?;
            reader.bool().ok()?;
            Heard::settle(tag, &settles, places(body, &mut reader)?)
        }
        _ => None,
    }
}

fn places(body: &Bytes, reader: &mut Reader<'_>) -> Option<Places> {
    reader.array().ok().filter(|members| *members >= 2)?;
    let sequence = reader.uint().ok()?;
    let count = reader.array().ok().filter(|count| *count <= BATCH_MAX)?;
    let messages = (0..count).map(|_| place(body, reader).ok()).collect::<Option<_>>()?;
    Some(Places { sequence, messages })
}

fn place(body: &Bytes, reader: &mut Reader<'_>) -> Result<Place, Malformed> {
    let mut ahead = *reader;
    if let Ok(bytes) = ahead.bin() {
        *reader = ahead;
        return Ok(Place(Message::parse(body.slice_ref(bytes))));
    }
    reader.skip()?;
    let text = "message: expected its compact form as bytes (MessagePack bin)";
    Ok(Place(Err(Error::new(Code::InvalidMessage, text))))
}

fn clipped(mut error: Error) -> Error {
    if error.text.len() > TEXT_BYTES_MAX {
        error.text.truncate(error.text.floor_char_boundary(TEXT_BYTES_MAX));
        error.text.push_str(" ...");
    }
    error
}
