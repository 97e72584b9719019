//! What a snapshot counts on and is not there any more: nothing is lost with it unless it is still needed.
//!
//! An opening does not read what a snapshot covers. It knows which files are there, and reads the batches in which damage was found
//! while the store was open, and those of a file that lost its header block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Base, BatchAt, Corruption, Needs, Reader, Recovery};
use crate::disk::Disk;
use crate::log::batch::Fault;
use crate::log::catalog::Catalog;
use crate::log::error::{OpenError, ReadError};
use crate::log::key::StoreKey;
use crate::log::report::Proof;
use crate::log::segment::{file_name, segment_number};
use crate::log::suspects::{SUSPECTS_FILE, suspects};

/// What is lost of one segment, and still needed.
struct Lost {
    fault: Fault,
    /// Offsets of the first and the last batch.
    batches: (u64, u64),
    /// The first and the last position.
    positions: (u64, u64),
    count: u64,
}

impl Recovery<'_> {
    /// What is lost of the first segment of which something is that is still needed.
    pub(super) fn lost(&mut self, base: Option<Base<'_>>) -> Result<Option<Corruption>, OpenError> {
        let Some((snapshot, needed)) = base.and_then(|base| Some((base.snapshot, base.needed?))) else {
            return Ok(None);
        };
        let unreadable = unreadable(&self.disk, self.store_id, self.feared(needed)?)?;
        let is_covered = |number| self.covered.binary_search_by_key(&number, |kept| kept.number).is_ok();
        let mut lost = BTreeMap::new();
        needed(&mut |position, at| {
            // All behind the snapshot was read.
            if at.segment >= snapshot.segment {
                return;
            }
            let fault = if is_covered(at.segment) { unreadable.get(&at).copied() } else { Some(Fault::Missing) };
            fault.into_iter().for_each(|fault| note(&mut lost, fault, position, at));
        });
        let Some((number, Lost { fault, batches, positions: (first, last), count })) = lost.pop_first() else {
            return Ok(None);
        };
        let file = file_name(number);
        let bytes = match fault {
            Fault::Missing => 0..0,
            _ => {
                let beyond = self.walker.beyond(&file, batches.1, last)?;
                batches.0..beyond.resumes.or(beyond.end.map(|end| (end, 0))).map_or(batches.1, |(end, _)| end)
            }
        };
        let (positions, proof) = (first..last.saturating_add(1), Proof::Snapshot(snapshot.position));
        Ok(Some(Corruption { file, bytes, positions, unsettled: Some(count), fault, proof }))
    }

    /// The batches that may not be readable.
    fn feared(&self, needed: &Needs<'_>) -> Result<BTreeSet<BatchAt>, OpenError> {
        let suspects = suspects(&*self.disk).map_err(OpenError::io("reading", SUSPECTS_FILE))?;
        let mut feared: BTreeSet<BatchAt> = suspects.into_iter().collect();
        let headless = self.history.iter().filter(|damage| damage.fault == Fault::SegmentHeader);
        let headless: BTreeSet<u64> = headless.filter_map(|damage| segment_number(&damage.file)).collect();
        if !headless.is_empty() {
            needed(&mut |_, at| feared.extend(headless.contains(&at.segment).then_some(at)));
        }
        Ok(feared)
    }
}

/// Those of some batches that cannot be read, and why.
///
/// # Errors
/// What the disk answers.
pub fn unreadable(
    disk: &Arc<dyn Disk>,
    store_id: [u8; 16],
    batches: BTreeSet<BatchAt>,
) -> Result<BTreeMap<BatchAt, Fault>, OpenError> {
    let reader = Reader::new(disk.clone(), StoreKey::new(store_id), Arc::new(Catalog::default()));
    let mut unreadable = BTreeMap::new();
    for at in batches {
        match reader.batch(at) {
            Ok(_) => {}
            Err(ReadError::Damaged { fault, .. }) => drop(unreadable.insert(at, fault)),
            Err(ReadError::Missing { .. }) => drop(unreadable.insert(at, Fault::Missing)),
            Err(ReadError::Io { file, source }) => return Err(OpenError::io("reading", &file)(source)),
        }
    }
    Ok(unreadable)
}

fn note(lost: &mut BTreeMap<u64, Lost>, fault: Fault, position: u64, at: BatchAt) {
    let (batches, positions) = ((at.offset, at.offset), (position, position));
    let known = lost.entry(at.segment).or_insert(Lost { fault, batches, positions, count: 0 });
    known.batches = (known.batches.0.min(at.offset), known.batches.1.max(at.offset));
    known.positions = (known.positions.0.min(position), known.positions.1.max(position));
    known.count += 1;
}
