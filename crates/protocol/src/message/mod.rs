//! The message: its own encoding, read in place.
//!
//! Compact form: a MessagePack array. Its first elements have fixed positions; what
//! stands after them is unknown to this version and is kept.
//!
//! | # | element | form |
//! |---|---|---|
//! | 0 | id | str |
//! | 1 | to | str, array of str, or nil |
//! | 2 | type | str |
//! | 3 | source | str |
//! | 4 | priority | 0 to 4, or nil |
//! | 5 | guarantee | 0 to 2, or nil |
//! | 6 | replyto | str or nil |
//! | 7 | correlationid | str or nil |
//! | 8 | causationid | str or nil |
//! | 9 | conversationid | str or nil |
//! | 10 | time | RFC 3339 str or nil |
//! | 11 | datacontenttype | str or nil |
//! | 12 | further attributes | map of str to str, int or bool, or nil |
//! | 13 | payload | bin or nil |

mod build;
mod json;
mod moment;
mod parse;
mod retry;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use build::{MessageBuilder, format_time};
pub use json::{Defaults, content_is_json};
pub use retry::Tries;

use crate::pack::{Reader, put_array, put_nil};
use crate::{Error, Guarantee, MessageId, Priority};

/// Elements with a fixed position.
const FIELDS: usize = 14;

const ID: usize = 0;
const TO: usize = 1;
const TYPE: usize = 2;
const SOURCE: usize = 3;
const PRIORITY: usize = 4;
const GUARANTEE: usize = 5;
const REPLYTO: usize = 6;
const CORRELATION: usize = 7;
const CAUSATION: usize = 8;
const CONVERSATION: usize = 9;
const TIME: usize = 10;
const CONTENT_TYPE: usize = 11;
const ATTRIBUTES: usize = 12;
const PAYLOAD: usize = 13;

/// Where each fixed element begins, in bytes.
type Offsets = [u32; FIELDS];

/// An immutable message: its compact form, checked once, and where its elements begin.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    at: Offsets,
}

/// The same view of a message whose bytes belong to somebody else.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    bytes: &'a [u8],
    at: Offsets,
}

/// The value of a further attribute, of the types CloudEvents gives to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// Text, and everything that is text in JSON: times, URIs, Base64.
    Text(&'a str),
    /// A whole number.
    Number(i64),
    /// True or false.
    Bool(bool),
}

impl Message {
    /// Begins a message. `kind` is a [`Kind`](crate::Kind) or a free name.
    #[must_use]
    pub fn build(id: &MessageId, source: &str, kind: impl AsRef<str>) -> MessageBuilder {
        MessageBuilder::new(id, source, kind.as_ref())
    }

    /// Checks bytes in compact form and keeps them as they are, without copying.
    ///
    /// # Errors
    /// `invalid_message` or `invalid_topic`, naming the element.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        let at = parse::offsets(&bytes)?;
        Ok(Message { bytes, at })
    }

    /// The same, right after another one: what both have in common is not checked twice.
    ///
    /// # Errors
    /// As [`Message::parse`].
    pub fn parse_after(bytes: Bytes, before: Option<&Message>) -> Result<Self, Error> {
        match before.and_then(|before| parse::offsets_like(&bytes, &before.bytes, &before.at)) {
            Some(at) => Ok(Message { bytes, at }),
            None => Message::parse(bytes),
        }
    }

    /// A copy in memory of its own: it holds no part of a larger buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Message { bytes: Bytes::copy_from_slice(&self.bytes), at: self.at }
    }

    /// The borrowed view, which has the accessors.
    #[must_use]
    pub fn view(&self) -> MessageRef<'_> {
        MessageRef { bytes: &self.bytes, at: self.at }
    }

    /// The compact form.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The payload, sharing the message's memory; empty when it has none.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.bytes.slice_ref(self.view().payload().unwrap_or_default())
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.view().id()
    }
}

impl<'a> MessageRef<'a> {
    /// Checks bytes in compact form.
    ///
    /// # Errors
    /// As [`Message::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(MessageRef { bytes, at: parse::offsets(bytes)? })
    }

    /// The compact form.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The message without payload and further attributes, in memory of its own.
    #[must_use]
    pub fn bare(&self) -> Message {
        let at = |field: usize| self.at.get(field).map_or(0, |at| *at as usize);
        let fixed = self.bytes.get(at(ID)..at(ATTRIBUTES)).unwrap_or_default();
        let mut bytes = Vec::with_capacity(fixed.len() + 5);
        put_array(&mut bytes, FIELDS);
        bytes.extend_from_slice(fixed);
        (ATTRIBUTES..FIELDS).for_each(|_| put_nil(&mut bytes));
        Message::parse(bytes.into()).expect("each of its elements was checked")
    }

    /// Whether two messages differ in nothing but id and payload, and so in nothing by which they are routed or judged, except the size.
    /// It may say no of messages that do not, either.
    #[must_use]
    pub fn is_like(&self, other: &MessageRef<'_>) -> bool {
        // Elements that are the same bytes begin at the same places.
        let (from, to) = (self.start(TO), self.start(PAYLOAD));
        let is_there = (from, to) == (other.start(TO), other.start(PAYLOAD));
        is_there && self.bytes.get(from..to).is_some_and(|shared| other.bytes.get(from..to) == Some(shared))
    }

    fn start(&self, field: usize) -> usize {
        self.at.get(field).map_or(usize::MAX, |at| *at as usize)
    }

    /// Its id, unique within its source.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.text(ID).unwrap_or_default()
    }

    /// Its type: a standard one or a free name.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        self.text(TYPE).unwrap_or_default()
    }

    /// Who published it; an agent's is `agent/<id>`.
    #[must_use]
    pub fn source(&self) -> &'a str {
        self.text(SOURCE).unwrap_or_default()
    }

    /// The topics it is published to, in order; none in a foreign event without `to`.
    pub fn to(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = self.reader(TO);
        let many =
            matches!(reader.peek(), Some(rmp::Marker::FixArray(_) | rmp::Marker::Array16 | rmp::Marker::Array32));
        let count = if many { reader.array().unwrap_or_default() } else { usize::from(!reader.nil()) };
        (0..count).map_while(move |_| reader.str().ok())
    }

    /// Its priority; normal unless said.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.number(PRIORITY).and_then(Priority::from_number).unwrap_or(Priority::Normal)
    }

    /// The guarantee it asks for; unsaid, as strong as its receiver.
    #[must_use]
    pub fn guarantee(&self) -> Option<Guarantee> {
        self.number(GUARANTEE).and_then(Guarantee::from_number)
    }

    /// Where a reply goes.
    #[must_use]
    pub fn replyto(&self) -> Option<&'a str> {
        self.text(REPLYTO)
    }

    /// The id of the request that this replies to.
    #[must_use]
    pub fn correlation(&self) -> Option<&'a str> {
        self.text(CORRELATION)
    }

    /// The id of the message that caused this one.
    #[must_use]
    pub fn causation(&self) -> Option<&'a str> {
        self.text(CAUSATION)
    }

    /// The conversation: as given, else this message is its root.
    #[must_use]
    pub fn conversation(&self) -> &'a str {
        self.given_conversation().unwrap_or_else(|| self.id())
    }

    /// The conversation, if it names one.
    #[must_use]
    pub fn given_conversation(&self) -> Option<&'a str> {
        self.text(CONVERSATION)
    }

    /// When it was made, RFC 3339.
    #[must_use]
    pub fn time(&self) -> Option<&'a str> {
        self.text(TIME)
    }

    /// The media type of the payload; absent means JSON.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        self.text(CONTENT_TYPE)
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> Option<&'a [u8]> {
        let mut reader = self.reader(PAYLOAD);
        if reader.nil() { None } else { reader.bin().ok() }
    }

    /// The further attributes, in order: CloudEvents' own optional ones, ours, and extensions.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Attribute<'a>)> + use<'a> {
        let mut reader = self.reader(ATTRIBUTES);
        let count = if reader.nil() { 0 } else { reader.map().unwrap_or_default() };
        (0..count).map_while(move |_| Some((reader.str().ok()?, parse::attribute(&mut reader).ok()?)))
    }

    /// One further attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Attribute<'a>> {
        self.attributes().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// One further attribute, if it is text.
    #[must_use]
    pub fn text_attribute(&self, name: &str) -> Option<&'a str> {
        match self.attribute(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// One free header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut headers: std::collections::BTreeMap<String, String> =
            serde_json::from_str(self.text_attribute("headers")?).ok()?;
        headers.remove(name)
    }

    /// Checks what its compact form leaves open and CloudEvents do not: that its time is one, and that no attribute stands
    /// twice. What fails here cannot be read back from its JSON.
    ///
    /// # Errors
    /// `invalid_message`, naming the attribute.
    pub fn check_event(&self) -> Result<(), Error> {
        if let Some(time) = self.time() {
            build::check_whole_time("time", time)?;
        }
        // At most 64, and most messages have one or none.
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.attributes() {
            if names.contains(&name) {
                return Err(parse::invalid(format!("attribute {name:?} stands twice")));
            }
            names.push(name);
        }
        Ok(())
    }

    /// The message as a CloudEvent 1.0 in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::encode(self)
    }

    fn reader(&self, field: usize) -> Reader<'a> {
        Reader::starting_at(self.bytes, self.start(field))
    }

    fn text(&self, field: usize) -> Option<&'a str> {
        let mut reader = self.reader(field);
        if reader.nil() { None } else { reader.str().ok() }
    }

    fn number(&self, field: usize) -> Option<u64> {
        let mut reader = self.reader(field);
        if reader.nil() { None } else { reader.uint().ok() }
    }
}

impl Message {
    /// Reads a CloudEvent 1.0 in JSON.
    ///
    /// # Errors
    /// `invalid_message` or `invalid_topic`, naming the attribute.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        json::decode(json, &Defaults::default())
    }

    /// Reads a CloudEvent 1.0 in JSON; what it leaves out is taken from `defaults`.
    ///
    /// # Errors
    /// As [`Message::from_json`].
    pub fn from_json_with(json: &[u8], defaults: &Defaults<'_>) -> Result<Self, Error> {
        json::decode(json, defaults)
    }

    /// The message as a CloudEvent 1.0 in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.view().to_json()
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for MessageRef<'_> {
    /// Names the message; payloads do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: Vec<_> = self.to().collect();
        write!(f, "Message({} {} -> {}, {} bytes)", self.id(), self.source(), to.join(","), self.bytes.len())
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            let raw = serde_json::value::RawValue::from_string(self.to_json()).map_err(serde::ser::Error::custom)?;
            raw.serialize(s)
        } else {
            s.serialize_bytes(&self.bytes)
        }
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let raw = Box::<serde_json::value::RawValue>::deserialize(d)?;
            Message::from_json(raw.get().as_bytes()).map_err(serde::de::Error::custom)
        } else {
            let bytes = <&'de [u8]>::deserialize(d)?;
            Message::parse(Bytes::copy_from_slice(bytes)).map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests;
