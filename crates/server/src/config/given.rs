//! A value as it was given, in a file, a variable or a flag.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

/// A value as it was given.
pub(super) enum Given<'a> {
    /// In a variable or flag; relative paths begin in `base`.
    Text { text: &'a str, base: &'a Path },
    /// In a file in `base`.
    Toml { value: &'a DeValue<'a>, base: &'a Path },
}

impl Given<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Given::Text { text, .. } => Some(text),
            Given::Toml { value, .. } => value.as_str(),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Given::Text { text, .. } => text.parse().ok(),
            Given::Toml { value, .. } => value.as_bool(),
        }
    }

    pub(super) fn number(&self) -> Option<usize> {
        match self {
            Given::Text { text, .. } => text.parse().ok(),
            Given::Toml { value: DeValue::Integer(n), .. } => usize::from_str_radix(n.as_str(), n.radix()).ok(),
            Given::Toml { .. } => None,
        }
    }

    pub(super) fn bytes(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.number().and_then(|number| u64::try_from(number).ok()).filter(|bytes| range.contains(bytes))
    }

    pub(super) fn limit(&self) -> Option<u32> {
        self.number().and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        let (Given::Text { base, .. } | Given::Toml { base, .. }) = self;
        self.text().filter(|text| !text.is_empty()).map(|text| base.join(text))
    }

    pub(super) fn texts(&self) -> Option<Vec<String>> {
        self.phrases().filter(|texts| texts.iter().all(|text| !text.is_empty() && !text.contains(char::is_whitespace)))
    }

    pub(super) fn phrases(&self) -> Option<Vec<String>> {
        Some(match self {
            Given::Text { text, .. } => text.split(',').map(|part| part.trim().into()).collect(),
            Given::Toml { value, .. } => {
                let parts = value.as_array()?.iter().map(|part| part.get_ref().as_str().map(Into::into));
                parts.collect::<Option<_>>()?
            }
        })
    }
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Text { text, .. } => write!(f, "{text:?}"),
            Given::Toml { value: DeValue::String(text), .. } => write!(f, "{text:?}"),
            Given::Toml { value: DeValue::Integer(n), .. } => f.write_str(n.as_str()),
            Given::Toml { value: DeValue::Boolean(on), .. } => on.fmt(f),
            Given::Toml { value, .. } => write!(f, "of type {}", value.type_str()),
        }
    }
}
