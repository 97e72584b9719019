//! What the mark knows of the newest segment, and whether the files bear it out.

use std::ops::Range;

use super::Recovery;
use super::survey::header_block;
use crate::log::batch::Fault;
use crate::log::mark::Reached;
use crate::log::report::{Corruption, Proof};
use crate::log::segment::file_name;

impl Recovery<'_> {
    /// What the mark knows to be durable beyond this position, and the proof: records in the last segment that is left.
    pub(super) fn marked_beyond(&self, from: u64) -> Option<(u64, Proof)> {
        let reached = self.mark.reached?;
        let last = self.survey.segments.last()?;
        // The header of the segment that is gone said that all before it is durable.
        let until = if last.number < reached.segment { reached.first } else { reached.durable };
        (until > from).then(|| (until, proof(reached)))
    }

    /// What is wrong with the file of the segment that the mark names, when the log before it ends at this position: it is gone,
    /// shorter than it was, or its header block is no more.
    pub(super) fn unmarked(&self, from: u64) -> Option<Corruption> {
        let reached = self.mark.reached?;
        let (fault, bytes) = match self.survey.segments.last() {
            // The log has grown since; what had been the newest segment is judged like every other one.
            Some(last) if last.number > reached.segment => return None,
            Some(last) if last.number == reached.segment => (shortened(last.file_bytes, reached)?, last.file_bytes),
            _ => match self.survey.strays_in(reached.segment..reached.segment.saturating_add(1)).next() {
                Some(stray) => match shortened(stray.file_bytes, reached) {
                    Some(fault) => (fault, stray.file_bytes),
                    None => return Some(corruption(reached, header_block(), from, Fault::SegmentHeader)),
                },
                None => (Fault::Missing, 0),
            },
        };
        Some(corruption(reached, bytes..reached.file_bytes, from, fault))
    }
}

fn shortened(file_bytes: u64, reached: Reached) -> Option<Fault> {
    (file_bytes < reached.file_bytes).then_some(Fault::Short)
}

fn corruption(reached: Reached, bytes: Range<u64>, from: u64, fault: Fault) -> Corruption {
    let (file, positions) = (file_name(reached.segment), from..reached.durable.max(from));
    Corruption { file, bytes, positions, unsettled: None, fault, proof: proof(reached) }
}

fn proof(reached: Reached) -> Proof {
    Proof::Mark { durable: reached.durable, clean: reached.clean }
}
