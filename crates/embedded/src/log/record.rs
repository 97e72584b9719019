//! A record: one entry of a batch's body, with a position of its own.
//!
//! Fixed for ever, integers little-endian: record `i` of a batch has position `batch position + i`.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | length of all that follows, `u32`: 4 + length of the body |
//! | 4 | kind |
//! | 5 | flags, the kind's own |
//! | 6..8 | zero |
//! | 8.. | body |

use super::batch::{BATCH_HEADER_BYTES, BatchHeader};
use super::key::u64_at;

/// Length of what precedes a record's body.
pub const RECORD_HEADER_BYTES: usize = 8;

/// The part of that which the length field counts.
const COUNTED_HEADER_BYTES: usize = 4;

/// What a record tells. The log understands the first two; the rest are the engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// The store was opened.
    Open = 1,
    /// Positions may be used up to a new end.
    Reserve = 2,
    /// A message.
    Message = 3,
    /// A settled delivery.
    Ack = 4,
    /// A delivery given back with a delay.
    Nack = 5,
    /// A message moved to its dead letters.
    Dead = 6,
    /// A queue came to be.
    Declare = 7,
    /// A queue ceased.
    Undeclare = 8,
    /// A delivery begun.
    Lease = 9,
    /// A delivery given back at once.
    Return = 10,
    /// A fact was set.
    FactPut = 11,
    /// A fact was removed.
    FactDelete = 12,
    /// A lease was prolonged.
    Extend = 13,
    /// A queue was emptied.
    Purge = 14,
    /// Dead letters were sent again.
    Redrive = 15,
    /// A dead letter was dropped.
    Drop = 16,
    /// The sender of a dead letter was told.
    Told = 17,
}

impl TryFrom<u8> for RecordKind {
    type Error = u8;

    fn try_from(byte: u8) -> Result<Self, u8> {
        Ok(match byte {
            1 => Self::Open,
            2 => Self::Reserve,
            3 => Self::Message,
            4 => Self::Ack,
            5 => Self::Nack,
            6 => Self::Dead,
            7 => Self::Declare,
            8 => Self::Undeclare,
            9 => Self::Lease,
            10 => Self::Return,
            11 => Self::FactPut,
            12 => Self::FactDelete,
            13 => Self::Extend,
            14 => Self::Purge,
            15 => Self::Redrive,
            16 => Self::Drop,
            17 => Self::Told,
            unknown => return Err(unknown),
        })
    }
}

/// Where a batch lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchAt {
    /// The segment's number.
    pub segment: u64,
    /// Offset of the batch's header in the segment's file.
    pub offset: u64,
}

/// One record of a verified batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its position in the log.
    pub position: u64,
    /// What it tells.
    pub kind: RecordKind,
    /// The kind's own flags.
    pub flags: u8,
    /// The kind's own bytes.
    pub body: &'a [u8],
    /// Log time of its batch, unix milliseconds.
    pub time_ms: u64,
    /// Its batch.
    pub batch: BatchAt,
    /// Offset of the body from the beginning of the batch's header.
    pub offset: u32,
    /// Length of the body.
    pub len: u32,
    /// Records below this position may be missing, because a repair gave some up; 0 where the log is whole.
    pub lost_until: u64,
}

/// Why the body of a batch is not a sequence of records, although its hash holds: no damage, but another program's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// A kind this program does not know.
    #[error("record kind {0} is unknown")]
    UnknownKind(u8),
    /// A length that does not fit into the batch.
    #[error("the record's length does not fit into its batch")]
    Length,
    /// The reserved bytes are not zero.
    #[error("the record's reserved bytes are not zero")]
    Reserved,
    /// More or fewer records than the header says.
    #[error("the batch holds more or fewer records than its header says")]
    Count,
}

/// Iterates over the records of a batch that the reader or recovery has verified; on bytes that are none it ends with an error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    at: BatchAt,
    batch: &'a [u8],
    offset: usize,
    position: u64,
    time_ms: u64,
    left: u32,
    failed: bool,
}

/// The records of a whole batch, header and body, as [`Reader::batch`](super::Reader::batch) returns it.
#[must_use]
pub fn records<'a>(at: BatchAt, header: &BatchHeader, batch: &'a [u8]) -> Records<'a> {
    let batch = batch.get(..header.batch_bytes()).unwrap_or(batch);
    let (position, time_ms, left) = (header.position, header.time_ms, header.records);
    Records { at, batch, offset: BATCH_HEADER_BYTES, position, time_ms, left, failed: false }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.batch.get(self.offset..).unwrap_or_default();
        if self.failed || (self.left == 0 && rest.is_empty()) {
            return None;
        }
        let next = self.decode(rest);
        self.failed = next.is_err();
        Some(next)
    }
}

impl<'a> Records<'a> {
    fn decode(&mut self, rest: &'a [u8]) -> Result<RecordView<'a>, RecordFault> {
        if self.left == 0 || rest.is_empty() {
            return Err(RecordFault::Count);
        }
        let (&[a, b, c, d, kind, flags, reserved @ ..], rest) =
            rest.split_first_chunk::<RECORD_HEADER_BYTES>().ok_or(RecordFault::Length)?;
        let counted = u32::from_le_bytes([a, b, c, d]);
        let len = (counted as usize).checked_sub(COUNTED_HEADER_BYTES).ok_or(RecordFault::Length)?;
        let body = rest.get(..len).ok_or(RecordFault::Length)?;
        if reserved != [0; 2] {
            return Err(RecordFault::Reserved);
        }
        let kind = RecordKind::try_from(kind).map_err(RecordFault::UnknownKind)?;
        let offset = self.offset + RECORD_HEADER_BYTES;
        let view = RecordView {
            position: self.position,
            kind,
            flags,
            body,
            time_ms: self.time_ms,
            batch: self.at,
            offset: offset as u32,
            len: len as u32,
            lost_until: 0,
        };
        self.offset = offset + len;
        self.position = self.position.saturating_add(1);
        self.left -= 1;
        Ok(view)
    }
}

/// The header of a record whose body is so long.
pub(super) fn encode_header(kind: RecordKind, flags: u8, body_bytes: u32) -> [u8; RECORD_HEADER_BYTES] {
    let [a, b, c, d] = (body_bytes + COUNTED_HEADER_BYTES as u32).to_le_bytes();
    [a, b, c, d, kind as u8, flags, 0, 0]
}

/// Body of [`RecordKind::Open`]: three `u64` in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// How often the store was opened, this time included.
    pub open_count: u64,
    /// Positions below this may be used.
    pub reserved_until: u64,
    /// The wall clock, unix milliseconds, as it was: it may be behind the log's time.
    pub wall_ms: u64,
}

impl Open {
    /// Length of the body.
    pub(super) const BYTES: usize = 24;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..8].copy_from_slice(&self.open_count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.reserved_until.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.wall_ms.to_le_bytes());
        bytes
    }

    /// Reads a body; `None` when it is none.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let body: &[u8; Self::BYTES] = body.try_into().ok()?;
        Some(Self { open_count: u64_at(body, 0), reserved_until: u64_at(body, 8), wall_ms: u64_at(body, 16) })
    }
}

/// Body of [`RecordKind::Reserve`]: one `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// Positions below this may be used once the record is durable.
    pub until: u64,
}

impl Reserve {
    /// Reads a body; `None` when it is none.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let body: [u8; 8] = body.try_into().ok()?;
        Some(Self { until: u64::from_le_bytes(body) })
    }
}
