//! Every bound of the wire, with its unit and its reason.

/// Longest message id, in bytes (UUIDs take 36; foreign events bring their own).
pub const ID_BYTES_MAX: usize = 128;
/// Longest topic or filter, in bytes: long enough for tenant prefixes, short enough to index.
pub const TOPIC_BYTES_MAX: usize = 256;
/// Most tokens of a topic or filter; bounds the depth of the wildcard trie.
pub const TOPIC_TOKENS_MAX: usize = 32;
/// Longest queue name, in bytes; `$dead.` and an inbox name fit beside it.
pub const QUEUE_NAME_BYTES_MAX: usize = 200;
/// Longest agent or workspace id, in bytes.
pub const AGENT_BYTES_MAX: usize = 64;
/// Most topics in `to`.
pub const DESTINATIONS_MAX: usize = 64;
/// Longest single text attribute (type, source, content type, ...), in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Most attributes beside the fixed ones.
pub const ATTRIBUTES_MAX: usize = 64;
/// Longest value of one extension attribute, in bytes; `headers` is one of them.
pub const ATTRIBUTE_BYTES_MAX: usize = 32 * 1024;
/// Default bound on a payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Hard bound on one encoded message, in bytes: the payload and what surrounds it.
pub const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 256 * 1024;
/// Largest frame, in bytes. A batch of messages shares it.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest first frame of a connection, in bytes: a Connect that names as many leases as a frame may
/// hold, in JSON. Until it has come nobody knows who speaks.
pub const CONNECT_BYTES_MAX: usize = 256 * 1024;
/// Most messages or settles in one frame.
pub const BATCH_MAX: usize = 4096;
/// Longest progress note of an extend, in bytes.
pub const PROGRESS_BYTES_MAX: usize = 64 * 1024;
/// Longest reason of a nack or reject, in bytes.
pub const REASON_BYTES_MAX: usize = 4096;
/// How far a producer may run ahead of its oldest unanswered sequence; the hub remembers as many.
pub const PRODUCER_WINDOW: u64 = 4096;
/// Largest sequence of a producer: far enough from the end that no sum runs over it.
pub const SEQUENCE_MAX: u64 = 1 << 62;
/// Shortest lease, in milliseconds.
pub const LEASE_MS_MIN: u64 = 100;
/// Longest lease, in milliseconds: a day.
pub const LEASE_MS_MAX: u64 = 24 * 3_600_000;
/// Longest wait before a message is delivered again, in milliseconds: a week.
pub const DELAY_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// Most deliveries that a declaration or a message may name; 0 is without end.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// How far ahead `notbefore` may lie, in milliseconds: a year. What lies further is a slip of the pen.
pub const NOT_BEFORE_MS_MAX: u64 = 365 * 24 * 3_600_000;
/// Longest `timeout` of a request, in milliseconds: a year, as far ahead as `notbefore` may lie.
pub const TIMEOUT_MS_MAX: u64 = NOT_BEFORE_MS_MAX;
/// Most parts of a streamed reply: what CloudEvents number with the `sequencetype` `Integer`.
pub const PARTS_MAX: u32 = 0x7fff_ffff;
/// Most filters of one queue.
pub const FILTERS_MAX: usize = 64;
