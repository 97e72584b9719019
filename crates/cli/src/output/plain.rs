//! Text from anybody, made fit for a terminal; times and paths as people say them.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest preview of a payload, in characters.
const PREVIEW_CHARACTERS_MAX: usize = 72;

/// Text with its control characters shown, not obeyed; line ends and tabs stay.
pub(crate) fn plain(text: &str) -> String {
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

/// Text for one cell or one line.
pub(crate) fn cell(text: &str) -> String {
    plain(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// A payload on one line, cut where it gets long.
pub(crate) fn one_line(payload: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(payload) else { return format!("({} bytes)", payload.len()) };
    let mut characters = text.chars();
    let cut: String = characters.by_ref().take(PREVIEW_CHARACTERS_MAX).collect();
    let shown = cell(&cut);
    if characters.next().is_some() { format!("{shown}… ({} bytes)", payload.len()) } else { shown }
}

/// How long ago a time in unix milliseconds was.
pub(crate) fn age(unix_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    span(u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(unix_ms))
}

/// How long it is until a time in unix milliseconds.
pub(crate) fn until(unix_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = unix_ms.saturating_sub(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    rest(left)
}

fn rest(ms: u64) -> String {
    match ms.div_ceil(1000) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A count, and the word for one or for many.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Text as one word of a shell.
pub(crate) fn word(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b)) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn span(ms: u64) -> String {
    match ms / 1000 {
        0 => "now".into(),
        seconds @ ..60 => format!("{seconds} s ago"),
        seconds @ ..3_600 => format!("{} min ago", seconds / 60),
        seconds @ ..86_400 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// A path as one would type it here.
pub(crate) fn path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        Ok(rest) => Path::new(".").join(rest).display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_control_characters_and_does_not_obey_them() {
        assert_eq!(plain("a\u{1b}[31mb\r\n"), "a\\u{1b}[31mb\\r\n");
        assert_eq!(one_line(b"two\nlines\x07"), "two\\nlines\\u{7}");
    }

    #[test]
    fn a_long_payload_is_cut_and_its_size_told() {
        let shown = one_line("é".repeat(100).as_bytes());
        assert!(shown.ends_with("é… (200 bytes)"), "{shown}");
        assert_eq!(one_line(&[0xff, 0xfe]), "(2 bytes)");
    }

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        for (ms, expected) in
            [(0, "now"), (59_999, "59 s ago"), (60_000, "1 min ago"), (7_200_000, "2 h ago"), (172_800_000, "2 d ago")]
        {
            assert_eq!(span(ms), expected);
        }
        for (ms, expected) in
            [(0, "0 s"), (1, "1 s"), (119_000, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (833_400_000, "9 d")]
        {
            assert_eq!(rest(ms), expected);
        }
    }
}
