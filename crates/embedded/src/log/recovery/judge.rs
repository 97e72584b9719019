//! Judging the first bad batch: corruption, or a torn tail.

use std::collections::VecDeque;
use std::ops::Range;

use super::survey::{header_block, missing};
use super::{Corruption, Recovery};
use crate::log::batch::{BATCH_HEADER_BYTES, BatchHeader, Fault};
use crate::log::error::OpenError;
use crate::log::evidence::Evidence;
use crate::log::record::{Open, RECORD_HEADER_BYTES};
use crate::log::report::{Proof, Torn};
use crate::log::segment::DATA_OFFSET;
use crate::log::walk::{Cursor, Segment, Until, Walked};
use crate::log::window::NoBatch;

/// Length of the batch that an opening writes.
pub(super) const OPEN_BATCH_BYTES: u64 = (BATCH_HEADER_BYTES + RECORD_HEADER_BYTES + Open::BYTES) as u64;

pub(super) enum Verdict {
    /// The records of the last segment up to this offset are good.
    Corrupt {
        until: u64,
        corruption: Corruption,
    },
    Sound(End),
}

/// The end of a sound log.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Where the last segment's batches end.
    pub(super) offset: u64,
    /// Where those begin that nothing proves durable.
    pub(super) tail: u64,
    /// The next position there.
    pub(super) tail_position: u64,
    /// Whether they hold records, or only prove others.
    pub(super) tail_has_records: bool,
    /// The highest position below which something proves everything durable.
    pub(super) known_durable: u64,
    pub(super) torn: Option<Torn>,
    /// The bytes of the last segment to be zeroed.
    pub(super) cut: Option<Range<u64>>,
}

impl Recovery<'_> {
    /// Visits all segments but the last. A later segment's header proves all before it durable, so whatever is bad is corruption.
    pub(super) fn read_all_but_last(&mut self) -> Result<Option<Corruption>, OpenError> {
        for index in 1..self.survey.segments.len() {
            let segments = &self.survey.segments;
            let (Some(segment), Some(next)) = (segments.get(index - 1), segments.get(index)) else { break };
            let until = Until::NextSegment { first: next.first, continues: self.walker.continues(next)? };
            let visits = &mut self.visits;
            let walked = self.walker.walk(segment, until, &mut self.cursor, &mut |header, bytes, offset, before| {
                let at = super::BatchAt { segment: segment.number, offset };
                visits.batch(&segment.name, at, (header, bytes), before.position)
            })?;
            if let Walked::Stopped { offset, why } = walked {
                return self.judge_sealed(index, offset, why).map(Some);
            }
        }
        Ok(None)
    }

    /// Says what is wrong between the segment before this index and the one at it.
    fn judge_sealed(&mut self, index: usize, offset: u64, why: NoBatch) -> Result<Corruption, OpenError> {
        let segments = &self.survey.segments;
        let (segment, next) = (&segments[index - 1], &segments[index]);
        let from = self.cursor.position;
        let beyond = self.walker.beyond(&segment.name, offset, from)?;
        let proof = Proof::NextSegment { file: next.name.clone(), first_position: next.first };
        let until = next.first.max(from);
        let numbers_between = segment.number + 1..next.number;
        if beyond.end.is_none() && !numbers_between.is_empty() {
            let Some(stray) = self.survey.strays_in(numbers_between.clone()).next() else {
                return Err(missing(numbers_between.start, from, until));
            };
            let (file, bytes, positions) = (stray.name.clone(), header_block(), from..until);
            let fault = Fault::SegmentHeader;
            return Ok(Corruption { file, bytes, positions, unsettled: None, fault, proof });
        }
        Ok(locate(segment, offset, why, from, until, &beyond, proof))
    }

    /// Reads the last segment without visiting it, and judges what its batches end with.
    pub(super) fn judge_last(&mut self) -> Result<Verdict, OpenError> {
        let Some(last) = self.survey.segments.last() else { return self.judge_nothing() };
        let mut cursor = self.cursor;
        let mut tail = Unproven::default();
        let walked = self.walker.walk(last, Until::BadBatch, &mut cursor, &mut |header, _, offset, before| {
            tail.add(header, offset, before);
            Ok(())
        })?;
        let Walked::Stopped { offset, why } = walked else {
            unreachable!("a walk that is told to go on ends only at something bad")
        };

        let from = cursor.position;
        let beyond = self.walker.beyond(&last.name, offset, from)?;
        let corrupt = |corruption| Ok(Verdict::Corrupt { until: offset, corruption });
        if let Some((known_durable, at)) = beyond.proof_beyond(from) {
            let proof = Proof::Header { file: last.name.clone(), offset: at, known_durable };
            return corrupt(locate(last, offset, why, from, known_durable, &beyond, proof));
        }
        let mut torn = torn(last, offset, why.fault, from, &beyond);
        for stray in self.survey.strays_behind() {
            let content = self.walker.beyond(&stray.name, DATA_OFFSET, from)?;
            if let Some((known, at)) = content.proof_beyond(from) {
                let proof = Proof::Header { file: stray.name.clone(), offset: at, known_durable: known };
                let (file, bytes, positions) = (stray.name.clone(), header_block(), from..known);
                let fault = Fault::SegmentHeader;
                return corrupt(Corruption { file, bytes, positions, unsettled: None, fault, proof });
            }
            torn = torn.or_else(|| unfinished_segment(&stray.name, from, &content));
        }
        if let Some((until, proof)) = self.marked_beyond(from) {
            return match self.unmarked(from).filter(|unmarked| unmarked.file == last.name) {
                Some(shortened) => corrupt(shortened),
                None => corrupt(locate(last, offset, why, from, until, &beyond, proof)),
            };
        }
        if let Some(unmarked) = self.unmarked(from) {
            return corrupt(unmarked);
        }
        if self.with.snapshot > from {
            let proof = Proof::Snapshot(self.with.snapshot);
            return corrupt(locate(last, offset, why, from, self.with.snapshot, &beyond, proof));
        }

        let cut = beyond.end.map(|end| offset..end);
        let known_durable = cursor.known_durable.min(from);
        let (tail, tail_position, tail_has_records) = tail.beyond(known_durable, offset, from);
        Ok(Verdict::Sound(End { offset, tail, tail_position, tail_has_records, known_durable, torn, cut }))
    }

    /// No segment is part of a log: there was none, or its first opening never finished.
    fn judge_nothing(&mut self) -> Result<Verdict, OpenError> {
        if let Some(corruption) = self.unmarked(self.cursor.position) {
            return Ok(Verdict::Corrupt { until: DATA_OFFSET, corruption });
        }
        for stray in &self.survey.strays {
            let content = self.walker.beyond(&stray.name, DATA_OFFSET, 0)?;
            // A first opening writes one small batch before the header. More than that was a log.
            if content.end.is_some_and(|end| end > DATA_OFFSET + OPEN_BATCH_BYTES) {
                return Err(OpenError::DamagedHeader { file: stray.name.clone() });
            }
        }
        let start =
            End { offset: DATA_OFFSET, tail: DATA_OFFSET, tail_position: 1, known_durable: 1, ..End::default() };
        Ok(Verdict::Sound(start))
    }
}

/// The damaged range, as exactly as what is left allows: the batch itself if its header is good, else up to the next good header,
/// else all that is there.
pub(super) fn locate(
    segment: &Segment,
    offset: u64,
    why: NoBatch,
    from: u64,
    until: u64,
    beyond: &Evidence,
    proof: Proof,
) -> Corruption {
    let own = match (why.fault, why.header) {
        (Fault::BodyHash | Fault::Padding | Fault::Length, Some(header)) if header.position >= from => {
            Some((offset + header.padded_bytes() as u64, header.end()))
        }
        _ => None,
    };
    let (bytes_end, positions_end) = match own.or(beyond.resumes) {
        Some((bytes_end, position)) => (bytes_end, position),
        None => (segment.file_bytes.max(offset), until),
    };
    let (file, bytes) = (segment.name.clone(), offset..bytes_end);
    Corruption { file, bytes, positions: from..positions_end, unsettled: None, fault: why.fault, proof }
}

fn torn(last: &Segment, offset: u64, fault: Fault, position: u64, beyond: &Evidence) -> Option<Torn> {
    let end = beyond.end?;
    Some(Torn { file: last.name.clone(), offset, bytes: end - offset, position, fault })
}

fn unfinished_segment(name: &str, position: u64, content: &Evidence) -> Option<Torn> {
    let bytes = content.end?;
    Some(Torn { file: name.to_owned(), offset: 0, bytes, position, fault: Fault::SegmentHeader })
}

/// The batches nothing has proven durable yet. Bounded by the batches of one segment; a few when every batch is synced.
#[derive(Default)]
struct Unproven {
    batches: VecDeque<UnprovenBatch>,
}

struct UnprovenBatch {
    offset: u64,
    /// The next position before it.
    before: u64,
    position: u64,
    end: u64,
}

impl Unproven {
    fn add(&mut self, header: &BatchHeader, offset: u64, before: &Cursor) {
        self.forget_below(header.known_durable);
        self.batches.push_back(UnprovenBatch {
            offset,
            before: before.position,
            position: header.position,
            end: header.end(),
        });
    }

    fn forget_below(&mut self, known_durable: u64) {
        // An empty batch right at the known position is not proven itself.
        while self.batches.front().is_some_and(|batch| batch.position < known_durable && batch.end <= known_durable) {
            self.batches.pop_front();
        }
    }

    /// Where the unproven batches begin, the next position there, and whether they hold records.
    fn beyond(mut self, known_durable: u64, offset: u64, position: u64) -> (u64, u64, bool) {
        self.forget_below(known_durable);
        match self.batches.front() {
            Some(first) => (first.offset, first.before, self.batches.iter().any(|batch| batch.position < batch.end)),
            None => (offset, position, false),
        }
    }
}
