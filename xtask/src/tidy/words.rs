//! Words that must not stand in code. Each is written in two halves here, so that this file may name them.

use super::Problem;
use super::source::{Line, Source};

/// A word, where it is forbidden, and what to do instead.
struct Word {
    text: &'static str,
    place: Place,
    advice: &'static str,
}

enum Place {
    Everywhere,
    /// In the code of the crates that are told the time, outside `clock.rs` and tests.
    Timeless,
}

/// These crates get the time as an argument, so that tests and simulations own it.
const TIMELESS: [&str; 2] = ["crates/core", "crates/embedded"];

const CLOCK_ADVICE: &str = "take the time as an argument; only clock.rs asks for it";

const WORDS: [Word; 6] = [
    Word { text: concat!("todo", "!("), place: Place::Everywhere, advice: "finish it, or leave it out" },
    Word { text: concat!("unimplemented", "!("), place: Place::Everywhere, advice: "finish it, or leave it out" },
    Word { text: concat!("dbg", "!("), place: Place::Everywhere, advice: "remove it, or log with tracing" },
    Word {
        text: concat!("unbounded", "_channel"),
        place: Place::Everywhere,
        advice: "take a bounded channel; its bound lives in limits.rs",
    },
    Word { text: concat!("SystemTime", "::now"), place: Place::Timeless, advice: CLOCK_ADVICE },
    Word { text: concat!("Instant", "::now"), place: Place::Timeless, advice: CLOCK_ADVICE },
];

/// The openings of an attribute that silences a lint.
const SILENCERS: [&str; 2] = [concat!("#[", "allow("), concat!("#![", "allow(")];

pub(super) fn check(source: &Source) -> Vec<Problem> {
    let timeless = TIMELESS.iter().any(|folder| source.is_in(folder)) && !source.is_named("clock.rs");
    let lines: Vec<Line<'_>> = source.lines().collect();
    let mut problems = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        for word in WORDS.iter().filter(|word| line.code.contains(word.text)) {
            if matches!(word.place, Place::Everywhere) || timeless && !line.in_tests {
                let what = format!("`{}` must not stand here; {}", word.text, word.advice);
                problems.push(Problem::new(source.path(), line.number, what));
            }
        }
        if is_bare_allow(&lines[at..]) {
            let what = "a bare allow; write `#[expect(lint, reason = \"..\")]`".to_owned();
            problems.push(Problem::new(source.path(), line.number, what));
        }
    }
    problems
}

/// Whether an `allow` without a reason begins on the first line; it may end on a later one.
fn is_bare_allow(lines: &[Line<'_>]) -> bool {
    let Some((first, rest)) = lines.split_first() else {
        return false;
    };
    if !SILENCERS.iter().any(|opening| first.code.contains(opening)) {
        return false;
    }
    let attribute = std::iter::once(first).chain(rest.iter().take_while(|_| !first.code.contains(")]")));
    for line in attribute {
        if line.code.contains("reason") {
            return false;
        }
        if line.code.contains(")]") {
            break;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<usize> {
        let problems = check(&Source::new(path.to_owned(), text.to_owned()));
        problems.into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn each_word_is_found_in_code_and_not_in_comments() {
        for word in &WORDS {
            let text = format!("// {0}\nlet a = {0});\n", word.text);
            assert_eq!(problems("crates/core/src/a.rs", &text), [2], "{}", word.text);
        }
    }

    #[test]
    fn the_clock_may_be_asked_in_clock_rs_in_tests_and_in_other_crates() {
        let now = concat!("Instant", "::now()\n");
        assert_eq!(problems("crates/embedded/src/clock.rs", now), []);
        assert_eq!(problems("crates/embedded/tests/all.rs", now), []);
        assert_eq!(problems("crates/edge/src/a.rs", now), []);
        assert_eq!(problems("crates/core/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{now}}}\n")), []);
        assert_eq!(problems("crates/core/src/a.rs", now), [1]);
    }

    #[test]
    fn an_allow_needs_a_reason() {
        let allow = concat!("#[", "allow(");
        assert_eq!(problems("src/a.rs", &format!("{allow}dead_code)]\nlet reason = 1;\n")), [1]);
        assert_eq!(problems("src/a.rs", &format!("{allow}dead_code, reason = \"x\")]\n")), []);
        assert_eq!(problems("src/a.rs", &format!("{allow}\n    dead_code,\n    reason = \"x\"\n)]\n")), []);
        assert_eq!(problems("src/a.rs", &format!("{allow}\n    dead_code,\n)]\nlet reason = 1;\n")), [1]);
    }
}
