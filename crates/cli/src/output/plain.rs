//! Text from anybody, made fit for one line; times and paths as people say them here and now.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use skep_protocol::text::{self, plain};

use crate::duration::millis;

/// Longest preview of a payload, in characters.
const PREVIEW_CHARACTERS_MAX: usize = 72;

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

/// The moment, in unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    millis(since)
}

/// How long ago a time in unix milliseconds was.
pub(crate) fn age(unix_ms: u64) -> String {
    text::ago(unix_ms, now_ms())
}

/// How long it is until a time in unix milliseconds.
pub(crate) fn until(unix_ms: u64) -> String {
    text::left(unix_ms, now_ms())
}

/// Whether an agent is here, and when it was.
pub(crate) fn presence(connected: Option<bool>, last_seen_ms: Option<u64>) -> String {
    text::presence(connected, last_seen_ms, now_ms())
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
    fn a_line_shows_control_characters_and_line_ends() {
        assert_eq!(one_line(b"two\nlines\x07"), "two\\nlines\\u{7}");
    }

    #[test]
    fn a_long_payload_is_cut_and_its_size_told() {
        let shown = one_line("é".repeat(100).as_bytes());
        assert!(shown.ends_with("é… (200 bytes)"), "{shown}");
        assert_eq!(one_line(&[0xff, 0xfe]), "(2 bytes)");
    }
}
