//! What one run measured, and what several rounds of it say together.

use serde::Serialize;

use crate::latency::Latencies;
use crate::process::Used;

/// The figures of one run. What a run does not measure is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) per_second: Option<f64>,
    /// Processor time of the hub for each, in nanoseconds.
    pub(crate) cpu_ns: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
    /// Resident memory of the hub at the end, in MiB.
    pub(crate) resident_mib: Option<f64>,
    /// How much of it each takes, in bytes, where that is what is measured.
    pub(crate) bytes_each: Option<f64>,
    /// How many were checked to have arrived exactly once, those of the warm-up included.
    pub(crate) exact: u64,
}

impl Figures {
    /// Of `count` messages that used this much, after `warm` that were not measured.
    pub(crate) fn of(count: u64, warm: u64, used: &Used, latencies: Latencies) -> Self {
        let figures = Figures {
            per_second: Some(count as f64 / used.time.as_secs_f64()),
            cpu_ns: Some(used.cpu.as_secs_f64() * 1e9 / count as f64),
            resident_mib: Some(mib(used.resident)),
            exact: count + warm,
            ..Figures::default()
        };
        figures.with(latencies)
    }

    /// The same with latencies.
    pub(crate) fn with(self, latencies: Latencies) -> Self {
        let Some(known) = latencies.percentiles() else { return self };
        let us = |duration: std::time::Duration| Some(duration.as_secs_f64() * 1e6);
        Figures { p50_us: us(known.p50), p99_us: us(known.p99), max_us: us(known.max), ..self }
    }
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A figure of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Spread { median: (low + high) / 2.0, min, max })
    }
}

/// What was measured in all rounds of one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    pub(crate) per_second: Option<Spread>,
    pub(crate) cpu_ns: Option<Spread>,
    pub(crate) p50_us: Option<Spread>,
    pub(crate) p99_us: Option<Spread>,
    pub(crate) max_us: Option<Spread>,
    pub(crate) resident_mib: Option<Spread>,
    pub(crate) bytes_each: Option<Spread>,
    /// Messages of all rounds that were checked to have arrived exactly once.
    pub(crate) exact: u64,
}

impl Row {
    pub(crate) fn of(name: String, rounds: &[Figures]) -> Self {
        let spread = |of: fn(&Figures) -> Option<f64>| Spread::of(rounds.iter().filter_map(of).collect());
        Row {
            name,
            per_second: spread(|figures| figures.per_second),
            cpu_ns: spread(|figures| figures.cpu_ns),
            p50_us: spread(|figures| figures.p50_us),
            p99_us: spread(|figures| figures.p99_us),
            max_us: spread(|figures| figures.max_us),
            resident_mib: spread(|figures| figures.resident_mib),
            bytes_each: spread(|figures| figures.bytes_each),
            exact: rounds.iter().map(|figures| figures.exact).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_the_least_and_the_most() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(vec![]), None);
    }
}
