//! Making a sound log writable again: the only part of recovery that changes anything on disk.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::judge::{End, OPEN_BATCH_BYTES};
use super::{BatchAt, Mode, OpenError, Opened, Recovery, Relocation, Report};
use crate::disk::DiskFile;
use crate::log::batch::BatchHeader;
use crate::log::buffer::LogBuffer;
use crate::log::follow::Follower;
use crate::log::key::StoreKey;
use crate::log::limits::{POSITION_BLOCK, PROOF_ROOM_BYTES, READ_CHUNK_BYTES};
use crate::log::mark::{MARK_FILE, MarkFile, Reached};
use crate::log::reader::Reader;
use crate::log::record::{Open, RecordKind};
use crate::log::segment::{DATA_OFFSET, SegmentHeader, file_bytes_for, file_name};
use crate::log::spares::{Prepared, Spares};
use crate::log::suspects::{SUSPECTS_FILE, forget};
use crate::log::writer::{Start, Tail, Writer};

/// The batch that opens the store: its bytes, and what the writer goes on from.
struct Opening {
    bytes: Vec<u8>,
    tail: Tail,
}

impl Recovery<'_> {
    /// Where the tail will be copied to, or `None` when the last segment is continued: there is room in it, and either something in
    /// it is proven durable (else even its header block may be in the page cache alone) and nothing is unproven or torn, or there is
    /// no room for another file.
    pub(super) fn relocation(&self, end: &End) -> Option<Relocation> {
        let last = self.survey.segments.last();
        let room = last.map_or(0, |last| last.file_bytes.saturating_sub(end.offset));
        let proven = end.tail > DATA_OFFSET && !end.tail_has_records && end.cut.is_none();
        let continued = (proven || self.with.full) && room >= OPEN_BATCH_BYTES + PROOF_ROOM_BYTES;
        let segment = last.map_or(0, |last| last.number) + 1;
        (!continued).then_some(Relocation { from: end.tail, to: BatchAt { segment, offset: DATA_OFFSET } })
    }

    pub(super) fn commit(mut self, end: End) -> Result<Opened, OpenError> {
        let moved = self.relocation(&end);
        let copied_bytes = if moved.is_some() || self.with.full { end.offset - end.tail } else { 0 };
        let report = Report { copied_bytes, ..self.sound_report(&end) };
        let opening = self.opening(end.known_durable)?;

        let found = self.take_spare(moved.map(|_| self.fresh_bytes(&end, &opening)))?;
        let mut mark = MarkFile::ready(&*self.disk, self.mark)?;
        let ((segment, offset), spare) = match moved {
            None => (self.continue_last(&end, &opening)?, found),
            Some(Relocation { to, .. }) => (self.write_fresh(to.segment, found, &end, &opening)?, None),
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
        forget(&*self.disk).map_err(OpenError::io("removing", SUSPECTS_FILE))?;

        let catalog = Arc::new(self.catalog());
        if moved.is_some() {
            catalog.add(segment.number, end.tail_position, file_bytes);
        }
        let reader = Reader::new(self.disk.clone(), StoreKey::new(self.store_id), catalog.clone());
        let spares = Arc::new(Spares::after(self.disk, self.with.sizes, &segment, spare));
        let Opening { tail, .. } = opening;
        let start = Start { store_id: self.store_id, catalog, spares, segment, first, offset, tail, mark };
        let writer = Writer::start(start);
        Ok(Opened {
            mode: Mode::ReadWrite(Box::new(writer)),
            follower: Follower::new(reader.clone(), self.store_id),
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
        if !self.visits.given_up.is_empty() {
            // The last reservation may have been in what a repair gave up. It reached at most one and a half blocks ahead.
            return found.max(self.cursor.position.saturating_add(2 * POSITION_BLOCK));
        }
        found
    }

    /// Adds the opening to the last segment. What nothing proves durable is written once more with it, and what is torn is zeroed.
    /// Whatever of that a crash leaves undone, the same bytes are there, or nothing that was acknowledged is missing.
    fn continue_last(&self, end: &End, opening: &Opening) -> Result<(Prepared, u64), OpenError> {
        let last = self.survey.segments.last().expect("only a log with a segment is continued");
        let file = self.disk.open(&last.name).map_err(OpenError::io("opening", &last.name))?;
        // With nothing proven in the segment its header block is not, either.
        let from = if end.tail > DATA_OFFSET { end.tail } else { 0 };
        let write = || {
            copy(&*file, from..end.offset, &*file, from)?;
            end.cut.clone().map_or(Ok(()), |cut| zero(&*file, cut))?;
            file.write_at(end.offset, &opening.bytes)?;
            file.sync_data()
        };
        write().map_err(OpenError::io("writing", &last.name))?;
        let (number, name, file_bytes) = (last.number, last.name.clone(), last.file_bytes);
        Ok((Prepared { number, name, file, file_bytes }, end.offset + opening.bytes.len() as u64))
    }

    /// Length of a fresh segment with the tail, the opening, and room behind them.
    fn fresh_bytes(&self, end: &End, opening: &Opening) -> u64 {
        let data = (end.offset - end.tail) + opening.bytes.len() as u64 + PROOF_ROOM_BYTES;
        file_bytes_for((data + self.with.sizes.openings_room()).max(self.with.sizes.first))
    }

    /// Copies the tail and adds the opening; only then comes the header, which makes the segment part of the log.
    fn write_fresh(
        &self,
        number: u64,
        spare: Option<Prepared>,
        end: &End,
        opening: &Opening,
    ) -> Result<(Prepared, u64), OpenError> {
        let (file, name, file_bytes) = match spare {
            Some(Prepared { file, name, file_bytes, .. }) => (file, name, file_bytes),
            None => {
                let (name, bytes) = (file_name(number), self.fresh_bytes(end, opening));
                let created = self.disk.create_zeroed(&name, bytes).map_err(OpenError::creating(&name, bytes));
                (created?, name, bytes)
            }
        };
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
        let cut_off = || {
            let file = self.disk.open(&last.name)?;
            zero(&*file, cut.clone())?;
            file.sync_data()
        };
        cut_off().map_err(OpenError::io("cutting", &last.name))
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

fn zero(file: &dyn DiskFile, range: Range<u64>) -> io::Result<()> {
    let zeros = vec![0; READ_CHUNK_BYTES.min((range.end - range.start) as usize)];
    let mut offset = range.start;
    while offset < range.end {
        let part = (range.end - offset).min(zeros.len() as u64);
        file.write_at(offset, &zeros[..part as usize])?;
        offset += part;
    }
    Ok(())
}

fn read_whole(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let wanted = buffer.len();
    if file.read_at(offset, buffer)? == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
