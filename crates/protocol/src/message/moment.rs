//! The moments that a message names: not before one, and not after the other.

use super::build::check_whole_time;
use super::{Attribute, MessageBuilder, MessageRef, format_time, parse, retry};
use crate::Error;
use crate::limits::TIMEOUT_MS_MAX;

const NOT_BEFORE: &str = "notbefore";
const EXPIRY: &str = "expirytime";
const TIMEOUT: &str = "timeout";

impl MessageRef<'_> {
    /// When it was made, in unix milliseconds, if it says so.
    #[must_use]
    pub fn made_ms(&self) -> Option<u64> {
        let time = check_whole_time("time", self.time()?).ok()?;
        Some(u64::try_from(time.as_millisecond()).unwrap_or(0))
    }

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

    /// How long its sender waits for a reply, in milliseconds (`timeout`): a whole number of them, or a span such as `30s`.
    ///
    /// # Errors
    /// `invalid_message` when it is neither, or not from 1 ms to a year.
    pub fn timeout_ms(&self) -> Result<Option<u64>, Error> {
        let Some(said) = self.attribute(TIMEOUT) else { return Ok(None) };
        let ms = match said {
            Attribute::Number(ms) => u64::try_from(ms).ok(),
            Attribute::Text(text) => retry::span_ms(text),
            Attribute::Bool(_) => None,
        };
        let ms = ms.filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms));
        let wrong = || {
            let shown = if let Attribute::Text(text) = said { format!("{text:.80}") } else { format!("{said:?}") };
            let text = format!("timeout is {shown}; expected milliseconds, or a span such as 30s, up to 365 days");
            parse::invalid(text)
        };
        ms.map(Some).ok_or_else(wrong)
    }

    /// From when on it is delivered no more, if it was accepted at a moment, in unix milliseconds: from its `expirytime`; a request,
    /// which has a `replyto`, without one from when its `timeout` has passed, for then nobody waits for the reply.
    ///
    /// # Errors
    /// `invalid_message` when one of them has another form.
    pub fn deadline_ms(&self, accepted_ms: u64) -> Result<Option<u64>, Error> {
        let (expires_ms, timeout_ms) = (self.expires_ms()?, self.timeout_ms()?);
        let waits_until = timeout_ms.filter(|_| self.replyto().is_some()).map(|ms| accepted_ms.saturating_add(ms));
        Ok(expires_ms.or(waits_until))
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

    /// Its sender waits so long for a reply, in milliseconds.
    #[must_use]
    pub fn timeout(self, ms: u64) -> Self {
        self.attribute(TIMEOUT, Attribute::Number(i64::try_from(ms).unwrap_or(i64::MAX)))
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
    fn a_request_is_delivered_until_its_timeout_unless_it_names_an_expiry() {
        let replyto = crate::Topic::new("answers").unwrap();
        for (value, ms) in
            [(Attribute::Number(5), 5), (Attribute::Text("30s"), 30_000), (Attribute::Text("365d"), TIMEOUT_MS_MAX)]
        {
            let said = message().attribute("timeout", value);
            let request = said.clone().replyto(&replyto).finish().unwrap();
            assert_eq!(request.view().deadline_ms(100), Ok(Some(100 + ms)));
            assert_eq!(said.clone().finish().unwrap().view().deadline_ms(100), Ok(None), "nobody waits for a reply");
            let both = said.replyto(&replyto).expires(7).finish().unwrap();
            assert_eq!(both.view().deadline_ms(100), Ok(Some(7)));
        }
        assert_eq!(message().timeout(9).finish().unwrap().view().timeout_ms(), Ok(Some(9)));
        for value in [
            Attribute::Number(0),
            Attribute::Number(-1),
            Attribute::Number(i64::MAX),
            Attribute::Text("366d"),
            Attribute::Text("30"),
            Attribute::Text("soon"),
            Attribute::Bool(true),
        ] {
            let error = message().attribute("timeout", value).finish().unwrap().view().deadline_ms(100).unwrap_err();
            assert!(error.code == Code::InvalidMessage && error.text.contains("such as 30s"), "{error}");
        }
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
