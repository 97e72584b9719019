//! Topic trees and how much of them is kept, as people write them: `logs.> age=30d messages=100000`.

use std::time::Duration;

use skep_protocol::Filter;

use super::span;

/// Each message is compared with all of them.
const TREES_MAX: usize = 64;

/// A topic tree, and how much of it is kept for looks. A bound that is not named does not count; one of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionTree {
    /// Its topics.
    pub filter: Filter,
    /// How long.
    pub age: Option<Duration>,
    /// Of the newest messages as many as have together no more bytes.
    pub bytes: Option<u64>,
    /// How many of the newest messages.
    pub messages: Option<u64>,
}

/// Reads them, each a filter and its bounds.
pub(super) fn parse(trees: &[String]) -> Option<Vec<RetentionTree>> {
    trees.iter().map(|text| tree(text)).collect::<Option<Vec<_>>>().filter(|trees| trees.len() <= TREES_MAX)
}

fn tree(text: &str) -> Option<RetentionTree> {
    let (filter, bounds) = text.trim().split_once(char::is_whitespace)?;
    let mut tree = RetentionTree { filter: Filter::new(filter).ok()?, age: None, bytes: None, messages: None };
    for bound in bounds.split_whitespace() {
        // Said twice, nobody knows which is meant.
        match bound.split_once('=')? {
            ("age", age) if tree.age.is_none() => {
                tree.age = Some(span::parse(age).filter(|age| span::is_retention(*age))?);
            }
            ("bytes", bytes) if tree.bytes.is_none() => tree.bytes = Some(count(bytes)?),
            ("messages", messages) if tree.messages.is_none() => tree.messages = Some(count(messages)?),
            _ => return None,
        }
    }
    (tree.age.is_some() || tree.bytes.is_some() || tree.messages.is_some()).then_some(tree)
}

fn count(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|count| is_number && (1..=1 << 50).contains(count))
}

/// As one would write them.
pub(super) fn show(trees: &[RetentionTree]) -> Vec<String> {
    let shown = trees.iter().map(|RetentionTree { filter, age, bytes, messages }| {
        let age = age.map(|age| format!(" age={}", span::show(age))).unwrap_or_default();
        let bytes = bytes.map(|bytes| format!(" bytes={bytes}")).unwrap_or_default();
        let messages = messages.map(|messages| format!(" messages={messages}")).unwrap_or_default();
        format!("{filter}{age}{bytes}{messages}")
    });
    shown.collect()
}
