//! Reads `skep.toml`; every problem is told with its line and column.

use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::given::Given;
use super::key::KEYS;
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
    for said in flat(&table) {
        let problem = match KEYS.iter().find(|key| key.name == said.name) {
            None => Some(Problem::unknown_key(&said.name, &place(path, &text, said.at.clone()))),
            Some(key) => {
                let given = Given::Toml { value: said.value.get_ref(), base };
                loaded.set(key, &given, place(path, &text, said.value.span()))
            }
        };
        problems.extend(problem.map(|problem| (said.at.start, problem)));
    }
    problems.sort_by_key(|(at, _)| *at);
    problems.into_iter().map(|(_, problem)| problem).collect()
}

/// A key as it stands in a file.
struct InFile<'a> {
    /// With the name of its table before it, if it stands in one.
    name: String,
    at: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

/// The keys of a file and of those of its tables whose names known keys begin with.
fn flat<'a>(table: &'a DeTable<'a>) -> Vec<InFile<'a>> {
    let mut found = Vec::new();
    for (name, value) in table {
        let within = format!("{}.", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if KEYS.iter().any(|key| key.name.starts_with(&within)) => {
                found.extend(inner.iter().map(|(name, value)| InFile {
                    name: format!("{within}{}", name.get_ref()),
                    at: name.span(),
                    value,
                }));
            }
            _ => found.push(InFile { name: name.get_ref().to_string(), at: name.span(), value }),
        }
    }
    found
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
