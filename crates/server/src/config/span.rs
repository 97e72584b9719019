//! Spans of time as people write them: `90s`, `5m`, `12h`, `7d`.

use std::ops::RangeInclusive;
use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// What a retention may be, in seconds: a minute to a hundred years.
const RETENTION_S: RangeInclusive<u64> = 60..=36_500 * 86_400;

/// Reads a span.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (unit, seconds) = UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
    let number = text.strip_suffix(*unit)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    number.checked_mul(*seconds).map(Duration::from_secs)
}

/// A span as one would write it, in the largest unit that fits.
pub(super) fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    let whole = |(_, unit): &&(char, u64)| seconds.is_multiple_of(*unit);
    let (unit, length) = UNITS.iter().find(whole).copied().unwrap_or(('s', 1));
    format!("{}{unit}", seconds / length)
}

/// Whether settled messages may be kept so long.
pub(super) fn is_retention(span: Duration) -> bool {
    RETENTION_S.contains(&span.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_shown_as_it_was_written() {
        for text in ["90s", "5m", "36h", "7d"] {
            assert_eq!(parse(text).map(show).as_deref(), Some(text));
        }
        assert_eq!(parse("24h").map(show).as_deref(), Some("1d"));
        for text in ["", "d", "7", "+7d", "7 d", "7w", "18446744073709551615d"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
