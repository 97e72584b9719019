//! Opening a log: read it, judge its end, hand every record to the visitor, and only then change anything on disk.
//!
//! For the first bad batch there are two cases. Something proves its position durable: it is *corruption*, the log is opened
//! read-only and nothing is changed. Otherwise it and all after it is a *torn tail*, which nobody was told to be durable: it is
//! reported and cut. What is valid but not proven durable may exist only in the page cache, so it is copied into a fresh segment
//! and synced before anything is served; where a full disk allows no fresh one, it is written once more where it lies, and synced.

mod commit;
mod cover;
mod judge;
mod lost;
mod reach;
mod stray;
pub(super) mod survey;
mod visits;

use std::io;
use std::sync::Arc;

use self::judge::{End, Verdict};
pub use self::lost::unreadable;
use self::survey::Survey;
pub(super) use self::visits::Visits;
use super::batch::Fault;
use super::catalog::{Catalog, Listed};
use super::error::{Corrupt, OpenError};
use super::follow::Follower;
use super::key::StoreKey;
use super::mark::{FoundMark, MARK_FILE};
use super::reader::Reader;
use super::record::{BatchAt, RecordView};
use super::report::{Corruption, Proof, Report};
use super::segment::SegmentSizes;
use super::snapshot::{FoundSnapshot, KeptSegment, Snapshot};
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
    /// The position of the newest snapshot there is: records below it had been durable. 0 without a snapshot.
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

/// Calls back for each thing that is still needed: its position, and the batch in which it lies.
pub type Needs<'n> = dyn Fn(&mut dyn FnMut(u64, BatchAt)) + 'n;

/// Where an opening begins instead of at the first record.
#[derive(Clone, Copy)]
pub struct Base<'b> {
    /// What was there.
    pub snapshot: &'b Snapshot,
    /// Whether no younger snapshot let segments go that this one lists.
    pub is_newest: bool,
    /// Asked once all is read: what of it is not there any more opens the log read-only. None: nobody asks.
    pub needed: Option<&'b Needs<'b>>,
}

/// An open log.
#[derive(Debug)]
pub struct Opened {
    /// Whether it can be written.
    pub mode: Mode,
    /// Reads batches; knows of those the writer will add.
    pub reader: Reader,
    /// Reads behind the writer, for snapshots.
    pub follower: Follower,
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
    open_from(disk, with, None, visit)
}

/// The same, from a snapshot on: visits the records that are not in it.
///
/// # Errors
/// As [`open`].
pub fn open_from(
    disk: Arc<dyn Disk>,
    with: OpenWith,
    base: Option<Base<'_>>,
    visit: &mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
) -> Result<Opened, OpenError> {
    let mut recovery = Recovery::begin(disk, with, base, visit)?;
    match recovery.judge()? {
        Judged::Corrupt(corruption) => Ok(recovery.read_only(corruption)),
        Judged::Sound(end) => match recovery.lost(base)? {
            Some(lost) => Ok(recovery.read_only(lost)),
            None => recovery.commit(end),
        },
    }
}

/// Opens a log whose beginning is gone, with no snapshot that can be read: nothing is visited, and nothing changed. What is left of
/// it can be looked at.
///
/// # Errors
/// As [`open`].
pub fn open_headless(disk: Arc<dyn Disk>, with: OpenWith, snapshot: &FoundSnapshot) -> Result<Opened, OpenError> {
    let mut visit = |_: RecordView<'_>| Ok(());
    let recovery = Recovery::headless(disk, with, &mut visit)?;
    let (file, first_position) =
        recovery.survey.segments.first().map_or((String::new(), 1), |first| (first.name.clone(), first.first));
    Ok(recovery.read_only(Corruption {
        file: snapshot.name.clone(),
        bytes: 0..snapshot.file_bytes,
        positions: 1..first_position,
        unsettled: None,
        fault: Fault::Snapshot,
        proof: Proof::NextSegment { file, first_position },
    }))
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
    check_from(disk, with, None, visit)
}

/// The same, from a snapshot on; of the segments before it that are kept, every batch is verified, and none visited. What is damaged
/// there is the report's history, whatever is still needed of it.
///
/// # Errors
/// As [`open`].
pub fn check_from(
    disk: Arc<dyn Disk>,
    with: OpenWith,
    base: Option<Base<'_>>,
    visit: &mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
) -> Result<(Report, u64), OpenError> {
    let mut recovery = Recovery::begin(disk, with, base, visit)?;
    recovery.verify_covered()?;
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
    /// Segments that a snapshot covers, and those that it let go.
    covered: Vec<KeptSegment>,
    /// What is wrong with them.
    history: Vec<Corruption>,
    /// The position of the snapshot.
    snapshot: Option<u64>,
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

impl<'v> Recovery<'v> {
    fn begin(
        disk: Arc<dyn Disk>,
        with: OpenWith,
        base: Option<Base<'_>>,
        visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
    ) -> Result<Self, OpenError> {
        let mut recovery = Self::headless(disk, with, visit)?;
        let Some(base) = base else {
            recovery.survey.check_beginning(1, 1)?;
            if recovery.survey.segments.is_empty() && with.snapshot > 1 {
                return Err(survey::missing(1, 1, with.snapshot));
            }
            return Ok(recovery);
        };
        recovery.cover(base)?;
        Ok(recovery)
    }

    /// At the beginning of what is there.
    fn headless(
        disk: Arc<dyn Disk>,
        with: OpenWith,
        visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
    ) -> Result<Self, OpenError> {
        let survey = Survey::take(&*disk)?;
        let mark = FoundMark::take(&*disk)?;
        let store_id = common_id(&survey, &mark)?.unwrap_or(with.new_store_id);
        let first = survey.segments.first().map_or(1, |segment| segment.first);
        Ok(Recovery {
            walker: Walker::new(disk.clone(), StoreKey::new(store_id)),
            cursor: Cursor::at_start(first, with.snapshot.max(1)),
            visits: Visits::new(visit),
            disk,
            with,
            store_id,
            first,
            covered: Vec::new(),
            history: Vec::new(),
            snapshot: None,
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
        let reader = Reader::new(self.disk.clone(), StoreKey::new(self.store_id), Arc::new(self.catalog()));
        Opened {
            mode: Mode::ReadOnly,
            report: Report { corruption: Some(corruption), ..self.report() },
            store_id: self.store_id,
            next_position: self.cursor.position,
            open_count: self.cursor.open_count.into(),
            time_ms: self.cursor.time_ms,
            follower: Follower::new(reader.clone(), self.store_id),
            reader,
        }
    }

    /// The segments of the log.
    fn catalog(&self) -> Catalog {
        let catalog = Catalog::default();
        for KeptSegment { number, first, end, file_bytes, .. } in &self.covered {
            catalog.add_ended(Listed { number: *number, first: *first, end: *end, file_bytes: *file_bytes });
        }
        for segment in &self.survey.segments {
            catalog.add(segment.number, segment.first, segment.file_bytes);
        }
        catalog
    }

    fn report(&self) -> Report {
        Report {
            segments: (self.covered.len() + self.survey.segments.len()) as u64,
            snapshot: self.snapshot,
            batches: self.cursor.batches,
            records: self.cursor.records,
            first_position: self.first,
            proven_durable: self.cursor.known_durable.min(self.cursor.position),
            clean_shutdown: self.cursor.clean,
            given_up: self.visits.given_up.clone(),
            history: self.history.clone(),
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
