//! The bounds of the server, with their reasons.

use std::time::Duration;

/// How long a hub that shuts down waits for its listeners: they cut what does not end within
/// their own, shorter bound, so this is only reached by a fault.
pub(crate) const SHUTDOWN_MAX: Duration = Duration::from_secs(15);
/// How often it is looked whether the store has stopped.
pub(crate) const STORE_LOOK: Duration = Duration::from_millis(250);
