//! Makes a message: gathers its parts, encodes them once.

use bytes::Bytes;

use super::{Attribute, FIELDS, Message, parse};
use crate::limits::{DESTINATIONS_MAX, PAYLOAD_BYTES_MAX};
use crate::pack::{put_array, put_bin, put_bool, put_int, put_map, put_nil, put_str, put_uint};
use crate::{Code, Durability, Error, Guarantee, MessageId, Priority, Topic};

/// A message in the making. Every setter may be called at most once to good effect: the
/// last call counts, save for [`to`](MessageBuilder::to) and headers, which add up.
#[derive(Clone, Debug, Default)]
pub struct MessageBuilder {
    pub(super) id: String,
    pub(super) to: Vec<String>,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) priority: Option<Priority>,
    pub(super) guarantee: Option<Guarantee>,
    pub(super) replyto: Option<String>,
    pub(super) correlation: Option<String>,
    pub(super) causation: Option<String>,
    pub(super) conversation: Option<String>,
    pub(super) time: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) attributes: Vec<(String, Value)>,
    pub(super) payload: Option<Vec<u8>>,
}

/// An owned [`Attribute`].
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
}

impl MessageBuilder {
    pub(super) fn new(id: &MessageId, source: &str, kind: &str) -> Self {
        MessageBuilder { id: id.as_str().into(), source: source.into(), kind: kind.into(), ..Self::default() }
    }

    /// Adds a topic to publish to; several are a multicast.
    #[must_use]
    pub fn to(mut self, topic: &Topic) -> Self {
        self.to.push(topic.as_str().into());
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Asks for a guarantee, instead of one as strong as the receiver.
    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = Some(guarantee);
        self
    }

    /// Asks for a durability.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        self.attribute("durability", Attribute::Text(durability.as_str()))
    }

    /// Says where replies go.
    #[must_use]
    pub fn replyto(mut self, topic: &Topic) -> Self {
        self.replyto = Some(topic.as_str().into());
        self
    }

    /// Names the request that this replies to.
    #[must_use]
    pub fn correlation(mut self, id: &str) -> Self {
        self.correlation = Some(id.into());
        self
    }

    /// Names the message that caused this one.
    #[must_use]
    pub fn causation(mut self, id: &str) -> Self {
        self.causation = Some(id.into());
        self
    }

    /// Names the conversation this belongs to.
    #[must_use]
    pub fn conversation(mut self, id: &str) -> Self {
        self.conversation = Some(id.into());
        self
    }

    /// Sets the time, RFC 3339; see [`format_time`].
    #[must_use]
    pub fn time(mut self, time: &str) -> Self {
        self.time = Some(time.into());
        self
    }

    /// Sets the payload and its media type.
    #[must_use]
    pub fn payload(mut self, content_type: &str, payload: impl Into<Vec<u8>>) -> Self {
        self.content_type = Some(content_type.into());
        self.payload = Some(payload.into());
        self
    }

    /// Sets a payload of JSON text.
    #[must_use]
    pub fn json(self, json: impl Into<Vec<u8>>) -> Self {
        self.payload("application/json", json)
    }

    /// Sets a payload of plain text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.payload("text/plain", text)
    }

    /// Adds a further attribute, named with lower-case letters and digits.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: Attribute<'_>) -> Self {
        self.attributes.retain(|(known, _)| known != name);
        let value = match value {
            Attribute::Text(text) => Value::Text(text.into()),
            Attribute::Number(n) => Value::Number(n),
            Attribute::Bool(b) => Value::Bool(b),
        };
        self.attributes.push((name.into(), value));
        self
    }

    /// Adds free headers; they travel as one JSON object in the attribute `headers`.
    #[must_use]
    pub fn headers<'a>(self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let object: std::collections::BTreeMap<&str, &str> = headers.into_iter().collect();
        let text = serde_json::to_string(&object).expect("a map of text is JSON");
        self.attribute("headers", Attribute::Text(&text))
    }

    /// Encodes the message and checks it.
    ///
    /// # Errors
    /// `invalid_message` naming the element, `invalid_topic`, or `too_large`.
    pub fn finish(self) -> Result<Message, Error> {
        if self.to.len() > DESTINATIONS_MAX {
            return Err(parse::invalid(format!(
                "to has {} topics; at most {DESTINATIONS_MAX} are taken",
                self.to.len()
            )));
        }
        if let Some(payload) = &self.payload
            && payload.len() > PAYLOAD_BYTES_MAX
        {
            let text = format!("payload has {} bytes; at most {PAYLOAD_BYTES_MAX} are taken", payload.len());
            return Err(Error::new(Code::TooLarge, text));
        }
        if let Some(time) = &self.time {
            check_whole_time("time", time)?;
        }
        Message::parse(Bytes::from(self.encode()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.payload.as_ref().map_or(0, Vec::len));
        put_array(&mut out, FIELDS);
        put_str(&mut out, &self.id);
        match self.to.as_slice() {
            [] => put_nil(&mut out),
            [one] => put_str(&mut out, one),
            many => {
                put_array(&mut out, many.len());
                many.iter().for_each(|topic| put_str(&mut out, topic));
            }
        }
        put_str(&mut out, &self.kind);
        put_str(&mut out, &self.source);
        put_optional(&mut out, self.priority.map(Priority::number), |out, n| put_uint(out, u64::from(n)));
        put_optional(&mut out, self.guarantee.map(Guarantee::number), |out, n| put_uint(out, u64::from(n)));
        for text in
            [&self.replyto, &self.correlation, &self.causation, &self.conversation, &self.time, &self.content_type]
        {
            put_optional(&mut out, text.as_deref(), put_str);
        }
        self.encode_attributes(&mut out);
        put_optional(&mut out, self.payload.as_deref(), put_bin);
        out
    }

    fn encode_attributes(&self, out: &mut Vec<u8>) {
        if self.attributes.is_empty() {
            return put_nil(out);
        }
        put_map(out, self.attributes.len());
        for (name, value) in &self.attributes {
            put_str(out, name);
            match value {
                Value::Text(text) => put_str(out, text),
                Value::Number(n) => put_int(out, *n),
                Value::Bool(b) => put_bool(out, *b),
            }
        }
    }
}

fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl Fn(&mut Vec<u8>, T)) {
    match value {
        Some(value) => put(out, value),
        None => put_nil(out),
    }
}

pub(super) fn check_whole_time(name: &str, text: &str) -> Result<jiff::Timestamp, Error> {
    parse::check_time(name, text)?;
    text.parse().map_err(|e| parse::invalid(format!("{name} {text:?}: {e}; expected RFC 3339")))
}

/// A time in unix milliseconds as RFC 3339 text, in UTC.
#[must_use]
pub fn format_time(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
}
