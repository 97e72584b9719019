//! The log: an ordered, checked, recoverable sequence of records on a [`Disk`](crate::disk::Disk).
//!
//! A record is staged in a [`LogBuffer`], a whole buffer is written as one atomic batch by the [`Writer`], and [`open`] visits
//! every record that survived. The log knows nothing of topics or queues: it understands only its own [`RecordKind::Open`] and
//! [`RecordKind::Reserve`]. It starts no thread, reads no clock and rolls no dice.
//!
//! What must hold: a position names one record for ever; what was proven durable and is now damaged is reported and never cut;
//! a record is visited once, in order, with the bytes that were staged.

mod ballast;
mod batch;
mod buffer;
mod catalog;
mod error;
mod evidence;
mod follow;
mod key;
pub mod limits;
mod mark;
mod reader;
mod record;
mod recovery;
mod repair;
mod report;
mod room;
mod segment;
mod snapshot;
mod spares;
mod suspects;
mod walk;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use self::ballast::give_up_ballast;
pub(crate) use self::batch::BATCH_ALIGNMENT;
pub use self::batch::{BATCH_HEADER_BYTES, BatchHeader, Fault};
pub use self::buffer::{LogBuffer, Staged};
pub use self::error::{Corrupt, LogError, OpenError, ReadError};
pub use self::follow::{Follower, Sealed};
pub use self::key::StoreKey;
pub(crate) use self::limits::FILE_BYTES_MAX;
pub use self::reader::{Batch, Extent, Reader, Scan, Stretch};
pub use self::record::{
    BatchAt, Open, RECORD_HEADER_BYTES, RecordFault, RecordKind, RecordView, Records, Reserve, records,
};
pub use self::recovery::{
    Base, Mode, Needs, OpenWith, Opened, check, check_from, open, open_from, open_headless, unreadable,
};
pub use self::repair::{Kept, Loss, Piece, Plan, Repaired, copy_aside, plan, plan_from};
pub use self::report::{Corruption, Proof, Report, Torn};
pub use self::room::{Room, settle_room};
pub(crate) use self::segment::{DATA_OFFSET, NUMBER_MAX};
pub use self::segment::{
    SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderFault, SegmentSizes, file_name, segment_number,
};
pub use self::snapshot::{
    FoundSnapshot, KeptSegment, SNAPSHOT_VERSION, Snapshot, SnapshotHeader, snapshot_name, snapshots,
};
pub use self::spares::Spares;
pub use self::writer::{Writer, Written};
