//! What is remembered for a while, and of so many at most: two maps of which the older one is
//! forgotten when the newer one is full or old.

use foldhash::HashMap;

/// Values by a hash. What was written or written again last stays longest: never less than the
/// last `each` keys, never more than twice as many.
#[derive(Debug)]
pub(super) struct Generations<V> {
    new: HashMap<u64, V>,
    old: HashMap<u64, V>,
    /// When the newer map began, on the monotonic clock.
    since_ms: u64,
    each: usize,
    keep_ms: u64,
}

impl<V: Copy> Generations<V> {
    /// Keeps at least the last `each` keys, unless they are older than `keep_ms`; nothing older than twice that.
    pub(super) fn new(each: usize, keep_ms: u64) -> Self {
        Generations { new: HashMap::default(), old: HashMap::default(), since_ms: 0, each, keep_ms }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.old.is_empty()
    }

    pub(super) fn get(&self, key: u64) -> Option<V> {
        self.new.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    pub(super) fn put(&mut self, key: u64, value: V, now_ms: u64) {
        let age_ms = now_ms.saturating_sub(self.since_ms);
        if self.new.len() >= self.each || age_ms > self.keep_ms {
            self.old.clear();
            // Idle for longer than both may be kept: neither is worth anything.
            if age_ms > self.keep_ms.saturating_mul(2) {
                self.new.clear();
            }
            std::mem::swap(&mut self.new, &mut self.old);
            self.since_ms = now_ms;
        }
        self.new.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_keys_are_known_and_there_are_never_more_than_twice_as_many() {
        let mut seen = Generations::new(100, 1_000);
        for n in 0..10_000_u64 {
            seen.put(n, n, 0);
            assert!(seen.new.len() + seen.old.len() <= 200);
        }
        assert!((9_900..10_000).all(|n| seen.get(n) == Some(n)));
        assert_eq!(seen.get(9_700), None);
    }

    #[test]
    fn what_is_written_again_stays_and_what_is_old_goes() {
        let mut seen = Generations::new(10, 1_000);
        for n in 0..1_000_u64 {
            seen.put(u64::MAX, n, 0);
            seen.put(n, n, 0);
        }
        assert_eq!(seen.get(u64::MAX), Some(999));
        seen.put(1_000, 0, 1_500);
        assert_eq!(seen.get(u64::MAX), Some(999), "not yet older than twice its time");
        seen.put(1_001, 0, 5_000);
        assert_eq!(seen.get(u64::MAX), None);
    }
}
