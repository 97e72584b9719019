//! Topic trees and how durable their messages are made, as people write them: `logs.> interval(100ms)`.

use skep_core::Level;
use skep_protocol::Filter;

/// Each message is compared with all of them.
const TREES_MAX: usize = 64;

/// Reads them, each a filter and a level.
pub(super) fn parse(trees: &[String]) -> Option<Vec<(Filter, Level)>> {
    trees.iter().map(|text| tree(text)).collect::<Option<Vec<_>>>().filter(|trees| trees.len() <= TREES_MAX)
}

fn tree(text: &str) -> Option<(Filter, Level)> {
    let (filter, level) = text.split_once(char::is_whitespace)?;
    Some((Filter::new(filter).ok()?, level.trim().parse().ok()?))
}

/// The first that is none.
pub(super) fn first_bad(trees: &[String]) -> Option<&String> {
    trees.iter().find(|text| tree(text).is_none())
}

/// As one would write them.
pub(super) fn show(trees: &[(Filter, Level)]) -> Vec<String> {
    trees.iter().map(|(filter, level)| format!("{filter} {level}")).collect()
}
