//! The report as a page of Markdown.

use std::fmt::Write as _;

use super::Report;
use crate::check::Verdict;

impl Report {
    /// The page.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a text cannot fail.
        let _ = self.put(&mut page);
        page
    }

    fn put(&self, page: &mut String) -> std::fmt::Result {
        let verdict = if self.holds() { "every promise held" } else { "A PROMISE WAS BROKEN" };
        writeln!(page, "# Skep under faults: {verdict}\n")?;
        writeln!(
            page,
            "Seed {}, {} s of work ({:.0} s in all), {} lives of the hub. To run it again:\n\n```\n{}\n```\n",
            self.seed, self.seconds_planned, self.seconds, self.lives, self.again
        )?;
        writeln!(
            page,
            "Which chances are taken is in the seed; how they fall in time is not, so a run is repeated in kind.\n"
        )?;
        writeln!(page, "## Promises\n\n| promise | verdict |\n|---|---|")?;
        for verdict in &self.verdicts {
            writeln!(page, "| **{}**: {} | {} |", verdict.name, verdict.promise, verdict.word())?;
        }
        writeln!(page, "\n## Faults\n\n| fault | times |\n|---|---|")?;
        for (fault, count) in &self.torment.faults {
            writeln!(page, "| {fault} | {count} |")?;
        }
        if let Some(why) = &self.full_not_run {
            writeln!(page, "| disk full | NOT RUN: {why} |")?;
        }
        writeln!(
            page,
            "| steps of the wall clock | NOT RUN: the hub reads the clock of the system, and nothing outside can give it another |"
        )?;
        writeln!(page, "\n## Work\n\n| what | count |\n|---|---|")?;
        for (what, count) in &self.counts {
            writeln!(page, "| {what} | {count} |")?;
        }
        for verdict in self.verdicts.iter().filter(|verdict| verdict.violations_total > 0) {
            put_violations(page, verdict)?;
        }
        Ok(())
    }
}

fn put_violations(page: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let (shown, total) = (verdict.violations.len(), verdict.violations_total);
    writeln!(page, "\n## Broken: {} ({shown} of {total})\n", verdict.name)?;
    for violation in &verdict.violations {
        writeln!(page, "{}\n", violation.what)?;
        if !violation.lines.is_empty() {
            writeln!(page, "```\n{}\n```\n", violation.lines.join("\n"))?;
        }
    }
    Ok(())
}

impl Verdict {
    pub(crate) fn word(&self) -> String {
        match self.violations_total {
            0 => "holds".into(),
            count => format!("BROKEN, {count} times"),
        }
    }
}
