//! Every bound of a run, with its unit and its reason.

use std::time::Duration;

/// How long an answer is waited for before it counts as unknown; longer than any pause of the hub.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How long a hub may take from its start to its ready line.
pub(crate) const READY_MAX: Duration = Duration::from_secs(30);
/// How long a hub may take to end when it is asked to.
pub(crate) const END_MAX: Duration = Duration::from_secs(20);
/// How long consumers may take to work off what is left when publishing has ended.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long parties may take to end when they are told to: longer than one answer.
pub(crate) const PARTIES_END_MAX: Duration = Duration::from_secs(30);
/// Messages that wait for consumers: publishers wait beyond it, so that the end comes soon.
pub(crate) const WAITING_MAX: u64 = 2_000;
/// Operations of one run. Beyond it publishing ends early, so that the history fits in memory when it is checked.
pub(crate) const OPERATIONS_MAX: u64 = 3_000_000;
/// Bytes of a frame that is believed.
pub(crate) const FRAME_MAX: usize = skep_protocol::limits::FRAME_BYTES_MAX + 64 * 1024;
/// Bytes of an HTTP answer that is believed.
pub(crate) const HTTP_MAX: usize = 8 * 1024 * 1024;
/// A client that loses its hub again and again waits longer and longer, so a new one takes over after so many lives.
pub(crate) const LIVES_OF_A_CLIENT: u64 = 3;
/// Old leases that a consumer keeps to try them again.
pub(crate) const OLD_LEASES_MAX: usize = 32;
/// Bytes of the small disk on which the hub lives when disks are to run full. It takes memory only as it is written.
pub(crate) const DISK_BYTES: u64 = 3 << 30;
/// Violations of one kind that are told; the rest is counted.
pub(crate) const TOLD_MAX: usize = 5;
/// Lines of history shown with a violation.
pub(crate) const EXCERPT_LINES_MAX: usize = 24;
