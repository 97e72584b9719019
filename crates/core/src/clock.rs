//! The only file that reads the clock. Everywhere else time is an argument.

use std::sync::atomic::{AtomicU64, Ordering};
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
    by_hand: Option<&'static ByHand>,
}

/// Moves a clock that goes only when it is moved: in a simulation every moment is chosen.
#[doc(hidden)]
#[derive(Debug)]
pub struct ByHand {
    mono_ms: AtomicU64,
    unix_ms: AtomicU64,
}

impl ByHand {
    /// It is this moment now. The monotonic part must not go back.
    pub fn set(&self, now: Now) {
        self.mono_ms.store(now.mono_ms, Ordering::Relaxed);
        self.unix_ms.store(now.unix_ms, Ordering::Relaxed);
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.mono_ms.load(Ordering::Relaxed), unix_ms: self.unix_ms.load(Ordering::Relaxed) }
    }
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        Clock { origin: Instant::now(), by_hand: None }
    }

    /// A clock that is moved by hand, and what moves it. A clock is copied freely, so this one is never freed.
    #[doc(hidden)]
    #[must_use]
    pub fn by_hand(now: Now) -> (Self, &'static ByHand) {
        let hand: &'static ByHand =
            Box::leak(Box::new(ByHand { mono_ms: AtomicU64::new(now.mono_ms), unix_ms: AtomicU64::new(now.unix_ms) }));
        (Clock { by_hand: Some(hand), ..Clock::new() }, hand)
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Now {
        // Where every order of threads is tried, time stands still, or no order could be tried again.
        if cfg!(skep_loom) {
            return Now { mono_ms: 1, unix_ms: 1 };
        }
        if let Some(hand) = self.by_hand {
            return hand.now();
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ms: ms(self.origin.elapsed()), unix_ms: ms(unix) }
    }

    /// How long until a moment of the monotonic clock; zero when it has passed.
    #[must_use]
    pub fn until(&self, mono_ms: u64) -> Duration {
        if let Some(hand) = self.by_hand {
            return Duration::from_millis(mono_ms.saturating_sub(hand.now().mono_ms));
        }
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
