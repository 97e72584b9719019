//! What was found in a store, as it is told.

use super::unsettled::Unsettled;
use super::{Checked, Cost, Damage, DamagedHistory, Lost, LostPiece, TornTail};
use crate::log::{Corruption, Kept, Loss, Piece, Plan, Report};

impl Checked {
    pub(super) fn new(report: Report, next: u64) -> Self {
        Checked {
            sound: true,
            segments: report.segments,
            batches: report.batches,
            records: report.records,
            positions: report.first_position..next,
            durable_below: report.proven_durable,
            closed_in_order: report.clean_shutdown,
            unproven_bytes: report.unproven_bytes,
            torn: report.torn.map(|torn| TornTail {
                file: torn.file,
                bytes: torn.offset..torn.offset + torn.bytes,
                position: torn.position,
                fault: torn.fault.to_string(),
            }),
            given_up: report.given_up,
            snapshot: report.snapshot,
            snapshots_damaged: report.snapshots_damaged,
            history_damaged: report.history.into_iter().map(DamagedHistory::of).collect(),
            damage: None,
        }
    }
}

impl DamagedHistory {
    fn of(damage: Corruption) -> Self {
        let Corruption { file, bytes, positions, fault, .. } = damage;
        DamagedHistory { file, bytes, positions, fault: fault.to_string() }
    }
}

impl Damage {
    pub(super) fn of(found: &Corruption) -> Self {
        Damage {
            file: Some(found.file.clone()),
            bytes: Some(found.bytes.clone()),
            positions: Some(found.positions.clone()),
            proof: Some(found.proof.to_string()),
            ..Damage::words(found.to_string())
        }
    }

    pub(super) fn words(text: String) -> Self {
        Damage { text, file: None, bytes: None, positions: None, proof: None, cost: None, irreparable: None }
    }
}

impl Cost {
    pub(super) fn new(plan: &Plan, nameless_queues: Vec<String>, unsettled: &Unsettled) -> Self {
        let Kept { batches: batches_behind, records: records_behind } = plan.behind;
        Cost {
            losses: plan.losses.iter().map(Lost::new).collect(),
            unsettled: unsettled.messages(),
            records_before: plan.before.records,
            records_behind,
            batches_behind,
            nameless_queues,
            copied: plan.touched().into_iter().chain(unsettled.files()).collect(),
        }
    }

    /// The log itself is whole, as far as it is read.
    pub(super) fn of_unsettled(unsettled: &Unsettled, records_before: u64) -> Self {
        Cost {
            losses: Vec::new(),
            unsettled: unsettled.messages(),
            records_before,
            records_behind: 0,
            batches_behind: 0,
            nameless_queues: Vec::new(),
            copied: unsettled.files(),
        }
    }
}

impl Lost {
    fn new(loss: &Loss) -> Self {
        let piece = |Piece { file, bytes, fault }: &Piece| LostPiece {
            file: file.clone(),
            bytes: bytes.clone(),
            fault: fault.to_string(),
        };
        Lost {
            pieces: loss.pieces.iter().map(piece).collect(),
            positions: loss.positions.clone(),
            durable_below: loss.durable_until,
            batches_told_of: loss.batches,
            records_told_of: loss.records,
        }
    }
}
