//! Which files there are, and what their header blocks say.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::disk::Disk;
use crate::log::error::OpenError;
use crate::log::segment::{
    DATA_OFFSET, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderFault, VERSION, file_name, segment_number,
};
use crate::log::walk::Segment;

/// All files of a log.
#[derive(Debug, Default)]
pub(in crate::log) struct Survey {
    /// The store's id; `None` when no segment is part of a log.
    pub(in crate::log) store_id: Option<[u8; 16]>,
    /// Those that are part of the log, by number.
    pub(in crate::log) segments: Vec<Segment>,
    /// Those that are not, by number: spares, segments whose header was never finished, segments whose header is damaged.
    pub(in crate::log) strays: Vec<Stray>,
    /// Those that a later segment supersedes as a whole, because it begins at the same position: left by a crash while opening.
    pub(in crate::log) superseded: Vec<Segment>,
    /// The highest open count of any header.
    pub(in crate::log) open_count: u64,
}

/// A segment file without a valid header.
#[derive(Debug)]
pub(in crate::log) struct Stray {
    pub(in crate::log) number: u64,
    pub(in crate::log) name: String,
    pub(in crate::log) file_bytes: u64,
}

impl Survey {
    pub(in crate::log) fn take(disk: &dyn Disk) -> Result<Self, OpenError> {
        let mut names = BTreeMap::new();
        for name in disk.list().map_err(OpenError::io("listing", "the log folder"))? {
            let Some(number) = segment_number(&name) else { continue };
            if let Some(other) = names.insert(number, name.clone()) {
                return Err(OpenError::DuplicateSegment { file: name, other });
            }
        }
        let mut survey = Self::default();
        for (number, name) in names {
            survey.add(disk, number, name)?;
        }
        survey.set_superseded_apart();
        Ok(survey)
    }

    fn set_superseded_apart(&mut self) {
        let mut first_after = u64::MAX;
        let (mut kept, mut superseded) = (Vec::new(), Vec::new());
        for segment in std::mem::take(&mut self.segments).into_iter().rev() {
            let list = if segment.first < first_after { &mut kept } else { &mut superseded };
            first_after = first_after.min(segment.first);
            list.push(segment);
        }
        kept.reverse();
        (self.segments, self.superseded) = (kept, superseded);
    }

    fn add(&mut self, disk: &dyn Disk, number: u64, name: String) -> Result<(), OpenError> {
        let file = disk.open(&name).map_err(OpenError::io("opening", &name))?;
        let mut block = [0; SEGMENT_HEADER_BYTES];
        // What a short file lacks stays zero, which is what a spare cut short by a crash looks like.
        file.read_at(0, &mut block).map_err(OpenError::io("reading", &name))?;
        let file_bytes = file.size().map_err(OpenError::io("reading", &name))?;
        let header = match SegmentHeader::decode(&block) {
            Ok(header) => header,
            Err(SegmentHeaderFault::UnknownVersion(version)) => {
                return Err(OpenError::UnknownVersion { file: name, version, known: VERSION });
            }
            Err(SegmentHeaderFault::Blank | SegmentHeaderFault::Damaged) => {
                // A file that is not even named like one of ours is left alone.
                if name == file_name(number) {
                    self.strays.push(Stray { number, name, file_bytes });
                }
                return Ok(());
            }
        };
        if header.number != number || name != file_name(number) {
            return Err(OpenError::WrongNumber { file: name, number: header.number });
        }
        if let Some(other) = self.segments.first()
            && self.store_id != Some(header.store_id)
        {
            return Err(OpenError::ForeignSegment { file: name, other: other.name.clone() });
        }
        self.store_id = Some(header.store_id);
        self.open_count = self.open_count.max(header.open_count);
        self.segments.push(Segment { number, name, file_bytes, first: header.first_position });
        Ok(())
    }

    /// Sets those apart that a snapshot covers; answers them.
    pub(super) fn take_covered(&mut self, position: u64) -> Vec<Segment> {
        let covered = self.segments.partition_point(|segment| segment.first < position);
        self.segments.drain(..covered).collect()
    }

    /// Whether the log begins at this position, when segments up to this number may have been before it.
    pub(super) fn check_beginning(&self, number: u64, position: u64) -> Result<(), OpenError> {
        let first = match self.segments.first() {
            // Nothing was ever before it, so there may be no log yet.
            None if position <= 1 => return Ok(()),
            None => None,
            Some(first) if first.first <= position => return Ok(()),
            Some(first) => Some(first),
        };
        let end = first.map_or(u64::MAX, |first| first.number);
        match self.strays_in(number..end).next_back() {
            Some(stray) => Err(OpenError::DamagedHeader { file: stray.name.clone() }),
            None => Err(match first {
                Some(first) => missing(first.number.saturating_sub(1), position, first.first),
                None => missing(number, position, position.saturating_add(1)),
            }),
        }
    }

    /// The strays whose numbers lie in a range.
    pub(super) fn strays_in(&self, numbers: Range<u64>) -> impl DoubleEndedIterator<Item = &Stray> {
        self.strays.iter().filter(move |stray| numbers.contains(&stray.number))
    }

    /// The strays behind the last segment.
    pub(super) fn strays_behind(&self) -> impl Iterator<Item = &Stray> {
        let last = self.segments.last().map_or(0, |segment| segment.number);
        self.strays_in(last.saturating_add(1)..u64::MAX)
    }
}

/// The bytes of a header block, as a range to report.
pub(super) fn header_block() -> Range<u64> {
    0..DATA_OFFSET
}

pub(super) fn missing(number: u64, from: u64, until: u64) -> OpenError {
    OpenError::MissingSegment { file: file_name(number), from, until }
}
