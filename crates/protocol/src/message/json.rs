//! CloudEvents 1.0 in JSON, both ways. Payload bytes are invariant.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::build::{MessageBuilder, Value};
use super::parse::{check_attribute_name, invalid};
use super::{Attribute, Message, MessageRef};
use crate::{Error, Topic, nearest};

/// The members that are known: those with a place of their own, then the optional and documented
/// ones of CloudEvents, then ours.
const KNOWN: [&str; 31] = [
    "specversion",
    "id",
    "source",
    "type",
    "to",
    "priority",
    "guarantee",
    "replyto",
    "correlationid",
    "causationid",
    "conversationid",
    "time",
    "datacontenttype",
    "data",
    "data_base64",
    "subject",
    "dataschema",
    "dataref",
    "partitionkey",
    "expirytime",
    "traceparent",
    "tracestate",
    "sequence",
    "sequencetype",
    "sampledrate",
    "notbefore",
    "hops",
    "retry",
    "timeout",
    "durability",
    "headers",
];

/// What an edge fills in where a message in short form, without `specversion`, leaves it out.
/// Nothing by default: then what CloudEvents requires is required, as it is of every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults<'a> {
    /// The id.
    pub id: Option<&'a str>,
    /// The source.
    pub source: Option<&'a str>,
    /// The type.
    pub kind: Option<&'a str>,
    /// The topic.
    pub to: Option<&'a str>,
}

/// Whether a media type declares JSON; absent, CloudEvents says it is.
#[must_use]
pub fn content_is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

pub(super) fn decode(json: &[u8], defaults: &Defaults<'_>) -> Result<Message, Error> {
    let event: Entries<'_> =
        serde_json::from_slice(json).map_err(|e| invalid(format!("{e}; expected a CloudEvents 1.0 object in JSON")))?;
    let is_event = event.0.iter().any(|(name, raw)| name == "specversion" && raw.get() != "null");
    if !is_event {
        event.0.iter().try_for_each(|(name, _)| check_known(name))?;
    }
    let mut parts = MessageBuilder::default();
    let (mut version, mut data, mut data_base64) = (None, None, None);
    for (name, raw) in &event.0 {
        match &**name {
            _ if raw.get() == "null" => {}
            "specversion" => version = Some(text(name, raw)?),
            "id" => parts.id = text(name, raw)?,
            "source" => parts.source = text(name, raw)?,
            "type" => parts.kind = text(name, raw)?,
            "to" => parts.to = destinations(raw)?,
            "priority" => parts.priority = Some(text(name, raw)?.parse().map_err(reworded)?),
            "guarantee" => parts.guarantee = Some(text(name, raw)?.parse().map_err(reworded)?),
            "replyto" => parts.replyto = Some(text(name, raw)?),
            "correlationid" => parts.correlation = Some(text(name, raw)?),
            "causationid" => parts.causation = Some(text(name, raw)?),
            "conversationid" => parts.conversation = Some(text(name, raw)?),
            "time" => parts.time = Some(text(name, raw)?),
            "datacontenttype" => parts.content_type = Some(text(name, raw)?),
            "data" => data = Some(*raw),
            "data_base64" => data_base64 = Some(text(name, raw)?),
            "headers" if raw.get().starts_with('{') => parts.attributes.push((name.to_string(), headers(raw)?)),
            _ => parts.attributes.push((name.to_string(), extension(name, raw)?)),
        }
    }
    if version.is_some_and(|v| v != "1.0") {
        return Err(invalid("specversion must be \"1.0\"".into()));
    }
    parts.payload = payload(parts.content_type.as_deref(), data, data_base64)?;
    // What calls itself an event is one, or is refused: nothing is filled in.
    let defaults = if is_event { Defaults { to: defaults.to, ..Defaults::default() } } else { *defaults };
    fill(&mut parts, &defaults)?;
    parts.finish()
}

/// Attributes of their own are for events. In the short form they would be slips of the pen that
/// nobody notices: a message without its data, or with another priority than was meant.
fn check_known(name: &str) -> Result<(), Error> {
    if KNOWN.contains(&name) {
        return Ok(());
    }
    let meant = match nearest(name, KNOWN).first() {
        Some(near) => format!("did you mean {near:?}?"),
        None => "expected members such as data, type, to, priority.".into(),
    };
    let own = r#"Attributes of your own are taken in an event that says "specversion":"1.0", or in headers"#;
    let shown: String = name.chars().take(64).collect();
    Err(invalid(format!("unknown member {shown:?}; {meant} {own}")))
}

fn fill(parts: &mut MessageBuilder, defaults: &Defaults<'_>) -> Result<(), Error> {
    let mut missing = Vec::new();
    for (name, part, default) in [
        ("id", &mut parts.id, defaults.id),
        ("source", &mut parts.source, defaults.source),
        ("type", &mut parts.kind, defaults.kind),
    ] {
        match default {
            _ if !part.is_empty() => {}
            Some(text) => *part = text.into(),
            None => missing.push(name),
        }
    }
    if !missing.is_empty() {
        let (missing, verb) = (missing.join(" and "), if missing.len() > 1 { "are" } else { "is" });
        return Err(invalid(format!("{missing} {verb} missing; CloudEvents requires id, source and type")));
    }
    if parts.to.is_empty() {
        parts.to.extend(defaults.to.map(str::to_owned));
    }
    Ok(())
}

/// `to` is one text, its topics separated by commas.
fn destinations(raw: &RawValue) -> Result<Vec<String>, Error> {
    let list = text("to", raw)?;
    let topics: Vec<String> = list.split(',').map(|topic| topic.trim().to_owned()).collect();
    topics.iter().try_for_each(|topic| Topic::new(topic).map(|_| ()))?;
    Ok(topics)
}

fn payload(
    content_type: Option<&str>,
    data: Option<&RawValue>,
    data_base64: Option<String>,
) -> Result<Option<Vec<u8>>, Error> {
    match (data, data_base64) {
        (Some(_), Some(_)) => Err(invalid("it has both data and data_base64; expected one of them".into())),
        (None, Some(encoded)) => {
            BASE64.decode(encoded).map(Some).map_err(|e| invalid(format!("data_base64 is not Base64: {e}")))
        }
        (Some(raw), None) if !content_is_json(content_type) && raw.get().starts_with('"') => {
            text("data", raw).map(|content| Some(content.into_bytes()))
        }
        (Some(raw), None) => Ok(Some(raw.get().as_bytes().to_vec())),
        (None, None) => Ok(None),
    }
}

fn text(name: &str, raw: &RawValue) -> Result<String, Error> {
    serde_json::from_str(raw.get()).map_err(|_| invalid(format!("{name} must be text (a JSON string)")))
}

fn extension(name: &str, raw: &RawValue) -> Result<Value, Error> {
    check_attribute_name(name)?;
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Json {
        Text(String),
        Number(i64),
        Bool(bool),
    }
    match serde_json::from_str(raw.get()) {
        Ok(Json::Text(value)) => Ok(Value::Text(value)),
        Ok(Json::Number(value)) => Ok(Value::Number(value)),
        Ok(Json::Bool(value)) => Ok(Value::Bool(value)),
        Err(_) => Err(invalid(format!(
            "attribute {name} must be text, a whole number, true or false; other values belong in data"
        ))),
    }
}

/// Free headers as the object that they are: they travel as the text of it.
fn headers(raw: &RawValue) -> Result<Value, Error> {
    let wrong =
        |error: String| invalid(format!("headers: {error}; expected an object of texts such as {{\"trace\":\"7\"}}"));
    let Entries(entries) = serde_json::from_str(raw.get()).map_err(|error| wrong(error.to_string()))?;
    let headers = entries.iter().map(|(name, raw)| match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => Ok((&**name, text)),
        Err(_) => Err(wrong(format!("{:?} is not a text", name.chars().take(64).collect::<String>()))),
    });
    let headers: BTreeMap<&str, String> = headers.collect::<Result<_, _>>()?;
    Ok(Value::Text(serde_json::to_string(&headers).expect("texts are JSON")))
}

fn reworded(error: Error) -> Error {
    invalid(error.text)
}

/// The members of a JSON object, in order, none twice.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry()? {
                    if entries.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format!("{name} stands twice")));
                    }
                    if entries.len() >= crate::limits::ATTRIBUTES_MAX + super::FIELDS + 2 {
                        return Err(serde::de::Error::custom("it has too many attributes"));
                    }
                    entries.push((name, value));
                }
                Ok(Entries(entries))
            }
        }
        d.deserialize_map(EntriesVisitor)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

pub(super) fn encode(message: &MessageRef<'_>) -> String {
    let mut out = String::with_capacity(message.bytes.len() + 256);
    out.push_str(r#"{"specversion":"1.0""#);
    put(&mut out, "id", message.id());
    put(&mut out, "source", message.source());
    put(&mut out, "type", message.kind());
    let to: Vec<&str> = message.to().collect();
    if !to.is_empty() {
        put(&mut out, "to", &to.join(","));
    }
    if message.priority() != crate::Priority::Normal || message.number(super::PRIORITY).is_some() {
        put(&mut out, "priority", message.priority().as_str());
    }
    for (name, text) in [
        ("guarantee", message.guarantee().map(crate::Guarantee::as_str)),
        ("replyto", message.replyto()),
        ("correlationid", message.correlation()),
        ("causationid", message.causation()),
        ("conversationid", message.text(super::CONVERSATION)),
        ("time", message.time()),
        ("datacontenttype", message.content_type()),
    ] {
        if let Some(text) = text {
            put(&mut out, name, text);
        }
    }
    for (name, value) in message.attributes() {
        match value {
            Attribute::Text(text) => put(&mut out, name, text),
            Attribute::Number(n) => put_raw(&mut out, name, &n.to_string()),
            Attribute::Bool(b) => put_raw(&mut out, name, if b { "true" } else { "false" }),
        }
    }
    if let Some(payload) = message.payload() {
        encode_payload(&mut out, message.content_type(), payload);
    }
    out.push('}');
    out
}

fn encode_payload(out: &mut String, content_type: Option<&str>, payload: &[u8]) {
    let Ok(text) = std::str::from_utf8(payload) else {
        return put(out, "data_base64", &BASE64.encode(payload));
    };
    if !content_is_json(content_type) {
        put(out, "data", text);
    } else if is_bare_json(text) {
        put_raw(out, "data", text);
    } else {
        put(out, "data_base64", &BASE64.encode(payload));
    }
}

/// Whether text is one JSON value and nothing around it, so that it comes back byte for byte.
fn is_bare_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().len() == text.len()) && text != "null"
}

fn put(out: &mut String, name: &str, text: &str) {
    put_raw(out, name, &serde_json::to_string(text).expect("text is JSON"));
}

fn put_raw(out: &mut String, name: &str, json: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    out.push_str(json);
}
