//! Where records wait to be written: one buffer that fills, and full ones in order.

use std::collections::VecDeque;

use skep_core::Level;
use skep_protocol::{MessageRef, ProducerId};

use super::ahead::Ahead;
use super::room::Need;
use crate::journal::{QueueId, Record, encode_message, message_flags};
use crate::limits::{BUFFERS_MAX, LAZY_BYTES_MAX};
use crate::log::{LogBuffer, RECORD_HEADER_BYTES, RecordKind, Room, Staged};

/// Records that the writer appends itself before it writes (a reservation): room is kept for them.
const KEPT_RECORDS: u32 = 1;
const KEPT_BYTES: usize = 64;

/// Staged records, in order of position.
pub(crate) struct Staging {
    filling: LogBuffer,
    full: VecDeque<LogBuffer>,
    /// Written buffers, kept for their room.
    spare: Vec<LogBuffer>,
    /// What was promised to go into the batch that fills, whole: up to so many bytes and records it
    /// is not closed.
    whole: (usize, u32),
    /// Position after the last record that is to be synced before it takes effect.
    strong_until: u64,
    /// Of the others, within how many milliseconds they are to be synced, if they are.
    sync_within_ms: Option<u64>,
    /// Where in the log it will lie.
    ahead: Ahead,
}

impl Default for Staging {
    fn default() -> Self {
        let filling = LogBuffer::new(1);
        let (full, spare) = (VecDeque::new(), Vec::new());
        let ahead = Ahead::default();
        Staging { filling, full, spare, whole: (0, 0), strong_until: 0, sync_within_ms: None, ahead }
    }
}

impl Staging {
    /// Begins at a position, after recovery.
    pub(crate) fn begin(&mut self, position: u64) {
        self.filling = LogBuffer::new(position);
    }

    /// Whether so many records of so many bytes can be staged together.
    pub(crate) fn has_room(&self, bytes: usize, records: u32) -> bool {
        self.fits(bytes, records) || (self.full.len() < BUFFERS_MAX && fits(&LogBuffer::new(0), bytes, records))
    }

    /// Whether so much is more than any batch holds, however empty.
    pub(crate) fn is_too_large(&self, bytes: usize, records: u32) -> bool {
        !fits(&LogBuffer::new(0), bytes, records)
    }

    /// Sees to it that the next records, so many of so many bytes, go into one batch, whole: also
    /// where that makes it larger than batches usually are.
    pub(crate) fn together(&mut self, bytes: usize, records: u32) {
        self.make_room(bytes, records);
        let headers = RECORD_HEADER_BYTES * records as usize;
        self.whole = (self.filling.len() + bytes + headers, self.filling.records() + records);
    }

    fn make_room(&mut self, bytes: usize, records: u32) {
        if self.closes(bytes, records) {
            self.seal();
        }
    }

    /// Whether so much more does not go into the batch that fills: it is too much, or begins the next segment, where what is in
    /// already need not wait for it.
    fn closes(&self, bytes: usize, records: u32) -> bool {
        let is_whole = self.filling.len() < self.whole.0 && self.filling.records() < self.whole.1;
        let is_left = |more| self.ahead.is_left(batch_bytes(&self.filling, more));
        !is_whole && (!self.fits(bytes, records) || is_left((0, 0)) && !is_left((bytes, records)))
    }

    /// Whether room is prepared in the log for this, and for whoever comes before it; so many leases are held.
    pub(crate) fn is_prepared(&self, need: &Need, leases: usize) -> bool {
        let Need { claim, bytes, records } = *need;
        let (mut ahead, more) = (self.ahead, (bytes, records));
        let batch = if self.closes(bytes, records) && !self.filling.is_empty() {
            ahead.place(batch_bytes(&self.filling, (0, 0)));
            alone(bytes, records)
        } else {
            batch_bytes(&self.filling, more)
        };
        ahead.place(batch) && claim.leaves_enough(&ahead, leases)
    }

    /// How large a batch the spare is to take, if this waits for a larger one.
    pub(crate) fn wanted_spare(&self, need: &Need) -> Option<u64> {
        Some(alone(need.bytes, need.records)).filter(|batch| self.ahead.is_spare_small(*batch))
    }

    /// The writer has written what it took, and the log has this room now.
    pub(super) fn written(&mut self, room: Room) {
        self.ahead.written(room, self.full.iter().map(|buffer| buffer.batch_bytes(0, 0)));
    }

    /// The spare has this room, 0 where there is none; perhaps that is all for now.
    pub(super) fn prepared(&mut self, spare: u64, is_last: bool) {
        self.ahead.prepared(spare, is_last, self.full.iter().map(|buffer| buffer.batch_bytes(0, 0)));
    }

    /// Stages a record that says nothing, in the segment behind this one: the writer is to begin it.
    pub(super) fn roll(&mut self) {
        self.ahead.roll();
        self.filling.append_nothing();
    }

    /// Whether so much fits into the batch that fills.
    #[cfg(test)]
    pub(crate) fn fits_in_batch(&self, bytes: usize, records: u32) -> bool {
        self.fits(bytes, records)
    }

    /// The position the next record will have.
    pub(crate) fn position(&self) -> u64 {
        self.filling.position()
    }

    /// The position of the last staged record; none before the first.
    pub(crate) fn last(&self) -> Option<u64> {
        self.filling.position().checked_sub(1)
    }

    /// The first position that is not with the writer yet.
    pub(crate) fn first(&self) -> u64 {
        self.full.front().unwrap_or(&self.filling).first_position()
    }

    /// Stages a record that is to be synced before it takes effect; answers its position.
    pub(crate) fn append(&mut self, record: &Record<'_>) -> u64 {
        self.append_at(Level::FSYNC, record)
    }

    /// Stages a record that is made as durable as the message it speaks of; answers its position.
    pub(crate) fn append_at(&mut self, level: Level, record: &Record<'_>) -> u64 {
        self.make_room(record_bytes(record), 1);
        let staged = self.filling.append(record.kind(), record.flags(), |out| record.encode(out));
        self.ask(level, staged.position);
        staged.position
    }

    /// What is staged at this position is to reach this level.
    pub(crate) fn ask(&mut self, level: Level, position: u64) {
        if level == Level::FSYNC {
            self.strong_until = self.strong_until.max(position + 1);
        } else if let Some(ms) = level.interval_ms() {
            self.sync_within_ms = Some(self.sync_within_ms.map_or(ms, |known| known.min(ms)));
        }
    }

    /// Whether a buffer that was just taken holds what is to be synced. What is staged behind it may lend it that.
    pub(crate) fn asks_sync(&self, taken: &LogBuffer) -> bool {
        self.strong_until > taken.first_position()
    }

    /// Within how many milliseconds what was taken is to be synced, if it is not at once.
    pub(crate) fn sync_within_ms(&mut self) -> Option<u64> {
        let within = self.sync_within_ms;
        // Of several full buffers nobody knows which one asks.
        if self.is_empty() {
            self.sync_within_ms = None;
        }
        within
    }

    /// Stages a message.
    pub(crate) fn append_message(
        &mut self,
        level: Level,
        producer: Option<(ProducerId, u64)>,
        by_id: bool,
        party: &str,
        queues: &[QueueId],
        message: &MessageRef<'_>,
    ) -> Staged {
        self.make_room(crate::journal::message_overhead(party, queues.len()) + message.bytes().len(), 1);
        let flags = message_flags(producer.is_some(), by_id);
        let encode = |out: &mut Vec<u8>| encode_message(out, producer, party, queues, message);
        let staged = self.filling.append(RecordKind::Message, flags, encode);
        self.ask(level, staged.position);
        staged
    }

    /// Whether so much is staged that it is to be written although nobody waits for it.
    pub(crate) fn is_large(&self) -> bool {
        !self.full.is_empty() || self.filling.len() > LAZY_BYTES_MAX
    }

    /// Whether nothing is staged.
    pub(crate) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.filling.is_empty()
    }

    /// Takes the next buffer to write.
    pub(crate) fn take(&mut self) -> Option<LogBuffer> {
        if self.full.is_empty() {
            self.seal();
        }
        let taken = self.full.pop_front();
        self.ahead.took(taken.as_ref().map_or(0, |taken| taken.batch_bytes(0, 0)));
        taken
    }

    /// Gives a written buffer back, for its room.
    pub(crate) fn give_back(&mut self, buffer: LogBuffer) {
        if self.spare.is_empty() {
            self.spare.push(buffer);
        }
    }

    fn seal(&mut self) {
        if !self.filling.is_empty() {
            let mut next = self.spare.pop().unwrap_or_else(|| LogBuffer::new(0));
            self.whole = (0, 0);
            self.filling.hand_over(&mut next);
            self.ahead.place(next.batch_bytes(0, 0));
            self.full.push_back(next);
        }
    }

    fn fits(&self, bytes: usize, records: u32) -> bool {
        fits(&self.filling, bytes, records)
    }
}

fn fits(buffer: &LogBuffer, bytes: usize, records: u32) -> bool {
    buffer.fits(bytes + KEPT_BYTES, records + KEPT_RECORDS)
}

/// At least what a buffer takes in the log, with so many more bytes of so many records.
fn batch_bytes(buffer: &LogBuffer, (bytes, records): (usize, u32)) -> u64 {
    buffer.batch_bytes(bytes + KEPT_BYTES, records + KEPT_RECORDS)
}

/// The same of a batch of its own.
fn alone(bytes: usize, records: u32) -> u64 {
    batch_bytes(&LogBuffer::new(0), (bytes, records))
}

/// At least as many bytes as a record takes.
fn record_bytes(record: &Record<'_>) -> usize {
    let free = match record {
        Record::Nack { reason, .. }
        | Record::Dead { reason, .. }
        | Record::Return { reason, .. }
        | Record::Drop { reason, .. } => reason.len(),
        Record::Told { refused, .. } => refused.len(),
        Record::Extend { progress, .. } => progress.len(),
        Record::Lease { party, .. } => party.len(),
        Record::FactPut { key, value, .. } => key.len() + value.len(),
        Record::FactDelete { key } => key.len(),
        Record::Purge { runs, .. } => runs.len(),
        // A declaration has at most 64 filters of 256 bytes, which JSON may escape.
        Record::Declare { .. } => 128 * 1024,
        Record::Message(_) | Record::Ack(_) | Record::Undeclare { .. } | Record::Redrive { .. } => 0,
    };
    free + 64
}
