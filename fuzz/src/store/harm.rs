//! What may befall files from outside: flipped bytes, lost ends, stale pages, foreign bytes with checksums that hold.

use skep_embedded::disk::Disk as _;
use skep_embedded::disk::recording::RecordingDisk;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::script::Script;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Nothing.
    None,
    /// One byte changed, or one file lost or cut: what was proven durable is still there, or its loss is noticed.
    One,
    /// More than that.
    Much,
    /// Bytes were changed and their checksums made to fit: anything may be handed out, but nothing may panic.
    Forged,
}

const HARMS_MAX: usize = 8;

/// Harms the files as the script says.
pub fn harm(disk: &RecordingDisk, script: &mut Script<'_>) -> Harm {
    let mut done = Harm::None;
    for _ in 0..HARMS_MAX {
        if script.is_done() {
            break;
        }
        let next = harm_once(disk, script);
        done = match (done, next) {
            (_, Harm::None) => done,
            (Harm::None, _) => next,
            (Harm::Forged, _) | (_, Harm::Forged) => Harm::Forged,
            _ => Harm::Much,
        };
    }
    done
}

fn harm_once(disk: &RecordingDisk, script: &mut Script<'_>) -> Harm {
    let how = script.byte();
    let Some(name) = file(disk, script) else { return Harm::None };
    let bytes = disk.contents(&name).unwrap_or_default();
    let (at, len) = (place(script, bytes.len()), bytes.len());
    let write = |at: usize, bytes: &[u8]| disk.tamper(&name, at as u64, bytes);
    match how % 8 {
        0 => return seal(disk, &name, &bytes, at),
        1 => match (bytes.get(at), script.byte()) {
            (Some(byte), flip) if flip != 0 => write(at, &[byte ^ flip]),
            _ => return Harm::None,
        },
        2 => {
            disk.lose(&name);
        }
        3 if at < len => disk.shorten(&name, at as u64),
        4 => {
            let count = usize::from(script.byte());
            write(at, script.bytes(count));
            return Harm::Much;
        }
        5 => {
            write(at, &vec![0; script.short().min(len.saturating_sub(at))]);
            return Harm::Much;
        }
        // A page that came back from elsewhere, or from another file.
        6 => {
            let Some(from) = file(disk, script).and_then(|from| disk.contents(&from)) else { return Harm::None };
            let start = place(script, from.len());
            let count = script.short();
            write(at, from.get(start..from.len().min(start + count)).unwrap_or_default());
            return Harm::Much;
        }
        7 => {
            disk.lose(&name);
            disk.tamper(&format!("{:010}.seg", script.byte()), 0, &bytes);
            return Harm::Much;
        }
        _ => return Harm::None,
    }
    Harm::One
}

fn file(disk: &RecordingDisk, script: &mut Script<'_>) -> Option<String> {
    let mut names = disk.list().expect("a folder in memory");
    names.sort();
    let choice = usize::from(script.byte()).checked_rem(names.len())?;
    Some(names.swap_remove(choice))
}

fn place(script: &mut Script<'_>, bytes: usize) -> usize {
    script.short().min(bytes)
}

/// Makes the checksums of whatever lies at a place hold: of a segment's header block, of a slot of the mark, or of the batch
/// that begins at or before it.
fn seal(disk: &RecordingDisk, name: &str, bytes: &[u8], at: usize) -> Harm {
    let write = |at: usize, part: &[u8]| disk.tamper(name, at as u64, part);
    if name == "mark" {
        let slot = at / 4096 * 4096;
        let Some(part) = bytes.get(slot..slot + 80) else { return Harm::None };
        write(slot + 12, &low_half(&part[16..], u64::from(u32_at(part, 8))));
        return Harm::Forged;
    }
    let Some(block) = bytes.get(..4096) else { return Harm::None };
    if at < 4096 {
        write(12, &low_half(&block[16..], u64::from(u32_at(block, 8))));
        return Harm::Forged;
    }
    let key = xxh3_64(&block[16..32]);
    let begins = |at: &usize| bytes.get(*at..at + 64).is_some_and(|header| header.starts_with(b"SKPB"));
    let Some(start) = (4096..=at).rev().filter(|at| at % 8 == 0).find(begins) else { return Harm::None };
    let mut header = bytes[start..start + 64].to_vec();
    let body = bytes.get(start + 64..start + 64 + u32_at(&header, 8) as usize).unwrap_or_default();
    let mut position = [0; 8];
    position.copy_from_slice(&header[16..24]);
    let hash = xxh3_64_with_seed(body, key ^ u64::from_le_bytes(position));
    header[40..48].copy_from_slice(&hash.to_le_bytes());
    let checksum = low_half(&header[8..], key);
    header[4..8].copy_from_slice(&checksum);
    write(start, &header);
    Harm::Forged
}

fn low_half(bytes: &[u8], seed: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64_with_seed(bytes, seed).to_le_bytes();
    [a, b, c, d]
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
