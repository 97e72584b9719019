//! A Rust file as the rules see it: lines of code without comments, and which of them are tests.

/// A file and where its tests begin.
pub(super) struct Source {
    path: String,
    text: String,
    /// The first line of the test module; lines count from 1.
    tests_from: usize,
}

/// A line with something in it besides comment and blank.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) code: &'a str,
    pub(super) in_tests: bool,
}

impl Source {
    /// `path` is relative to the repository, with slashes.
    pub(super) fn new(path: String, text: String) -> Self {
        let tests_from = if is_test_file(&path) { 1 } else { test_module(&text).unwrap_or(usize::MAX) };
        Self { path, text, tests_from }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    pub(super) fn is_named(&self, file: &str) -> bool {
        self.path.rsplit('/').next() == Some(file)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let numbered = (1..).zip(self.text.lines());
        numbered.filter_map(|(number, line)| {
            let code = without_comment(line);
            (!code.is_empty()).then_some(Line { number, code, in_tests: number >= self.tests_from })
        })
    }
}

/// Tests, benchmarks and examples, and a test module in a file of its own.
fn is_test_file(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    parts.next() == Some("tests.rs") || parts.any(|part| matches!(part, "tests" | "benches" | "examples"))
}

/// Where `#[cfg(test)]` begins a module with its body here. On anything else, such as `mod tests;` or a `use`,
/// the attribute says nothing about the lines that follow.
fn test_module(text: &str) -> Option<usize> {
    let mut attribute = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line == "#[cfg(test)]" {
            attribute = Some(number);
        } else if attribute.is_some() && line.contains("mod ") && line.ends_with('{') {
            return attribute;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            attribute = None;
        }
    }
    None
}

/// The line trimmed and cut at `//`, unless that stands in a string.
fn without_comment(line: &str) -> &str {
    let line = line.trim();
    let comment = line.match_indices("//").find(|(at, _)| line[..*at].matches('"').count().is_multiple_of(2));
    comment.map_or(line, |(at, _)| line[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path.to_owned(), text.to_owned())
    }

    #[test]
    fn blank_and_comment_lines_are_not_code() {
        let source = source("src/a.rs", "//! Doc.\n\nfn a() {} // why\n    // more\n");
        let code: Vec<_> = source.lines().map(|line| (line.number, line.code)).collect();
        assert_eq!(code, [(3, "fn a() {}")]);
    }

    #[test]
    fn slashes_in_a_string_are_no_comment() {
        assert_eq!(without_comment(r#"let a = "ws://hub"; // b"#), r#"let a = "ws://hub";"#);
    }

    #[test]
    fn tests_begin_at_the_module_with_a_body() {
        let source = source("src/a.rs", "#[cfg(test)]\nmod tests;\nfn a() {}\n#[cfg(test)]\nmod more {\n}\n");
        let in_tests: Vec<_> = source.lines().map(|line| line.in_tests).collect();
        assert_eq!(in_tests, [false, false, false, true, true, true]);
    }

    #[test]
    fn whole_files_of_tests_are_known_by_their_place() {
        for path in ["crates/a/tests/all.rs", "crates/a/src/b/tests.rs", "crates/a/benches/c/d.rs"] {
            assert!(source(path, "fn a() {}").lines().all(|line| line.in_tests), "{path}");
        }
        assert!(source("crates/testkit/src/lib.rs", "fn a() {}").lines().all(|line| !line.in_tests));
    }
}
