//! Writing what was found behind the first loss once more, into fresh segments.

use std::sync::Arc;

use super::{Item, Loss, Plan, Run, UNFINISHED};
use crate::disk::{Disk, DiskFile, is_full};
use crate::log::batch::{BATCH_HEADER_BYTES, BatchHeader, Fault, padded};
use crate::log::error::OpenError;
use crate::log::key::StoreKey;
use crate::log::limits::{POSITION_BLOCK, PROOF_ROOM_BYTES};
use crate::log::mark::{FoundMark, MARK_FILE, MarkFile, Reached};
use crate::log::segment::{DATA_OFFSET, SegmentHeader, SegmentSizes, file_bytes_for, file_name};
use crate::log::walk::Cursor;
use crate::log::window::{NoBatch, Window};

/// Writes batches one after the other, each continuing the one before.
pub(super) struct Rebuild<'a> {
    disk: Arc<dyn Disk>,
    key: StoreKey,
    store_id: [u8; 16],
    mark: FoundMark,
    sizes: SegmentSizes,
    items: &'a [Item],
    number: u64,
    /// Bytes of batches still to come.
    left: u64,
    cursor: Cursor,
    /// How much open counts rise by what is lost.
    risen: u32,
    segments: Vec<Fresh>,
}

/// A segment that has no header block yet.
struct Fresh {
    number: u64,
    name: String,
    file: Arc<dyn DiskFile>,
    first: u64,
    offset: u64,
    file_bytes: u64,
}

impl<'a> Rebuild<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let left = plan.items.iter().map(|item| match item {
            Item::Loss(_) => BATCH_HEADER_BYTES as u64,
            Item::Run(run) => run.bytes.end - run.bytes.start,
        });
        Self {
            disk: plan.disk.clone(),
            key: StoreKey::new(plan.store_id),
            store_id: plan.store_id,
            mark: plan.mark,
            sizes: plan.with.sizes,
            items: &plan.items,
            number: plan.sources.next_number,
            left: left.sum(),
            cursor: plan.join,
            risen: 0,
            segments: Vec::new(),
        }
    }

    /// Writes all batches, and syncs them.
    pub(super) fn write(&mut self) -> Result<(), OpenError> {
        let items = self.items;
        let mut window = Window::default();
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::Loss(loss) => self.loss(loss, index + 1 == items.len())?,
                Item::Run(run) => self.run(run, &mut window)?,
            }
        }
        // It proves all before it.
        self.batch(&self.empty(self.cursor.position), &[])?;
        for segment in &self.segments {
            segment.file.sync_data().map_err(OpenError::io("syncing", &segment.name))?;
        }
        Ok(())
    }

    /// Makes the segments part of the log, the first one last; from then on it is repaired. Answers their names.
    pub(super) fn finish(self) -> Result<Vec<String>, OpenError> {
        for segment in self.segments.iter().rev() {
            let header = SegmentHeader {
                store_id: self.store_id,
                number: segment.number,
                open_count: self.cursor.open_count.into(),
                first_position: segment.first,
            };
            let written = segment.file.write_at(0, &header.encode()).and_then(|()| segment.file.sync_data());
            written.map_err(OpenError::io("writing", &segment.name))?;
        }
        if let Some(last) = self.segments.last() {
            let reached = Reached {
                store_id: self.store_id,
                segment: last.number,
                file_bytes: last.file_bytes,
                first: last.first,
                durable: self.cursor.position,
                clean: false,
            };
            let mut mark = MarkFile::ready(&*self.disk, self.mark)?;
            mark.write(&reached).map_err(OpenError::io("writing", MARK_FILE))?;
        }
        Ok(self.segments.into_iter().map(|segment| segment.name).collect())
    }

    /// Removes what was written, as far as possible; the log is as it was.
    pub(super) fn abandon(self) {
        self.segments.iter().for_each(|segment| drop(self.disk.remove(&segment.name)));
    }

    /// An empty batch behind a gap tells every later opening which positions are lost.
    fn loss(&mut self, loss: &Loss, is_end: bool) -> Result<(), OpenError> {
        if loss.positions.is_empty() {
            return Ok(());
        }
        // Each opening takes a block of positions, so at most so many are lost; those in the middle are still counted by what follows.
        let openings = if is_end { (loss.positions.end - loss.positions.start) / POSITION_BLOCK } else { 0 };
        let openings = u32::try_from(openings).unwrap_or(u32::MAX);
        self.risen = self.risen.saturating_add(1).saturating_add(openings);
        self.batch(&BatchHeader { open_count: self.cursor.open_count, ..self.empty(loss.positions.end) }, &[])
    }

    fn run(&mut self, run: &Run, window: &mut Window) -> Result<(), OpenError> {
        let file = self.disk.open(&run.file).map_err(OpenError::io("opening", &run.file))?;
        window.leave_file();
        let mut offset = run.bytes.start;
        while offset < run.bytes.end {
            let found = window.batch(&*file, offset, self.key).map_err(OpenError::io("reading", &run.file))?;
            let (header, bytes) = found.map_err(|NoBatch { fault, .. }| changed(&run.file, fault))?;
            self.batch(&header, bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default())?;
            offset += header.padded_bytes() as u64;
        }
        Ok(())
    }

    fn empty(&self, position: u64) -> BatchHeader {
        BatchHeader {
            body_bytes: 0,
            records: 0,
            position,
            open_count: 0,
            clean: false,
            known_durable: position,
            body_hash: self.key.body_hash(&[], position),
            previous_hash: 0,
            time_ms: self.cursor.time_ms,
        }
    }

    /// Appends a batch as it was, but for what it continues. Once it counts, all of it and before it is durable.
    fn batch(&mut self, own: &BatchHeader, body: &[u8]) -> Result<(), OpenError> {
        let lowest = u64::from(self.cursor.open_count) + u64::from(own.position > self.cursor.position);
        let wanted = (u64::from(own.open_count) + u64::from(self.risen)).max(lowest);
        let open_count = u32::try_from(wanted).map_err(|_| OpenError::OpenedTooOften(wanted))?;
        let header = BatchHeader {
            open_count,
            clean: false,
            known_durable: own.position,
            previous_hash: self.cursor.chain.unwrap_or(0),
            ..*own
        };
        let mut bytes = header.encode(self.key).to_vec();
        bytes.extend_from_slice(body);
        bytes.resize(padded(bytes.len()), 0);
        let (offset, length) = self.make_room(bytes.len() as u64)?;
        let Some(segment) = self.segments.last_mut() else { return Ok(()) };
        segment.file.write_at(offset, &bytes).map_err(|error| no_room(&segment.name, length, error))?;
        segment.offset = offset + length;
        segment.file_bytes = segment.file_bytes.max(segment.offset);
        self.left = self.left.saturating_sub(length);
        self.cursor.advance(&header);
        Ok(())
    }

    /// Begins a segment when there is none, or the last one is full. One that begins where the one before does would supersede it.
    fn make_room(&mut self, bytes: u64) -> Result<(u64, u64), OpenError> {
        let first = self.cursor.position;
        if let Some(last) = self.segments.last()
            && (last.offset + bytes + PROOF_ROOM_BYTES <= last.file_bytes || first == last.first)
        {
            return Ok((last.offset, bytes));
        }
        let data = self.left.clamp(self.sizes.first, self.sizes.max).max(bytes) + PROOF_ROOM_BYTES;
        let (number, file_bytes) = (self.number, file_bytes_for(data));
        let name = file_name(number);
        let file = self.disk.create_zeroed(&name, file_bytes).map_err(|error| no_room(&name, file_bytes, error))?;
        let begun = file.write_at(0, UNFINISHED).and_then(|()| file.sync_data());
        self.segments.push(Fresh { number, name: name.clone(), file, first, offset: DATA_OFFSET, file_bytes });
        self.number += 1;
        begun.map_err(OpenError::io("writing", &name))?;
        Ok((DATA_OFFSET, bytes))
    }
}

fn no_room(name: &str, bytes: u64, source: std::io::Error) -> OpenError {
    let file = name.to_owned();
    if is_full(&source) {
        OpenError::DiskFull { file, bytes }
    } else {
        OpenError::Io { doing: "writing", file, source }
    }
}

fn changed(name: &str, fault: Fault) -> OpenError {
    OpenError::io("reading twice", name)(std::io::Error::other(format!("the second reading differs: {fault}")))
}
