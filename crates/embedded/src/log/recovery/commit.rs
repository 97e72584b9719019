//! Making a sound log writable again: the only part of recovery that changes anything on disk.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::judge::{End, OPEN_BATCH_BYTES};
use super::{BatchAt, Mode, OpenError, Opened, Recovery, Relocation, Report};
use crate::disk::{DiskFile, is_full};
use crate::log::batch::BatchHeader;
use crate::log::buffer::LogBuffer;
use crate::log::catalog::Catalog;
use crate::log::key::StoreKey;
use crate::log::limits::{POSITION_BLOCK, PROOF_ROOM_BYTES, READ_CHUNK_BYTES};
use crate::log::mark::{MARK_FILE, MarkFile, Reached};
use crate::log::reader::Reader;
use crate::log::record::{Open, RecordKind};
use crate::log::segment::{DATA_OFFSET, SegmentHeader, file_bytes_for, file_name};
use crate::log::spares::{Prepared, Spares};
use crate::log::writer::{Start, Tail, Writer};

/// The batch that opens the store: its bytes, and what the writer goes on from.
struct Opening {
    bytes: Vec<u8>,
    tail: Tail,
}

impl Recovery<'_> {
    /// Where the tail will be copied to, or `None` when the last segment can simply be continued: something in it is proven
    /// durable (else even its header block may be in the page cache alone), nothing is unproven or torn, and there is room.
    pub(super) fn relocation(&self, end: &End) -> Option<Relocation> {
        let last = self.survey.segments.last();
        let room = last.map_or(0, |last| last.file_bytes.saturating_sub(end.offset));
        let proven = end.tail > DATA_OFFSET && !end.tail_has_records && end.cut.is_none();
        let continued = proven && room >= OPEN_BATCH_BYTES + PROOF_ROOM_BYTES;
        let segment = last.map_or(0, |last| last.number) + 1;
        (!continued).then_some(Relocation { from: end.tail, to: BatchAt { segment, offset: DATA_OFFSET } })
    }

    pub(super) fn commit(mut self, end: End) -> Result<Opened, OpenError> {
        let moved = self.relocation(&end);
        let copied_bytes = moved.map_or(0, |moved| end.offset - moved.from);
        let report = Report { copied_bytes, ..self.sound_report(&end) };
        let opening = self.opening(end.known_durable)?;

        self.remove_strays()?;
        let mut mark = MarkFile::ready(&*self.disk, self.mark)?;
        let (segment, offset) = match moved {
            None => self.continue_last(&end, &opening)?,
            Some(Relocation { to, .. }) => self.write_fresh(to.segment, &end, &opening)?,
        };
        let first = match self.survey.segments.last() {
            Some(last) if moved.is_none() => last.first,
            _ => end.tail_position,
        };
        // Before anything is removed or served: from now on the mark knows of the segment.
        let Prepared { number, file_bytes, .. } = segment;
        let reached = Reached {
            store_id: self.store_id,
            segment: number,
            file_bytes,
            first,
            durable: opening.tail.durable,
            clean: false,
        };
        mark.write(&reached).map_err(OpenError::io("writing", MARK_FILE))?;
        if moved.is_some() {
            self.cut_torn(&end)?;
            self.supersede(end.tail_position);
        }
        self.remove_superseded()?;

        let catalog = Arc::new(Catalog::default());
        for segment in &self.survey.segments {
            catalog.add(segment.number, segment.first);
        }
        if moved.is_some() {
            catalog.add(segment.number, end.tail_position);
        }
        let reader = Reader::new(self.disk.clone(), StoreKey::new(self.store_id), catalog.clone());
        let spares = Arc::new(Spares::after(self.disk, self.with.sizes, segment.number, segment.file_bytes));
        let Opening { tail, .. } = opening;
        let start = Start { store_id: self.store_id, catalog, spares, segment, first, offset, tail, mark };
        let writer = Writer::start(start);
        Ok(Opened {
            mode: Mode::ReadWrite(Box::new(writer)),
            reader,
            report,
            store_id: self.store_id,
            next_position: tail.position,
            open_count: tail.open_count.into(),
            time_ms: tail.time_ms,
        })
    }

    /// Positions go on behind all that was ever reserved, so that even those lost in a crash are never used again.
    fn opening(&self, known_durable: u64) -> Result<Opening, OpenError> {
        let count = self.survey.open_count.max(self.cursor.open_count.into());
        let open_count =
            u32::try_from(count).ok().and_then(|count| count.checked_add(1)).ok_or(OpenError::OpenedTooOften(count))?;
        let position = self.reserved_end();
        let reserved = position.saturating_add(POSITION_BLOCK);
        let open = Open { open_count: open_count.into(), reserved_until: reserved, wall_ms: self.with.time_ms };
        let mut buffer = LogBuffer::new(position);
        buffer.append(RecordKind::Open, 0, |body| body.extend_from_slice(&open.encode()));
        let key = StoreKey::new(self.store_id);
        let header = BatchHeader {
            body_bytes: buffer.body().len() as u32,
            records: buffer.records(),
            position,
            open_count,
            clean: false,
            known_durable,
            body_hash: key.body_hash(buffer.body(), position),
            previous_hash: self.cursor.chain.unwrap_or(0),
            time_ms: self.cursor.time_ms.max(self.with.time_ms),
        };
        let bytes = buffer.seal(&header, key).to_vec();
        let (chain, time_ms, end) = (header.body_hash, header.time_ms, header.end());
        let tail = Tail {
            open_count,
            position: end,
            durable: end,
            reserved,
            reserved_next: reserved,
            chain,
            time_ms,
            unsynced: false,
        };
        Ok(Opening { bytes, tail })
    }

    fn reserved_end(&self) -> u64 {
        let found = self.visits.reserved.max(self.cursor.position);
        if self.first > 1 || !self.visits.given_up.is_empty() {
            // The last reservation may have been in a removed segment, or in what a repair gave up. It reached at most one and a half blocks ahead.
            return found.max(self.cursor.position.saturating_add(2 * POSITION_BLOCK));
        }
        found
    }

    /// Spares, and segments whose header was never finished. Their names are needed, and whether they are durable is not known.
    fn remove_strays(&self) -> Result<(), OpenError> {
        for stray in self.survey.strays_behind() {
            self.disk.remove(&stray.name).map_err(OpenError::io("removing", &stray.name))?;
        }
        Ok(())
    }

    /// Adds the opening to the last segment. Empty batches at its end are written once more with it: all records are proven
    /// durable, those batches are not, and the opening continues the last of them.
    fn continue_last(&self, end: &End, opening: &Opening) -> Result<(Prepared, u64), OpenError> {
        let last = self.survey.segments.last().expect("only a log with a segment is continued");
        let file = self.disk.open(&last.name).map_err(OpenError::io("opening", &last.name))?;
        let write = || {
            let mut bytes = vec![0; (end.offset - end.tail) as usize];
            read_whole(&*file, end.tail, &mut bytes)?;
            bytes.extend_from_slice(&opening.bytes);
            file.write_at(end.tail, &bytes)?;
            file.sync_data()
        };
        write().map_err(OpenError::io("writing", &last.name))?;
        let (number, name, file_bytes) = (last.number, last.name.clone(), last.file_bytes);
        Ok((Prepared { number, name, file, file_bytes }, end.offset + opening.bytes.len() as u64))
    }

    /// Copies the tail and adds the opening; only then comes the header, which makes the segment part of the log.
    fn write_fresh(&self, number: u64, end: &End, opening: &Opening) -> Result<(Prepared, u64), OpenError> {
        let name = file_name(number);
        let data = (end.offset - end.tail) + opening.bytes.len() as u64 + PROOF_ROOM_BYTES;
        let file_bytes = file_bytes_for(data.max(self.with.sizes.first));
        let file = self.disk.create_zeroed(&name, file_bytes).map_err(|source| match is_full(&source) {
            true => OpenError::DiskFull { file: name.clone(), bytes: file_bytes },
            false => OpenError::Io { doing: "creating", file: name.clone(), source },
        })?;
        let opening_offset = DATA_OFFSET + (end.offset - end.tail);
        let header = SegmentHeader {
            store_id: self.store_id,
            number,
            open_count: opening.tail.open_count.into(),
            first_position: end.tail_position,
        };
        let write = || {
            if let Some(last) = self.survey.segments.last() {
                copy(&*self.disk.open(&last.name)?, end.tail..end.offset, &*file, DATA_OFFSET)?;
            }
            file.write_at(opening_offset, &opening.bytes)?;
            file.sync_data()?;
            file.write_at(0, &header.encode())?;
            file.sync_data()
        };
        write().map_err(OpenError::io("writing", &name))?;
        Ok((Prepared { number, name, file, file_bytes }, opening_offset + opening.bytes.len() as u64))
    }

    /// Zeroes what was torn. A crash before this does no harm: the fresh segment supersedes it.
    fn cut_torn(&self, end: &End) -> Result<(), OpenError> {
        let (Some(cut), Some(last)) = (&end.cut, self.survey.segments.last()) else { return Ok(()) };
        let zero = || {
            let file = self.disk.open(&last.name)?;
            let zeros = vec![0; READ_CHUNK_BYTES.min((cut.end - cut.start) as usize)];
            let mut offset = cut.start;
            while offset < cut.end {
                let part = (cut.end - offset).min(zeros.len() as u64);
                file.write_at(offset, &zeros[..part as usize])?;
                offset += part;
            }
            file.sync_data()
        };
        zero().map_err(OpenError::io("cutting", &last.name))
    }

    /// Removes segments of which nothing is left, so that a hub that crashes again and again does not fill the disk.
    fn remove_superseded(&self) -> Result<(), OpenError> {
        for segment in &self.survey.superseded {
            self.disk.remove(&segment.name).map_err(OpenError::io("removing", &segment.name))?;
        }
        Ok(())
    }

    fn supersede(&mut self, position: u64) {
        self.survey.superseded.extend(self.survey.segments.pop_if(|last| last.first >= position));
    }
}

fn copy(from: &dyn DiskFile, range: Range<u64>, to: &dyn DiskFile, to_offset: u64) -> io::Result<()> {
    let mut bytes = vec![0; READ_CHUNK_BYTES.min((range.end - range.start) as usize)];
    let mut done = 0;
    while done < range.end - range.start {
        let part = (range.end - range.start - done).min(bytes.len() as u64) as usize;
        read_whole(from, range.start + done, &mut bytes[..part])?;
        to.write_at(to_offset + done, &bytes[..part])?;
        done += part as u64;
    }
    Ok(())
}

fn read_whole(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let wanted = buffer.len();
    if file.read_at(offset, buffer)? == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
