//! Bytes in the making, some of them at a time.

use std::io::{self, Write};

use skep_core::Level;

use super::super::entry::{Entry, Place};
use super::super::leb128::put;
use super::super::packed::{NOTHING, step};
use crate::log::limits::SNAPSHOT_BUFFER_BYTES;

/// What is written, in the parts that a state is made of.
pub(super) struct Out<'a> {
    to: &'a mut dyn Write,
    /// Not written yet.
    bytes: Vec<u8>,
    /// The entry that was told last.
    before: Entry,
    /// After an error what follows is dropped.
    written: io::Result<()>,
}

impl<'a> Out<'a> {
    /// At most so many bytes are to be written.
    pub(super) fn new(to: &'a mut dyn Write, bytes_max: u64) -> Self {
        // What goes beyond the buffer before it is looked at has room.
        let most = SNAPSHOT_BUFFER_BYTES + SNAPSHOT_BUFFER_BYTES / 8;
        let bytes = Vec::with_capacity(usize::try_from(bytes_max).map_or(most, |bytes| bytes.min(most)));
        Out { to, bytes, before: NOTHING, written: Ok(()) }
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        // An entry that is loaded has the strongest level.
        let entry = Entry { level: Level::FSYNC, ..*entry };
        step(&mut self.bytes, &self.before, &entry);
        self.before = entry;
    }

    pub(super) fn place(&mut self, place: &Place) {
        let (batch, offset, len) = place.raw();
        self.number(batch);
        self.number(offset);
        self.number(len);
    }

    pub(super) fn list<I: IntoIterator<IntoIter: ExactSizeIterator>>(
        &mut self,
        items: I,
        put: impl Fn(&mut Self, I::Item),
    ) {
        let items = items.into_iter();
        self.items(items.len() as u64, items, put);
    }

    pub(super) fn items<I: Iterator>(&mut self, count: u64, items: I, put: impl Fn(&mut Self, I::Item)) {
        self.number(count);
        for item in items {
            put(self, item);
            if self.bytes.len() >= SNAPSHOT_BUFFER_BYTES {
                self.pass_on();
            }
        }
    }

    /// Writes what is there.
    fn pass_on(&mut self) {
        if self.written.is_ok() {
            self.written = self.to.write_all(&self.bytes);
        }
        self.bytes.clear();
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.pass_on();
        self.written
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn optional(&mut self, text: Option<&str>) {
        self.bytes.push(u8::from(text.is_some()));
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    pub(super) fn number(&mut self, number: impl Into<u64>) {
        put(&mut self.bytes, number.into());
    }

    pub(super) fn end(&mut self, unix_ms: u64) {
        self.number(unix_ms.wrapping_add(1));
    }

    pub(super) fn hash(&mut self, hash: u64) {
        self.fixed(&hash.to_le_bytes());
    }

    pub(super) fn fixed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}
