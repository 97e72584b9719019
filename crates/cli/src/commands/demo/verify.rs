//! The judgement: the results against the files themselves.

use std::collections::BTreeMap;

use super::collector::Verdict;
use super::input::{Input, read_text};
use super::language::language;
use super::report::Effect;
use super::statistics::{Counts, Statistics};
use super::task::extension;

/// A file, counted by the demo itself.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) path: String,
    /// Before the agents began; none if it was no text any more.
    pub(super) before: Option<Statistics>,
    /// When they had ended.
    pub(super) after: Option<Statistics>,
}

/// What the results are, compared with what they have to be. Paths, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Files without a result.
    pub(super) lost: Vec<String>,
    /// Results that had an effect and should not have had one.
    pub(super) doubled: Vec<String>,
    /// Files whose result is another than theirs.
    pub(super) wrong: Vec<String>,
    /// Files that somebody wrote to meanwhile.
    pub(super) changed: Vec<String>,
    /// Results of no file.
    pub(super) foreign: Vec<u32>,
    /// All results added up.
    pub(super) totals: Counts,
    /// All files added up.
    pub(super) expected_totals: Counts,
}

/// Counts every file, here and now.
pub(super) fn count(input: &Input) -> Vec<Option<Statistics>> {
    let counted = |file: &super::input::InputFile| {
        let path = input.root.join(&file.path);
        let text = read_text(&path).ok()?;
        Some(Statistics::of(&text, &language(&extension(&path))))
    };
    input.files.iter().map(counted).collect()
}

/// Compares results with files. An effect belongs to the file of its number.
pub(super) fn judge(files: &[Expected], effects: &[Effect]) -> Judgement {
    let mut by_number: BTreeMap<u32, Vec<&Effect>> = BTreeMap::new();
    // What came again and was known had no effect.
    for effect in effects.iter().filter(|effect| effect.verdict != Verdict::Again) {
        by_number.entry(effect.counted.number).or_default().push(effect);
    }
    let mut judgement = Judgement::default();
    for (file, number) in files.iter().zip(0..) {
        let path = || file.path.clone();
        if file.before != file.after {
            judgement.changed.push(path());
        }
        let effects = by_number.remove(&number).unwrap_or_default();
        match effects.len() {
            0 => judgement.lost.push(path()),
            1 => {}
            many => judgement.doubled.extend((1..many).map(|_| path())),
        }
        if effects.iter().any(|effect| !file.allows(&effect.counted.statistics)) {
            judgement.wrong.push(path());
        }
        effects.iter().for_each(|effect| judgement.totals += effect.counted.statistics.counts);
        judgement.expected_totals += file.before.as_ref().map(|before| before.counts).unwrap_or_default();
    }
    judgement.foreign = by_number.into_keys().collect();
    judgement
}

impl Expected {
    /// Of a file that was written to meanwhile nobody knows what a worker saw.
    fn allows(&self, statistics: &Statistics) -> bool {
        self.before != self.after || self.before.as_ref() == Some(statistics)
    }
}

impl Judgement {
    /// What is wrong, in words; nothing if all is as it has to be. `who` collected the results.
    pub(super) fn failures(&self, who: &str) -> Vec<String> {
        let mut failures = Vec::new();
        let mut tell = |paths: &[String], what: &str| {
            if !paths.is_empty() {
                failures.push(format!("{}: {} {what}: {}", who, paths.len(), some(paths)));
            }
        };
        tell(&self.lost, "lost, no result came of");
        tell(&self.doubled, "duplicate effects, a second result came of");
        tell(&self.wrong, "wrong, the result is another than the file's");
        let foreign: Vec<String> = self.foreign.iter().map(|number| format!("task {number}")).collect();
        tell(&foreign, "results of no file");
        if failures.is_empty() && self.changed.is_empty() && self.totals != self.expected_totals {
            failures.push(format!("{who}: the totals differ: {:?}, expected {:?}", self.totals, self.expected_totals));
        }
        failures
    }
}

/// The first few of many.
fn some(paths: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::Counted;
    use super::*;

    fn statistics(text: &str) -> Statistics {
        Statistics::of(text, &language("txt"))
    }

    fn files() -> Vec<Expected> {
        let file = |text: &str| {
            let statistics = Some(statistics(text));
            Expected { path: format!("{text}.txt"), before: statistics.clone(), after: statistics }
        };
        vec![file("one"), file("two words")]
    }

    fn effect(number: u32, text: &str, verdict: Verdict) -> Effect {
        let counted = Counted { number, attempt: 1, statistics: statistics(text) };
        Effect { message: format!("m-{number}"), verdict, latency_us: None, counted }
    }

    fn all() -> Vec<Effect> {
        vec![effect(0, "one", Verdict::First), effect(1, "two words", Verdict::First)]
    }

    #[test]
    fn one_equal_result_for_each_file_is_as_it_has_to_be() {
        let judgement = judge(&files(), &all());
        assert_eq!(judgement.failures("x"), Vec::<String>::new());
        assert_eq!((judgement.totals.words, judgement.totals), (3, judgement.expected_totals));
    }

    #[test]
    fn a_missing_result_is_detected_and_its_file_named() {
        let judgement = judge(&files(), &all()[..1]);
        assert_eq!(judgement.lost, ["two words.txt"]);
        assert!(judgement.failures("coordinator")[0].contains("two words.txt"));
    }

    #[test]
    fn a_doubled_result_is_detected_even_if_it_says_the_same() {
        let mut effects = all();
        effects.push(effect(0, "one", Verdict::Duplicate));
        let judgement = judge(&files(), &effects);
        assert_eq!(judgement.doubled, ["one.txt"]);
        assert_ne!(judgement.totals, judgement.expected_totals);
        // Also if whoever collected did not notice.
        effects[2].verdict = Verdict::First;
        assert_eq!(judge(&files(), &effects).doubled, ["one.txt"]);
    }

    #[test]
    fn a_message_that_came_again_and_was_known_has_no_second_effect() {
        let mut effects = all();
        effects.push(effect(0, "one", Verdict::Again));
        assert_eq!(judge(&files(), &effects), judge(&files(), &all()));
    }

    #[test]
    fn a_result_of_another_text_is_detected() {
        let effects = [effect(0, "eno", Verdict::First), effect(1, "two words", Verdict::First)];
        assert_eq!(judge(&files(), &effects).wrong, ["one.txt"]);
    }

    #[test]
    fn a_file_that_was_written_to_meanwhile_is_told_and_not_judged() {
        let mut files = files();
        files[0].after = Some(statistics("eins"));
        let judgement = judge(&files, &[effect(0, "uno", Verdict::First), effect(1, "two words", Verdict::First)]);
        assert_eq!((judgement.changed.as_slice(), judgement.failures("x")), (&["one.txt".to_owned()][..], vec![]));
        files[0].after = None;
        assert_eq!(judge(&files, &all()).changed, ["one.txt"]);
    }

    #[test]
    fn a_result_of_no_file_is_detected() {
        let mut effects = all();
        effects.push(effect(9, "x", Verdict::First));
        assert!(judge(&files(), &effects).failures("x")[0].contains("task 9"));
    }

    #[test]
    fn many_names_are_cut() {
        let paths: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(some(&paths), "0, 1, 2, 3, 4 and 2 more");
    }
}
