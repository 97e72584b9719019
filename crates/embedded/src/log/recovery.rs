//! Opening a log: read it, judge its end, hand every record to the visitor, and only then change anything on disk.
//!
//! For the first bad batch there are two cases. Something proves its position durable: it is *corruption*, the log is opened
//! read-only and nothing is changed. Otherwise it and all after it is a *torn tail*, which nobody was told to be durable: it is
//! reported and cut. What is valid but not proven durable may exist only in the page cache, so it is copied into a fresh segment
//! and synced before anything is served; where a full disk allows no fresh one, it is written once more where it lies, and synced.

mod commit;
mod judge;
mod reach;
mod stray;
pub(super) mod survey;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use self::judge::{End, Verdict};
use self::survey::Survey;
use super::batch::BatchHeader;
use super::catalog::Catalog;
use super::error::{Corrupt, OpenError};
use super::key::StoreKey;
use super::mark::{FoundMark, MARK_FILE};
use super::reader::Reader;
use super::record::{BatchAt, Open, RecordFault, RecordKind, RecordView, Reserve, records};
use super::report::{Corruption, Report};
use super::segment::SegmentSizes;
use super::walk::{Cursor, Until, Walked, Walker};
use super::writer::Writer;
use crate::disk::Disk;

/// What opening needs from outside.
#[derive(Debug, Clone, Copy)]
pub struct OpenWith {
    /// Random; becomes the store's id if there is no store yet.
    pub new_store_id: [u8; 16],
    /// The wall clock, unix milliseconds.
    pub time_ms: u64,
    /// The position of the newest valid snapshot: records below it are in the snapshot, so segments that hold only those may have
    /// been removed, and they had been durable. 0 without a snapshot.
    pub snapshot: u64,
    /// How long segments are.
    pub sizes: SegmentSizes,
    /// The opening before this one found no room for another file (`OpenError::DiskFull`): what nothing proves durable stays where
    /// it is, and is written and synced there once more.
    pub full: bool,
}

impl OpenWith {
    /// Without a snapshot, with segments as they are everywhere.
    #[must_use]
    pub fn new(new_store_id: [u8; 16], time_ms: u64) -> Self {
        Self { new_store_id, time_ms, snapshot: 0, sizes: SegmentSizes::default(), full: false }
    }
}

/// An open log.
#[derive(Debug)]
pub struct Opened {
    /// Whether it can be written.
    pub mode: Mode,
    /// Reads batches; knows of those the writer will add.
    pub reader: Reader,
    /// What was found and done. The caller logs it.
    pub report: Report,
    /// The store's id.
    pub store_id: [u8; 16],
    /// The position of the next record; read-only, the first that cannot be read.
    pub next_position: u64,
    /// How often the store was opened for writing, this time included. Durable.
    pub open_count: u64,
    /// The log's time, unix milliseconds; the next batch's will not be below it.
    pub time_ms: u64,
}

/// What can be done with an open log.
#[derive(Debug)]
pub enum Mode {
    /// All is well.
    ReadWrite(Box<Writer>),
    /// Something durable is damaged: see [`Report::corruption`].
    ReadOnly,
}

/// Opens the log, creating it on an empty disk, and visits every record in order, once, except the log's own. The locations
/// visited are those the reader will find the records at. One process at a time may do this; a lock file is the caller's affair.
///
/// # Errors
/// See [`OpenError`]. What the visitor was given so far is then to be thrown away.
pub fn open(
    disk: Arc<dyn Disk>,
    with: OpenWith,
    visit: &mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
) -> Result<Opened, OpenError> {
    let mut recovery = Recovery::begin(disk, with, visit)?;
    match recovery.judge()? {
        Judged::Corrupt(corruption) => Ok(recovery.read_only(corruption)),
        Judged::Sound(end) => recovery.commit(end),
    }
}

/// Reads the whole log, visits what [`open`] would, and changes nothing. The report tells what an opening would find; answers
/// with it the next position, or the first that cannot be read.
///
/// # Errors
/// As [`open`].
pub fn check(
    disk: Arc<dyn Disk>,
    with: OpenWith,
    visit: &mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
) -> Result<(Report, u64), OpenError> {
    let mut recovery = Recovery::begin(disk, with, visit)?;
    let judged = recovery.judge()?;
    let position = recovery.cursor.position;
    let report = match judged {
        Judged::Corrupt(corruption) => Report { corruption: Some(corruption), ..recovery.report() },
        Judged::Sound(end) => recovery.sound_report(&end),
    };
    Ok((report, position))
}

/// What the whole log was found to be.
enum Judged {
    Corrupt(Corruption),
    Sound(End),
}

struct Recovery<'v> {
    disk: Arc<dyn Disk>,
    with: OpenWith,
    store_id: [u8; 16],
    first: u64,
    survey: Survey,
    mark: FoundMark,
    walker: Walker,
    cursor: Cursor,
    visits: Visits<'v>,
}

/// Where the tail goes: batches of the last segment from this offset on move to that place.
#[derive(Debug, Clone, Copy)]
struct Relocation {
    from: u64,
    to: BatchAt,
}

/// Hands records to the visitor, and keeps what only the log understands.
pub(super) struct Visits<'v> {
    /// The highest end of a reservation.
    reserved: u64,
    /// The positions that repairs gave up.
    given_up: Vec<Range<u64>>,
    visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
}

impl<'v> Recovery<'v> {
    fn begin(
        disk: Arc<dyn Disk>,
        with: OpenWith,
        visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
    ) -> Result<Self, OpenError> {
        let survey = Survey::take(&*disk)?;
        let mark = FoundMark::take(&*disk)?;
        let store_id = common_id(&survey, &mark)?.unwrap_or(with.new_store_id);
        let first = survey.first_position(with.snapshot)?;
        Ok(Recovery {
            walker: Walker::new(disk.clone(), StoreKey::new(store_id)),
            cursor: Cursor::at_start(first, with.snapshot.max(1)),
            visits: Visits::new(visit),
            disk,
            with,
            store_id,
            first,
            survey,
            mark,
        })
    }

    /// Reads and visits everything, up to what is damaged or to the end.
    fn judge(&mut self) -> Result<Judged, OpenError> {
        if let Some(corruption) = self.read_all_but_last()? {
            return Ok(Judged::Corrupt(corruption));
        }
        match self.judge_last()? {
            Verdict::Corrupt { until, corruption } => {
                self.read_last(until, None)?;
                Ok(Judged::Corrupt(corruption))
            }
            Verdict::Sound(end) => {
                self.read_last(end.offset, self.relocation(&end))?;
                Ok(Judged::Sound(end))
            }
        }
    }

    /// Visits the records of the last segment up to an offset.
    fn read_last(&mut self, until: u64, moved: Option<Relocation>) -> Result<(), OpenError> {
        let Some(last) = self.survey.segments.last() else { return Ok(()) };
        let (visits, name, segment) = (&mut self.visits, &last.name, last.number);
        let walked =
            self.walker.walk(last, Until::Offset(until), &mut self.cursor, &mut |header, bytes, offset, before| {
                let at = match moved {
                    Some(Relocation { from, to }) if offset >= from => {
                        BatchAt { offset: to.offset + (offset - from), ..to }
                    }
                    _ => BatchAt { segment, offset },
                };
                visits.batch(name, at, (header, bytes), before.position)
            })?;
        match walked {
            Walked::Arrived => Ok(()),
            // It was read a moment ago.
            Walked::Stopped { .. } => {
                Err(OpenError::io("reading twice", name)(io::Error::other("the second reading differs from the first")))
            }
        }
    }

    fn read_only(self, corruption: Corruption) -> Opened {
        let catalog = Arc::new(Catalog::default());
        for segment in &self.survey.segments {
            catalog.add(segment.number, segment.first);
        }
        Opened {
            mode: Mode::ReadOnly,
            report: Report { corruption: Some(corruption), ..self.report() },
            store_id: self.store_id,
            next_position: self.cursor.position,
            open_count: self.cursor.open_count.into(),
            time_ms: self.cursor.time_ms,
            reader: Reader::new(self.disk, StoreKey::new(self.store_id), catalog),
        }
    }

    fn report(&self) -> Report {
        Report {
            segments: self.survey.segments.len() as u64,
            batches: self.cursor.batches,
            records: self.cursor.records,
            first_position: self.first,
            proven_durable: self.cursor.known_durable.min(self.cursor.position),
            clean_shutdown: self.cursor.clean,
            given_up: self.visits.given_up.clone(),
            ..Report::default()
        }
    }

    /// The report of a sound log, before anything is done to its end.
    fn sound_report(&self, end: &End) -> Report {
        let unproven_bytes = end.offset - end.tail;
        Report { torn: end.torn.clone(), unproven_bytes, proven_durable: end.known_durable, ..self.report() }
    }
}

/// The store's id, when the segments or the mark know one; they must know the same.
pub(super) fn common_id(survey: &Survey, mark: &FoundMark) -> Result<Option<[u8; 16]>, OpenError> {
    let marked_id = mark.reached.map(|reached| reached.store_id);
    match survey.segments.first() {
        Some(segment) if marked_id.is_some() && survey.store_id != marked_id => {
            Err(OpenError::ForeignSegment { file: MARK_FILE.to_owned(), other: segment.name.clone() })
        }
        _ => Ok(survey.store_id.or(marked_id)),
    }
}

impl<'v> Visits<'v> {
    pub(super) fn new(visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>) -> Self {
        Self { reserved: 1, given_up: Vec::new(), visit }
    }

    /// These positions are lost: the records that follow are visited with that knowledge.
    pub(super) fn give_up(&mut self, positions: Range<u64>) {
        if !positions.is_empty() {
            self.given_up.push(positions);
        }
    }

    /// Visits the records of a batch, before which the log had come to this position.
    pub(super) fn batch(
        &mut self,
        name: &str,
        at: BatchAt,
        (header, bytes): (&BatchHeader, &[u8]),
        before: u64,
    ) -> Result<(), OpenError> {
        if header.closes_loss(before) {
            self.give_up(before..header.position);
        }
        let lost_until = self.given_up.last().map_or(0, |last| last.end);
        let mut position = header.position;
        for record in records(at, header, bytes) {
            let unknown =
                |fault| OpenError::UnknownRecord { file: name.to_owned(), offset: at.offset, position, fault };
            let record = record.map_err(unknown)?;
            match record.kind {
                RecordKind::Open => {
                    let open = Open::decode(record.body).ok_or(RecordFault::Length).map_err(unknown)?;
                    self.reserved = self.reserved.max(open.reserved_until);
                }
                RecordKind::Reserve => {
                    let reserve = Reserve::decode(record.body).ok_or(RecordFault::Length).map_err(unknown)?;
                    self.reserved = self.reserved.max(reserve.until);
                }
                _ => (self.visit)(RecordView { lost_until, ..record }).map_err(|reason| OpenError::Rejected {
                    file: name.to_owned(),
                    offset: at.offset,
                    position,
                    reason,
                })?,
            }
            position = position.saturating_add(1);
        }
        Ok(())
    }
}
