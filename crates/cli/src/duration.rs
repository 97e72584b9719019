//! Durations as people write them: `500ms`, `30s`, `5m`, `2h`; a bare number is seconds.

use std::time::Duration;

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(expected)
}

fn expected() -> String {
    "expected a duration such as 500ms, 30s, 5m or 2h".into()
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds as one would write them.
pub(crate) fn show(ms: u64) -> String {
    match ms {
        0 => "0s".into(),
        ms if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        ms if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, ms) in [("500ms", 500), ("30s", 30_000), ("30", 30_000), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(parse(text).map(millis), Ok(ms), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "3 s", "5 parsecs", "99999999999999999999s", "999999999999999999h"] {
            assert!(parse(text).unwrap_err().contains("30s"), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for ms in [0, 1, 999, 1_000, 60_000, 61_000, 3_600_000] {
            assert_eq!(parse(&show(ms)).map(millis), Ok(ms));
        }
    }
}
