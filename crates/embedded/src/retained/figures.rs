//! What of each tree lies in a segment.
//!
//! Derived from the segment and never evidence: not synced, and counted anew when the file is missing, damaged, of another segment
//! or of other trees. File name: the segment's number in ten digits, then `.fig`. Little-endian: magic 8, hash of all that follows 8,
//! first position of the segment 8, its end 8, hash of the filters 8, messages of no tree 8; of each tree: messages 8, bytes 8, time of
//! the newest (unix ms) 8.

use std::io;

use skep_protocol::MessageRef;

use super::{Trees, each};
use crate::journal::Record;
use crate::log::{BatchAt, DATA_OFFSET, ReadError, Reader, RecordView, Scan, Stretch, segment_number};

const MAGIC: &[u8; 8] = b"skepfig1";
const END: &str = ".fig";

/// What of one tree lies there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) newest_ms: u64,
}

/// What lies in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Messages of no tree.
    pub(crate) others: u64,
    /// One for each tree.
    pub(crate) trees: Vec<Figure>,
}

impl Figures {
    /// Of a complete segment: as its file has it, else counted, and kept for the next time if that is wanted.
    pub(crate) fn of(reader: &Reader, trees: &Trees, of: Stretch, keep: bool) -> Result<Self, ReadError> {
        if let Some(known) = Self::load(reader, trees, of) {
            return Ok(known);
        }
        let at = BatchAt { segment: of.number, offset: DATA_OFFSET };
        let counted = Self::count(trees, reader.scan_part(at, of.first, of.end))?;
        if keep && let Err(error) = counted.store(reader, trees, of) {
            tracing::info!(segment = of.number, %error, "what lies in a segment is not noted; it is counted anew");
        }
        Ok(counted)
    }

    /// Of what is read.
    pub(super) fn count(trees: &Trees, scan: Scan) -> Result<Self, ReadError> {
        let mut figures = Figures { others: 0, trees: vec![Figure::default(); trees.len()] };
        for batch in scan {
            batch?.records().flatten().for_each(|view| figures.add(trees, &view));
        }
        Ok(figures)
    }

    fn add(&mut self, trees: &Trees, view: &RecordView<'_>) {
        let Some((set, bytes)) = weigh(trees, view) else { return };
        self.others += u64::from(set == 0);
        for tree in each(set) {
            if let Some(figure) = self.trees.get_mut(tree) {
                figure.messages += 1;
                figure.bytes += bytes;
                figure.newest_ms = figure.newest_ms.max(view.time_ms);
            }
        }
    }

    fn load(reader: &Reader, trees: &Trees, of: Stretch) -> Option<Self> {
        let file = reader.disk().open(&file_name(of)).ok()?;
        let mut bytes = vec![0; 8 * (6 + 3 * trees.len())];
        let filled = file.read_at(0, &mut bytes).ok()?;
        let (magic, rest) = bytes.get(..filled)?.split_first_chunk()?;
        let (hash, body) = rest.split_first_chunk()?;
        let is_whole = magic == MAGIC && u64::from_le_bytes(*hash) == reader.derived_hash(body, of.number);
        let (words, _) = body.as_chunks::<8>();
        let numbers: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let (head, figures) = numbers.split_first_chunk().filter(|_| is_whole && filled == bytes.len())?;
        let [first, end, filters, others] = *head;
        if (first, end, filters) != (of.first, of.end, trees.hash()) {
            return None;
        }
        let (figures, _) = figures.as_chunks();
        let figure = |[messages, bytes, newest_ms]: &[u64; 3]| Figure {
            messages: *messages,
            bytes: *bytes,
            newest_ms: *newest_ms,
        };
        Some(Figures { others, trees: figures.iter().map(figure).collect() })
    }

    /// Writes it beside its segment, and removes those whose segment is no more.
    fn store(&self, reader: &Reader, trees: &Trees, of: Stretch) -> io::Result<()> {
        let (disk, name) = (reader.disk(), file_name(of));
        for other in disk.list()? {
            let number = other.strip_suffix(END).and_then(|digits| segment_number(&format!("{digits}.seg")));
            if number.is_some_and(|number| !reader.holds(number)) || other == name {
                disk.remove(&other)?;
            }
        }
        let head = [of.first, of.end, trees.hash(), self.others];
        let figures = self.trees.iter().flat_map(|figure| [figure.messages, figure.bytes, figure.newest_ms]);
        let body: Vec<u8> = head.into_iter().chain(figures).flat_map(u64::to_le_bytes).collect();
        let hash = reader.derived_hash(&body, of.number);
        let bytes = [&MAGIC[..], &hash.to_le_bytes(), &body].concat();
        disk.create_zeroed(&name, bytes.len() as u64)?.write_at(0, &bytes)
    }
}

/// What of each tree lies in the segments behind the one at hand.
#[derive(Debug)]
pub(crate) struct Newer(Vec<Figure>);

impl Trees {
    /// Behind the newest.
    pub(crate) fn nothing(&self) -> Newer {
        Newer(vec![Figure::default(); self.len()])
    }
}

impl Newer {
    /// Whether some tree keeps something of a segment before those: at least its newest message. None if no tree has anything in it.
    pub(crate) fn add(&mut self, trees: &Trees, figures: &Figures, now_ms: u64) -> Option<bool> {
        let mut keeps = None;
        for (tree, (newer, own)) in self.0.iter_mut().zip(&figures.trees).enumerate() {
            if own.messages > 0 {
                let newest = trees.retention(tree).keeps(own.newest_ms, newer.messages + 1, newer.bytes + 1, now_ms);
                keeps = Some(newest || keeps == Some(true));
            }
            newer.messages += own.messages;
            newer.bytes += own.bytes;
        }
        keeps
    }
}

/// The trees of a message, and its bytes; none of a record that is no message.
pub(super) fn weigh(trees: &Trees, view: &RecordView<'_>) -> Option<(u64, u64)> {
    let Ok(Some(Record::Message(record))) = Record::decode(view) else { return None };
    let set = MessageRef::parse(record.message).map_or(0, |message| trees.of(&message));
    Some((set, record.message.len() as u64))
}

fn file_name(of: Stretch) -> String {
    format!("{:010}{END}", of.number)
}
