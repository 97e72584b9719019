//! Percentiles of durations.

use serde::Serialize;

/// How long something took, over many times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

impl Percentiles {
    /// By the nearest rank: each is a value that was measured.
    pub(super) fn of(mut durations_us: Vec<u64>) -> Self {
        durations_us.sort_unstable();
        let count = durations_us.len();
        let at = |percent: usize| {
            let rank = (count * percent).div_ceil(100);
            durations_us.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Percentiles { count: count as u64, p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
    }
}

/// Microseconds, as people say them: with three digits.
pub(super) fn show(us: u64) -> String {
    let (hundredths, unit) = if us < 1_000 {
        return format!("{us} µs");
    } else if us < 1_000_000 {
        (us / 10, "ms")
    } else {
        (us / 10_000, "s")
    };
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{rest:02} {unit}"),
        10..100 => format!("{whole}.{} {unit}", rest / 10),
        _ => format!("{whole} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank_in_whatever_order_they_came() {
        let of = Percentiles::of((1..=200).rev().collect());
        assert_eq!((of.count, of.p50_us, of.p90_us, of.p99_us, of.max_us), (200, 100, 180, 198, 200));
        let one = Percentiles::of(vec![7]);
        assert_eq!((one.p50_us, one.p99_us, one.max_us), (7, 7, 7));
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
    }

    #[test]
    fn durations_are_shown_with_three_digits_and_the_unit_that_fits() {
        for (us, expected) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (12_345, "12.3 ms"),
            (123_456, "123 ms"),
            (5_040_000, "5.04 s"),
        ] {
            assert_eq!(show(us), expected);
        }
    }
}
