//! What can go wrong when writing, reading and opening a log. A variant exists where a caller acts differently.

use std::io;

use super::batch::Fault;
use super::record::RecordFault;
use crate::disk::{is_full, is_out_of_files};

/// The writer could not write.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nothing was written and nothing is lost: refuse publishes, try again when there is room.
    #[error("the disk is full: {file} needs {bytes} bytes; free some space, nothing was written")]
    DiskFull {
        /// The segment that could not be prepared.
        file: String,
        /// How much it needs.
        bytes: u64,
    },
    /// Nothing was written and nothing is lost: refuse publishes, try again when files were closed.
    #[error(
        "too many open files: {file} cannot be created; raise the limit (`ulimit -n`) or close connections, nothing was written"
    )]
    OutOfFiles {
        /// The segment that could not be prepared.
        file: String,
    },
    /// The log stops for ever: what was staged may or may not be on disk. Answer `unknown` to all who wait, and restart.
    #[error("{doing} {file} failed: {source}; the log has stopped, check the disk and restart")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        file: String,
        /// What the disk answered.
        source: io::Error,
    },
    /// The log has stopped before.
    #[error("the log has stopped because {first}")]
    Poisoned {
        /// The error that stopped it.
        first: String,
    },
    /// The batch breaks a rule of the writer, which is an error in the calling program; nothing was written.
    #[error("the batch was refused: {0}")]
    Refused(String),
}

impl LogError {
    /// Whether nothing was written and nothing is lost, so that it can be tried again.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::OutOfFiles { .. })
    }
}

/// A batch could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk answered an error.
    #[error("reading {file} failed: {source}; check the disk")]
    Io {
        /// The segment.
        file: String,
        /// What the disk answered.
        source: io::Error,
    },
    /// What is there is not the batch that was written there.
    #[error("{file} at byte {offset}: {fault}; the disk has lost or changed it, restart to see what else is damaged")]
    Damaged {
        /// The segment.
        file: String,
        /// Where the batch should begin.
        offset: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// The segment is not there: removed by retention, or never written.
    #[error("{file} does not exist; its records were removed or never written")]
    Missing {
        /// The segment.
        file: String,
    },
}

/// The visitor's word that a record contradicts those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Corrupt(
    /// What contradicts what.
    pub String,
);

/// The log could not be opened. Nothing on disk was changed, unless it is `Io`, `DiskFull` or `OutOfFiles` while writing, which the
/// next opening repairs.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk answered an error.
    #[error("{doing} {file} failed: {source}; check the disk and start again")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        file: String,
        /// What the disk answered.
        source: io::Error,
    },
    /// There is no room for the segment that is needed. An opening that is told so ([`OpenWith::full`]) may need none.
    ///
    /// [`OpenWith::full`]: super::OpenWith::full
    #[error("the disk is full: {file} needs {bytes} bytes; free some space and start again")]
    DiskFull {
        /// The file that could not be made.
        file: String,
        /// How much it needs.
        bytes: u64,
    },
    /// The process, or the machine, has as many files open as it may.
    #[error(
        "too many open files: {file} cannot be opened; raise the limit (`ulimit -n`) or end what holds many, and start again"
    )]
    OutOfFiles {
        /// The file.
        file: String,
    },
    /// Written by a newer program, or by one of long ago.
    #[error(
        "{file} has format version {version}, and this program knows only {known}; start the program that wrote it{}",
        if version > known { ", or a newer one" } else { "" }
    )]
    UnknownVersion {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
        /// The version that is known.
        known: u32,
    },
    /// Written by a newer program.
    #[error(
        "{file} at byte {offset}: the batch has flags unknown to this program; start the program that wrote it, or a newer one"
    )]
    UnknownFlags {
        /// The segment.
        file: String,
        /// Where the batch begins.
        offset: u64,
    },
    /// The hash holds, but the records are unknown or make no sense: written by a newer program.
    #[error("{file} at byte {offset}, position {position}: {fault}; start the program that wrote it, or a newer one")]
    UnknownRecord {
        /// The segment.
        file: String,
        /// Where the batch begins.
        offset: u64,
        /// The record's position.
        position: u64,
        /// What is unknown.
        fault: RecordFault,
    },
    /// The only segment's header is damaged, so that not even the store id is known.
    #[error(
        "the header block of {file} is damaged, and without it the records cannot be verified; restore the file from a copy, or see with `skep repair` what it would cost to go on without"
    )]
    DamagedHeader {
        /// The segment.
        file: String,
    },
    /// No header block and no mark tells which store it is.
    #[error(
        "no file tells which store {file} belongs to, and without that no record can be verified, so nothing can be repaired; restore {file} or the file mark from a copy"
    )]
    UnknownStore {
        /// The first segment.
        file: String,
    },
    /// Nobody knows how far the log reached.
    #[error(
        "both slots of the file {file} are damaged, and without it nobody can tell whether the newest segment is whole; restore it from a copy, or, if no segment was touched, remove it and start again, or see with `skep repair` what it would cost to go on without"
    )]
    DamagedMark {
        /// The mark.
        file: String,
    },
    /// Segments of two stores lie in one folder.
    #[error("{file} belongs to another store than {other}; move it back to its own folder")]
    ForeignSegment {
        /// The segment.
        file: String,
        /// The first segment.
        other: String,
    },
    /// A copied or renamed segment.
    #[error("{file} says that it is segment {number}; rename it, or remove the copy")]
    WrongNumber {
        /// The segment.
        file: String,
        /// The number in its header.
        number: u64,
    },
    /// Two files have the same segment number.
    #[error("{file} and {other} have the same segment number; move the copy away")]
    DuplicateSegment {
        /// One of them.
        file: String,
        /// The other.
        other: String,
    },
    /// Records are missing in the middle or at the beginning.
    #[error(
        "{file} is missing: positions {from} to {until} were in it (end exclusive); restore it from a copy, or see with `skep repair` what it would cost to go on without"
    )]
    MissingSegment {
        /// The first file that is missing.
        file: String,
        /// The first position that is missing.
        from: u64,
        /// The first position that is there again.
        until: u64,
    },
    /// The visitor refused a record.
    #[error("{file} at byte {offset}, position {position}: {reason}")]
    Rejected {
        /// The segment.
        file: String,
        /// Where the batch begins.
        offset: u64,
        /// The record's position.
        position: u64,
        /// What the visitor said.
        reason: Corrupt,
    },
    /// The store was opened as often as can be counted.
    #[error("the store was opened {0} times, and more cannot be counted; copy its messages into a new store")]
    OpenedTooOften(u64),
}

impl OpenError {
    /// For `map_err`.
    pub(super) fn io<'a>(doing: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| match is_out_of_files(&source) {
            true => Self::OutOfFiles { file: file.to_owned() },
            false => Self::Io { doing, file: file.to_owned(), source },
        }
    }

    /// For `map_err`, where a file of so many bytes is made.
    pub(super) fn creating(file: &str, bytes: u64) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| match is_full(&source) {
            true => Self::DiskFull { file: file.to_owned(), bytes },
            false => Self::io("creating", file)(source),
        }
    }
}
