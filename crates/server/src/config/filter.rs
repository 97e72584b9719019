//! What is logged, as a filter: levels, and levels of parts of the program.

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether a text is a filter. A word that is no level would be taken for a part of the program,
/// all of which is logged and nothing else, so a part needs its level said: `skep_core=debug`.
pub(super) fn is_filter(text: &str) -> bool {
    text.split(',').all(|directive| match directive.trim().split_once('=') {
        None => is_level(directive.trim()),
        Some((part, level)) => is_part(part) && is_level(level),
    })
}

fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|level| text.eq_ignore_ascii_case(level))
}

fn is_part(text: &str) -> bool {
    text.split("::").all(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_levels_of_parts() {
        for filter in ["info", "OFF", "warn,skep_core=debug", "warn, skep_edge::http=trace", "skep_core=off"] {
            assert!(is_filter(filter), "{filter}");
        }
        for text in ["", "lots", "skep_core", "info,", "skep_core=", "=info", "a=b=c", "a:b=info", "info lots", "3"] {
            assert!(!is_filter(text), "{text}");
        }
    }
}
