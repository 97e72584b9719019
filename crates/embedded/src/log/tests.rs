//! What several of the log's tests share, and the tests of the whole.

mod crash;
mod damage;
mod faults;
mod files;
mod outside;
mod reading;
mod repair;

use std::sync::Arc;

use super::*;
use crate::disk::recording::RecordingDisk;

pub(super) const STORE: [u8; 16] = *b"store-id-of-test";

/// Segments so short that a few batches fill one.
pub(super) const SMALL: SegmentSizes = SegmentSizes { first: 4096, max: 8192 };

/// Lower-case hexadecimal, for golden vectors.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record as it was visited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) position: u64,
    pub(super) body: Vec<u8>,
    pub(super) batch: BatchAt,
    pub(super) offset: u32,
}

pub(super) fn with(time_ms: u64) -> OpenWith {
    OpenWith { sizes: SMALL, ..OpenWith::new(STORE, time_ms) }
}

pub(super) fn try_open(disk: &RecordingDisk) -> Result<(Opened, Vec<Seen>), OpenError> {
    try_open_with(disk, with(1_000))
}

/// As the backend does: once more on a full disk.
pub(super) fn try_open_full(disk: &RecordingDisk) -> Result<(Opened, Vec<Seen>), OpenError> {
    match try_open(disk) {
        Err(OpenError::DiskFull { .. }) => try_open_with(disk, OpenWith { full: true, ..with(1_000) }),
        opened => opened,
    }
}

fn try_open_with(disk: &RecordingDisk, with: OpenWith) -> Result<(Opened, Vec<Seen>), OpenError> {
    let mut seen = Vec::new();
    let opened = open(Arc::new(disk.clone()), with, &mut |record| {
        let RecordView { position, body, batch, offset, .. } = record;
        seen.push(Seen { position, body: body.to_vec(), batch, offset });
        Ok(())
    })?;
    Ok((opened, seen))
}

/// A log that is open for writing.
pub(super) struct Live {
    pub(super) disk: RecordingDisk,
    pub(super) writer: Writer,
    pub(super) buffer: LogBuffer,
    pub(super) reader: Reader,
    pub(super) report: Report,
    pub(super) open_count: u64,
    pub(super) seen: Vec<Seen>,
}

impl Live {
    pub(super) fn open(disk: &RecordingDisk) -> Self {
        Self::try_open(disk).expect("opens")
    }

    pub(super) fn try_open(disk: &RecordingDisk) -> Result<Self, OpenError> {
        let (opened, seen) = try_open_full(disk)?;
        let Opened { mode, reader, report, next_position, open_count, .. } = opened;
        let Mode::ReadWrite(writer) = mode else { panic!("read-only: {report:?}") };
        let buffer = LogBuffer::new(next_position);
        Ok(Self { disk: disk.clone(), writer: *writer, buffer, reader, report, open_count, seen })
    }

    pub(super) fn stage(&mut self, body: &[u8]) -> Staged {
        self.buffer.append(RecordKind::Message, 0, |bytes| bytes.extend_from_slice(body))
    }

    pub(super) fn write(&mut self, sync: bool) -> Result<Written, LogError> {
        let written = self.writer.write(&mut self.buffer, 1_000, sync)?;
        self.buffer.restart(written.end);
        Ok(written)
    }

    /// Writes and syncs one record.
    pub(super) fn put(&mut self, body: &[u8]) -> Written {
        self.stage(body);
        self.write(true).expect("a healthy log writes")
    }
}

/// The bodies, in the order visited.
pub(super) fn bodies(seen: &[Seen]) -> Vec<&[u8]> {
    seen.iter().map(|record| &record.body[..]).collect()
}

/// The report of a log that must open read-only.
pub(super) fn corruption_of(disk: &RecordingDisk) -> (Corruption, Vec<Seen>) {
    let before = disk.operations();
    let (opened, seen) = try_open(disk).expect("opens");
    assert!(matches!(opened.mode, Mode::ReadOnly), "{:?}", opened.report);
    assert_eq!(disk.operations(), before, "a read-only opening changes nothing");
    (opened.report.corruption.expect("says why it is read-only"), seen)
}
