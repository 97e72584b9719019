//! The bounds of the server, with their reasons.

use std::time::Duration;

/// How long a hub that shuts down waits for its listeners: they cut what does not end within
/// their own, shorter bound, so this is only reached by a fault.
pub(crate) const SHUTDOWN_MAX: Duration = Duration::from_secs(15);
/// Files that connections leave to the rest of the process, of those that the system lets it open: a store keeps 64 of its segments
/// open for reading, and opens some 16 more while it writes, prepares and looks; the listeners, the locks and the runtime have
/// about 12. Beyond it publishes are refused with `busy`.
pub(crate) const FILES_KEPT: u64 = 96;
/// How often it is looked whether the store has stopped.
pub(crate) const STORE_LOOK: Duration = Duration::from_millis(250);
