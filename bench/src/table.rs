//! Rows as a Markdown table.

use std::fmt::{self, Display, Formatter};

use crate::figures::{Row, Spread};

/// Shows rows.
pub(crate) struct Table<'a>(pub(crate) &'a [Row]);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| what | per second | hub CPU, ns each | p50 us | p99 us | max us | hub RSS, MiB | bytes each | exact |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for row in self.0 {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.name,
                cell(row.per_second, rate),
                cell(row.cpu_ns, plain),
                cell(row.p50_us, plain),
                cell(row.p99_us, plain),
                cell(row.max_us, plain),
                cell(row.resident_mib, plain),
                cell(row.bytes_each, plain),
                if row.exact == 0 { "-".into() } else { row.exact.to_string() },
            )?;
        }
        Ok(())
    }
}

/// `median (min-max)`; the median alone when there was one round.
fn cell(spread: Option<Spread>, show: fn(f64) -> String) -> String {
    match spread {
        None => "-".into(),
        Some(Spread { median, min, max }) if show(min) == show(max) => show(median),
        Some(Spread { median, min, max }) => format!("{} ({}-{})", show(median), show(min), show(max)),
    }
}

fn rate(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2}M", value / 1e6),
        value if value >= 1e5 => format!("{:.0}k", value / 1e3),
        value if value >= 1e3 => format!("{:.1}k", value / 1e3),
        value => plain(value),
    }
}

fn plain(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn a_row_shows_the_median_and_the_range_of_its_rounds() {
        let round = |per_second, cpu_ns| Figures {
            per_second: Some(per_second),
            cpu_ns: Some(cpu_ns),
            exact: 5,
            ..Figures::default()
        };
        let row = Row::of("durable".into(), &[round(1_200_000.0, 120.0), round(90_000.0, 99.96), round(5e5, 110.0)]);
        let table = Table(&[row]).to_string();
        let expected = "| durable | 500k (90.0k-1.20M) | 110 (100.0-120) | - | - | - | - | - | 15 |";
        assert_eq!(table.lines().last(), Some(expected));
    }
}
