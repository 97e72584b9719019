//! Reading on behind damage: whatever batch can be verified and stands where the log can have gone on belongs to it.
//!
//! A batch is taken when header and body hold, it lies at or beyond the position reached, was not written by an earlier opening than
//! the batch before, and no later segment supersedes it. Within what is whole each must also continue the one before, as ever.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::sources::Source;
use super::{Item, Loss, Piece, Run};
use crate::disk::{Disk, DiskFile};
use crate::log::batch::{BATCH_ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, Fault, MAGIC};
use crate::log::error::OpenError;
use crate::log::evidence::look_beyond;
use crate::log::key::StoreKey;
use crate::log::limits::{READ_CHUNK_BYTES, SEGMENT_BYTES_MAX};
use crate::log::mark::{MARK_FILE, Reached};
use crate::log::record::{BatchAt, RECORD_HEADER_BYTES};
use crate::log::recovery::Visits;
use crate::log::report::Torn;
use crate::log::segment::{DATA_OFFSET, file_name};
use crate::log::walk::Cursor;
use crate::log::window::Window;

/// Reads sources in order.
pub(super) struct Gather<'v> {
    disk: Arc<dyn Disk>,
    key: StoreKey,
    window: Window,
    visits: Visits<'v>,
    pub(super) cursor: Cursor,
    /// Every record below this was durable, whatever became of it.
    named: u64,
    pub(super) taken: Taken,
}

/// What was found, and what was not.
#[derive(Default)]
pub(super) struct Taken {
    /// Where the first loss begins.
    pub(super) join: Option<Cursor>,
    /// All from there on.
    pub(super) items: Vec<Item>,
    pub(super) torn: Option<Torn>,
    /// What is lost just here, until the next batch is found.
    loss: Option<Loss>,
    /// The positions below this were told of by headers within the loss.
    told_until: u64,
}

/// What comes after a source.
struct Ahead {
    /// The next segment with a header block: its first position, and the hash that its first batch continues.
    headed: Option<(u64, Option<u64>)>,
    /// The next source, if it has no header block: the hash that its first batch continues.
    headless: Option<Option<u64>>,
    /// Whether there is none.
    is_last: bool,
    /// Whether files are missing before it.
    gap: bool,
}

impl<'v> Gather<'v> {
    pub(super) fn new(disk: Arc<dyn Disk>, key: StoreKey, named: u64, cursor: Cursor, visits: Visits<'v>) -> Self {
        let window = Window::default();
        Self { disk, key, window, visits, cursor, named, taken: Taken::default() }
    }

    /// Reads all sources, which come after the segment of a number; the mark knows of segments up to another.
    pub(super) fn read(&mut self, sources: &[Source], before: u64, newest: u64) -> Result<(), OpenError> {
        if let Some(source) = sources.first()
            && source.first.is_some_and(|first| first > self.cursor.position)
        {
            self.taken.lose(&self.cursor, None);
        }
        let mut previous = before;
        for (index, source) in sources.iter().enumerate() {
            self.taken.note_missing(previous, source.number);
            let after = sources.get(index + 1..).unwrap_or_default();
            self.source(source, &Ahead::of(source, after, newest)).map_err(|error| match error {
                Failed::Disk(error) => OpenError::io("reading", &source.name)(error),
                Failed::Log(error) => error,
            })?;
            previous = source.number;
        }
        Ok(())
    }

    /// Says what is lost at the end, if anything is; `marked` unless the mark could not be read.
    pub(super) fn finish(&mut self, sources: &[Source], reached: Option<&Reached>, marked: bool) {
        let last = sources.last();
        let gone = reached.and_then(|reached| gone(last, reached));
        let unmarked =
            (!marked).then(|| Piece { file: MARK_FILE.to_owned(), bytes: 0..0, fault: Fault::SegmentHeader });
        if self.taken.loss.is_none() && self.named <= self.cursor.position && gone.is_none() && unmarked.is_none() {
            return;
        }
        // What the mark would have named may have been as long as a segment gets.
        let unknown_bytes = if marked { 0 } else { SEGMENT_BYTES_MAX };
        let is_tail_lost = self.named > self.cursor.position || gone.is_some() || !marked;
        self.taken.lose(&self.cursor, gone);
        self.taken.lose(&self.cursor, unmarked);
        let Some(loss) = &self.taken.loss else { return };
        let from = self.cursor.position;
        let until = if is_tail_lost {
            // All that the lost bytes can have held; what was reserved beyond is left out by every opening behind a loss.
            let bytes: u64 = loss.pieces.iter().map(|piece| piece.bytes.end - piece.bytes.start).sum();
            let records = (bytes + unknown_bytes) / RECORD_HEADER_BYTES as u64;
            self.named.max(from).max(self.taken.told_until).saturating_add(records)
        } else {
            from
        };
        self.taken.close(from..until, self.named, &mut self.visits);
    }

    fn source(&mut self, source: &Source, ahead: &Ahead) -> Result<(), Failed> {
        if self.taken.loss.is_none() && ahead.takes_over(&self.cursor) {
            return Ok(());
        }
        let file = self.disk.open(&source.name)?;
        self.window.leave_file();
        if source.first.is_none() {
            let piece = Piece { file: source.name.clone(), bytes: 0..DATA_OFFSET, fault: Fault::SegmentHeader };
            self.taken.lose(&self.cursor, Some(piece));
        }
        let (mut offset, mut met) = (DATA_OFFSET, false);
        loop {
            // From there on the next source holds all that counts, and may begin with copies of what is here.
            met |= self.taken.loss.is_none()
                && ahead.headless.flatten().is_some_and(|hash| self.cursor.chain == Some(hash));
            if self.taken.loss.is_none() && ahead.takes_over(&self.cursor) {
                return Ok(());
            }
            let fault = match self.step(source, &*file, offset, ahead)? {
                Ok(next) => {
                    offset = next;
                    continue;
                }
                Err(fault) => fault,
            };
            let stretch = offset..source.file_bytes;
            let content = look_beyond(&mut self.window, &*file, stretch, self.key, self.cursor.position)?.end;
            if self.taken.loss.is_none() && (met || self.ends_here(source, offset, fault, content, ahead)) {
                return Ok(());
            }
            self.taken.lose(&self.cursor, None);
            self.window.leave_file();
            let resumed = self.resume(&*file, offset..source.file_bytes, ahead)?;
            // A file that ends with nothing before one that is missing is whole itself.
            let blank = content.is_none() && (ahead.gap || !ahead.is_last && self.taken.has_pieces());
            let end = resumed.unwrap_or(if blank { offset } else { source.file_bytes });
            if end > offset {
                self.taken.lose(&self.cursor, Some(Piece { file: source.name.clone(), bytes: offset..end, fault }));
            }
            match resumed {
                Some(at) => offset = at,
                None => return Ok(()),
            }
        }
    }

    /// Takes the batch at the offset, if it goes on there; answers where the next one begins, or what is wrong.
    fn step(
        &mut self,
        source: &Source,
        file: &dyn DiskFile,
        offset: u64,
        ahead: &Ahead,
    ) -> Result<Result<u64, Fault>, Failed> {
        let (header, bytes) = match self.window.batch(file, offset, self.key)? {
            Ok(found) => found,
            Err(why) if why.fault == Fault::Flags => {
                return Err(Failed::Log(OpenError::UnknownFlags { file: source.name.clone(), offset }));
            }
            Err(why) => return Ok(Err(why.fault)),
        };
        if let Err(fault) = ahead.fits(&self.cursor, &header, self.taken.loss.is_some()) {
            return Ok(Err(fault));
        }
        if self.taken.loss.is_some() {
            let from = self.cursor.position;
            let until = match source.first {
                // Nothing is missing before what continues the last batch.
                _ if self.cursor.chain == Some(header.previous_hash) => from,
                // The gap before an opening is none.
                Some(first) if offset == DATA_OFFSET => first.max(from),
                _ => header.position,
            };
            self.taken.close(from..until, self.named, &mut self.visits);
        }
        let at = BatchAt { segment: source.number, offset };
        let before = self.taken.items.last().map_or(self.cursor.position, |item| item.before(self.cursor.position));
        self.visits.batch(&source.name, at, (&header, bytes), before).map_err(Failed::Log)?;
        let next = offset + header.padded_bytes() as u64;
        self.taken.run(&source.name, offset..next);
        self.cursor.advance(&header);
        Ok(Ok(next))
    }

    /// Whether nothing is wrong with a source that ends at the offset.
    fn ends_here(&mut self, source: &Source, offset: u64, fault: Fault, content: Option<u64>, ahead: &Ahead) -> bool {
        if ahead.headed.is_none() && self.cursor.position >= self.named {
            let (file, position) = (source.name.clone(), self.cursor.position);
            self.taken.torn = content.map(|end| Torn { file, offset, bytes: end - offset, position, fault });
            return true;
        }
        // What has no header block says for itself what it lacks.
        ahead.headless.is_some() && content.is_none()
    }

    /// Looks for the next batch that can be taken, and counts those that cannot.
    fn resume(&mut self, file: &dyn DiskFile, stretch: Range<u64>, ahead: &Ahead) -> Result<Option<u64>, Failed> {
        let mut from = stretch.start;
        while let Some((offset, header)) = self.next_header(file, from..stretch.end)? {
            if ahead.fits(&self.cursor, &header, true).is_ok() {
                if self.window.batch(file, offset, self.key)?.is_ok() {
                    return Ok(Some(offset));
                }
                self.taken.count(&header);
            }
            from = offset + BATCH_ALIGNMENT;
        }
        Ok(None)
    }

    fn next_header(&mut self, file: &dyn DiskFile, stretch: Range<u64>) -> io::Result<Option<(u64, BatchHeader)>> {
        let mut offset = stretch.start;
        while offset < stretch.end {
            // Each step sees a header's length more than it moves, so that no header is cut in two.
            let step = (stretch.end - offset).min((READ_CHUNK_BYTES - BATCH_HEADER_BYTES) as u64);
            let bytes = self.window.look(file, offset, step as usize + BATCH_HEADER_BYTES)?;
            let moved = bytes.get(..step as usize).unwrap_or(bytes);
            for (index, word) in moved.chunks(BATCH_ALIGNMENT as usize).enumerate() {
                let at = index * BATCH_ALIGNMENT as usize;
                if word.starts_with(&MAGIC.to_le_bytes())
                    && let Some(header) = bytes.get(at..).and_then(<[u8]>::first_chunk)
                    && let Ok(header) = BatchHeader::decode(header, self.key)
                {
                    return Ok(Some((offset + at as u64, header)));
                }
            }
            offset += step;
        }
        Ok(None)
    }
}

impl Taken {
    /// Something is lost where the cursor stands.
    fn lose(&mut self, cursor: &Cursor, piece: Option<Piece>) {
        self.join.get_or_insert(*cursor);
        self.loss.get_or_insert_default().pieces.extend(piece);
    }

    fn has_pieces(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| !loss.pieces.is_empty())
    }

    /// The files between two numbers are not there, and nothing else explains what is lost.
    fn note_missing(&mut self, previous: u64, number: u64) {
        if let Some(loss) = self.loss.as_mut().filter(|loss| loss.pieces.is_empty() && number > previous + 1) {
            let file = file_name(previous + 1);
            loss.pieces.push(Piece { file, bytes: 0..0, fault: Fault::Missing });
        }
    }

    /// A batch that cannot be read, although its header can. Headers within payloads speak of positions counted before.
    fn count(&mut self, header: &BatchHeader) {
        if header.position >= self.told_until
            && let Some(loss) = &mut self.loss
        {
            loss.batches += 1;
            loss.records += u64::from(header.records);
            self.told_until = header.end();
        }
    }

    fn close(&mut self, positions: Range<u64>, named: u64, visits: &mut Visits<'_>) {
        visits.give_up(positions.clone());
        if let Some(loss) = self.loss.take() {
            let durable_until = named.clamp(positions.start, positions.end);
            self.items.push(Item::Loss(Loss { positions, durable_until, ..loss }));
        }
    }

    /// Bytes behind the first loss that are written once more.
    fn run(&mut self, file: &str, bytes: Range<u64>) {
        match self.items.last_mut() {
            None => {}
            Some(Item::Run(run)) if run.file == file && run.bytes.end == bytes.start => run.bytes.end = bytes.end,
            Some(_) => self.items.push(Item::Run(Run { file: file.to_owned(), bytes })),
        }
    }
}

impl Item {
    /// The position that the log had come to before the next batch, when the batch before the last loss ended at this one.
    fn before(&self, position: u64) -> u64 {
        match self {
            Self::Loss(loss) => loss.positions.end,
            Self::Run(_) => position,
        }
    }
}

impl Ahead {
    fn of(source: &Source, after: &[Source], newest: u64) -> Self {
        let headed = after.iter().find_map(|next| Some((next.first?, next.continues)));
        let next = after.first();
        Self {
            headed,
            headless: next.filter(|next| next.first.is_none()).map(|next| next.continues),
            is_last: next.is_none(),
            gap: next.map_or(newest > source.number, |next| next.number > source.number + 1),
        }
    }

    /// Whether the next segment goes on where the cursor stands.
    fn takes_over(&self, cursor: &Cursor) -> bool {
        self.headed.is_some_and(|(first, continues)| {
            cursor.position >= first && (continues.is_none() || cursor.chain.is_none() || continues == cursor.chain)
        })
    }

    /// Whether the log can go on with this batch; behind a loss nobody knows which batch it continues.
    fn fits(&self, cursor: &Cursor, header: &BatchHeader, behind_loss: bool) -> Result<(), Fault> {
        if self.headed.is_some_and(|(first, _)| header.end() > first) {
            return Err(Fault::Chain);
        }
        if !behind_loss {
            return cursor.check(header);
        }
        match (header.position >= cursor.position, header.open_count >= cursor.open_count) {
            (false, _) => Err(Fault::Position),
            (true, false) => Err(Fault::OpenCount),
            (true, true) => Ok(()),
        }
    }
}

/// What the mark says of the newest segment's file that is not there.
fn gone(last: Option<&Source>, reached: &Reached) -> Option<Piece> {
    let piece = |bytes, fault| Some(Piece { file: file_name(reached.segment), bytes, fault });
    match last {
        Some(last) if last.number > reached.segment => None,
        Some(last) if last.number == reached.segment && last.file_bytes >= reached.file_bytes => None,
        Some(last) if last.number == reached.segment => piece(last.file_bytes..reached.file_bytes, Fault::Short),
        _ => piece(0..reached.file_bytes, Fault::Missing),
    }
}

/// Why a source could not be read.
enum Failed {
    Disk(io::Error),
    Log(OpenError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}
