//! Where a repair looks for batches: the segments of the log, and files that are segments but for their header block.

use std::io;

use super::UNFINISHED;
use crate::disk::Disk;
use crate::log::error::OpenError;
use crate::log::evidence::{Evidence, look_beyond};
use crate::log::key::StoreKey;
use crate::log::mark::{FoundMark, MARK_FILE};
use crate::log::recovery::common_id;
use crate::log::recovery::survey::{Stray, Survey};
use crate::log::segment::DATA_OFFSET;
use crate::log::snapshot::Snapshot;
use crate::log::window::Window;

/// Where the store's id stands in a header block.
const ID_OFFSET: u64 = 16;

/// All files of a log, sorted by what a repair does with them.
#[derive(Default)]
pub(super) struct Sources {
    /// Those that may hold batches of the log, by number.
    pub(super) parts: Vec<Source>,
    /// Fresh segments of a repair that was not finished.
    pub(super) unfinished: Vec<String>,
    /// Spares, and what a later segment supersedes as a whole.
    pub(super) needless: Vec<String>,
    /// Numbers below this are used.
    pub(super) next_number: u64,
    /// The highest position below which some header proves everything durable.
    pub(super) named: u64,
}

/// A file with batches.
pub(super) struct Source {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) file_bytes: u64,
    /// Its first position; none without a header block.
    pub(super) first: Option<u64>,
    /// The hash that its first batch continues, if that one's header can be read.
    pub(super) continues: Option<u64>,
}

impl Sources {
    /// Finds them, and the store's id.
    pub(super) fn take(disk: &dyn Disk, mark: &FoundMark) -> Result<(Self, [u8; 16]), OpenError> {
        let survey = Survey::take(disk)?;
        let id = match common_id(&survey, mark)? {
            Some(id) => id,
            None => id_of_strays(disk, &survey.strays)?,
        };
        let mut sources = Self::default();
        let marked = mark.reached.map_or(0, |reached| reached.segment);
        let numbers = survey.segments.iter().chain(&survey.superseded).map(|segment| segment.number);
        let used = numbers.chain(survey.strays.iter().map(|stray| stray.number)).chain([marked]).max();
        sources.next_number = used.unwrap_or(0) + 1;
        sources.needless = survey.superseded.into_iter().map(|segment| segment.name).collect();
        for stray in survey.strays {
            sources.add_stray(disk, StoreKey::new(id), stray)?;
        }
        for segment in survey.segments {
            sources.named = sources.named.max(segment.first);
            let source = Source {
                number: segment.number,
                name: segment.name,
                file_bytes: segment.file_bytes,
                first: Some(segment.first),
                continues: None,
            };
            sources.add(disk, StoreKey::new(id), source)?;
        }
        sources.parts.sort_by_key(|source| source.number);
        Ok((sources, id))
    }

    /// A repair begins where a snapshot was taken.
    pub(super) fn leave_covered(&mut self, base: Option<&Snapshot>) {
        let Some(base) = base else { return };
        self.parts.retain(|source| match source.first {
            Some(first) => first >= base.position,
            None => source.number >= base.segment,
        });
    }

    fn add_stray(&mut self, disk: &dyn Disk, key: StoreKey, stray: Stray) -> Result<(), OpenError> {
        let Stray { number, name, file_bytes } = stray;
        let mut beginning = [0; UNFINISHED.len()];
        let failed = OpenError::io("reading", &name);
        disk.open(&name).and_then(|file| file.read_at(0, &mut beginning)).map_err(failed)?;
        if beginning == *UNFINISHED {
            self.unfinished.push(name);
            return Ok(());
        }
        self.add(disk, key, Source { number, name, file_bytes, first: None, continues: None })
    }

    fn add(&mut self, disk: &dyn Disk, key: StoreKey, source: Source) -> Result<(), OpenError> {
        let (evidence, continues) = look(disk, key, &source).map_err(OpenError::io("reading", &source.name))?;
        if evidence.end.is_none() && source.first.is_none() {
            self.needless.push(source.name);
            return Ok(());
        }
        self.named = self.named.max(evidence.known_durable.map_or(0, |(known, _)| known));
        self.parts.push(Source { continues, ..source });
        Ok(())
    }
}

fn look(disk: &dyn Disk, key: StoreKey, source: &Source) -> io::Result<(Evidence, Option<u64>)> {
    let (file, mut window) = (disk.open(&source.name)?, Window::default());
    let first = window.header(&*file, DATA_OFFSET, key)?;
    let evidence = look_beyond(&mut window, &*file, DATA_OFFSET..source.file_bytes, key, 0)?;
    Ok((evidence, first.ok().map(|header| header.previous_hash)))
}

/// The id that a damaged header block still shows, if batches behind it bear it out.
fn id_of_strays(disk: &dyn Disk, strays: &[Stray]) -> Result<[u8; 16], OpenError> {
    for stray in strays {
        let mut id = [0; 16];
        let look = disk.open(&stray.name).and_then(|file| {
            file.read_at(ID_OFFSET, &mut id)?;
            Window::default().header(&*file, DATA_OFFSET, StoreKey::new(id))
        });
        if look.map_err(OpenError::io("reading", &stray.name))?.is_ok() {
            return Ok(id);
        }
    }
    let file = strays.first().map_or(MARK_FILE, |stray| &stray.name).to_owned();
    Err(OpenError::UnknownStore { file })
}
