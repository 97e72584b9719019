//! Reads `skep.toml`; every problem is told with its line and column.

use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use super::error::Problem;
use super::key::{Given, KEYS};
use super::{Loaded, Source};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;

pub(super) fn read(path: &Path, loaded: &mut Loaded) -> Vec<Problem> {
    let text = match fs::read_to_string(path) {
        Ok(text) if text.len() <= FILE_BYTES_MAX => text,
        Ok(_) => return vec![unreadable(path, &format!("it is larger than {FILE_BYTES_MAX} bytes"))],
        Err(error) => return vec![unreadable(path, &error.to_string())],
    };
    let table = match DeTable::parse(&text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let source = place(path, &text, error.span().unwrap_or_default());
            return vec![Problem::new(&source, format!("{}; expected lines such as log = \"info\"", error.message()))];
        }
    };
    let base = path.parent().unwrap_or(Path::new("."));
    let mut problems: Vec<(usize, Problem)> = Vec::new();
    for (name, value) in &table {
        let at = name.span().start;
        let problem = match KEYS.iter().find(|key| key.name == name.get_ref()) {
            None => Some(Problem::unknown_key(name.get_ref(), &place(path, &text, name.span()))),
            Some(key) => {
                let given = Given::Toml { value: value.get_ref(), base };
                loaded.set(key, &given, place(path, &text, value.span()))
            }
        };
        problems.extend(problem.map(|problem| (at, problem)));
    }
    problems.sort_by_key(|(at, _)| *at);
    problems.into_iter().map(|(_, problem)| problem).collect()
}

fn unreadable(path: &Path, why: &str) -> Problem {
    Problem { place: path.display().to_string(), text: format!("cannot be read: {why}; expected a TOML file") }
}

fn place(path: &Path, text: &str, span: Range<usize>) -> Source {
    let before = text.get(..span.start.min(text.len())).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.get(line_start..).unwrap_or_default().chars().count();
    Source::File { path: path.into(), line, column }
}
