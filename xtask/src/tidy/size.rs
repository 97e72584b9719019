//! A file holds one thing, and fits in a head.

use super::Problem;
use super::source::Source;

/// Lines of code a file may hold, without blanks, comments and its tests.
const CODE_LINES_MAX: usize = 300;

pub(super) fn check(source: &Source) -> Option<Problem> {
    let mut code = source.lines().filter(|line| !line.in_tests);
    let first_above = code.nth(CODE_LINES_MAX)?;
    let count = CODE_LINES_MAX + 1 + code.count();
    let what = format!("{count} lines of code, {CODE_LINES_MAX} are allowed; split the file by noun");
    Some(Problem::new(source.path(), first_above.number, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_above_the_limit_is_the_problem() {
        let text = |lines| "// why\n\nfn a() {}\n".repeat(lines);
        assert_eq!(check(&Source::new("src/a.rs".into(), text(300))), None);
        let problem = check(&Source::new("src/a.rs".into(), text(302))).unwrap();
        assert_eq!(problem.line, 301 * 3);
        assert!(problem.what.starts_with("302 "), "{problem}");
    }

    #[test]
    fn tests_do_not_count() {
        let text = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn b() {}\n".repeat(400));
        assert_eq!(check(&Source::new("src/a.rs".into(), text)), None);
    }
}
