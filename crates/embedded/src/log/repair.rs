//! Going on without what is lost. Only on request: the log itself never gives up what was proven durable.
//!
//! [`plan`] reads everything there is and says what would be lost and what can be kept; it changes nothing. [`Plan::carry_out`] copies
//! what it will touch to another place and syncs the copy. Then it writes all that can be read behind the first damage once more, into
//! fresh segments whose header blocks come last, the first segment's at the very end: that one supersedes the damage and all behind it,
//! so that a crash at any moment leaves the log as damaged as it was, or repaired. A fresh segment without its header begins with
//! [`UNFINISHED`], so that the next repair knows it from a segment that lost its header.
//!
//! Records keep their positions. Where positions are lost stands an empty batch behind a gap, which nothing else leaves, so that
//! every later opening knows of the loss. Open counts rise from there on: neither positions nor lease tokens are used again.

mod gather;
mod keep;
mod rebuild;
mod sources;

use std::ops::Range;
use std::sync::Arc;

use self::gather::Gather;
pub use self::keep::copy as copy_aside;
use self::rebuild::Rebuild;
use self::sources::{Source, Sources};
use super::batch::Fault;
use super::error::{Corrupt, OpenError};
use super::key::StoreKey;
use super::mark::FoundMark;
use super::record::RecordView;
use super::recovery::{OpenWith, Visits};
use super::report::Torn;
use super::snapshot::{FoundSnapshot, Snapshot, snapshots};
use super::walk::Cursor;
use crate::disk::Disk;

/// What a fresh segment begins with until it gets its header block.
const UNFINISHED: &[u8; 8] = b"skep.new";

/// A stretch of a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The file.
    pub file: String,
    /// Its bytes; none when the whole file is missing.
    pub bytes: Range<u64>,
    /// What is wrong at the first of them.
    pub fault: Fault,
}

/// What a repair gives up in one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loss {
    /// The damaged bytes.
    pub pieces: Vec<Piece>,
    /// The positions that are given up; none when no record was in the bytes. At the end of the log it is not known how far they
    /// reached, and all that can have been used are given up.
    pub positions: Range<u64>,
    /// Those below this were proven durable.
    pub durable_until: u64,
    /// How many batches there were of which at least the header can be read.
    pub batches: u64,
    /// How many records those say they held.
    pub records: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Batches, empty ones included.
    pub batches: u64,
    /// Records, the log's own included.
    pub records: u64,
}

/// What a repair would do.
pub struct Plan {
    /// What is lost, in order.
    pub losses: Vec<Loss>,
    /// What stands before the first loss.
    pub before: Kept,
    /// What was found behind it, and is written once more.
    pub behind: Kept,
    /// What is at the end and was never known to be durable: it is dropped, as at any opening.
    pub torn: Option<Torn>,
    disk: Arc<dyn Disk>,
    with: OpenWith,
    store_id: [u8; 16],
    mark: FoundMark,
    sources: Sources,
    items: Vec<Item>,
    /// Where the log ends that stays as it is.
    join: Cursor,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The files that were copied.
    pub copied: Vec<String>,
    /// The segments that were written.
    pub written: Vec<String>,
    /// The files that were removed.
    pub removed: Vec<String>,
}

/// What comes behind the part of the log that stays.
enum Item {
    Loss(Loss),
    Run(Run),
}

/// Batches that follow one another in a file.
struct Run {
    file: String,
    bytes: Range<u64>,
}

/// Reads all there is of a damaged log, and visits the records in the order in which they will be found once it is repaired.
///
/// # Errors
/// As [`open`](super::open), save for what a repair can go on without. Nothing was changed.
pub fn plan(
    disk: Arc<dyn Disk>,
    with: OpenWith,
    visit: &mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
) -> Result<Plan, OpenError> {
    plan_from(disk, with, None, visit)
}

/// The same of a log whose older segments are covered by a snapshot: they are left alone.
///
/// # Errors
/// As [`plan`].
pub fn plan_from(
    disk: Arc<dyn Disk>,
    with: OpenWith,
    base: Option<&Snapshot>,
    visit: &mut dyn FnMut(RecordView<'_>) -> Result<(), Corrupt>,
) -> Result<Plan, OpenError> {
    let (mark, marked) = match FoundMark::take(&*disk) {
        Ok(mark) => (mark, true),
        Err(OpenError::DamagedMark { .. }) => (FoundMark::unreadable(), false),
        Err(error) => return Err(error),
    };
    let (mut sources, store_id) = Sources::take(&*disk, &mark)?;
    sources.leave_covered(base);
    let named = sources.named.max(mark.reached.map_or(0, |reached| reached.durable.max(reached.first)));
    let cursor = base.map_or(Cursor::at_start(1, 1), Cursor::behind);
    let mut gather = Gather::new(disk.clone(), StoreKey::new(store_id), named, cursor, Visits::behind(base, visit));
    let before = base.map_or(0, |base| base.segment.saturating_sub(1));
    gather.read(&sources.parts, before, mark.reached.map_or(0, |reached| reached.segment))?;
    gather.finish(&sources.parts, mark.reached.as_ref(), marked);
    let all = Kept { batches: gather.cursor.batches, records: gather.cursor.records };
    let join = gather.taken.join.unwrap_or(gather.cursor);
    let before = Kept { batches: join.batches, records: join.records };
    let behind = Kept { batches: all.batches - before.batches, records: all.records - before.records };
    let (items, torn) = (gather.taken.items, gather.taken.torn);
    let losses = items.iter().filter_map(Item::loss).cloned().collect();
    Ok(Plan { losses, before, behind, torn, disk, with, store_id, mark, sources, items, join })
}

impl Plan {
    /// The store's id, which the copy does not change.
    #[must_use]
    pub fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    /// The files that will be copied first: the damaged ones, those that will be removed, and the mark.
    pub fn touched(&self) -> Vec<String> {
        let damaged = |source: &&Source| {
            let mut pieces = self.losses.iter().flat_map(|loss| &loss.pieces);
            self.is_replaced(source) || pieces.any(|piece| piece.file == source.name)
        };
        let mut names: Vec<String> =
            self.sources.parts.iter().filter(damaged).map(|source| source.name.clone()).collect();
        names.extend(self.mark.exists.then(|| super::mark::MARK_FILE.to_owned()));
        names
    }

    /// Repairs the log. The copy goes to the other disk, with a report of these words.
    ///
    /// # Errors
    /// `DiskFull` or `Io`. `DiskFull`: nothing was changed, and the copy is gone again. After another error the next repair finishes.
    pub fn carry_out(self, copy_to: &dyn Disk, words: &str) -> Result<Repaired, OpenError> {
        // What an earlier repair left unfinished has no worth, and its room is needed.
        for name in &self.sources.unfinished {
            self.disk.remove(name).map_err(OpenError::io("removing", name))?;
        }
        let copied = self.touched();
        keep::copy(&*self.disk, copy_to, &copied, Some(words))?;

        let mut rebuild = Rebuild::new(&self);
        let fresh = match rebuild.write() {
            Ok(()) => {
                // They know batches by places that will be no more.
                self.remove_snapshots()?;
                rebuild.finish()?
            }
            Err(error) => {
                rebuild.abandon();
                keep::remove(copy_to, &copied);
                return Err(error);
            }
        };
        let replaced = self.sources.parts.iter().filter(|source| self.is_replaced(source)).map(|source| &source.name);
        let removed: Vec<String> = replaced.chain(&self.sources.needless).cloned().collect();
        for name in &removed {
            self.disk.remove(name).map_err(OpenError::io("removing", name))?;
        }
        Ok(Repaired { copied, written: fresh, removed })
    }

    fn remove_snapshots(&self) -> Result<(), OpenError> {
        let younger = |found: &FoundSnapshot| found.valid().is_none_or(|header| header.position > self.join.position);
        for found in snapshots(&*self.disk)?.into_iter().filter(younger) {
            self.disk.remove(&found.name).map_err(OpenError::io("removing", &found.name))?;
        }
        Ok(())
    }

    /// Whether the first fresh segment takes the place of this one.
    fn is_replaced(&self, source: &Source) -> bool {
        source.first.is_none_or(|first| first >= self.join.position)
    }
}

impl Item {
    fn loss(&self) -> Option<&Loss> {
        match self {
            Self::Loss(loss) => Some(loss),
            Self::Run(_) => None,
        }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("losses", &self.losses).field("behind", &self.behind).finish_non_exhaustive()
    }
}
