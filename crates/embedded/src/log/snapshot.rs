//! A snapshot: what replay had built at the beginning of a segment, in a file of its own, so that an opening reads only what follows.
//!
//! File name: ten decimal digits, the number of the segment where its tail begins, then `.snap`. The file is a header block of 4096
//! bytes, then a body. All integers are little-endian. The header block (later versions keep its first 16 bytes):
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic, `skep.snp` |
//! | 8..12 | format version, `u32`, now 3; 2 is read as well |
//! | 12..16 | checksum, `u32`: low half of `xxh3_64(bytes 16..4096, seed = format version)` |
//! | 16..32 | store id |
//! | 32..40 | number of the segment where the tail begins, `u64` |
//! | 40..48 | position, `u64`: of the first record that is not in it |
//! | 48..56 | hash of the last body before it, which the tail continues |
//! | 56..64 | open count, `u64`: which opening wrote the last batch before it |
//! | 64..72 | log time, `u64`, unix milliseconds |
//! | 72..80 | reserved, `u64`: positions below this may have been used |
//! | 80..88 | when it was made, `u64`, unix milliseconds |
//! | 88..96 | length of the body, `u64` |
//! | 96..104 | body hash, `u64`: `xxh3_64(body, seed = key ^ position)`, as in batches |
//! | 104..4096 | zero |
//!
//! The body is two lists, each with its length first (`u64`), then the state of whoever visits the records. The lists: positions that
//! repairs gave up (first, end); segments before it that are kept (number, first position, end, log time at the end, length of the
//! file), all `u64`. A segment before it that is not among them may be gone.
//!
//! The header is written once the body is durable. A file whose header block is zero was never finished, and is removed. A body is written
//! and read some of it at a time, and read twice: what is decoded was verified before, and is believed once it is known to be the same.

mod body;

use std::io::{self, BufRead, BufReader, Write};
use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::body::{BodyReader, BodyWriter};
use super::error::{Corrupt, OpenError};
use super::key::{StoreKey, low_half, u32_at, u64_at};
use super::limits::SNAPSHOT_BUFFER_BYTES;
use super::segment::numbered;
use crate::disk::{Disk, DiskFile};

const HEADER_BYTES: usize = 4096;
/// The lengths of both lists.
const LISTS_BYTES: usize = 16;
const MAGIC: &[u8; 8] = b"skep.snp";
/// The version that is written: from 3 on the state says by what messages are told from others under their sequence.
pub const SNAPSHOT_VERSION: u32 = 3;
/// The oldest version that is read.
const OLDEST_VERSION: u32 = 2;
/// No number is larger, so that what is added to one does not run over.
const NUMBER_MAX: u64 = 1 << 62;

/// What the log needs to go on from a snapshot; the state of the visitor is written and read beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The store it belongs to.
    pub store_id: [u8; 16],
    /// The segment where its tail begins.
    pub segment: u64,
    /// The first position that is not in it.
    pub position: u64,
    /// Hash of the last body before it.
    pub chain: u64,
    /// Which opening wrote the last batch before it.
    pub open_count: u32,
    /// Log time there, unix milliseconds.
    pub time_ms: u64,
    /// Positions below this may have been used.
    pub reserved: u64,
    /// When it was made, unix milliseconds.
    pub made_ms: u64,
    /// The positions that repairs gave up.
    pub given_up: Vec<Range<u64>>,
    /// The segments before it that are kept.
    pub kept: Vec<KeptSegment>,
}

/// A segment that nothing is added to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptSegment {
    /// Its number.
    pub number: u64,
    /// Its first position.
    pub first: u64,
    /// The first position of the segment that came after it.
    pub end: u64,
    /// Log time at its end, unix milliseconds.
    pub time_ms: u64,
    /// Length of its file.
    pub file_bytes: u64,
}

/// A file of a snapshot, as its header block tells.
#[derive(Debug, Clone)]
pub struct FoundSnapshot {
    /// Its file.
    pub name: String,
    /// The number in its name.
    pub number: u64,
    /// Its length.
    pub file_bytes: u64,
    /// What it says of itself, or what is wrong with it; none when it was never finished.
    pub header: Option<Result<SnapshotHeader, Corrupt>>,
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The store it belongs to.
    pub store_id: [u8; 16],
    /// The segment where its tail begins.
    pub segment: u64,
    /// The first position that is not in it.
    pub position: u64,
    /// When it was made, unix milliseconds.
    pub made_ms: u64,
    /// The version of its format.
    pub version: u32,
    chain: u64,
    open_count: u32,
    time_ms: u64,
    reserved: u64,
    body_bytes: u64,
    body_hash: u64,
}

/// A file, and what it says of itself.
type Verified = (SnapshotHeader, Arc<dyn DiskFile>);

/// The file name of a snapshot whose tail begins with this segment.
#[must_use]
pub fn snapshot_name(segment: u64) -> String {
    format!("{segment:010}.snap")
}

/// All files of snapshots, newest first.
///
/// # Errors
/// `Io`, or `UnknownVersion`.
pub fn snapshots(disk: &dyn Disk) -> Result<Vec<FoundSnapshot>, OpenError> {
    let mut found = Vec::new();
    for name in disk.list().map_err(OpenError::io("listing", "the log folder"))? {
        if let Some(number) = numbered(&name, ".snap").filter(|number| name == snapshot_name(*number)) {
            found.push(FoundSnapshot::take(disk, name, number)?);
        }
    }
    found.sort_unstable_by_key(|snapshot| std::cmp::Reverse(snapshot.number));
    Ok(found)
}

impl FoundSnapshot {
    fn take(disk: &dyn Disk, name: String, number: u64) -> Result<Self, OpenError> {
        let file = disk.open(&name).map_err(OpenError::io("opening", &name))?;
        let mut block = [0; HEADER_BYTES];
        file.read_at(0, &mut block).map_err(OpenError::io("reading", &name))?;
        let file_bytes = file.size().map_err(OpenError::io("reading", &name))?;
        let header = match SnapshotHeader::decode(&block) {
            Err(Unread::Version(version)) => {
                return Err(OpenError::UnknownVersion { file: name, version, known: SNAPSHOT_VERSION });
            }
            Err(Unread::Blank) => None,
            Err(Unread::Damaged) => Some(Err(Corrupt("its header block is damaged".into()))),
            Ok(header) if header.segment != number => {
                Some(Err(Corrupt(format!("it says that its tail begins with segment {}", header.segment))))
            }
            Ok(header) => Some(Ok(header)),
        };
        Ok(Self { name, number, file_bytes, header })
    }

    /// What it says of itself, if that can be believed.
    #[must_use]
    pub fn valid(&self) -> Option<SnapshotHeader> {
        self.header.as_ref()?.as_ref().ok().copied()
    }

    /// Reads all of it, and looks whether it is as it was written.
    ///
    /// # Errors
    /// The outer one is the disk's; the inner one says what is wrong with the file.
    pub fn verify(&self, disk: &dyn Disk) -> Result<Result<SnapshotHeader, Corrupt>, OpenError> {
        Ok(self.open(disk)?.map(|(header, _)| header))
    }

    /// Verifies it, and reads it once more with the state in it.
    ///
    /// # Errors
    /// The outer one is the disk's; the inner one says what is wrong with the file.
    pub fn read<T>(
        &self,
        disk: &dyn Disk,
        load: impl FnOnce(&Snapshot, &mut dyn BufRead) -> Result<T, Corrupt>,
    ) -> Result<Result<(Snapshot, T), Corrupt>, OpenError> {
        let (header, file) = match self.open(disk)? {
            Ok(verified) => verified,
            Err(corrupt) => return Ok(Err(corrupt)),
        };
        let mut body = BufReader::with_capacity(header.buffer_bytes(), header.body(&*file));
        let decoded = Snapshot::decode(&header, &mut body)
            .and_then(|snapshot| load(&snapshot, &mut body).map(|loaded| (snapshot, loaded)));
        Ok(self.is_whole(&header, body.into_inner())?.and(decoded))
    }

    /// Opens it, reads all of it and verifies it.
    fn open(&self, disk: &dyn Disk) -> Result<Result<Verified, Corrupt>, OpenError> {
        let header = match &self.header {
            None => return Ok(Err(Corrupt("it was never finished".into()))),
            Some(Err(corrupt)) => return Ok(Err(corrupt.clone())),
            Some(Ok(header)) => *header,
        };
        // Before any length is trusted: a body is no longer than its file.
        if self.file_bytes.checked_sub(HEADER_BYTES as u64) != Some(header.body_bytes) {
            return Ok(Err(Corrupt(format!("it should have {} bytes behind its header block", header.body_bytes))));
        }
        let file = disk.open(&self.name).map_err(OpenError::io("opening", &self.name))?;
        let whole = self.is_whole(&header, header.body(&*file))?;
        Ok(whole.map(|()| (header, file)))
    }

    /// Reads what is left of a body, and looks whether all that was read is what was written.
    fn is_whole(&self, header: &SnapshotHeader, body: BodyReader<'_>) -> Result<Result<(), Corrupt>, OpenError> {
        let hash = body.finish(&mut vec![0; header.buffer_bytes()]).map_err(OpenError::io("reading", &self.name))?;
        let is_same = hash == header.body_hash;
        Ok(if is_same { Ok(()) } else { Err(Corrupt("the hash of its body does not match".into())) })
    }
}

impl Snapshot {
    /// Whether all segments before it are kept, from the first record on.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let end = self.kept.iter().try_fold(1, |at, kept| (kept.first == at).then_some(kept.end));
        end == Some(self.position)
    }

    /// Writes it, with the state that `dump` writes, and syncs it; answers what the file says of itself.
    ///
    /// # Errors
    /// What the disk answers, or `dump`. The file is then gone again, as far as that is possible; the log is as it was.
    pub fn write(
        &self,
        disk: &dyn Disk,
        dump: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<SnapshotHeader> {
        let name = snapshot_name(self.segment);
        // One that was never finished, or is damaged.
        match disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = self.write_to(disk, &name, dump);
        if written.is_err() {
            // The first error is the one that tells something; an opening removes what is left.
            drop(disk.remove(&name));
        }
        written
    }

    fn write_to(
        &self,
        disk: &dyn Disk,
        name: &str,
        dump: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<SnapshotHeader> {
        let file = disk.create_zeroed(name, HEADER_BYTES as u64)?;
        let mut body = BodyWriter::new(&*file, StoreKey::new(self.store_id).body_hasher(self.position));
        body.write_all(&self.lists())?;
        dump(&mut body)?;
        file.sync_data()?;
        let header = self.header(body.written());
        write_header(&*file, &header)?;
        Ok(header)
    }

    /// How long its file is, at most, when the state is no longer than so many bytes.
    #[must_use]
    pub fn file_bytes_max(&self, state_bytes: u64) -> u64 {
        (HEADER_BYTES + LISTS_BYTES + 16 * self.given_up.len() + 40 * self.kept.len()) as u64 + state_bytes
    }

    fn header(&self, (body_bytes, body_hash): (u64, u64)) -> SnapshotHeader {
        let Self { store_id, segment, position, chain, open_count, time_ms, reserved, made_ms, .. } = *self;
        SnapshotHeader {
            store_id,
            segment,
            position,
            made_ms,
            version: SNAPSHOT_VERSION,
            chain,
            open_count,
            time_ms,
            reserved,
            body_bytes,
            body_hash,
        }
    }

    fn lists(&self) -> Vec<u8> {
        let mut lists = Vec::with_capacity(LISTS_BYTES + 16 * self.given_up.len() + 40 * self.kept.len());
        let mut put = |number: u64| lists.extend_from_slice(&number.to_le_bytes());
        put(self.given_up.len() as u64);
        for Range { start, end } in &self.given_up {
            [*start, *end].into_iter().for_each(&mut put);
        }
        put(self.kept.len() as u64);
        for KeptSegment { number, first, end, time_ms, file_bytes } in &self.kept {
            [*number, *first, *end, *time_ms, *file_bytes].into_iter().for_each(&mut put);
        }
        lists
    }

    fn decode(header: &SnapshotHeader, body: &mut dyn BufRead) -> Result<Self, Corrupt> {
        let SnapshotHeader { store_id, segment, position, made_ms, chain, open_count, time_ms, reserved, .. } = *header;
        if position > NUMBER_MAX || reserved > NUMBER_MAX {
            return Err(Corrupt(format!("position {position} is none")));
        }
        let mut given_up = Vec::new();
        for _ in 0..number(body)? {
            given_up.push(number(body)?..number(body)?);
        }
        let mut kept: Vec<KeptSegment> = Vec::new();
        for _ in 0..number(body)? {
            let mut next = || number(body);
            let (number, first, end) = (next()?, next()?, next()?);
            let last = kept.last().map_or((0, 0), |last| (last.number, last.end));
            if number <= last.0 || first < last.1 || end < first || end > position || number >= segment {
                return Err(Corrupt(format!("segment {number} is out of order")));
            }
            kept.push(KeptSegment { number, first, end, time_ms: next()?, file_bytes: next()? });
        }
        Ok(Self { store_id, segment, position, chain, open_count, time_ms, reserved, made_ms, given_up, kept })
    }
}

fn number(body: &mut dyn BufRead) -> Result<u64, Corrupt> {
    let mut number = [0; 8];
    body.read_exact(&mut number).map_err(|_| Corrupt("it is too short".into()))?;
    Ok(u64::from_le_bytes(number))
}

/// Everything before must be durable.
fn write_header(file: &dyn DiskFile, header: &SnapshotHeader) -> io::Result<()> {
    file.write_at(0, &header.encode())?;
    file.sync_data()
}

/// Why a header block is not read.
enum Unread {
    Blank,
    Damaged,
    Version(u32),
}

impl SnapshotHeader {
    /// Length of its file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.body_bytes
    }

    /// How much of the body is read at a time: a small one needs no large buffer.
    fn buffer_bytes(&self) -> usize {
        usize::try_from(self.body_bytes).map_or(SNAPSHOT_BUFFER_BYTES, |bytes| bytes.min(SNAPSHOT_BUFFER_BYTES))
    }

    /// The body of the file that says this.
    fn body<'f>(&self, file: &'f dyn DiskFile) -> BodyReader<'f> {
        BodyReader::new(file, self.body_bytes, StoreKey::new(self.store_id).body_hasher(self.position))
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut block = [0; HEADER_BYTES];
        block[0..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&self.version.to_le_bytes());
        block[16..32].copy_from_slice(&self.store_id);
        let Self { segment, position, chain, time_ms, reserved, made_ms, body_bytes, body_hash, .. } = *self;
        let open_count = self.open_count.into();
        let numbers = [segment, position, chain, open_count, time_ms, reserved, made_ms, body_bytes, body_hash];
        for (place, number) in block[32..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = checksum(&block, self.version);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    fn decode(block: &[u8; HEADER_BYTES]) -> Result<Self, Unread> {
        if block.iter().all(|byte| *byte == 0) {
            return Err(Unread::Blank);
        }
        let version = u32_at(block, 8);
        if &block[0..8] != MAGIC || u32_at(block, 12) != checksum(block, version) {
            return Err(Unread::Damaged);
        }
        if !(OLDEST_VERSION..=SNAPSHOT_VERSION).contains(&version) {
            return Err(Unread::Version(version));
        }
        let mut store_id = [0; 16];
        store_id.copy_from_slice(&block[16..32]);
        Ok(Self {
            store_id,
            segment: u64_at(block, 32),
            position: u64_at(block, 40),
            chain: u64_at(block, 48),
            open_count: u32::try_from(u64_at(block, 56)).map_err(|_| Unread::Damaged)?,
            time_ms: u64_at(block, 64),
            reserved: u64_at(block, 72),
            made_ms: u64_at(block, 80),
            version,
            body_bytes: u64_at(block, 88),
            body_hash: u64_at(block, 96),
        })
    }
}

fn checksum(block: &[u8; HEADER_BYTES], version: u32) -> u32 {
    low_half(xxh3_64_with_seed(&block[16..], u64::from(version)))
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;

    use super::*;
    use crate::disk::real::RealDisk;
    use crate::disk::recording::{Call, RecordingDisk};

    const STATE: &[u8] = b"the state";

    fn snapshot() -> Snapshot {
        let kept = |number, first, end| KeptSegment { number, first, end, time_ms: 5, file_bytes: 8_192 };
        Snapshot {
            store_id: *b"0123456789abcdef",
            segment: 7,
            position: 0x0102_0304,
            chain: 11,
            open_count: 3,
            time_ms: 1_000,
            reserved: 0x0202_0304,
            made_ms: 2_000,
            given_up: vec![5..9, 20..30],
            kept: vec![kept(1, 1, 40), kept(4, 90, 0x0102_0304)],
        }
    }

    fn write(disk: &dyn Disk, snapshot: &Snapshot) -> SnapshotHeader {
        snapshot.write(disk, |out| out.write_all(STATE)).expect("there is room")
    }

    fn found(disk: &dyn Disk) -> FoundSnapshot {
        snapshots(disk).expect("lists").pop().expect("it was written")
    }

    fn short(error: io::Error) -> Corrupt {
        Corrupt(error.to_string())
    }

    /// The snapshot with its state.
    fn read(disk: &RecordingDisk) -> Result<(Snapshot, Vec<u8>), Corrupt> {
        let read = found(disk).read(disk, |_, body| {
            let mut state = Vec::new();
            body.read_to_end(&mut state).map_err(short)?;
            Ok(state)
        });
        read.expect("the disk is well")
    }

    /// Whether it is damaged; such a one is not decoded.
    fn is_damaged(disk: &RecordingDisk) -> bool {
        let (found, mut is_decoded) = (found(disk), false);
        let read = found.read(disk, |_, _| {
            is_decoded = true;
            Ok(())
        });
        let damaged = [read.expect("the disk is well").is_err(), !is_decoded];
        let verified = found.verify(disk).expect("the disk is well");
        assert_eq!(damaged, [verified.is_err(); 2]);
        verified.is_err()
    }

    #[test]
    fn what_is_written_is_read_and_every_flipped_byte_and_every_cut_is_damage() {
        let disk = RecordingDisk::new();
        let written = write(&disk, &snapshot());
        let bytes = written.file_bytes();
        assert_eq!(read(&disk), Ok((snapshot(), STATE.to_vec())));
        assert_eq!(found(&disk).verify(&disk).expect("the disk is well"), Ok(written));
        assert_eq!(bytes, snapshot().file_bytes_max(STATE.len() as u64));
        assert!(!snapshot().is_whole());
        let name = snapshot_name(7);
        let whole = disk.contents(&name).expect("there");
        assert_eq!(whole.len() as u64, bytes);
        for (offset, byte) in whole.iter().enumerate() {
            disk.tamper(&name, offset as u64, &[byte ^ 0x10]);
            assert!(is_damaged(&disk), "at {offset}");
            disk.tamper(&name, offset as u64, &[*byte]);
        }
        for length in [bytes - 1, 4_096, 100] {
            disk.shorten(&name, length);
            assert!(is_damaged(&disk), "cut to {length}");
        }
    }

    #[test]
    fn the_version_before_is_read_and_named() {
        let disk = RecordingDisk::new();
        let written = write(&disk, &snapshot());
        for version in [2, 3] {
            disk.tamper(&snapshot_name(7), 0, &SnapshotHeader { version, ..written }.encode());
            assert_eq!(found(&disk).valid().map(|header| header.version), Some(version));
            assert_eq!(read(&disk), Ok((snapshot(), STATE.to_vec())));
        }
    }

    #[test]
    fn lists_that_are_longer_than_the_body_or_out_of_order_are_damage() {
        let disk = RecordingDisk::new();
        let header = snapshot().header((0, 0));
        for body in [vec![0xff; 40], [vec![0; 8], vec![0xff; 60]].concat(), vec![0; 3]] {
            assert!(Snapshot::decode(&header, &mut &body[..]).is_err());
        }
        let mut twice = snapshot();
        twice.kept.push(twice.kept[0]);
        write(&disk, &twice);
        assert!(read(&disk).is_err_and(|Corrupt(why)| why.contains("out of order")));
    }

    #[test]
    fn a_snapshot_is_whole_when_no_segment_before_it_is_gone() {
        let mut whole = snapshot();
        whole.kept[1].first = 40;
        assert!(whole.is_whole());
        whole.kept.remove(0);
        assert!(!whole.is_whole());
    }

    const LARGE: usize = 32 << 20;

    fn write_large(disk: &dyn Disk) -> SnapshotHeader {
        let part = vec![7; 64 << 10];
        let dump = |out: &mut dyn Write| (0..LARGE / part.len()).try_for_each(|_| out.write_all(&part));
        snapshot().write(disk, dump).expect("there is room")
    }

    #[test]
    fn a_large_snapshot_takes_no_more_memory_than_a_buffer() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = RealDisk::new(folder.path()).expect("a disk");
        let writing = measure(|| assert!(write_large(&disk).file_bytes() > LARGE as u64)).bytes_max;
        let found = found(&disk);
        let verifying = measure(|| assert!(found.verify(&disk).expect("the disk is well").is_ok())).bytes_max;
        let mut part = vec![0; 64 << 10];
        let reading = measure(|| {
            let read = found.read(&disk, |_, body| {
                (0..LARGE / part.len()).try_for_each(|_| body.read_exact(&mut part)).map_err(short)
            });
            assert!(read.expect("the disk is well").is_ok());
        });
        let most = SNAPSHOT_BUFFER_BYTES as u64 * 5 / 4;
        let all = [writing, verifying, reading.bytes_max];
        assert!(all.iter().all(|bytes| *bytes <= most), "{all:?} bytes to write, verify and read");
    }

    #[test]
    fn what_changes_after_it_was_verified_and_while_it_is_decoded_is_not_believed() {
        let disk = RecordingDisk::new();
        let written = write_large(&disk);
        let read = found(&disk).read(&disk, |_, body| {
            disk.tamper(&snapshot_name(7), written.file_bytes() - 1, &[8]);
            let mut state = Vec::new();
            body.read_to_end(&mut state).map_err(short)?;
            Ok(state.len())
        });
        let Corrupt(why) = read.expect("the disk is well").expect_err("it has changed");
        assert!(why.contains("hash"), "{why}");
    }

    #[test]
    fn a_disk_that_fails_while_it_is_decoded_is_told_of_and_the_snapshot_is_not_damaged() {
        let disk = RecordingDisk::new();
        write_large(&disk);
        let read = found(&disk).read(&disk, |_, body| {
            disk.fail_after(Call::Read, 1);
            let mut state = Vec::new();
            // Whoever decodes takes it for an end.
            drop(body.read_to_end(&mut state));
            Ok(state.len())
        });
        assert!(matches!(&read, Err(OpenError::Io { doing: "reading", .. })), "{read:?}");
    }

    #[test]
    fn a_snapshot_of_an_older_format_is_named_as_such() {
        let disk = RecordingDisk::new();
        write(&disk, &snapshot());
        let mut block = [0; HEADER_BYTES];
        block.copy_from_slice(&disk.contents(&snapshot_name(7)).expect("there")[..HEADER_BYTES]);
        block[8] = 1;
        let checksum = checksum(&block, 1);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        disk.tamper(&snapshot_name(7), 0, &block);
        let error = snapshots(&disk).expect_err("it is of another version");
        assert!(matches!(&error, OpenError::UnknownVersion { version: 1, known: SNAPSHOT_VERSION, .. }), "{error}");
        assert!(error.to_string().ends_with("start the program that wrote it"), "{error}");
    }
}
