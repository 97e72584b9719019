//! What a snapshot covers: segments that an opening does not read.

use super::judge::locate;
use super::survey::header_block;
use super::{Base, Corruption, Recovery};
use crate::log::batch::Fault;
use crate::log::error::OpenError;
use crate::log::report::Proof;
use crate::log::segment::file_name;
use crate::log::snapshot::{KeptSegment, Snapshot, snapshot_name};
use crate::log::walk::{Cursor, Segment, Until, Walked};

impl Recovery<'_> {
    /// Goes on where a snapshot was taken. What it covers is only looked for.
    pub(super) fn cover(&mut self, base: Base<'_>) -> Result<(), OpenError> {
        let Base { snapshot, is_newest, .. } = base;
        if snapshot.store_id != self.store_id {
            let other = self.survey.segments.first().map_or_else(String::new, |segment| segment.name.clone());
            return Err(OpenError::ForeignSegment { file: snapshot_name(snapshot.segment), other });
        }
        let there = self.survey.take_covered(snapshot.position);
        self.survey.check_beginning(snapshot.segment, snapshot.position)?;
        for segment in there {
            match snapshot.kept.binary_search_by_key(&segment.number, |kept| kept.number) {
                Ok(at) => self.covered.push(KeptSegment { file_bytes: segment.file_bytes, ..snapshot.kept[at] }),
                // It was let go, and a crash came before it was removed.
                Err(_) => self.survey.superseded.push(segment),
            }
        }
        self.miss(snapshot, is_newest);
        let known_durable = snapshot.position.max(self.with.snapshot);
        self.cursor = Cursor { known_durable, ..Cursor::behind(snapshot) };
        self.visits.go_on(snapshot);
        self.first = self.covered.first().map_or(snapshot.position, |first| first.first);
        self.snapshot = Some(snapshot.position);
        Ok(())
    }

    /// Notes which of the segments that the snapshot counts on are not there, and which have lost their header block: what lies in
    /// such a one can be read all the same, for the snapshot knows what the block said.
    fn miss(&mut self, snapshot: &Snapshot, is_newest: bool) {
        let mut headless = Vec::new();
        for kept in &snapshot.kept {
            if self.covered.binary_search_by_key(&kept.number, |covered| covered.number).is_ok() {
                continue;
            }
            let stray = self.survey.strays_in(kept.number..kept.number + 1).next();
            let (fault, bytes) = match stray {
                Some(_) => (Fault::SegmentHeader, header_block()),
                None => (Fault::Missing, 0..0),
            };
            headless.extend(stray.map(|stray| KeptSegment { file_bytes: stray.file_bytes, ..*kept }));
            // Else a younger one may have let it go.
            if is_newest || stray.is_some() {
                let (file, positions) = (file_name(kept.number), kept.first..kept.end);
                let proof = Proof::Snapshot(snapshot.position);
                self.history.push(Corruption { file, bytes, positions, unsettled: None, fault, proof });
            }
        }
        self.covered.extend(headless);
        self.covered.sort_unstable_by_key(|covered| covered.number);
    }

    /// Reads what the snapshot covers, and visits nothing. What is damaged there was durable.
    pub(super) fn verify_covered(&mut self) -> Result<(), OpenError> {
        for KeptSegment { number, first, end, file_bytes, .. } in self.covered.clone() {
            let segment = Segment { number, name: file_name(number), file_bytes, first };
            // What the first batch continues may be gone.
            let mut cursor = Cursor { chain: None, ..Cursor::at_start(first, end) };
            let until = Until::NextSegment { first: end, continues: None };
            let walked = self.walker.walk(&segment, until, &mut cursor, &mut |_, _, _, _| Ok(()))?;
            let (batches, records) = (cursor.batches, cursor.records);
            self.cursor.batches += batches;
            self.cursor.records += records;
            if let Walked::Stopped { offset, why } = walked {
                let proof = Proof::Snapshot(self.cursor.position);
                let beyond = self.walker.beyond(&segment.name, offset, cursor.position)?;
                self.history.push(locate(&segment, offset, why, cursor.position, end, &beyond, proof));
            }
        }
        Ok(())
    }
}
