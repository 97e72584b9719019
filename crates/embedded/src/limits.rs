//! The bounds of the embedded backend, each with its unit and what happens when it is full.

use std::time::Duration;

/// Full log buffers that wait for the writer; beyond it writes are answered `busy`.
pub(crate) const BUFFERS_MAX: usize = 8;
/// Bytes of writes that wait for room in the log, before anything of them is staged; beyond it they are answered `busy`. As much as
/// the buffers hold.
pub(crate) const UNSTAGED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of recent batches kept in memory; beyond it the oldest is read from disk when needed.
pub(crate) const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Producers remembered; beyond it the one unused for longest is forgotten.
pub(crate) const PRODUCERS_MAX: usize = 100_000;
/// Fingerprints of messages by which another one under a sequence that was used is told from a resend, 4 bytes each: those of 4,096
/// producers with a full window. Beyond it those of the producer unused for longest go, and it is known by its sequences alone.
pub(crate) const FINGERPRINTS_MAX: usize = 16 * 1024 * 1024;
/// How long an unused producer is remembered, in milliseconds: a week.
pub(crate) const PRODUCER_IDLE_MS: u64 = 7 * 24 * 3_600_000;
/// How long an id is remembered for exactly-once publishes, in milliseconds.
pub(crate) const DEDUP_MS: u64 = 10 * 60 * 1000;
/// Ids remembered; beyond it exactly-once publishes are answered `busy`, and no younger id is forgotten.
pub(crate) const DEDUP_IDS_MAX: usize = 1_000_000;
/// How long a settle is remembered, so that a retry gets the same answer, in milliseconds.
pub(crate) const SETTLED_MS: u64 = 10 * 60 * 1000;
/// Bytes of a progress note with which a lease is extended while the disk is full; beyond it the extend is refused. A lease that ends
/// takes more room than one that is extended with as much.
pub(crate) const FULL_PROGRESS_BYTES_MAX: usize = 256;
/// Bytes of a nack's reason that are kept while the disk is full; the rest is cut.
pub(crate) const FULL_REASON_BYTES_MAX: usize = 64;
/// Settles remembered; beyond it the oldest is forgotten.
pub(crate) const SETTLED_MAX: usize = 262_144;
/// Leases that a store which closes returns at a time.
pub(crate) const RETURNED_MAX: usize = 8_192;
/// Leases of which is remembered why they ended without a settle; of older ones nobody is told.
pub(crate) const LAPSES_MAX: usize = 16_384;
/// Entries of queues and answers that wait to be durable: everybody who writes waits for those before. Beyond it a publish is
/// answered `busy`, unless nothing else waits.
pub(crate) const PENDING_MAX: usize = 262_144;
/// Queues that take one message; beyond it the publish is refused with `too_large`.
pub(crate) const MATCHES_MAX: usize = 50_000;
/// Steps of the router for one message, or for all messages of an atomic step: values met and
/// branches passed, a queue with several filters that match met several times. Some milliseconds
/// under the lock; beyond it the publish is refused with `too_large`.
pub(crate) const ROUTE_STEPS_MAX: usize = 2 * MATCHES_MAX;
/// Items of a write and steps of the router under one hold of the lock; beyond it the rest of the
/// write goes on in a next one. A full frame of plain messages is below it.
pub(crate) const SLICE_STEPS_MAX: usize = 16_384;
/// How long a write keeps away from the lock between two slices: the lock is not fair, and who
/// waits for it takes so long to wake.
pub(crate) const GIVE_WAY: Duration = Duration::from_micros(50);
/// A notice for which the log has no room is tried again after so long, in milliseconds.
pub(crate) const NOTICE_RETRY_MS: u64 = 1_000;
/// How long at most the hub sleeps while messages wait for a moment by the clock on the wall, in
/// milliseconds: nobody tells that the clock was set.
pub(crate) const CALENDAR_LOOK_MS: u64 = 1_000;
/// Messages of one queue that expire under one hold of the lock; the others at the next.
pub(crate) const EXPIRE_MAX: usize = 1024;
/// Expired messages for which the log has no room are tried again after so long, in milliseconds.
pub(crate) const EXPIRE_RETRY_MS: u64 = 20;
/// Who found an exclusive queue taken asks again after so long, in milliseconds: nobody tells when its consumer goes.
pub(crate) const EXCLUSIVE_RETRY_MS: u64 = 1_000;
/// Dead letters that one redrive moves; more by asking again.
pub(crate) const REDRIVE_MAX: usize = 100_000;
/// Queues; beyond it a declaration is answered `busy`.
pub(crate) const QUEUES_MAX: usize = 1_000_000;
/// Bytes of all facts; beyond it a put is answered `busy`.
pub(crate) const FACTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one fact, key and value.
pub(crate) const FACT_BYTES_MAX: usize = 256 * 1024;
/// Facts of one page; then it says where to go on.
pub(crate) const FACTS_PAGE_MAX: usize = 1_024;
/// Watches of facts, each of which is asked about every change; beyond it another is answered `busy`.
pub(crate) const WATCHES_MAX: usize = 1_024;
/// Facts that end under one hold of the lock; the others at the next.
pub(crate) const FACTS_END_MAX: usize = 1_024;
/// Looks that wait for their turn; beyond it they are answered `busy`.
pub(crate) const LOOKS_MAX: usize = 64;
/// Bytes of messages one look shows; then it says where to go on.
pub(crate) const LOOK_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of the log one search reads to find messages; then it says where to go on.
pub(crate) const SEARCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages one search follows at a time, when only what became of them tells whether they are
/// meant; then it says where to go on.
pub(crate) const FOLLOWED_MAX: usize = 1_024;
/// The same, when all that happened to each is told: what is kept of one may be a few 100 KiB.
pub(crate) const WHOLE_MAX: usize = 128;
/// Messages of which the engine is asked in one hold of its lock how they stand: for each it may look through all that
/// returned lately, and for all of them once through the leases.
pub(crate) const STANDS_MAX: usize = 64;
/// Longest index that is read, in bytes: that of the largest segment is some 2 MiB.
pub(crate) const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Events that are told of one message: of more, the first half and the last.
pub(crate) const EVENTS_MAX: usize = 256;
/// Bytes of a reason or progress that are told of one event; the rest is cut.
pub(crate) const DETAIL_BYTES_MAX: usize = 1_024;
/// After a pause so long the last batch is proven durable by another, in milliseconds.
pub(crate) const IDLE_PROOF_MS: u64 = 10;
/// Topic trees with a level of durability of their own: each message is compared with all of them.
pub(crate) const LEVELS_MAX: usize = 64;
/// Topic trees with a retention of their own: a set of them is the bits of a number.
pub(crate) const TREES_MAX: usize = 64;
/// Records that need no sync of their own are written at the latest when they are so many bytes.
pub(crate) const LAZY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of segments behind the last snapshot after which another is taken: an opening reads twice as much at most, in seconds.
/// Where a snapshot is larger, as many bytes as it has: no more than half of what is written is snapshots.
pub(crate) const SNAPSHOT_BYTES: u64 = 256 * 1024 * 1024;
/// Memory that the index may take, in bytes, unless the store is told otherwise: forty million messages that wait a hundred to a queue,
/// or three times as many in long lines. Beyond it a publish that adds messages to queues is answered `busy`.
pub(crate) const MEMORY_BYTES: u64 = 1024 * 1024 * 1024;
/// How long settled messages are kept for looks, unless the store is told otherwise: a week.
pub(crate) const RETENTION_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Bytes of the log beyond which they go, unless the store is told otherwise.
pub(crate) const RETENTION_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of records after which the making of a snapshot pauses, so that others have the processor; and whether the store closes
/// is asked as often.
pub(crate) const SNAPSHOT_PACE_BYTES: usize = 1024 * 1024;
/// How long it pauses.
pub(crate) const SNAPSHOT_PACE: Duration = Duration::from_millis(2);
/// A delivery of messages up to so many bytes copies them, so that nobody pins a whole batch.
pub(crate) const COPY_BYTES_MAX: usize = 16 * 1024;
/// More bytes than the declaration of a queue takes beside its filters, also of that for dead letters, which comes with the first.
pub(crate) const DECLARE_BYTES: usize = 4 * 1024;
/// Bytes in the log that are left for whoever holds a lease, for each of them: an ack in a batch of its own, and more.
pub(crate) const LEASE_ROOM_BYTES: u64 = 256;
/// Bytes that what is tried again leaves to hand-outs and what settles them.
pub(crate) const TRYING_ROOM_BYTES: u64 = 16 * 1024;
/// Bytes that settles leave to purges and deletions.
pub(crate) const CLEARING_ROOM_BYTES: u64 = 4 * 1024;
/// Segments that are begun for snapshots alone, while nothing else is staged: behind two of them everything before is covered.
pub(crate) const ROLLS_MAX: u32 = 3;
