//! What is read of a log, on its way to whoever understands it.

use std::ops::Range;

use crate::log::batch::BatchHeader;
use crate::log::error::{Corrupt, OpenError};
use crate::log::record::{BatchAt, Open, RecordFault, RecordKind, RecordView, Reserve, records};
use crate::log::snapshot::Snapshot;

/// Hands records to the visitor, and keeps what only the log understands.
pub(in crate::log) struct Visits<'v> {
    /// The highest end of a reservation.
    pub(super) reserved: u64,
    /// The positions that repairs gave up.
    pub(super) given_up: Vec<Range<u64>>,
    visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
}

impl<'v> Visits<'v> {
    pub(in crate::log) fn new(visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>) -> Self {
        Self { reserved: 1, given_up: Vec::new(), visit }
    }

    /// Goes on where a snapshot was taken, if there is one.
    pub(in crate::log) fn behind(
        base: Option<&Snapshot>,
        visit: &'v mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
    ) -> Self {
        let known = base.map(|base| (base.reserved, base.given_up.clone()));
        let (reserved, given_up) = known.unwrap_or((1, Vec::new()));
        Self { reserved, given_up, visit }
    }

    /// The highest end of a reservation, and the positions that repairs gave up.
    pub(in crate::log) fn known(self) -> (u64, Vec<Range<u64>>) {
        (self.reserved, self.given_up)
    }

    /// These positions are lost: the records that follow are visited with that knowledge.
    pub(in crate::log) fn give_up(&mut self, positions: Range<u64>) {
        if !positions.is_empty() {
            self.given_up.push(positions);
        }
    }

    /// Visits the records of a batch, before which the log had come to this position.
    pub(in crate::log) fn batch(
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

    /// Goes on where a snapshot was taken.
    pub(super) fn go_on(&mut self, snapshot: &Snapshot) {
        (self.reserved, self.given_up) = (snapshot.reserved, snapshot.given_up.clone());
    }
}
