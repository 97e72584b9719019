//! Rows in columns as wide as they need to be.

use std::fmt;

use super::plain;

/// A table with a head.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Table { rows: vec![head.map(str::to_uppercase).into()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        // Ids, sources and types are anybody's words, too.
        self.rows.push(cells.map(|text| plain::cell(&text)).into());
    }

    /// The same without a column in which nothing stands.
    pub(crate) fn without_if_empty(mut self, head: &str) -> Self {
        let head = head.to_uppercase();
        let column = self.rows.first().and_then(|row| row.iter().position(|cell| *cell == head));
        if let Some(column) = column
            && self.rows.iter().skip(1).all(|row| row.get(column).is_none_or(String::is_empty))
        {
            self.rows.iter_mut().filter(|row| column < row.len()).for_each(|row| drop(row.remove(column)));
        }
        self
    }

    /// Whether it has only a head.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_in_every_cell() {
        let mut table = Table::new(["id"]);
        table.row(["a\u{1b}]0;x\u{7}\u{9b}2J\nb\u{202e}c".into()]);
        assert_eq!(table.to_string(), "ID\na\\u{1b}]0;x\\u{7}\\u{9b}2J\\nb\\u{202e}c\n");
    }

    #[test]
    fn a_column_is_left_out_only_if_nothing_stands_in_it() {
        let table = |key: &str| {
            let mut table = Table::new(["id", "key", "state"]);
            table.row(["a".into(), String::new(), "waits".into()]);
            table.row(["b".into(), key.into(), "waits".into()]);
            table.without_if_empty("key").to_string()
        };
        assert_eq!(table(""), "ID  STATE\na   waits\nb   waits\n");
        assert!(table("k").starts_with("ID  KEY  STATE\n"));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let mut table = Table::new(["agent", "waiting"]);
        table.row(["bob".into(), "1".into()]);
        table.row(["reviewer".into(), String::new()]);
        assert_eq!(table.to_string(), "AGENT     WAITING\nbob       1\nreviewer\n");
    }
}
