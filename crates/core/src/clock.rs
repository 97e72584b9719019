//! The only file that reads the clock. Everywhere else time is an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the clock was made; never goes back. Leases are measured on it.
    pub mono_ms: u64,
    /// Unix milliseconds; may jump. For people, and for what must outlive the process.
    pub unix_ms: u64,
}

impl Now {
    /// The moment this much later, on both clocks.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        let ms = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms: self.mono_ms.saturating_add(ms), unix_ms: self.unix_ms.saturating_add(ms) }
    }
}

/// Tells the moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        Clock { origin: Instant::now() }
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Now {
        // Where every order of threads is tried, time stands still, or no order could be tried again.
        if cfg!(skep_loom) {
            return Now { mono_ms: 1, unix_ms: 1 };
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ms: ms(self.origin.elapsed()), unix_ms: ms(unix) }
    }

    /// How long until a moment of the monotonic clock; zero when it has passed.
    #[must_use]
    pub fn until(&self, mono_ms: u64) -> Duration {
        (self.origin + Duration::from_millis(mono_ms)).saturating_duration_since(Instant::now())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
