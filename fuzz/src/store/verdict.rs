//! What must hold when a log is opened, whatever lies on the disk.

use std::collections::BTreeMap;

use skep_embedded::disk::Disk as _;
use skep_embedded::disk::recording::RecordingDisk;
use skep_embedded::log::{BATCH_HEADER_BYTES, Mode, Opened, Reader, file_name};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::life::{Seen, open_log};

/// Opens the log and judges what came of it; answers what was visited, if it can be written.
///
/// Every record handed out lies in a batch whose checksums hold. A log that is not opened for writing is not changed, and answers
/// the same when it is asked again. One that is opened for writing is opened again with the same records, and nothing is wrong.
pub fn judge(disk: &RecordingDisk) -> Option<Vec<Seen>> {
    let before = image(disk);
    let (opened, seen) = match open_log(disk) {
        Ok(opened) => opened,
        Err(error) => {
            assert_eq!(image(disk), before, "refused, and yet changed: {error}");
            let again = open_log(disk).expect_err("refused once, refused again");
            assert_eq!(again.to_string(), error.to_string());
            return None;
        }
    };
    assert!(seen.windows(2).all(|pair| pair[0].position < pair[1].position), "each record once, in order");
    seen.iter().for_each(|record| holds(disk, &opened, record));
    let (again, seen_again) = open_log(disk).expect("opened once, opened again");
    assert_eq!(what(&seen_again), what(&seen), "{} and then {}", opened.report, again.report);
    if matches!(opened.mode, Mode::ReadOnly) {
        assert_eq!(image(disk), before, "read-only, and yet changed: {}", opened.report);
        assert_eq!(again.report.corruption, opened.report.corruption);
        return None;
    }
    assert!(matches!(again.mode, Mode::ReadWrite(_)), "{} and then {}", opened.report, again.report);
    assert_eq!((&again.report.torn, again.open_count), (&None, opened.open_count + 1), "{}", again.report);
    assert!(again.next_position >= opened.next_position);
    Some(seen)
}

/// Records without where they lie.
#[must_use]
pub fn what(seen: &[Seen]) -> Vec<(u64, u8, &[u8])> {
    seen.iter().map(|record| (record.position, record.kind.1, record.body.as_slice())).collect()
}

/// All files and what they hold.
#[must_use]
pub fn image(disk: &RecordingDisk) -> BTreeMap<String, Option<Vec<u8>>> {
    let names = disk.list().expect("a folder in memory");
    names.into_iter().map(|name| (name.clone(), disk.contents(&name))).collect()
}

/// The record lies where it was said to, and the two checksums of its batch hold, computed here by the format's description.
fn holds(disk: &RecordingDisk, opened: &Opened, seen: &Seen) {
    let file = disk.contents(&file_name(seen.batch.segment)).expect("the segment is there");
    let batch = file.get(seen.batch.offset as usize..).expect("the batch lies in its segment");
    let (header, rest) = batch.split_first_chunk::<BATCH_HEADER_BYTES>().expect("the header lies in its segment");
    let key = xxh3_64(&opened.store_id);
    let word = |at: usize, count: usize| header[at..at + count].iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b));
    assert_eq!(
        word(4, 4),
        xxh3_64_with_seed(&header[8..], key) & 0xffff_ffff,
        "the header of position {}",
        seen.position
    );
    let body = rest.get(..word(8, 4) as usize).expect("the body lies in its segment");
    assert_eq!(word(40, 8), xxh3_64_with_seed(body, key ^ word(16, 8)), "the body of position {}", seen.position);
    let record = batch.get(seen.offset as usize..).and_then(|rest| rest.get(..seen.body.len()));
    assert_eq!(record, Some(seen.body.as_slice()), "the record lies in its batch");
    reads(&opened.reader, seen);
}

fn reads(reader: &Reader, seen: &Seen) {
    let batch = reader.batch(seen.batch).expect("what recovery visited can be read");
    let mut records = batch.records().map(|record| record.expect("recovery has read it"));
    assert!(records.any(|record| record.position == seen.position && record.body == seen.body));
}
