//! Checks the compact form once, so that accessors can read in place.

use super::{
    ATTRIBUTES, Attribute, CAUSATION, CONTENT_TYPE, CONVERSATION, CORRELATION, FIELDS, GUARANTEE, ID, Offsets, PAYLOAD,
    PRIORITY, REPLYTO, SOURCE, TIME, TO, TYPE,
};
use crate::id::check_id;
use crate::limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, DESTINATIONS_MAX, MESSAGE_BYTES_MAX, TEXT_BYTES_MAX};
use crate::pack::{Malformed, Reader};
use crate::topic::check_topic;
use crate::{Code, Error, Guarantee, Priority};

/// Names of the fixed elements, as an error shows them.
const NAMES: [&str; FIELDS] = [
    "id",
    "to",
    "type",
    "source",
    "priority",
    "guarantee",
    "replyto",
    "correlationid",
    "causationid",
    "conversationid",
    "time",
    "datacontenttype",
    "attributes",
    "payload",
];

/// The first byte of a message with the fixed elements and no more.
#[expect(clippy::cast_possible_truncation, reason = "a short array, of less than 16 elements")]
const USUAL_HEAD: u8 = 0x90 | FIELDS as u8;

pub(super) fn offsets(bytes: &[u8]) -> Result<Offsets, Error> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        let text = format!("message has {} bytes; at most {MESSAGE_BYTES_MAX} are taken", bytes.len());
        return Err(Error::new(Code::TooLarge, text));
    }
    let mut reader = Reader::new(bytes);
    let count = reader.array().map_err(|m| malformed("it", m))?;
    if count < FIELDS {
        return Err(invalid(format!("it has {count} elements; expected at least {FIELDS}")));
    }
    let mut at = [0; FIELDS];
    for (field, (start, name)) in at.iter_mut().zip(NAMES).enumerate() {
        *start = u32::try_from(reader.at()).map_err(|_| invalid("it is too large".into()))?;
        check_field(field, name, &mut reader)?;
    }
    for _ in FIELDS..count {
        reader.skip().map_err(|m| malformed("an element after the payload", m))?;
    }
    if !reader.is_done() {
        return Err(invalid("bytes follow its last element".into()));
    }
    Ok(at)
}

/// The same of a message that follows another one of which the offsets are known. Neighbours mostly differ in id and payload
/// alone: what stands between was checked then, and is compared now. None when it differs, or anything else is unusual.
pub(super) fn offsets_like(bytes: &[u8], known: &[u8], at: &Offsets) -> Option<Offsets> {
    let start = |field: usize| at.get(field).map(|start| *start as usize);
    let shared = start(TO)?..start(PAYLOAD)?;
    // Elements after the payload would be compared with nothing.
    let has_usual_head = bytes.first() == Some(&USUAL_HEAD) && known.first() == Some(&USUAL_HEAD);
    if !has_usual_head || bytes.len() > MESSAGE_BYTES_MAX || bytes.get(shared.clone())? != known.get(shared.clone())? {
        return None;
    }
    let mut id = Reader::starting_at(bytes, start(ID)?);
    check_id(id.str().ok()?).ok()?;
    let mut payload = Reader::starting_at(bytes, shared.end);
    let is_whole = payload.nil() || payload.bin().is_ok();
    (id.at() == shared.start && is_whole && payload.is_done()).then_some(*at)
}

fn check_field(field: usize, name: &'static str, reader: &mut Reader<'_>) -> Result<(), Error> {
    let required = matches!(field, ID | TYPE | SOURCE);
    if !required && reader.nil() {
        return Ok(());
    }
    let bad = |m| malformed(name, m);
    match field {
        ID => check_id(reader.str().map_err(bad)?),
        TO => check_destinations(reader),
        TYPE | SOURCE | CORRELATION | CAUSATION | CONVERSATION | CONTENT_TYPE => {
            check_text(name, reader.str().map_err(bad)?)
        }
        REPLYTO => check_topic(reader.str().map_err(bad)?),
        TIME => check_time(name, reader.str().map_err(bad)?),
        PRIORITY => known(name, reader.uint().map_err(bad)?, Priority::ALL.len()),
        GUARANTEE => known(name, reader.uint().map_err(bad)?, Guarantee::ALL.len()),
        ATTRIBUTES => check_attributes(reader),
        PAYLOAD => reader.bin().map(|_| ()).map_err(bad),
        _ => Ok(()),
    }
}

fn check_destinations(reader: &mut Reader<'_>) -> Result<(), Error> {
    let bad = |m| malformed("to", m);
    let mut many = *reader;
    let Ok(count) = many.array() else {
        return check_topic(reader.str().map_err(bad)?);
    };
    *reader = many;
    if count == 0 || count > DESTINATIONS_MAX {
        return Err(invalid(format!("to has {count} topics; expected 1 to {DESTINATIONS_MAX}")));
    }
    (0..count).try_for_each(|_| check_topic(reader.str().map_err(bad)?))
}

fn check_attributes(reader: &mut Reader<'_>) -> Result<(), Error> {
    let bad = |m| malformed("attributes", m);
    let count = reader.map().map_err(bad)?;
    if count > ATTRIBUTES_MAX {
        return Err(invalid(format!("it has {count} further attributes; at most {ATTRIBUTES_MAX} are taken")));
    }
    for _ in 0..count {
        let name = reader.str().map_err(bad)?;
        check_attribute_name(name)?;
        let value = attribute(reader).map_err(|m| invalid(format!("attribute {name}: {}", m.0)))?;
        check_attribute(name, value)?;
    }
    Ok(())
}

pub(super) fn attribute<'a>(reader: &mut Reader<'a>) -> Result<Attribute<'a>, Malformed> {
    let (mut text, mut truth) = (*reader, *reader);
    if let Ok(value) = text.str() {
        *reader = text;
        return Ok(Attribute::Text(value));
    }
    if let Ok(value) = truth.bool() {
        *reader = truth;
        return Ok(Attribute::Bool(value));
    }
    let number = reader.int().map_err(|_| Malformed("expected text, a whole number, true or false"))?;
    i64::try_from(number).map(Attribute::Number).map_err(|_| Malformed("the number does not fit in 64 bits"))
}

/// CloudEvents 1.0, "Naming Conventions": lower-case letters and digits.
pub(super) fn check_attribute_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        let rule = "names of attributes are lower-case letters and digits (free names belong in headers)";
        return Err(invalid(format!("attribute {name:?}: {rule}")));
    }
    if name == "data" || name == "specversion" || NAMES.iter().take(ATTRIBUTES).any(|fixed| *fixed == name) {
        return Err(invalid(format!("attribute {name:?} stands twice")));
    }
    Ok(())
}

pub(super) fn check_attribute(name: &str, value: Attribute<'_>) -> Result<(), Error> {
    match value {
        Attribute::Text(text) if text.len() > ATTRIBUTE_BYTES_MAX => {
            Err(invalid(format!("attribute {name} has {} bytes; at most {ATTRIBUTE_BYTES_MAX} are taken", text.len())))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_text(name: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(invalid(format!("{name} has {} bytes; expected 1 to {TEXT_BYTES_MAX}", text.len())));
    }
    Ok(())
}

/// The shape of an RFC 3339 time; the JSON edge and the builder check it wholly.
pub(super) fn check_time(name: &str, text: &str) -> Result<(), Error> {
    let shaped = text.len() >= 20
        && text.len() <= 40
        && text.is_ascii()
        && matches!(text.as_bytes(), [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't' | b' ', ..]);
    if shaped {
        Ok(())
    } else {
        Err(invalid(format!("{name} {text:?}: expected RFC 3339, such as 2026-01-31T12:00:00Z")))
    }
}

fn known(name: &str, n: u64, count: usize) -> Result<(), Error> {
    if n < count as u64 {
        Ok(())
    } else {
        Err(invalid(format!("{name} {n} is not known; expected 0 to {}", count - 1)))
    }
}

fn malformed(name: &str, why: Malformed) -> Error {
    invalid(format!("{name}: {}", why.0))
}

pub(super) fn invalid(text: String) -> Error {
    Error::new(Code::InvalidMessage, format!("message: {text}"))
}
