//! Every bound of the client, with its unit, its reason, and what happens when it is reached.

use std::time::Duration;

use skep_protocol::limits::{FRAME_BYTES_MAX, PRODUCER_WINDOW};

/// Verbs on their way from callers to the client's task. Full: callers wait.
pub(crate) const VERBS_MAX: usize = 1024;
/// Verbs taken in one turn before what they ask for is sent: a turn stays short.
pub(crate) const VERBS_TURN: usize = 256;

/// Bytes of messages published and not yet answered: they are kept for a resend. Full: callers wait.
pub(crate) const UNANSWERED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What the smallest message counts for against that, in bytes, so that the same bound holds
/// the number of unanswered messages to the window of a producer (4,096).
#[expect(clippy::cast_possible_truncation, reason = "the window is 4096")]
pub(crate) const MESSAGE_COST_MIN: usize = UNANSWERED_BYTES_MAX / PRODUCER_WINDOW as usize;
/// Most messages of `publish_all` that wait for their answers as one: its bytes are freed together.
pub(crate) const CHUNK_MESSAGES_MAX: usize = 256;
/// Most cost of such a chunk, in bytes: an eighth, so that several callers pass at once.
pub(crate) const CHUNK_COST_MAX: usize = UNANSWERED_BYTES_MAX / 8;

/// Settles asked for and not yet answered. Full: callers wait.
pub(crate) const SETTLES_MAX: usize = 16 * 1024;
/// Live requests that wait for their reply. Full: callers wait.
pub(crate) const REQUESTS_MAX: usize = 16 * 1024;
/// Commands and questions not yet answered; they are rare. Full: callers wait.
pub(crate) const CALLS_MAX: usize = 256;
/// Subscriptions of one client. Full: refused with `busy`.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 64 * 1024;
/// Largest window of a subscription, in messages: all of them may wait in memory here.
pub(crate) const WINDOW_MESSAGES_MAX: u32 = 64 * 1024;
/// Live messages that wait for their reader. Full: the oldest is dropped and counted.
pub(crate) const LIVE_MESSAGES_MAX: usize = 4096;
/// Bytes of them. Full: the same.
pub(crate) const LIVE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Parts of a streamed reply that wait for their reader: as many as the hub keeps for a session. Full: the stream ends
/// with `stream_broken`.
pub(crate) const PARTS_WAITING_MAX: usize = 4096;
/// Bytes of them. Full: the same.
pub(crate) const PARTS_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a frame is full, in bytes: half of what the hub takes leaves room for what surrounds the messages.
pub(crate) const FRAME_FILL_BYTES: usize = FRAME_BYTES_MAX / 2;
/// Frames without messages that are sent at one go.
pub(crate) const CONTROL_FRAMES_MAX: usize = 256;
/// Frames taken from a socket at one go: what is there, but not for ever.
pub(crate) const RECEIVE_FRAMES_MAX: usize = 64;
/// Bytes that wait in front of a Unix socket before more frames are taken for it.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 128 * 1024;
/// Pings of the hub not yet answered. Full: the oldest goes unanswered.
pub(crate) const PONGS_MAX: usize = 16;
/// Unsubscribes kept until it is certain that the hub saw them. Full: the oldest is forgotten.
pub(crate) const PARTING_MAX: usize = 1024;

/// The first wait before the hub is tried again; it doubles.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest such wait.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A connection that stood this long was a good one: the next wait is the first again.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(1);
/// How long the hub may take to answer Connect.
pub(crate) const GREETING_MAX: Duration = Duration::from_secs(10);
/// How long Goodbye may take to leave.
pub(crate) const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Shortest heartbeat that is believed.
pub(crate) const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// Longest heartbeat that is believed.
pub(crate) const HEARTBEAT_MAX: Duration = Duration::from_secs(300);
/// Shortest lease that is believed; it is renewed three times as often.
pub(crate) const LEASE_MIN: Duration = Duration::from_millis(30);

/// Largest `hub.json` or `token` that is read, in bytes.
pub(crate) const HUB_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Queues or agents that are asked for at once; the hub shows fewer where it has a lower bound.
pub(crate) const LIST_PAGE: u32 = 1_000;
/// How often one page is asked for again while the hub has no room; then its `busy` is told.
pub(crate) const LIST_TRIES_MAX: u32 = 40;
