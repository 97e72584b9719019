//! Ids, tokens and positions.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::ID_BYTES_MAX;
use crate::topic::text_type;
use crate::{Code, Error};

/// The id of a message: 1 to 128 bytes, unique within its source. Ours are UUIDv7.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// Parses an id.
    ///
    /// # Errors
    /// `invalid_message` when it is empty or longer than 128 bytes.
    pub fn new(text: &str) -> Result<Self, Error> {
        check_id(text)?;
        Ok(MessageId(text.into()))
    }

    /// A UUIDv7 (RFC 9562) of a time in unix milliseconds and 74 random bits.
    #[must_use]
    pub fn v7(unix_ms: u64, random: &[u8; 10]) -> Self {
        let id = uuid::Builder::from_unix_timestamp_millis(unix_ms, random).into_uuid();
        MessageId(id.hyphenated().to_string().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(MessageId);

pub(crate) fn check_id(text: &str) -> Result<(), Error> {
    if text.is_empty() || text.len() > ID_BYTES_MAX {
        let rule = format!("id has {} bytes; expected 1 to {ID_BYTES_MAX}", text.len());
        return Err(Error::new(Code::InvalidMessage, rule));
    }
    Ok(())
}

macro_rules! opaque16 {
    ($(#[doc = $doc:literal])+ $name:ident $what:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                parse_hex16(text).map($name).ok_or_else(|| {
                    Error::new(Code::InvalidFrame, format!("{} {text:?}: expected 32 hexadecimal digits", $what))
                })
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { s.serialize_bytes(&self.0) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let human = d.is_human_readable();
                let visitor = Opaque16 { what: $what };
                if human { d.deserialize_str(visitor) } else { d.deserialize_bytes(visitor) }.map($name)
            }
        }
    };
}

opaque16! {
    /// Proof of one lease on one message; opaque, 16 bytes, 32 hexadecimal digits in text.
    LeaseToken "lease token"
}
opaque16! {
    /// The 128-bit id a producer draws once and keeps, so that its resends are recognised.
    ProducerId "producer id"
}
opaque16! {
    /// The secret by which a party takes up its session again after a lost connection.
    ResumeToken "resume token"
}

struct Opaque16 {
    what: &'static str,
}

impl Visitor<'_> for Opaque16 {
    type Value = [u8; 16];
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} of 16 bytes", self.what)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; 16], E> {
        parse_hex16(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<[u8; 16], E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

fn parse_hex16(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 32 || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// Where a message stands in its backend. Opaque, and ordered only where it is a number, as
/// the embedded backend shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Position {
    /// A number that only grows.
    Number(u64),
    /// A foreign backend's own form: the bytes used, then the bytes.
    Opaque(u8, [u8; Position::BYTES_MAX]),
}

impl Position {
    /// Most bytes of an opaque position.
    pub const BYTES_MAX: usize = 24;

    /// The number, if it is one.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        match self {
            Position::Number(n) => Some(n),
            Position::Opaque(..) => None,
        }
    }

    /// An opaque position; none when it is longer than 24 bytes.
    #[must_use]
    pub fn opaque(bytes: &[u8]) -> Option<Self> {
        let mut inline = [0; Position::BYTES_MAX];
        inline.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Position::Opaque(u8::try_from(bytes.len()).ok()?, inline))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Position::Number(_) => &[],
            Position::Opaque(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or(bytes),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Number(n) => write!(f, "{n}"),
            Position::Opaque(..) => {
                f.write_str("x")?;
                self.bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    }
}

impl FromStr for Position {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let opaque = |hex: &str| {
            let pairs: Option<Vec<&str>> = (0..hex.len()).step_by(2).map(|at| hex.get(at..at + 2)).collect();
            let bytes: Option<Vec<u8>> = pairs?.into_iter().map(|p| u8::from_str_radix(p, 16).ok()).collect();
            Position::opaque(&bytes?)
        };
        let parsed = match text.strip_prefix('x') {
            Some(hex) => opaque(hex),
            None => text.parse().ok().map(Position::Number),
        };
        parsed.ok_or_else(|| {
            Error::new(Code::InvalidArgument, format!("position {text:?}: expected a number, as a receipt shows it"))
        })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Position::Number(n) => s.serialize_u64(*n),
            Position::Opaque(..) if s.is_human_readable() => s.collect_str(self),
            Position::Opaque(..) => s.serialize_bytes(self.bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct PositionVisitor;
        impl Visitor<'_> for PositionVisitor {
            type Value = Position;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a position: a number, or at most 24 opaque bytes")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Position, E> {
                Ok(Position::Number(n))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Position, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Position, E> {
                Position::opaque(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
            }
        }
        d.deserialize_any(PositionVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_positions_keep_their_value_in_text() {
        let token: LeaseToken = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        assert_eq!(token.0[15], 15);
        assert_eq!(token.to_string().parse::<LeaseToken>().unwrap(), token);
        assert!("+00102030405060708090a0b0c0d0e0f".parse::<LeaseToken>().is_err());
        let opaque = Position::opaque(b"1-7").unwrap();
        assert_eq!(opaque.to_string().parse::<Position>().unwrap(), opaque);
        assert_eq!("17".parse::<Position>().unwrap(), Position::Number(17));
        assert!("xé".parse::<Position>().is_err());
        assert!(Position::opaque(&[0; 25]).is_none());
    }

    #[test]
    fn ids_of_later_milliseconds_sort_later() {
        let (a, b) = (MessageId::v7(1, &[255; 10]), MessageId::v7(2, &[0; 10]));
        assert!(a < b);
        assert_eq!(a.as_str().len(), 36);
    }
}
