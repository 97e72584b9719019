//! The hub's log, looked at from outside while the hub is dead: which bytes hold what, and what proves them durable.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use skep_embedded::log::{
    BATCH_HEADER_BYTES, BatchHeader, SEGMENT_HEADER_BYTES, SegmentHeader, StoreKey, segment_number,
};

/// How a finished snapshot begins, and where the position stands up to which it reaches.
const SNAPSHOT_MAGIC: &[u8] = b"skep.snp";
const SNAPSHOT_POSITION: usize = 40;

/// A batch that is part of the log.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    /// Its header and its records, without what fills it up.
    pub(crate) bytes: u64,
    /// Of its first record.
    pub(crate) position: u64,
    pub(crate) records: u32,
    /// Something later in the log proves it durable.
    pub(crate) is_proven: bool,
}

/// The batches of a log, in order.
pub(crate) struct Segments(pub(crate) Vec<Stretch>);

impl Segments {
    pub(crate) fn folder(data: &Path) -> PathBuf {
        data.join("log")
    }

    /// What the newest snapshot covers: everything below this position. A start does not read it; `skep verify` does.
    pub(crate) fn covered(data: &Path) -> anyhow::Result<u64> {
        let mut covered = 0;
        for entry in fs::read_dir(Self::folder(data))? {
            let path = entry?.path();
            if path.extension().is_none_or(|end| end != "snap") {
                continue;
            }
            let mut header = [0; SNAPSHOT_POSITION + 8];
            // One that is not finished has no header yet.
            let read = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut header));
            if read.is_ok() && header.starts_with(SNAPSHOT_MAGIC) {
                let position = header.last_chunk().copied().map_or(0, u64::from_le_bytes);
                covered = covered.max(position);
            }
        }
        Ok(covered)
    }

    /// Reads the log of a dead hub.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(Self::folder(data))? {
            let path = entry?.path();
            let is_segment =
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| segment_number(name).is_some());
            if !is_segment {
                continue;
            }
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            let header =
                bytes.first_chunk::<SEGMENT_HEADER_BYTES>().and_then(|block| SegmentHeader::decode(block).ok());
            segments.extend(header.map(|header| (header, path, bytes)));
        }
        segments.sort_by_key(|(header, ..)| header.number);
        let (mut batches, mut known) = (Vec::new(), 0);
        for (at, (header, path, bytes)) in segments.iter().enumerate() {
            // A later segment holds everything from its first position on, whatever this one says.
            let next = segments.get(at + 1).map_or(u64::MAX, |(next, ..)| next.first_position);
            known = known.max(header.first_position);
            for (stretch, durable) in walk(path, bytes, StoreKey::new(header.store_id)) {
                if stretch.position < next {
                    known = known.max(durable);
                    batches.push(stretch);
                }
            }
        }
        for batch in &mut batches {
            batch.is_proven = batch.records > 0 && batch.position + u64::from(batch.records) <= known;
        }
        Ok(Segments(batches))
    }
}

/// The batches of a segment up to the first that is none, and what each knows to be durable.
fn walk(path: &Path, bytes: &[u8], key: StoreKey) -> Vec<(Stretch, u64)> {
    let (mut batches, mut offset) = (Vec::new(), SEGMENT_HEADER_BYTES);
    while let Some(header) = bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<BATCH_HEADER_BYTES>())
        .and_then(|block| BatchHeader::decode(block, key).ok())
    {
        let BatchHeader { position, records, known_durable, .. } = header;
        let (file, bytes) = (path.to_owned(), header.batch_bytes() as u64);
        let stretch = Stretch { file, offset: offset as u64, bytes, position, records, is_proven: false };
        batches.push((stretch, known_durable));
        offset += header.padded_bytes();
    }
    batches
}
