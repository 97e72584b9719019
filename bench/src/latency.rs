//! Latencies, each with how many messages had it.

use std::time::Duration;

/// Latencies in the order they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<(Duration, u64)>);

/// What is said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percentiles {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration, count: u64) {
        self.0.push((latency, count));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// None when there are no latencies.
    pub(crate) fn percentiles(mut self) -> Option<Percentiles> {
        self.0.sort_unstable();
        let total: u64 = self.0.iter().map(|(_, count)| count).sum();
        let at = |percent: u64| {
            let rank = (total * percent).div_ceil(100).max(1);
            let mut seen = 0;
            self.0.iter().find_map(|(latency, count)| {
                seen += count;
                (seen >= rank).then_some(*latency)
            })
        };
        Some(Percentiles { p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_messages_not_entries() {
        let us = Duration::from_micros;
        let mut latencies = Latencies::default();
        latencies.add(us(9), 1);
        latencies.add(us(1), 98);
        latencies.add(us(5), 1);
        assert_eq!(latencies.percentiles(), Some(Percentiles { p50: us(1), p99: us(5), max: us(9) }));
        assert_eq!(Latencies::default().percentiles(), None);
    }
}
