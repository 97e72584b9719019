//! Where replay begins: with the newest snapshot that is whole, with the one before, or with the first record.

use std::cell::RefCell;
use std::sync::Arc;

use skep_core::Now;
use xxhash_rust::xxh3::xxh3_64;

use crate::disk::Disk;
use crate::engine::Engine;
use crate::log::{
    Base, BatchAt, Corrupt, FoundSnapshot, Mode, OpenError, OpenWith, Opened, RecordView, Report, SNAPSHOT_VERSION,
    Snapshot, check_from, open_from, open_headless, snapshots,
};

/// A store that was opened.
pub(crate) struct Recovered {
    pub(crate) engine: Engine,
    pub(crate) opened: Opened,
    /// The newest snapshot that is whole; where replay began, if there was one.
    pub(crate) newest: Option<FoundSnapshot>,
}

impl Recovered {
    /// The engine goes on where the log ends, and can serve.
    pub(crate) fn begin(mut self, now: Now) -> Self {
        let secret = xxh3_64(&self.opened.store_id);
        self.engine.recovered(self.opened.next_position, self.opened.open_count, secret, now);
        self
    }
}

/// Opens the log, and rebuilds the engine from it.
///
/// # Errors
/// As [`open`](crate::log::open).
pub(crate) fn recover(disk: &Arc<dyn Disk>, with: OpenWith, seed: u64) -> Result<Recovered, OpenError> {
    recover_as(disk, with, seed, true)
}

/// The same, although something that is still needed may be gone of what a snapshot covers.
///
/// # Errors
/// As [`open`](crate::log::open).
pub(crate) fn recover_without(disk: &Arc<dyn Disk>, with: OpenWith, seed: u64) -> Result<Recovered, OpenError> {
    recover_as(disk, with, seed, false)
}

fn recover_as(disk: &Arc<dyn Disk>, with: OpenWith, seed: u64, whole: bool) -> Result<Recovered, OpenError> {
    let mut bases = Bases::take(&**disk)?;
    let with = OpenWith { snapshot: bases.proven(), ..with };
    let begun = bases.begin(&**disk, seed, |base, engine| {
        // It is asked what it needs when nothing more is replayed.
        let engine = RefCell::new(engine);
        let needed = |see: &mut dyn FnMut(u64, BatchAt)| {
            engine.borrow().needed().for_each(|needed| see(needed.position, needed.place.batch()));
        };
        let base = base.map(|base| Base { needed: whole.then_some(&needed as _), ..base });
        open_from(disk.clone(), with, base, &mut |view| engine.borrow_mut().replay(&view))
    });
    let (engine, mut opened, newest) = match begun {
        // With a snapshot, that would be a log of which the beginning may be gone.
        Err(OpenError::MissingSegment { .. }) if bases.is_hopeless() => {
            let Some(newest) = bases.found.first() else { unreachable!("there is one that is damaged") };
            (Engine::new(seed), open_headless(disk.clone(), with, newest)?, None)
        }
        begun => begun?,
    };
    if let Mode::ReadWrite(_) = opened.mode {
        bases.remove_unfinished(&**disk);
    }
    opened.report.snapshots_damaged = bases.damaged;
    Ok(Recovered { engine, opened, newest })
}

/// What a look through all of the log has found.
pub(crate) struct CheckedLog {
    /// What an opening would find, and the next position.
    pub(crate) found: Result<(Report, u64), OpenError>,
    /// The snapshot that the log begins with, where its own beginning is gone or damaged.
    pub(crate) base: Option<FoundSnapshot>,
    /// What was read, up to the damage.
    pub(crate) engine: Engine,
}

impl CheckedLog {
    /// Whether a snapshot may stand for what is wrong.
    fn may_be_covered(&self) -> bool {
        match &self.found {
            Ok((report, _)) => report.corruption.is_some() || !report.history.is_empty(),
            Err(error) => matches!(error, OpenError::MissingSegment { .. } | OpenError::DamagedHeader { .. }),
        }
    }
}

/// What [`recover`] would find; nothing is changed. The log is read from its beginning; where segments were let go, from the oldest
/// snapshot that can be read. Of segments before that one every batch is verified. What is wrong there may be covered by the newest,
/// with which an opening begins; then that one says what is lost.
///
/// # Errors
/// What the disk answers.
pub(crate) fn checked(
    disk: &Arc<dyn Disk>,
    with: OpenWith,
    see: &mut dyn FnMut(&RecordView<'_>),
) -> Result<CheckedLog, OpenError> {
    let mut bases = Bases::take(&**disk)?;
    let with = OpenWith { snapshot: bases.proven(), ..with };
    let mut check = |base: Option<Base<'_>>, engine: &mut Engine| -> Result<(Report, u64), OpenError> {
        check_from(disk.clone(), with, base, &mut |view| {
            see(&view);
            engine.replay(&view)
        })
    };
    // Each of them is read: a damaged one is to be told of.
    let mut loaded = Vec::new();
    for snapshot in bases.finished() {
        loaded.extend(bases.load(&**disk, &snapshot, 0)?.map(|(read, _)| (snapshot, read)));
    }
    let is_newest = bases.knows_newest();
    let mut from = |base: Option<(&FoundSnapshot, &Snapshot)>| {
        let mut engine = match base {
            None => Engine::new(0),
            Some((found, _)) => load(&**disk, found, 0)?.map_err(|why| changed(&found.name, &why))?.1,
        };
        let begun = base.map(|(_, snapshot)| Base { snapshot, is_newest, needed: None });
        let found = check(begun, &mut engine);
        Ok::<_, OpenError>(CheckedLog { found, base: base.map(|(found, _)| found.clone()), engine })
    };
    let mut checked = match (loaded.first(), loaded.last()) {
        (Some((_, newest)), Some((found, oldest))) if !newest.is_whole() => {
            // The newest knows best what was let go.
            let mut oldest = oldest.clone();
            oldest.kept.retain(|kept| newest.kept.contains(kept));
            from(Some((found, &oldest)))?
        }
        _ => from(None)?,
    };
    if let Some((found, newest)) = loaded.first().filter(|_| checked.may_be_covered()) {
        checked = from(Some((found, newest)))?;
    }
    if let Ok((report, _)) = &mut checked.found {
        report.snapshots_damaged = bases.damaged;
    }
    Ok(checked)
}

fn changed(file: &str, why: &Corrupt) -> OpenError {
    let source = std::io::Error::other(format!("the second reading differs from the first: {why}"));
    OpenError::Io { doing: "reading twice", file: file.to_owned(), source }
}

/// Reads a snapshot, and the engine in it.
///
/// # Errors
/// The outer one is the disk's; the inner one says what is wrong with the file.
pub(crate) fn load(
    disk: &dyn Disk,
    found: &FoundSnapshot,
    seed: u64,
) -> Result<Result<(Snapshot, Engine), Corrupt>, OpenError> {
    let version = found.valid().map_or(SNAPSHOT_VERSION, |header| header.version);
    found.read(disk, |snapshot, body| Engine::load(body, version, snapshot.position, seed))
}

/// The snapshots there are.
struct Bases {
    /// Newest first.
    found: Vec<FoundSnapshot>,
    /// What is wrong with some of them.
    damaged: Vec<String>,
}

impl Bases {
    fn take(disk: &dyn Disk) -> Result<Self, OpenError> {
        Ok(Self { found: snapshots(disk)?, damaged: Vec::new() })
    }

    /// Below this position something was read and written again: it had been durable.
    fn proven(&self) -> u64 {
        self.found.iter().filter_map(FoundSnapshot::valid).map(|header| header.position).max().unwrap_or(0)
    }

    fn finished(&self) -> Vec<FoundSnapshot> {
        self.found.iter().filter(|found| found.header.is_some()).cloned().collect()
    }

    /// Runs an opening from the newest that is whole, and where its tail is not there from the one before.
    fn begin<T>(
        &mut self,
        disk: &dyn Disk,
        seed: u64,
        mut run: impl FnMut(Option<Base<'_>>, &mut Engine) -> Result<T, OpenError>,
    ) -> Result<(Engine, T, Option<FoundSnapshot>), OpenError> {
        let mut failed = None;
        for found in self.finished() {
            let Some((snapshot, mut engine)) = self.load(disk, &found, seed)? else { continue };
            let base = Base { snapshot: &snapshot, is_newest: self.knows_newest(), needed: None };
            match run(Some(base), &mut engine) {
                Ok(result) => return Ok((engine, result, Some(found))),
                // One before it may show more of what is wrong.
                Err(error @ (OpenError::MissingSegment { .. } | OpenError::DamagedHeader { .. })) => {
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        let mut engine = Engine::new(seed);
        match run(None, &mut engine) {
            Ok(result) => Ok((engine, result, None)),
            Err(error) => Err(failed.unwrap_or(error)),
        }
    }

    /// Reads one; notes what is wrong with it.
    fn load(
        &mut self,
        disk: &dyn Disk,
        found: &FoundSnapshot,
        seed: u64,
    ) -> Result<Option<(Snapshot, Engine)>, OpenError> {
        let loaded = load(disk, found, seed)?;
        let damaged = |Corrupt(why)| self.damaged.push(format!("snapshot {} is damaged ({why})", found.name));
        Ok(loaded.map_err(damaged).ok())
    }

    /// Whether there were some, and none can be read.
    fn is_hopeless(&self) -> bool {
        let finished = self.finished().len();
        finished > 0 && self.damaged.len() == finished
    }

    /// Whether no other can have let segments go since: a newer one that is not finished, or of which the header is lost, may have.
    fn knows_newest(&self) -> bool {
        self.damaged.is_empty() && self.found.first().is_none_or(|newest| newest.header.is_some())
    }

    /// Removes what a crash left.
    fn remove_unfinished(&self, disk: &dyn Disk) {
        for found in self.found.iter().filter(|found| found.header.is_none()) {
            if let Err(error) = disk.remove(&found.name) {
                tracing::warn!(file = found.name, %error, "an unfinished snapshot cannot be removed");
            }
        }
    }
}
