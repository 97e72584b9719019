//! The staging area: records wait here until the writer writes them as one batch.

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, padded};
use super::key::StoreKey;
use super::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, POSITION_BLOCK, WRITE_BYTES_MAX};
use super::record::{RECORD_HEADER_BYTES, RecordKind, encode_header};

/// A batch in the making: room for the header, then records.
///
/// Two of them take turns: callers fill one while the other is written. Nothing here is durable, and what was written is kept
/// until [`LogBuffer::restart`], so that payloads can be read from it.
#[derive(Debug)]
pub struct LogBuffer {
    bytes: Vec<u8>,
    first: u64,
    records: u32,
    reserve: Option<u64>,
    /// Positions below this are reserved, by the opening or by a record in here or in a buffer handed over before.
    reserved: u64,
    sealed: bool,
}

/// A staged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    /// Its position in the log.
    pub position: u64,
    /// Offset of its body from the beginning of the batch.
    pub offset: u32,
    /// Length of its body.
    pub len: u32,
}

impl LogBuffer {
    /// An empty buffer whose first record will have this position, the first after an opening: that has reserved a block, of which
    /// its own record took one.
    #[must_use]
    pub fn new(position: u64) -> Self {
        let reserved = position.saturating_add(POSITION_BLOCK - 1);
        let bytes = vec![0; BATCH_HEADER_BYTES];
        Self { bytes, first: position, records: 0, reserve: None, reserved, sealed: false }
    }

    /// Whether so many more records fit, whose bodies take so many bytes in sum. Into an empty buffer one larger write fits too,
    /// up to [`WRITE_BYTES_MAX`]; records are never more than [`BATCH_RECORDS_MAX`].
    #[must_use]
    pub fn fits(&self, bytes: usize, records: u32) -> bool {
        let headers = (records as usize).saturating_mul(RECORD_HEADER_BYTES);
        let total = self.bytes.len().saturating_add(bytes).saturating_add(headers);
        let max = if self.is_empty() { WRITE_BYTES_MAX } else { BATCH_BYTES_MAX };
        !self.sealed && total <= max && self.records.saturating_add(records) <= BATCH_RECORDS_MAX
    }

    /// Appends a record whose body the closure appends to the vector it is given. Ask [`LogBuffer::fits`] before.
    ///
    /// # Panics
    /// When the buffer was written and not restarted, or the closure removes bytes: both are the caller's errors.
    pub fn append(&mut self, kind: RecordKind, flags: u8, encode: impl FnOnce(&mut Vec<u8>)) -> Staged {
        assert!(!self.sealed, "a written buffer takes records only after restart");
        let start = self.bytes.len();
        let offset = start + RECORD_HEADER_BYTES;
        self.bytes.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        encode(&mut self.bytes);
        let len = self.bytes.len().checked_sub(offset).expect("a record's encoder only appends");
        let len = u32::try_from(len).expect("a record is shorter than a batch may be");
        self.bytes[start..offset].copy_from_slice(&encode_header(kind, flags, len));
        let position = self.position();
        self.records += 1;
        Staged { position, offset: offset as u32, len }
    }

    /// Appends the record that makes positions below `until` usable once it is durable.
    pub fn append_reserve(&mut self, until: u64) -> Staged {
        self.reserve = self.reserve.max(Some(until));
        self.reserved = self.reserved.max(until);
        self.append(RecordKind::Reserve, 0, |body| body.extend_from_slice(&until.to_le_bytes()))
    }

    /// Appends a record that says nothing new.
    pub fn append_nothing(&mut self) -> Staged {
        self.append_reserve(self.reserved)
    }

    /// The position the next record will have.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.first.saturating_add(self.records.into())
    }

    /// The position of the first record.
    #[must_use]
    pub fn first_position(&self) -> u64 {
        self.first
    }

    /// Length so far, the room for the header included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that it takes as a batch in a segment, with so many more records whose bodies take so many bytes in sum.
    #[must_use]
    pub fn batch_bytes(&self, bytes: usize, records: u32) -> u64 {
        let headers = (records as usize).saturating_mul(RECORD_HEADER_BYTES);
        padded(self.bytes.len().saturating_add(bytes).saturating_add(headers).min(u32::MAX as usize)) as u64
    }

    /// How many records were appended.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The batch: offsets of [`Staged`] count from its beginning. Complete once written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hands the records over into `written`, which must be done with, and goes on empty at the next position.
    ///
    /// When less than half a block of reserved positions is left, the next block is reserved by one more record, for which there
    /// must be room. Half a block is more than one buffer holds, so no buffer reaches beyond what those before it reserve: however
    /// many of them wait, each can be written once they are.
    pub fn hand_over(&mut self, written: &mut Self) {
        const { assert!(POSITION_BLOCK / 2 > BATCH_RECORDS_MAX as u64) };
        if self.position().saturating_add(POSITION_BLOCK / 2) >= self.reserved {
            self.append_reserve(self.reserved.saturating_add(POSITION_BLOCK));
        }
        let (next, reserved) = (self.position(), self.reserved);
        std::mem::swap(self, written);
        self.restart(next);
        self.reserved = reserved;
    }

    /// Empties the buffer; the next record will have this position. Memory beyond what batches usually need is given back.
    pub fn restart(&mut self, position: u64) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * BATCH_BYTES_MAX);
        self.bytes.resize(BATCH_HEADER_BYTES, 0);
        (self.first, self.records, self.reserve, self.sealed) = (position, 0, None, false);
    }

    /// The highest end that a Reserve record in here asks for.
    pub(super) fn reserve(&self) -> Option<u64> {
        self.reserve
    }

    /// The records.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default()
    }

    /// Completes the batch: header and padding.
    pub(super) fn seal(&mut self, header: &BatchHeader, key: StoreKey) -> &[u8] {
        self.sealed = true;
        self.bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(key));
        self.bytes.resize(padded(self.bytes.len()), 0);
        &self.bytes
    }

    /// Whether it was written since its last restart.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::{BatchAt, RecordFault, RecordView, records};
    use super::*;
    use crate::log::tests::hex;

    const AT: BatchAt = BatchAt { segment: 1, offset: 4096 };

    fn header_of(buffer: &LogBuffer) -> BatchHeader {
        BatchHeader {
            body_bytes: buffer.body().len() as u32,
            records: buffer.records(),
            position: buffer.first_position(),
            open_count: 1,
            clean: false,
            known_durable: 1,
            body_hash: 0,
            previous_hash: 0,
            time_ms: 5,
        }
    }

    #[test]
    fn a_record_has_the_golden_bytes() {
        let mut buffer = LogBuffer::new(9);
        let staged = buffer.append(RecordKind::Message, 0x81, |body| body.extend_from_slice(b"hi"));
        assert_eq!(staged, Staged { position: 9, offset: 72, len: 2 });
        assert_eq!(hex(buffer.body()), "06000000 03 81 0000 6869".replace(' ', ""));
        buffer.append_reserve(0x0102);
        assert_eq!(hex(&buffer.body()[10..]), "0c000000 02 00 0000 0201000000000000".replace(' ', ""));
    }

    #[test]
    fn bounds_hold_and_one_large_write_fits_into_an_empty_buffer() {
        let mut buffer = LogBuffer::new(1);
        assert!(buffer.fits(BATCH_BYTES_MAX + 1, 1));
        assert!(!buffer.fits(WRITE_BYTES_MAX, 1));
        assert!(!buffer.fits(0, BATCH_RECORDS_MAX + 1));
        buffer.append(RecordKind::Ack, 0, |_| {});
        assert!(!buffer.fits(BATCH_BYTES_MAX, 1));
        assert!(buffer.fits(BATCH_BYTES_MAX - buffer.len() - 8, 1));
        assert!(!buffer.fits(BATCH_BYTES_MAX - buffer.len() - 7, 1));
        assert!(!buffer.fits(0, BATCH_RECORDS_MAX));
    }

    #[test]
    fn a_handed_over_buffer_goes_on_at_the_next_position() {
        let (mut filling, mut writing) = (LogBuffer::new(1), LogBuffer::new(0));
        filling.append(RecordKind::Ack, 0, |_| {});
        filling.hand_over(&mut writing);
        assert_eq!((filling.position(), filling.records(), writing.records()), (2, 0, 1));
    }

    proptest! {
        #[test]
        fn staged_records_are_read_as_they_were(bodies in prop::collection::vec((1_u8..=15, any::<u8>(), prop::collection::vec(any::<u8>(), 0..50)), 0..20)) {
            let mut buffer = LogBuffer::new(100);
            let staged: Vec<_> = bodies.iter().map(|(kind, flags, body)| {
                buffer.append(RecordKind::try_from(*kind).expect("in range"), *flags, |bytes| bytes.extend_from_slice(body))
            }).collect();
            let header = header_of(&buffer);
            let read: Result<Vec<RecordView<'_>>, RecordFault> = records(AT, &header, buffer.bytes()).collect();
            let read = read.expect("own records are readable");
            prop_assert_eq!(read.len(), bodies.len());
            for ((view, staged), (kind, flags, body)) in read.iter().zip(&staged).zip(&bodies) {
                prop_assert_eq!((view.kind as u8, view.flags, view.body), (*kind, *flags, &body[..]));
                prop_assert_eq!(Staged { position: view.position, offset: view.offset, len: view.len }, *staged);
                prop_assert_eq!(&buffer.bytes()[view.offset as usize..][..view.len as usize], view.body);
            }
        }

        #[test]
        fn arbitrary_bodies_never_panic_and_end(body in prop::collection::vec(any::<u8>(), 0..200), count in 0_u32..30, small in any::<bool>()) {
            let mut batch = vec![0; BATCH_HEADER_BYTES];
            batch.extend(body.iter().map(|byte| if small { byte % 16 } else { *byte }));
            let header = BatchHeader { body_bytes: body.len() as u32, records: count, ..header_of(&LogBuffer::new(u64::MAX - 3)) };
            prop_assert!(records(AT, &header, &batch).count() <= count as usize + 1);
            prop_assert!(records(AT, &header, &batch[..batch.len() / 2]).count() <= count as usize + 1);
        }
    }
}
