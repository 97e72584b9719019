//! What is still needed of what a snapshot covers, and cannot be read: found, and given up.
//!
//! Nothing of the log is written anew for it: what is given up is dropped by records behind all others, as it would be dropped by a hub.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::LostMessages;
use crate::disk::Disk;
use crate::engine::{Engine, Needed, NeededBy};
use crate::journal::{By, LeaseOf, Record, Token};
use crate::log::{
    BatchAt, Corruption, Fault, FoundSnapshot, LogBuffer, LogError, Mode, OpenError, OpenWith, Opened, Proof, Writer,
    file_name, unreadable,
};
use crate::snapshot::{Recovered, recover_without};

/// Why a message is gone, for whoever looks at its history.
const REASON: &str = "given up by a repair: what was stored of it is damaged";
/// Records of one opening: no more than positions are reserved for.
const RECORDS_MAX: usize = 500_000;
/// Bytes of one of them, at most.
const RECORD_BYTES: usize = 256;

/// What is lost, of what is still needed.
pub(crate) struct Unsettled {
    lost: Vec<(Needed, Fault)>,
    queues: BTreeMap<u32, String>,
    /// Where the snapshot stands.
    snapshot: u64,
}

impl Unsettled {
    /// Looks for it in front of a snapshot: all behind one was read by whoever built the engine.
    ///
    /// # Errors
    /// What the disk answers.
    pub(super) fn find(disk: &Arc<dyn Disk>, base: Option<&FoundSnapshot>, engine: &Engine) -> Result<Self, OpenError> {
        let mut found = Unsettled { lost: Vec::new(), queues: BTreeMap::new(), snapshot: 0 };
        let Some(header) = base.and_then(FoundSnapshot::valid) else { return Ok(found) };
        found.snapshot = header.position;
        let is_covered = |needed: &Needed| needed.place.batch().segment < header.segment;
        let batches: BTreeSet<BatchAt> =
            engine.needed().filter(is_covered).map(|needed| needed.place.batch()).collect();
        let unreadable = unreadable(disk, header.store_id, batches)?;
        let lost = engine.needed().filter(is_covered);
        found.lost = lost.filter_map(|needed| Some((needed, *unreadable.get(&needed.place.batch())?))).collect();
        found.lost.sort_unstable_by_key(|(needed, _)| (needed.place.batch(), needed.position));
        for (needed, _) in &found.lost {
            if let NeededBy::Queue(queue, _) = needed.by
                && let Some(name) = engine.queue_name(queue)
            {
                found.queues.insert(queue, name.to_string());
            }
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_empty()
    }

    /// What an opening would say, of the first file.
    pub(super) fn corruption(&self) -> Option<Corruption> {
        let (first, fault) = self.lost.first()?;
        let segment = first.place.batch().segment;
        let lost = || self.lost.iter().map(|(needed, _)| needed).filter(|lost| lost.place.batch().segment == segment);
        let offsets = lost().map(|lost| (lost.place.batch().offset, u64::from(lost.place.offset + lost.place.len)));
        let bytes = match fault {
            Fault::Missing => 0..0,
            _ => first.place.batch().offset..offsets.map(|(batch, end)| batch + end).max()?,
        };
        let positions: BTreeSet<u64> = lost().map(|lost| lost.position).collect();
        Some(Corruption {
            file: file_name(segment),
            bytes,
            positions: *positions.first()?..positions.last()?.saturating_add(1),
            unsettled: Some(positions.len() as u64),
            fault: *fault,
            proof: Proof::Snapshot(self.snapshot),
        })
    }

    /// The damaged files that are there: they may be removed once nothing in them is needed.
    pub(super) fn files(&self) -> Vec<String> {
        let there = self.lost.iter().filter(|(_, fault)| *fault != Fault::Missing);
        let numbers: BTreeSet<u64> = there.map(|(needed, _)| needed.place.batch().segment).collect();
        numbers.into_iter().map(file_name).collect()
    }

    /// By queue, in order.
    pub(super) fn messages(&self) -> Vec<LostMessages> {
        let mut by_queue: BTreeMap<Option<u32>, BTreeSet<u64>> = BTreeMap::new();
        for (Needed { by, position, .. }, _) in &self.lost {
            let queue = if let NeededBy::Queue(queue, _) = by { Some(*queue) } else { None };
            by_queue.entry(queue).or_default().insert(*position);
        }
        let lost = by_queue.into_iter().map(|(queue, positions)| LostMessages {
            queue: queue.map(|id| self.queues.get(&id).cloned().unwrap_or_else(|| format!("number {id}"))),
            positions: runs(positions),
        });
        lost.collect()
    }

    /// Appends the records that let go of it, and writes them.
    fn drop_all(&self, writer: &mut Writer, buffer: &mut LogBuffer, unix_ms: u64) -> Result<(), LogError> {
        for (Needed { by, position, .. }, _) in self.lost.iter().take(RECORDS_MAX) {
            let record = match *by {
                NeededBy::Queue(queue, attempt) => {
                    let lease = LeaseOf { queue, position: *position, token: Token::default(), attempt };
                    Record::Drop { lease, by: By::Hub, reason: REASON }
                }
                NeededBy::Notice(dead) => Record::Told { dead, position: *position, refused: REASON },
            };
            if !buffer.fits(RECORD_BYTES, 1) {
                let written = writer.write(buffer, unix_ms, true)?;
                buffer.restart(written.end);
            }
            buffer.append(record.kind(), record.flags(), |body| record.encode(body));
        }
        writer.write(buffer, unix_ms, true)?;
        writer.prove(unix_ms, true).map(|_| ())
    }
}

/// Opens the store, and lets go of all that is still needed and cannot be read. Killed at any moment, it has given up some, all, or
/// nothing of it.
///
/// # Errors
/// As an opening, and what the disk answers.
pub(crate) fn give_up(disk: &Arc<dyn Disk>, unix_ms: u64) -> Result<(), OpenError> {
    loop {
        let with = OpenWith::new([0; 16], unix_ms);
        let Recovered { engine, opened, newest } = match recover_without(disk, with, 0) {
            Err(OpenError::DiskFull { .. }) => recover_without(disk, OpenWith { full: true, ..with }, 0)?,
            recovered => recovered?,
        };
        let unsettled = Unsettled::find(disk, newest.as_ref(), &engine)?;
        let Opened { mode: Mode::ReadWrite(mut writer), next_position, .. } = opened else { return Ok(()) };
        if unsettled.is_empty() {
            return Ok(());
        }
        let mut buffer = LogBuffer::new(next_position);
        unsettled.drop_all(&mut writer, &mut buffer, unix_ms).map_err(|error| match error {
            LogError::DiskFull { file, bytes } => OpenError::DiskFull { file, bytes },
            LogError::OutOfFiles { file } => OpenError::OutOfFiles { file },
            error => {
                let source = std::io::Error::other(error.to_string());
                OpenError::Io { doing: "writing", file: "the log".to_owned(), source }
            }
        })?;
        if unsettled.lost.len() <= RECORDS_MAX {
            return Ok(());
        }
    }
}

fn runs(positions: BTreeSet<u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for position in positions {
        match runs.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => runs.push(position..position + 1),
        }
    }
    runs
}
