//! A store that no hub has open: looked through, and repaired.
//!
//! The caller holds the folder's lock. [`verify`] changes nothing; [`repair`] changes something only when the loss is accepted.

mod found;
pub(crate) mod unsettled;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use skep_protocol::{Code, Error};

use crate::disk::{Disk, real::RealDisk};
use crate::engine::Engine;
use crate::log::{OpenError, OpenWith, Plan, RecordView, Report, copy_aside, plan_from, segment_number};
use crate::snapshot::{CheckedLog, checked, load};
use unsettled::Unsettled;

/// Why nothing is given up where nothing is found that can be.
const NOT_FOUND: &str = "nothing that a repair could give up stands in the way. Restore the file from a copy";

/// Told how many bytes of the log were read, of how many.
pub type Progress<'p> = dyn FnMut(u64, u64) + 'p;

/// What was found in a store.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Whether a hub can go on with it.
    pub sound: bool,
    /// Files that are part of the log.
    pub segments: u64,
    /// Batches read and verified, up to the damage if there is any.
    pub batches: u64,
    /// Records read and verified.
    pub records: u64,
    /// The positions they lie in.
    pub positions: Range<u64>,
    /// Every record below this is proven to have been durable.
    pub durable_below: u64,
    /// Whether the store was closed in order.
    pub closed_in_order: bool,
    /// Bytes of good batches at the end that nothing proves durable; a start syncs them again.
    pub unproven_bytes: u64,
    /// An unfinished write at the end, which a start cuts off.
    pub torn: Option<TornTail>,
    /// Positions that earlier repairs gave up.
    pub given_up: Vec<Range<u64>>,
    /// Where replay begins, if older segments were removed: with a snapshot at this position.
    pub snapshot: Option<u64>,
    /// Snapshots that cannot be used, and why; a start goes on without them.
    pub snapshots_damaged: Vec<String>,
    /// Damage in what a snapshot covers. It can be looked at no more; what is still needed of it is among the damage, and without
    /// any a start goes on.
    pub history_damaged: Vec<DamagedHistory>,
    /// What is wrong.
    pub damage: Option<Damage>,
}

/// An unfinished write: nothing shows that it was ever durable.
#[derive(Clone, Debug, Serialize)]
pub struct TornTail {
    /// The file.
    pub file: String,
    /// Its bytes.
    pub bytes: Range<u64>,
    /// The position its first record would have had.
    pub position: u64,
    /// What is wrong with it.
    pub fault: String,
}

/// A stretch of the log that nobody needs but to look at it.
#[derive(Clone, Debug, Serialize)]
pub struct DamagedHistory {
    /// The file.
    pub file: String,
    /// Its bytes; none when it is missing.
    pub bytes: Range<u64>,
    /// The positions that cannot be shown; the rest of the file was not looked at.
    pub positions: Range<u64>,
    /// What is wrong.
    pub fault: String,
}

/// What is wrong with a store.
#[derive(Clone, Debug, Serialize)]
pub struct Damage {
    /// All of it in words: file, bytes, positions, proof.
    pub text: String,
    /// The first damaged file.
    pub file: Option<String>,
    /// The damaged bytes.
    pub bytes: Option<Range<u64>>,
    /// The positions that cannot be read.
    pub positions: Option<Range<u64>>,
    /// What shows that they had been durable.
    pub proof: Option<String>,
    /// What it costs to go on without.
    pub cost: Option<Cost>,
    /// Or why that cannot be done.
    pub irreparable: Option<String>,
}

/// What a repair gives up, and what it keeps.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// What is lost, in order.
    pub losses: Vec<Lost>,
    /// The messages that are lost of what a snapshot covers: all else that lay there is settled, and the snapshot stands for it.
    pub unsettled: Vec<LostMessages>,
    /// Records before the first loss; they stay as they are.
    pub records_before: u64,
    /// Records behind it, which are written once more.
    pub records_behind: u64,
    /// The batches of those.
    pub batches_behind: u64,
    /// Queues whose declaration is lost; they keep their messages under these names.
    pub nameless_queues: Vec<String>,
    /// The files of which a copy is made first.
    pub copied: Vec<String>,
}

/// One gap.
#[derive(Clone, Debug, Serialize)]
pub struct Lost {
    /// The damaged files, with bytes and fault.
    pub pieces: Vec<LostPiece>,
    /// The positions that are given up.
    pub positions: Range<u64>,
    /// Those below this were proven durable.
    pub durable_below: u64,
    /// Batches of which the header can still be read.
    pub batches_told_of: u64,
    /// The records that they held.
    pub records_told_of: u64,
}

/// Messages that were not settled, and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostMessages {
    /// The queue that holds them; none where the sender of a dead letter was still to be told.
    pub queue: Option<String>,
    /// Their positions, in order.
    pub positions: Vec<Range<u64>>,
}

/// A stretch of a file.
#[derive(Clone, Debug, Serialize)]
pub struct LostPiece {
    /// The file.
    pub file: String,
    /// Its bytes; none when it is missing.
    pub bytes: Range<u64>,
    /// What is wrong.
    pub fault: String,
}

/// What a repair found and did.
#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    /// The store as it was.
    pub found: Checked,
    /// What was done, if anything was.
    pub done: Option<Done>,
}

/// What a repair did.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// Where the copies are.
    pub copy: PathBuf,
    /// The segments that were written.
    pub written: Vec<String>,
    /// The files that were removed.
    pub removed: Vec<String>,
    /// The store as it is now.
    pub now: Checked,
}

/// Reads the whole store in a folder, and changes nothing.
///
/// # Errors
/// `store_failed` when it is not there or the disk answers an error. Damage is no error.
pub fn verify(folder: &Path, progress: &mut Progress<'_>) -> Result<Checked, Error> {
    look(&disk_at(folder)?, progress).map(|(checked, _)| checked)
}

/// Repairs the store in a folder, if something is wrong with it and its loss is accepted; else only says what that would be. What is
/// touched is first copied into a folder beside the segments, named after the time.
///
/// # Errors
/// `store_failed` or `disk_full`. As long as the copy is not complete nothing was changed; later on, another repair finishes.
pub fn repair(folder: &Path, accept_loss: bool, unix_s: u64, progress: &mut Progress<'_>) -> Result<Repair, Error> {
    let disk = disk_at(folder)?;
    let (found, cure) = look(&disk, progress)?;
    let Some(cure) = cure.filter(|_| accept_loss) else { return Ok(Repair { found, done: None }) };
    let copy = free_folder(folder, unix_s);
    let words = format!("The store in {} was damaged.\n{found}\n", folder.display());
    let made = RealDisk::new(&copy).map_err(|error| cannot("making", &copy, &error))?;
    let (written, removed) = cure.carry_out(&disk, &made, &words, unix_s.saturating_mul(1_000)).map_err(|error| {
        // It stays if there is anything in it.
        drop(std::fs::remove_dir(&copy));
        coded(&error)
    })?;
    let (now, _) = look(&disk, &mut |_, _| {})?;
    Ok(Repair { found, done: Some(Done { copy, written, removed, now }) })
}

/// What a repair is to do.
struct Cure {
    /// With the log, from where it cannot be read.
    plan: Option<Plan>,
    /// With what is still needed of what a snapshot covers.
    unsettled: Unsettled,
}

impl Cure {
    /// Answers the files that were written and removed.
    fn carry_out(
        self,
        disk: &Arc<dyn Disk>,
        copy_to: &RealDisk,
        words: &str,
        unix_ms: u64,
    ) -> Result<(Vec<String>, Vec<String>), OpenError> {
        let Cure { plan, unsettled } = self;
        copy_aside(&**disk, copy_to, &unsettled.files(), plan.is_none().then_some(words))?;
        let repaired = plan.map(|plan| plan.carry_out(copy_to, words)).transpose()?;
        if !unsettled.is_empty() {
            unsettled::give_up(disk, unix_ms)?;
        }
        Ok(repaired.map_or_else(Default::default, |repaired| (repaired.written, repaired.removed)))
    }
}

/// Reads all, and plans a repair if one is needed.
fn look(disk: &Arc<dyn Disk>, progress: &mut Progress<'_>) -> Result<(Checked, Option<Cure>), Error> {
    let sizes = sizes(&**disk).map_err(|error| Error::new(Code::StoreFailed, error.to_string()))?;
    let with = OpenWith::new([0; 16], 0);
    let mut seen = Seen::new(&sizes, progress);
    let looked = checked(disk, with, &mut |view| seen.note(view)).map_err(|error| coded(&error))?;
    let CheckedLog { found, base, engine } = looked;
    let (report, next, damage) = match found {
        Ok((report, next)) => {
            let damage = report.corruption.as_ref().map(Damage::of);
            (report, next, damage)
        }
        Err(error @ OpenError::Io { .. }) => return Err(coded(&error)),
        Err(error) => (Report::default(), 0, Some(Damage::words(error.to_string()))),
    };
    let records = report.records;
    let checked = Checked::new(report, next);
    let Some(mut damage) = damage else {
        let unsettled = Unsettled::find(disk, base.as_ref(), &engine).map_err(|error| coded(&error))?;
        let Some(lost) = unsettled.corruption() else { return Ok((checked, None)) };
        let cost = Cost::of_unsettled(&unsettled, records);
        let damage = Damage { cost: Some(cost), ..Damage::of(&lost) };
        let cure = Cure { plan: None, unsettled };
        return Ok((Checked { sound: false, damage: Some(damage), ..checked }, Some(cure)));
    };
    let (snapshot, mut engine) = match &base {
        None => (None, Engine::new(0)),
        Some(base) => load(&**disk, base, 0)
            .map_err(|error| coded(&error))?
            .map(|(base, engine)| (Some(base), engine))
            .map_err(|error| Error::new(Code::StoreFailed, error.to_string()))?,
    };
    let cure = match plan_from(disk.clone(), with, snapshot.as_ref(), &mut |view| engine.replay(&view)) {
        Ok(plan) if plan.losses.is_empty() => {
            damage.irreparable = Some(NOT_FOUND.to_owned());
            None
        }
        Ok(plan) => {
            let unsettled = Unsettled::find(disk, base.as_ref(), &engine).map_err(|error| coded(&error))?;
            damage.cost = Some(Cost::new(&plan, engine.nameless(), &unsettled));
            Some(Cure { plan: Some(plan), unsettled })
        }
        Err(error @ OpenError::Io { .. }) => return Err(coded(&error)),
        Err(error) => {
            damage.irreparable = Some(error.to_string());
            None
        }
    };
    Ok((Checked { sound: false, damage: Some(damage), ..checked }, cure))
}

/// Counts bytes by the records that are visited.
struct Seen<'s, 'p> {
    /// For each segment's number the bytes of those before it.
    before: BTreeMap<u64, u64>,
    all: u64,
    last: Option<u64>,
    progress: &'s mut Progress<'p>,
}

impl<'s, 'p> Seen<'s, 'p> {
    fn new(sizes: &BTreeMap<u64, u64>, progress: &'s mut Progress<'p>) -> Self {
        let mut all = 0;
        let before = sizes.iter().map(|(number, bytes)| {
            all += bytes;
            (*number, all - bytes)
        });
        let before = before.collect();
        Seen { before, all, last: None, progress }
    }

    fn note(&mut self, view: &RecordView<'_>) {
        if self.last.replace(view.batch.offset) != Some(view.batch.offset)
            && let Some(before) = self.before.get(&view.batch.segment)
        {
            (self.progress)(before + view.batch.offset, self.all);
        }
    }
}

fn sizes(disk: &dyn Disk) -> io::Result<BTreeMap<u64, u64>> {
    let numbered = disk.list()?.into_iter().filter_map(|name| Some((segment_number(&name)?, name)));
    numbered.map(|(number, name)| Ok((number, disk.open(&name)?.size()?))).collect()
}

fn disk_at(folder: &Path) -> Result<Arc<dyn Disk>, Error> {
    if !folder.is_dir() {
        let text = format!("there is no store in {}; expected the files of the log", folder.display());
        return Err(Error::new(Code::StoreFailed, text));
    }
    Ok(Arc::new(RealDisk::new(folder).map_err(|error| cannot("opening", folder, &error))?))
}

/// A name that no earlier repair took.
fn free_folder(folder: &Path, unix_s: u64) -> PathBuf {
    let names = (1_u64..).map(|n| match n {
        1 => format!("lost-{unix_s}"),
        n => format!("lost-{unix_s}-{n}"),
    });
    names.map(|name| folder.join(name)).find(|path| !path.exists()).unwrap_or_else(|| folder.to_owned())
}

fn cannot(doing: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(Code::StoreFailed, format!("{doing} {} failed: {error}", path.display()))
}

fn coded(error: &OpenError) -> Error {
    let code = if matches!(error, OpenError::DiskFull { .. }) { Code::DiskFull } else { Code::StoreFailed };
    Error::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{LeaseOf, Record, Token};
    use crate::log::{LogBuffer, Mode, Writer, Written, open};

    const FIRST: &str = "0000000001.seg";

    /// A store in a folder, its writer, and its first batch: an ack of a message that never was, or a fact deleted.
    fn store(contradicts: bool) -> (tempfile::TempDir, Box<Writer>, Written) {
        let root = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(RealDisk::new(root.path().join("log")).expect("a disk"));
        let opened = open(disk, OpenWith::new([1; 16], 1), &mut |_| Ok(())).expect("opens");
        let Mode::ReadWrite(mut writer) = opened.mode else { panic!("{:?}", opened.report) };
        let mut buffer = LogBuffer::new(opened.next_position);
        let lease = LeaseOf { queue: 7, position: 1, token: Token::default(), attempt: 1 };
        let record = if contradicts { Record::Ack(lease) } else { Record::FactDelete { key: "a" } };
        buffer.append(record.kind(), 0, |body| record.encode(body));
        let written = writer.write(&mut buffer, 1, true).expect("writes");
        (root, writer, written)
    }

    fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(folder).expect("lists").map(|entry| entry.expect("there").path());
        entries.map(|path| (path.clone(), std::fs::read(path).expect("reads"))).collect()
    }

    #[test]
    fn a_record_that_contradicts_those_before_it_is_found_and_not_repaired() {
        let (root, _writer, written) = store(true);
        let folder = root.path().join("log");
        let before = contents(&folder);
        let done = repair(&folder, true, 5, &mut |_, _| {}).expect("looks");
        let damage = done.found.damage.expect("found");
        assert!(damage.text.contains("queue 7 was never declared"), "{damage}");
        assert!(damage.text.contains(&format!("position {}", written.first)), "{damage}");
        assert!(damage.irreparable.is_some() && done.done.is_none());
        assert_eq!(contents(&folder), before);
    }

    #[test]
    fn a_torn_tail_is_sound_and_verify_leaves_it_as_it_is() {
        let (root, writer, written) = store(false);
        drop(writer);
        let folder = root.path().join("log");
        let mut bytes = std::fs::read(folder.join(FIRST)).expect("reads");
        bytes[written.batch.offset as usize + 73] ^= 1;
        std::fs::write(folder.join(FIRST), bytes).expect("writes");
        let before = contents(&folder);
        let mut told = Vec::new();
        let checked = verify(&folder, &mut |bytes, of| told.push((bytes, of))).expect("looks");
        let torn = checked.torn.as_ref().expect("torn");
        assert_eq!((checked.sound, torn.bytes.start, torn.position), (true, written.batch.offset, written.first));
        assert!(checked.to_string().contains("nothing shows that they were ever durable"), "{checked}");
        assert!(told.iter().all(|(bytes, of)| bytes <= of));
        assert_eq!(contents(&folder), before);
    }
}
