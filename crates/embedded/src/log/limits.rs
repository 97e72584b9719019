//! The log's bounds, each with its unit and its reason.

/// Data bytes of the first segment: a small store is a small file.
pub const SEGMENT_BYTES_FIRST: u64 = 1 << 20;

/// Data bytes of a segment once doubling has ended: large enough that a roll is rare, small enough to prepare ahead and to remove.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Longest file of a segment, whatever lengths are asked for: where a message lies takes no more memory than that needs.
pub const FILE_BYTES_MAX: u64 = 8 << 30;

/// A batch is closed at this length: one write and one sync of it stay in the tens of milliseconds on a slow disk.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// A batch is closed at this many records, so that recovery and the engine's advance work in small steps.
pub const BATCH_RECORDS_MAX: u32 = 8_192;

/// One write into an empty buffer may be this large, header included. Nothing larger is ever written or believed.
pub const WRITE_BYTES_MAX: usize = 64 << 20;

/// Positions reserved at a time. At a million messages a second the next block is asked for every half second.
pub const POSITION_BLOCK: u64 = 1 << 20;

/// Bytes kept free at a segment's end so that an idle proof and a clean mark need no new segment, which a full disk would refuse.
/// (More is kept for openings, see `SegmentSizes::openings_room`.)
///
/// Recovery relies on room for at least one: a segment that holds only empty batches then always follows one that ends with an
/// empty batch of the same position, whose hash is the same, so that the chain closes when the superseded segment is removed.
pub const PROOF_ROOM_BYTES: u64 = 128;

/// Of the last segment that is prepared at most so many bytes are kept for settles, where it is smaller the half of it. Who has
/// more to settle than that by and by frees segments.
pub const SETTLE_ROOM_BYTES_MAX: u64 = 16 << 20;

/// What is kept of the disk for the time when it is full has room for so many segments of the first length, beside what snapshots need:
/// one that takes settles, and two behind which two snapshots stand, so that the first of them goes.
pub const BALLAST_SEGMENTS: u64 = 3;

/// A segment has room for so many bytes of batches at least, however full the disk is: more than any one step of the engine asks for
/// beside a write of its own.
pub const SHORTEST_ROOM_BYTES: u64 = 16 << 10;

/// Recovery reads this much at a time.
pub const READ_CHUNK_BYTES: usize = 2 << 20;

/// A snapshot is read this much at a time, and written so: what it takes in memory does not grow with it.
pub const SNAPSHOT_BUFFER_BYTES: usize = 1 << 20;

/// Segments the reader keeps open; the one used longest ago is closed first.
pub const OPEN_FILES_MAX: usize = 64;

/// Batches of which is noted that they could not be read; one is reason enough to look at all.
pub const SUSPECTS_MAX: usize = 64;
