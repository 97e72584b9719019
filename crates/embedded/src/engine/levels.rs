//! How durable messages are made, by their topics.

use skep_core::Level;
use skep_protocol::{Filter, MessageRef};

use crate::limits::LEVELS_MAX;

/// Topic trees and the level of each.
#[derive(Debug, Default)]
pub(super) struct Levels(Vec<(Filter, Level)>);

impl Levels {
    /// Of several filters that match a topic the first one counts; beyond the bound, none.
    pub(super) fn new(mut trees: Vec<(Filter, Level)>) -> Self {
        trees.truncate(LEVELS_MAX);
        Levels(trees)
    }

    /// The level of a message: the strongest of its topics', or the one that it asks for, if that is stronger.
    pub(super) fn of(&self, message: &MessageRef<'_>) -> Level {
        if self.0.is_empty() {
            return Level::FSYNC;
        }
        let tree = |topic: &str| {
            let found = self.0.iter().find(|(filter, _)| filter.matches(topic));
            found.map_or(Level::FSYNC, |(_, level)| *level)
        };
        let strongest = message.to().map(tree).max().unwrap_or(Level::FSYNC);
        // Checked when it was admitted.
        let asked = Level::asked(message.text_attribute("durability")).ok().flatten();
        strongest.max(asked.unwrap_or(strongest))
    }
}
