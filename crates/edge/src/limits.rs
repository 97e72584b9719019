//! The bounds of the edge, each with its unit and what happens when it is reached.

use std::time::Duration;

/// Connections at a time, of all kinds together; beyond it the answer is 503 and `busy`.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections at a time that are not for TCP, where a sixteenth of all is less and a quarter of all is not: some agents on this
/// machine, and a command beside them.
pub const KEPT_OF_FEW: usize = 8;
/// Connections that are being told so, at each listener; beyond it they are closed without a word.
pub const TURNED_AWAY_MAX: usize = 64;

/// Bytes read from a connection before they are handed on as one batch.
pub const TURN_BYTES_MAX: usize = 64 * 1024;
/// Frames read from a connection before they are handed on as one batch.
pub const TURN_FRAMES_MAX: usize = 64;
/// How long one connection may keep its worker; then the others have their turn.
pub const TURN_MAX: Duration = Duration::from_micros(100);
/// Encoded bytes that wait to be written; beyond it nothing more is taken from the hub nor read
/// from the peer, so that a peer that does not read costs no memory.
pub const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;
/// How long a peer may take nothing of what is written, in milliseconds; then it is lost.
pub const STALL_MAX_MS: u64 = 60_000;
/// How long the last words to a peer may take; then it is closed without them.
pub const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// How long a listener that closes waits for its connections; then they are cut.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long an accept that failed (no file descriptors) is not tried again.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Batches of frames that wait on a link within the process, each way; then the sender waits.
pub const IN_PROCESS_BATCHES_MAX: usize = 64;
/// Batches on their way to a client within the process: each may hold all that waited for its
/// session, so one is enough, and a client that does not read holds little.
pub const IN_PROCESS_BATCHES_OUT_MAX: usize = 1;
/// Bytes read at once from a WebSocket of which nobody knows yet who speaks; and so much more than a Connect is read before
/// that is known, for what surrounds it.
pub const STRANGER_READ_BYTES: usize = 8 * 1024;
/// Bytes of memory taken for a frame of a WebSocket of which only a part has come; more as more comes.
pub const PARTIAL_BYTES_MAX: usize = 128 * 1024;
/// Blocks handed to the system in one write.
pub const BLOCKS_A_WRITE: usize = 32;

/// How long a TCP connection may say nothing at all before it loses its seat: nobody is known to be there.
pub const FIRST_BYTE_MAX: Duration = Duration::from_secs(10);
/// How long an HTTP connection may be silent before or within a request's head; then it is closed.
pub const HTTP_HEAD_MAX: Duration = Duration::from_secs(60);
/// How long the body of an HTTP request may take to arrive; then the answer is 408.
pub const HTTP_BODY_MAX: Duration = Duration::from_secs(60);
/// Deliveries of one receive over HTTP; more is an `invalid_argument`.
pub const RECEIVE_MAX: u32 = 256;
/// Bytes of messages of one receive over HTTP; one larger message may come alone.
pub const RECEIVE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest wait of a receive, in milliseconds; more is an `invalid_argument`.
pub const RECEIVE_WAIT_MAX_MS: u64 = 60_000;
/// A receive that does not wait gives the hub this long all the same, in milliseconds: messages
/// may have to be read from disk.
pub const RECEIVE_WAIT_MIN_MS: u64 = 50;
/// How long a request waits for its reply unless it says otherwise, in milliseconds.
pub const REQUEST_TIMEOUT_MS: u64 = 30_000;
/// Longest such wait, in milliseconds; more is an `invalid_argument`.
pub const REQUEST_TIMEOUT_MAX_MS: u64 = 600_000;
/// Characters of a parameter's name that a refusal repeats: the rest is not needed to recognise it.
pub const NAMED_CHARS_MAX: usize = 64;
/// Messages that a look shows unless it says otherwise.
pub const LOOK: u32 = 100;
/// Dead letters that a redrive moves unless it says otherwise.
pub const REDRIVE: u32 = 1_000;
/// Queues that metrics show one by one, the fullest first; the totals hold them all.
pub const METRIC_QUEUES_MAX: usize = 500;
