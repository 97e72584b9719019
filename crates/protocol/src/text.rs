//! Text as people read it: fit for a terminal and for a shell; spans of time and counts in words.

/// Text with its control characters shown, not obeyed; line ends and tabs stay.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() || is_unseen(c) => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Whether a terminal obeys a character without showing it: it turns or hides what stands beside it.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Text as one word of a shell.
#[must_use]
pub fn word(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b)) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A count, and the word for one or for many.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How long ago a time was, both in unix milliseconds.
#[must_use]
pub fn ago(unix_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(unix_ms) / 1000 {
        0 => "now".into(),
        seconds @ ..60 => format!("{seconds} s ago"),
        seconds @ ..3_600 => format!("{} min ago", seconds / 60),
        seconds @ ..86_400 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// How long it is until a time, both in unix milliseconds.
#[must_use]
pub fn left(unix_ms: u64, now_ms: u64) -> String {
    match unix_ms.saturating_sub(now_ms).div_ceil(1000) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Whether an agent is here, and when it was.
#[must_use]
pub fn presence(connected: Option<bool>, last_seen_ms: Option<u64>, now_ms: u64) -> String {
    match (connected, last_seen_ms) {
        (Some(true), _) => "connected".into(),
        (_, None) => "never connected".into(),
        (Some(false), Some(seen)) => format!("last seen {}", ago(seen, now_ms)),
        (None, Some(seen)) => format!("last seen {}, the hub started since", ago(seen, now_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_control_characters_and_does_not_obey_them() {
        assert_eq!(plain("a\u{1b}[31mb\r\n"), "a\\u{1b}[31mb\\r\n");
    }

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        for (ms, expected) in
            [(0, "now"), (59_999, "59 s ago"), (60_000, "1 min ago"), (7_200_000, "2 h ago"), (172_800_000, "2 d ago")]
        {
            assert_eq!(ago(5, 5 + ms), expected);
        }
        for (ms, expected) in
            [(0, "0 s"), (1, "1 s"), (119_000, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (833_400_000, "9 d")]
        {
            assert_eq!(left(5 + ms, 5), expected);
        }
    }

    #[test]
    fn presence_is_told_as_far_as_it_is_known() {
        assert_eq!(presence(Some(true), Some(1), 5), "connected");
        assert_eq!(presence(None, None, 5), "never connected");
        assert_eq!(presence(Some(false), Some(1), 60_001), "last seen 1 min ago");
        assert_eq!(presence(None, Some(1), 60_001), "last seen 1 min ago, the hub started since");
    }
}
