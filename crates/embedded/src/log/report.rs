//! What opening a log found, for the operator and for tests.

use std::fmt;
use std::ops::Range;

use super::batch::Fault;

/// Damaged files of what a snapshot covers that are named in one line.
const HISTORY_SHOWN: usize = 4;

/// What was found and what was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments that are part of the log.
    pub segments: u64,
    /// Batches verified, empty ones included.
    pub batches: u64,
    /// Records verified, the log's own included.
    pub records: u64,
    /// Where replay began, if that was a snapshot.
    pub snapshot: Option<u64>,
    /// Snapshots that cannot be used, and why.
    pub snapshots_damaged: Vec<String>,
    /// Position of the first record the log may hold.
    pub first_position: u64,
    /// Every record below this was proven durable by the log itself.
    pub proven_durable: u64,
    /// Whether the last batch is the mark of an orderly shutdown.
    pub clean_shutdown: bool,
    /// Bytes of good batches at the end that nothing proves durable.
    pub unproven_bytes: u64,
    /// How many of them were written once more and synced.
    pub copied_bytes: u64,
    /// The positions that repairs gave up.
    pub given_up: Vec<Range<u64>>,
    /// An unfinished write at the end, cut off.
    pub torn: Option<Torn>,
    /// Damage in what a snapshot covers: it can be looked at no more, and where nothing in it is needed the log goes on.
    pub history: Vec<Corruption>,
    /// Damage to what was durable; then the log is read-only and untouched.
    pub corruption: Option<Corruption>,
}

impl fmt::Display for Report {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments == 0 && self.corruption.is_none() {
            return f.write_str("a new store");
        }
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let (records, segments) = (self.records, self.segments);
        match self.snapshot {
            Some(position) => write!(f, "a snapshot at position {position} and {records} record{}", plural(records))?,
            None => write!(f, "{records} record{}", plural(records))?,
        }
        write!(f, " in {segments} segment{}", plural(segments))?;
        for damaged in &self.snapshots_damaged {
            write!(f, ", {damaged} and was passed over")?;
        }
        if let (Some(first), Some(last)) = (self.given_up.first(), self.given_up.last()) {
            let count = self.given_up.len();
            write!(f, ", {count} ranges within positions {}..{} were given up in a repair", first.start, last.end)?;
        }
        for Corruption { file, positions, fault, .. } in self.history.iter().take(HISTORY_SHOWN) {
            let Range { start, end } = positions;
            write!(f, ", {file} is damaged ({fault}): positions {start}..{end} can be looked at no more")?;
        }
        if let Some(more @ 1..) = self.history.len().checked_sub(HISTORY_SHOWN) {
            write!(f, ", and so are {more} more files")?;
        }
        match (&self.corruption, &self.torn) {
            (Some(corruption), _) => return write!(f, ", damaged: {corruption}"),
            (None, Some(torn)) => write!(f, ", a torn tail was cut: {torn}")?,
            (None, None) => {}
        }
        match self.clean_shutdown {
            true => f.write_str(", closed in order"),
            false => write!(f, ", not closed in order: {} bytes at the end were synced again", self.copied_bytes),
        }
    }
}

/// An unfinished write at the end of the log. Nobody was told that it was durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How much is not zero from there.
    pub bytes: u64,
    /// The position its first record would have had.
    pub position: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Damage to records that were durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The segment's file.
    pub file: String,
    /// The damaged bytes of the file.
    pub bytes: Range<u64>,
    /// The positions that cannot be read.
    pub positions: Range<u64>,
    /// How many of them are those of messages that are still needed, where a snapshot stands for all else that is lost.
    pub unsettled: Option<u64>,
    /// What is wrong at the first of the bytes.
    pub fault: Fault,
    /// Why this is no unfinished write.
    pub proof: Proof,
}

/// What shows that a position had been durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A valid batch header further on says so.
    Header {
        /// The segment's file.
        file: String,
        /// Where the header lies.
        offset: u64,
        /// Everything below this was durable when it was written.
        known_durable: u64,
    },
    /// A later segment begins only once all before it is durable.
    NextSegment {
        /// The segment's file.
        file: String,
        /// Its first position.
        first_position: u64,
    },
    /// A snapshot was taken at this position.
    Snapshot(u64),
    /// The mark beside the segments says so.
    Mark {
        /// Everything below this was durable when it was written.
        durable: u64,
        /// Whether that was when the store was closed in order.
        clean: bool,
    },
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, bytes, position, fault } = self;
        write!(
            f,
            "{file}: {bytes} bytes from byte {offset} were an unfinished write at position {position} ({fault}); they were cut off"
        )
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, bytes, positions, unsettled, fault, proof } = self;
        let (Range { start, end }, Range { start: from, end: until }) = (bytes, positions);
        write!(
            f,
            "{file}: bytes {start}..{end}, positions {from}..{until} were durable and are damaged ({fault}; {proof})"
        )?;
        if let Some(count) = unsettled {
            let (messages, are) = if *count == 1 { ("message", "is") } else { ("messages", "are") };
            write!(f, "; {count} {messages} among them {are} still needed, and all else that was there is not")?;
        }
        write!(
            f,
            "; nothing was changed. See all of it with `skep verify`; restore the file from a copy, or see with `skep repair` what it would cost to go on without"
        )
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { file, offset, known_durable } => {
                write!(f, "{file} at byte {offset} knows everything below {known_durable} to be durable")
            }
            Self::NextSegment { file, first_position } => write!(f, "{file} begins at {first_position}"),
            Self::Snapshot(position) => write!(f, "a snapshot was taken at {position}"),
            Self::Mark { durable, clean } => {
                let when =
                    if *clean { "written when the store was closed" } else { "written while the store was open" };
                write!(f, "the file mark, {when}, knows everything below {durable} to be durable")
            }
        }
    }
}
