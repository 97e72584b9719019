//! The bounds of a hub, each with its unit and what happens when it is full.

use std::time::Duration;

/// Messages of one session that wait for their receipt; beyond it the hub reads no more from it.
pub const UNANSWERED_MESSAGES_MAX: usize = 8_192;
/// Bytes of such messages.
pub const UNANSWERED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Commands and queries of one session that wait for their answer; beyond it: `busy`.
pub const UNANSWERED_COMMANDS_MAX: usize = 64;
/// Subscriptions of one session; beyond it: `busy`.
pub const SUBSCRIPTIONS_MAX: usize = 1_024;
/// Live messages that wait for one session; beyond it the oldest is dropped and counted.
pub const LIVE_MESSAGES_MAX: usize = 16_384;
/// Bytes of such messages; one larger message may always wait alone.
pub const LIVE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A live message up to so many bytes is copied into a frame with its neighbours; a larger one is shared by all who get it.
pub const LIVE_COPY_BYTES_MAX: usize = 1_024;
/// Bytes of live messages gathered in one frame.
pub const LIVE_FRAME_BYTES: usize = 16 * 1024;
/// Live replies that wait for one session; beyond it the reply is refused with `queue_full`.
pub const REPLIES_MAX: usize = 4_096;
/// Bytes of such replies.
pub const REPLIES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages stronger than best effort that wait to be copied to live listeners, hub-wide;
/// beyond it the copy is dropped (the message itself is safe in its queues).
pub const LIVE_COPIES_MAX: usize = 65_536;
/// Looks of at most 1,000 messages and some MiB each that one command to move or drop picked messages takes; then it says where
/// to go on.
pub const PICK_LOOKS_MAX: usize = 16;
/// Messages that a dry run of such a command shows.
pub const PICK_SHOWN_MAX: usize = 5;
/// Bytes of them; one is shown however large it is.
pub const PICK_SHOWN_BYTES_MAX: usize = 256 * 1024;
/// Sessions without a connection that wait to be resumed; beyond it the newest is ended at once.
pub const PARKED_MAX: usize = 10_000;
/// How long such a session waits, in milliseconds; then its leases are lost.
pub const RESUME_GRACE_MS: u64 = 5_000;
/// Messages of which the hub knows at least how many hops they have; at most twice as many. Of one that was
/// forgotten, what it caused counts from one hop on, or from what it says itself.
pub const HOPS_KNOWN: usize = 65_536;
/// How long they are known, in milliseconds; a loop that takes longer for one round is none that runs away.
pub const HOPS_KEEP_MS: u64 = 30 * 60_000;
/// Conversations of which at least the budget is known, the last heard ones; at most twice as many. One that was
/// forgotten begins anew.
pub const CONVERSATIONS_KNOWN: usize = 65_536;
/// Senders of which at least the rate is known; at most twice as many. One that was forgotten may send as if it were new.
pub const RATES_KNOWN: usize = 16_384;
/// How long they are known, in milliseconds: what a sender may send is all there again after a second.
pub const RATES_KEEP_MS: u64 = 1_000;
/// In what a sender's rate is counted: thousandths of a message, so that a millisecond at one a second is one.
pub(crate) const THOUSANDTHS: u64 = 1_000;
/// Characters of a foreign id that the text of an error repeats.
pub(crate) const NAMED_CHARS_MAX: usize = 64;
/// How long after its start the hub says `unknown` of an agent's presence, in milliseconds.
pub const PRESENCE_UNKNOWN_MS: u64 = 60_000;
/// How long a hub that closes tries to keep when agents were last seen; after it that is lost, and nothing else.
pub const PRESENCE_KEEP_MAX: Duration = Duration::from_secs(1);
/// A session says something at least this often, in milliseconds.
pub const HEARTBEAT_MS: u64 = 30_000;
/// A connection that said nothing for so long is closed, in milliseconds.
pub const SILENCE_MAX_MS: u64 = 60_000;
/// A connection must say who it is within this time, in milliseconds.
pub const CONNECT_MAX_MS: u64 = 10_000;
/// Bytes of deliveries gathered in one frame; one larger message may always go alone.
pub const FRAME_BYTES: usize = 256 * 1024;
/// Messages that were refused, dropped or unmatched and are remembered for traces; beyond it the
/// oldest is forgotten.
pub const UNSTORED_MAX: usize = 4_096;
/// Bytes of what is remembered of them.
pub const UNSTORED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest JSON an agent may say of itself, in bytes.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Changes of facts that wait for one watch; beyond it they are left out, and the watch is told to list the facts anew.
pub const WATCH_CHANGES_MAX: usize = 1_024;
/// Bytes of such changes: some facts of the largest size.
pub const WATCH_BYTES_MAX: usize = 1024 * 1024;
/// Messages that one look, search or pick shows or means; more by asking on from `next`. They are read at one time.
pub const LOOK_MAX: u32 = 1_000;
/// Queues or agents that one page shows; more by asking on from `next`. A page is gathered under one hold of a lock.
pub const LIST_MAX: u32 = 256;
/// Bytes of such a page; one entry may always come.
pub const LIST_BYTES_MAX: usize = 256 * 1024;
/// Bytes of queues or agents that are shown all at once; beyond it the answer is `too_large`, and they are to be asked for page by page.
pub const LIST_WHOLE_BYTES_MAX: usize = 1024 * 1024;
/// Largest window of a subscription, in bytes of messages.
pub const WINDOW_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest window of a subscription, in messages.
pub const WINDOW_MESSAGES_MAX: u32 = 65_536;
