//! The moments that a message names: not before one, and not after the other.

use super::build::check_whole_time;
use super::{Attribute, MessageBuilder, MessageRef, format_time, parse};
use crate::Error;

const NOT_BEFORE: &str = "notbefore";
const EXPIRY: &str = "expirytime";

impl MessageRef<'_> {
    /// Before this moment it is not delivered, in unix milliseconds (`notbefore`).
    ///
    /// # Errors
    /// `invalid_message` when it is no time.
    pub fn not_before_ms(&self) -> Result<Option<u64>, Error> {
        self.moment(NOT_BEFORE)
    }

    /// From this moment on it is delivered no more, in unix milliseconds (`expirytime`).
    ///
    /// # Errors
    /// `invalid_message` when it is no time.
    pub fn expires_ms(&self) -> Result<Option<u64>, Error> {
        self.moment(EXPIRY)
    }

    fn moment(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Text(text)) => {
                let time = check_whole_time(name, text)?;
                // What lies before 1970 has long passed.
                Ok(Some(u64::try_from(time.as_millisecond()).unwrap_or(0)))
            }
            Some(other) => {
                Err(parse::invalid(format!("{name} is {other:?}; expected RFC 3339, such as 2026-01-31T12:00:00Z")))
            }
        }
    }
}

impl MessageBuilder {
    /// It is not delivered before this moment, in unix milliseconds.
    #[must_use]
    pub fn not_before(self, unix_ms: u64) -> Self {
        self.attribute(NOT_BEFORE, Attribute::Text(&format_time(unix_ms)))
    }

    /// It is delivered no more from this moment on, in unix milliseconds.
    #[must_use]
    pub fn expires(self, unix_ms: u64) -> Self {
        self.attribute(EXPIRY, Attribute::Text(&format_time(unix_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Message, MessageId};

    fn message() -> MessageBuilder {
        Message::build(&MessageId::new("1").unwrap(), "s", "t")
    }

    #[test]
    fn moments_are_read_as_they_were_set_in_any_zone() {
        let set = message().not_before(1_700_000_000_123).expires(1_800_000_000_000).finish().unwrap();
        assert_eq!(set.view().not_before_ms(), Ok(Some(1_700_000_000_123)));
        assert_eq!(set.view().expires_ms(), Ok(Some(1_800_000_000_000)));
        let zoned = message().attribute("notbefore", Attribute::Text("2026-01-31T12:00:00+02:00")).finish().unwrap();
        let utc = message().attribute("notbefore", Attribute::Text("2026-01-31T10:00:00Z")).finish().unwrap();
        assert_eq!(zoned.view().not_before_ms(), utc.view().not_before_ms());
        let old = message().attribute("expirytime", Attribute::Text("1969-01-31T10:00:00Z")).finish().unwrap();
        assert_eq!((old.view().expires_ms(), old.view().not_before_ms()), (Ok(Some(0)), Ok(None)));
    }

    #[test]
    fn what_is_no_time_is_named_with_what_was_expected() {
        for value in [Attribute::Text("tomorrow"), Attribute::Text("2026-13-01T00:00:00Z"), Attribute::Number(5)] {
            let error = message().attribute("notbefore", value).finish().unwrap().view().not_before_ms().unwrap_err();
            assert_eq!(error.code, Code::InvalidMessage);
            assert!(error.text.contains("notbefore") && error.text.contains("RFC 3339"), "{error}");
        }
    }
}
