//! The work itself: words and symbols of a file, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::language::Language;

/// Word and symbol statistics of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Statistics {
    /// The language that it was counted as.
    pub(super) language: String,
    /// What can be added up.
    pub(super) counts: Counts,
    /// The word that is there most often, stopwords apart.
    pub(super) topic: Option<String>,
    /// Of the whole text: equal statistics are of equal texts.
    pub(super) fingerprint: u64,
}

/// The part of statistics that can be added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Lines that are a comment and nothing else.
    pub(super) comments: u64,
    /// Runs of letters, digits and `_`.
    pub(super) words: u64,
    /// Characters that are neither part of a word nor white.
    pub(super) symbols: u64,
}

impl Statistics {
    /// Counts a text in a language.
    pub(super) fn of(text: &str, language: &Language) -> Self {
        let is_comment =
            |line: &&str| language.comment.as_ref().is_some_and(|mark| line.trim_start().starts_with(mark));
        let is_symbol = |c: &char| !is_word(*c) && !c.is_whitespace();
        let words: Vec<&str> = text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        let counts = Counts {
            bytes: text.len() as u64,
            lines: text.lines().count() as u64,
            comments: text.lines().filter(is_comment).count() as u64,
            words: words.len() as u64,
            symbols: text.chars().filter(is_symbol).count() as u64,
        };
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        Statistics {
            language: language.name.clone(),
            counts,
            topic: topic(&words, language),
            fingerprint: hasher.finish(),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.comments += other.comments;
        self.words += other.words;
        self.symbols += other.symbols;
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The most frequent word that has more than two letters; of several the first by name.
fn topic(words: &[&str], language: &Language) -> Option<String> {
    let stopwords: BTreeSet<&str> = language.stopwords.iter().map(String::as_str).collect();
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for word in words.iter().filter(|word| word.len() > 2 && !stopwords.contains(*word)) {
        *counted.entry(word).or_default() += 1;
    }
    let most = counted.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map(|(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::language::language;
    use super::*;

    #[test]
    fn words_symbols_and_comments_are_counted() {
        let text = "// a note\nlet queue = queue_of(&hub);\n\nqueue.take()\n";
        let statistics = Statistics::of(text, &language("rs"));
        let expected = Counts { bytes: 52, lines: 4, comments: 1, words: 8, symbols: 10 };
        assert_eq!(statistics.counts, expected);
        assert_eq!((statistics.language.as_str(), statistics.topic.as_deref()), ("Rust", Some("queue")));
    }

    #[test]
    fn the_language_decides_what_a_comment_and_a_topic_are() {
        let text = "# impl impl impl queue";
        assert_eq!(Statistics::of(text, &language("py")).counts.comments, 1);
        assert_eq!(Statistics::of(text, &language("rs")).counts.comments, 0);
        assert_eq!(Statistics::of(text, &language("py")).topic.as_deref(), Some("impl"));
        assert_eq!(Statistics::of(text, &language("rs")).topic.as_deref(), Some("queue"));
    }

    #[test]
    fn other_texts_have_other_fingerprints_even_if_they_count_the_same() {
        let of = |text| Statistics::of(text, &language("txt"));
        assert_eq!(of("aaa bbb").counts, of("bbb aaa").counts);
        assert_ne!(of("aaa bbb"), of("bbb aaa"));
        assert_eq!(of("").topic, None);
    }

    #[test]
    fn counts_add_up() {
        let mut sum = Counts::default();
        sum += Counts { bytes: 1, lines: 2, comments: 3, words: 4, symbols: 5 };
        sum += Counts { bytes: 1, ..Counts::default() };
        assert_eq!(sum, Counts { bytes: 2, lines: 2, comments: 3, words: 4, symbols: 5 });
    }
}
