//! How long to wait before the hub is tried again.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// Doubles from 50 ms to 5 s. Each wait is drawn from the upper half of its step, so that
/// clients that lost one hub together do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let step = BACKOFF_MIN.saturating_mul(1 << self.tries.min(16)).min(BACKOFF_MAX);
        self.tries = self.tries.saturating_add(1);
        let half = step / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(random % nanos)
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_seconds_and_keep_half_their_step() {
        let mut backoff = Backoff::default();
        let mut step = BACKOFF_MIN;
        for random in [0, u64::MAX, 12_345, 7, 0, 1, 2, 3, 4, 5, 6] {
            let wait = backoff.next(random);
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
            step = (step * 2).min(BACKOFF_MAX);
        }
        assert_eq!(step, BACKOFF_MAX);
        backoff.reset();
        assert!(backoff.next(0) <= BACKOFF_MIN);
    }
}
