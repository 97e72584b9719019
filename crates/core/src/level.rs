//! What is reached before a message is answered and handed out, and how much of it a crash may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use skep_protocol::{Code, Durability, Error};

/// Longest interval, in milliseconds: more than a minute of answered messages is not to be lost.
const INTERVAL_MS_MAX: u16 = 60_000;
/// The interval of a message that asks for one without saying how long.
const INTERVAL_MS_ASKED: u16 = 100;

/// How durable a message is made: the stronger, the greater.
///
/// Two bytes, so that whoever remembers many messages can remember it of each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u16);

impl Level {
    /// Answered at once: lost when the hub's process ends before it is written.
    pub const MEMORY: Level = Level(0);
    /// Answered when it is with the operating system: survives `kill -9`, not power loss.
    pub const OS: Level = Level(1);
    /// Answered when it is synced.
    pub const FSYNC: Level = Level(u16::MAX);

    /// As [`Level::OS`], and synced after that time at the latest; none where it is not one of 1 ms to 60 s.
    #[must_use]
    pub fn interval(time: Duration) -> Option<Level> {
        let ms = u16::try_from(time.as_millis()).ok().filter(|ms| (1..=INTERVAL_MS_MAX).contains(ms))?;
        time.subsec_nanos().is_multiple_of(1_000_000).then_some(Level(u16::MAX - ms))
    }

    /// The level as a number: the stronger, the greater.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The level of that number; none where there is none.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Level> {
        let interval = || Level::interval(Duration::from_millis(u64::from(u16::MAX - number)));
        let known = [Level::MEMORY, Level::OS, Level::FSYNC].into_iter().find(|level| level.0 == number);
        known.or_else(interval)
    }

    /// The level that a message asks for itself by its attribute `durability`, if it does.
    ///
    /// # Errors
    /// `invalid_message` when it is none.
    pub fn asked(text: Option<&str>) -> Result<Option<Level>, Error> {
        let Some(text) = text else { return Ok(None) };
        let asked = text
            .parse::<Durability>()
            .map_err(|error| Error::new(Code::InvalidMessage, format!("durability of the message: {}", error.text)))?;
        Ok(Some(match asked {
            Durability::Memory => Level::MEMORY,
            Durability::Os => Level::OS,
            Durability::Interval => Level(u16::MAX - INTERVAL_MS_ASKED),
            Durability::Fsync => Level::FSYNC,
        }))
    }

    /// What a receipt says of it.
    #[must_use]
    pub fn durability(self) -> Durability {
        match self {
            Level::MEMORY => Durability::Memory,
            Level::OS => Durability::Os,
            Level::FSYNC => Durability::Fsync,
            Level(_) => Durability::Interval,
        }
    }

    /// After how many milliseconds at the latest it is synced, if it is one of an interval.
    #[must_use]
    pub fn interval_ms(self) -> Option<u64> {
        (self.durability() == Durability::Interval).then(|| u64::from(u16::MAX - self.0))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interval_ms() {
            Some(ms) => write!(f, "interval({ms}ms)"),
            None => self.durability().fmt(f),
        }
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = match text {
            "memory" => Some(Level::MEMORY),
            "os" => Some(Level::OS),
            "fsync" => Some(Level::FSYNC),
            _ => interval(text),
        };
        known.ok_or_else(|| {
            let text = format!(
                "{text:?} is no level of durability; expected fsync, os, memory or an interval from 1ms to 60s such as interval(100ms)"
            );
            Error::new(Code::InvalidMessage, text)
        })
    }
}

fn interval(text: &str) -> Option<Level> {
    let time = text.strip_prefix("interval(")?.strip_suffix(')')?;
    let (number, unit_ms) = match time.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (time.strip_suffix('s')?, 1_000),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    Level::interval(Duration::from_millis(number.checked_mul(unit_ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_known_by_its_number_and_no_other_number_is_one() {
        let levels: Vec<Level> = (0..=u16::MAX).filter_map(Level::from_number).collect();
        assert_eq!(levels.len(), 3 + usize::from(INTERVAL_MS_MAX));
        for level in levels {
            assert_eq!(Level::from_number(level.number()), Some(level));
            assert_eq!(level.to_string().parse::<Level>(), Ok(level));
        }
    }

    #[test]
    fn a_level_is_shown_as_it_was_written_and_the_stronger_is_the_greater() {
        let texts = ["memory", "os", "interval(60000ms)", "interval(100ms)", "interval(1ms)", "fsync"];
        let levels: Vec<Level> = texts.iter().map(|text| text.parse().expect("a level")).collect();
        assert_eq!(levels.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
        assert!(levels.is_sorted_by(|weak, strong| weak < strong), "{levels:?}");
        assert_eq!("interval(2s)".parse::<Level>().expect("a level").interval_ms(), Some(2_000));
        for text in ["", "interval", "interval()", "interval(0ms)", "interval(61s)", "interval(+1ms)", "disk", "Os"] {
            let error = text.parse::<Level>().expect_err(text);
            assert!(error.text.contains("expected fsync, os, memory"), "{error}");
        }
    }

    #[test]
    fn a_message_asks_by_the_name_of_a_level() {
        assert_eq!(Level::asked(None), Ok(None));
        assert_eq!(Level::asked(Some("os")), Ok(Some(Level::OS)));
        assert_eq!(Level::asked(Some("interval")).expect("a level").and_then(Level::interval_ms), Some(100));
        assert_eq!(Level::asked(Some("disk")).unwrap_err().code, Code::InvalidMessage);
    }
}
