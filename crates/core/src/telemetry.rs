//! What a hub counts. One line at the place; read by metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The counters, added to without waiting.
        #[derive(Debug, Default)]
        pub struct Telemetry { $($name: AtomicU64,)+ }

        /// The counters at a moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Telemetry {
            $($(#[doc = $doc])+ pub(crate) fn $name(&self, n: usize) {
                self.$name.fetch_add(n as u64, Ordering::Relaxed);
            })+

            /// The counters now.
            #[must_use]
            pub fn counters(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Messages that sessions published.
    published,
    /// Publishes that were refused.
    refused,
    /// Of them, those that were too many hops from their beginning.
    refused_by_hops,
    /// Of them, those whose conversation was exhausted.
    refused_by_conversation,
    /// Of them, those that came too fast from one sender.
    refused_by_rate,
    /// Messages handed out under leases.
    delivered,
    /// Settles that took effect.
    settled,
    /// Live messages handed to sessions.
    live,
    /// Live messages dropped for want of room.
    live_dropped,
    /// Publishes recognised as resends.
    duplicates,
    /// Sessions that began.
    sessions,
    /// Sessions that were taken up again.
    resumed,
}
