//! What a snapshot covers: segments that an opening does not read.

use super::survey::missing;
use super::{Base, Corruption, Recovery};
use crate::log::error::OpenError;
use crate::log::report::Proof;
use crate::log::segment::file_name;
use crate::log::snapshot::{KeptSegment, snapshot_name};
use crate::log::walk::{Cursor, Segment, Until, Walked};

impl Recovery<'_> {
    /// Goes on where a snapshot was taken. What it covers is only looked for.
    pub(super) fn cover(&mut self, base: Base<'_>) -> Result<(), OpenError> {
        let Base { snapshot, is_newest } = base;
        if snapshot.store_id != self.store_id {
            let other = self.survey.segments.first().map_or_else(String::new, |segment| segment.name.clone());
            return Err(OpenError::ForeignSegment { file: snapshot_name(snapshot.segment), other });
        }
        let there = self.survey.take_covered(snapshot.position);
        self.survey.check_beginning(snapshot.segment, snapshot.position)?;
        let kept = |number| snapshot.kept.iter().find(|kept| kept.number == number);
        let gone = snapshot.kept.iter().find(|kept| there.iter().all(|segment| segment.number != kept.number));
        if let Some(gone) = gone.filter(|_| is_newest) {
            let stray = self.survey.strays_in(gone.number..gone.number + 1).next();
            return Err(match stray {
                Some(stray) => OpenError::DamagedHeader { file: stray.name.clone() },
                None => missing(gone.number, gone.first, gone.end),
            });
        }
        for segment in there {
            match kept(segment.number) {
                Some(kept) => self.covered.push(KeptSegment { file_bytes: segment.file_bytes, ..*kept }),
                // It was let go, and a crash came before it was removed.
                None => self.survey.superseded.push(segment),
            }
        }
        let known_durable = snapshot.position.max(self.with.snapshot);
        self.cursor = Cursor { known_durable, ..Cursor::behind(snapshot) };
        self.visits.go_on(snapshot);
        self.first = self.covered.first().map_or(snapshot.position, |first| first.first);
        self.snapshot = Some(snapshot.position);
        Ok(())
    }

    /// Reads what the snapshot covers, and visits nothing. What is damaged there was durable.
    pub(super) fn verify_covered(&mut self) -> Result<Option<Corruption>, OpenError> {
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
                let bytes = offset..file_bytes.max(offset);
                let proof = Proof::Snapshot(self.cursor.position);
                let positions = cursor.position..end;
                return Ok(Some(Corruption { file: segment.name, bytes, positions, fault: why.fault, proof }));
            }
        }
        Ok(None)
    }
}
