//! How often and after how long one message is tried again, in place of what its queue says.

use std::fmt;
use std::str::FromStr;

use super::{Attribute, MessageBuilder, MessageRef, parse};
use crate::Error;
use crate::limits::{ATTEMPTS_MAX, DELAY_MS_MAX};

const RETRY: &str = "retry";
const EXPECTED: &str = "expected such as \"attempts=3 backoff=2s..1m\", both or one of them";

/// The attribute `retry`, such as `attempts=3 backoff=2s..1m`: what is not said is as the queue has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Deliveries before the message is a dead letter; 0 for without end.
    pub attempts_max: Option<u32>,
    /// Shortest and longest wait before it is delivered again, in milliseconds; it doubles from one to the other.
    pub backoff_ms: Option<(u64, u64)>,
}

impl FromStr for Tries {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| parse::invalid(format!("retry \"{text:.100}\": {what}; {EXPECTED}"));
        let mut tries = Tries::default();
        for part in text.split(' ') {
            match part.split_once('=') {
                Some(("attempts", _)) if tries.attempts_max.is_some() => return Err(wrong("attempts stands twice")),
                Some(("backoff", _)) if tries.backoff_ms.is_some() => return Err(wrong("backoff stands twice")),
                Some(("attempts", said)) => {
                    let count = digits(said).and_then(|count| u32::try_from(count).ok());
                    let count = count.filter(|count| *count <= ATTEMPTS_MAX);
                    tries.attempts_max =
                        Some(count.ok_or_else(|| wrong(&format!("attempts is no number from 0 to {ATTEMPTS_MAX}")))?);
                }
                Some(("backoff", said)) => {
                    let (min, max) = said.split_once("..").unwrap_or((said, said));
                    let both = span_ms(min).zip(span_ms(max)).ok_or_else(|| wrong("backoff is no span of time"))?;
                    if both.0 > both.1 || both.1 > DELAY_MS_MAX {
                        return Err(wrong("backoff begins after it ends, or is longer than 7 days"));
                    }
                    tries.backoff_ms = Some(both);
                }
                _ => return Err(wrong(&format!("{part:.40} is neither attempts nor backoff"))),
            }
        }
        Ok(tries)
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.attempts_max.map(|count| format!("attempts={count}"));
        let backoff = self.backoff_ms.map(|(min, max)| format!("backoff={min}ms..{max}ms"));
        let parts: Vec<String> = attempts.into_iter().chain(backoff).collect();
        f.write_str(&parts.join(" "))
    }
}

impl MessageRef<'_> {
    /// How it is tried again, if it says so itself (`retry`).
    ///
    /// # Errors
    /// `invalid_message` when it says it in another form.
    pub fn tries(&self) -> Result<Option<Tries>, Error> {
        match self.attribute(RETRY) {
            None => Ok(None),
            Some(Attribute::Text(text)) => text.parse().map(Some),
            Some(other) => Err(parse::invalid(format!("retry is {other:?}; {EXPECTED}"))),
        }
    }
}

impl MessageBuilder {
    /// It is tried again so, and not as its queue says.
    #[must_use]
    pub fn tries(self, tries: Tries) -> Self {
        self.attribute(RETRY, Attribute::Text(&tries.to_string()))
    }
}

/// A span of time with its unit, such as `500ms`, `2s`, `1m`, `1h` or `1d`, in milliseconds.
pub(super) fn span_ms(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits(number)?.checked_mul(ms)
}

/// A number of digits alone: no sign.
fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Message, MessageId};

    fn message(value: Attribute<'_>) -> Message {
        Message::build(&MessageId::new("1").unwrap(), "s", "t").attribute("retry", value).finish().unwrap()
    }

    #[test]
    fn what_is_said_of_retry_is_read_and_written_the_same() {
        for (text, attempts_max, backoff_ms) in [
            ("attempts=3 backoff=2s..1m", Some(3), Some((2_000, 60_000))),
            ("backoff=500ms attempts=0", Some(0), Some((500, 500))),
            ("attempts=1", Some(1), None),
            ("backoff=0ms..7d", None, Some((0, DELAY_MS_MAX))),
        ] {
            let tries = Tries { attempts_max, backoff_ms };
            assert_eq!(message(Attribute::Text(text)).view().tries(), Ok(Some(tries)), "{text}");
            assert_eq!(tries.to_string().parse(), Ok(tries), "{text}");
        }
    }

    #[test]
    fn another_form_of_retry_is_refused_and_says_what_was_expected() {
        let long = "x".repeat(900);
        let texts = [
            "",
            "3",
            "attempts=",
            "attempts=+3",
            "attempts=-1",
            "attempts=10001",
            "attempts=3 attempts=4",
            "attempts = 3",
            "attempts=3  backoff=2s",
            "Attempts=3",
            "backoff=2",
            "backoff=1m..2s",
            "backoff=2s..",
            "backoff=8d",
            "backoff=1s..2s..3s",
            "backoff=99999999999999999999s",
            "backoff=999999999999999999d",
            "jitter=1",
            &long,
        ];
        for value in texts.into_iter().map(Attribute::Text).chain([Attribute::Number(3), Attribute::Bool(true)]) {
            let error = message(value).view().tries().unwrap_err();
            assert_eq!(error.code, Code::InvalidMessage, "{value:?}");
            assert!(error.text.contains("attempts=3 backoff=2s..1m") && error.text.len() < 400, "{error}");
        }
    }
}
