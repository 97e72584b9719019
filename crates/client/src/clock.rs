//! The one file that reads the clock, waits, and draws randomness; everything else is given them.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skep_protocol::{Code, Error, MessageId};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

/// A time, counted from when the client began.
pub(crate) type Moment = Duration;

/// Tells moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Moment {
        self.origin.elapsed()
    }

    /// Waits for a moment. It may be cancelled.
    pub(crate) async fn until(self, at: Moment) {
        sleep_until(self.origin + at).await;
    }

    pub(crate) fn alarm(self) -> Alarm {
        Alarm { clock: self, sleep: Box::pin(sleep(Duration::ZERO)), at: None }
    }
}

/// Waits. It may be cancelled.
pub(crate) async fn pause(duration: Duration) {
    sleep(duration).await;
}

/// What the future gives, if it does so in time.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    timeout(limit, future).await.ok()
}

/// One timer that is set again and again. It never rings late; it may ring early, because a
/// deadline that moves away does not move it: whoever is woken looks at the clock.
pub(crate) struct Alarm {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    at: Option<Moment>,
}

impl Alarm {
    pub(crate) fn set(&mut self, at: Option<Moment>) {
        match (self.at, at) {
            (_, None) => {}
            (Some(armed), Some(at)) if armed <= at => {}
            (_, Some(at)) => {
                self.sleep.as_mut().reset(self.clock.origin + at);
                self.at = Some(at);
            }
        }
    }

    /// Ends when it rings; never, while it is not set. It may be cancelled.
    pub(crate) async fn ring(&mut self) {
        if self.at.is_none() {
            pending::<()>().await;
        }
        self.sleep.as_mut().await;
        self.at = None;
    }
}

/// The time of day, in unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(Code::Internal, format!("the operating system gives no randomness: {e}")))?;
    Ok(bytes)
}

/// A number for jitter; where there is no randomness, none is needed.
pub(crate) fn jitter() -> u64 {
    random().map_or(0, u64::from_le_bytes)
}

/// Draws message ids: UUIDv7 whose random part begins anywhere and counts up. So they are
/// unique without a system call each, and those of one client sort as they were made.
#[derive(Debug)]
pub(crate) struct Ids {
    base: u128,
    drawn: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Ids { base: u128::from_be_bytes(random()?), drawn: AtomicU64::new(0) })
    }

    pub(crate) fn next(&self, unix_ms: u64) -> MessageId {
        let n = self.base.wrapping_add(u128::from(self.drawn.fetch_add(1, Ordering::Relaxed)));
        let [_, _, _, _, _, _, random @ ..] = n.to_be_bytes();
        MessageId::v7(unix_ms, &random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_client_sort_as_they_were_drawn() {
        let ids = Ids { base: 7, drawn: AtomicU64::new(250) };
        let drawn: Vec<_> = (0..20).map(|_| ids.next(5)).collect();
        assert!(drawn.is_sorted());
        assert_ne!(drawn.first(), drawn.last());
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_never_rings_late() {
        let clock = Clock::start();
        let mut alarm = clock.alarm();
        alarm.set(Some(Duration::from_secs(9)));
        alarm.set(Some(Duration::from_secs(3)));
        alarm.set(Some(Duration::from_secs(5)));
        alarm.ring().await;
        assert_eq!(clock.now().as_secs(), 3);
        assert!(within(Duration::from_secs(60), alarm.ring()).await.is_none());
    }
}
