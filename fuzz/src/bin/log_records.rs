//! The bodies of records: a log whose checksums hold, with any records in it, is opened by the engine or refused, and never
//! panics. What opened once opens again.
//!
//! The input is records: kind and flags a byte each, the body's length in two, the body.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use skep_embedded::Embedded;
use skep_embedded::disk::recording::RecordingDisk;
use skep_embedded::log::{LogBuffer, Mode, OpenWith, RecordKind, SegmentSizes, open};
use skep_fuzz::script::Script;
use skep_fuzz::seeds;
use skep_protocol::Message;

/// Long segments take long to look through.
const SHORT: SegmentSizes = SegmentSizes { first: 4096, max: 8192 };

fuzz_target!(init: seeds::lay(records()), |data: &[u8]| {
    let disk = Arc::new(RecordingDisk::new());
    let with = OpenWith { sizes: SHORT, ..OpenWith::new([1; 16], 1_000) };
    let opened = open(disk.clone(), with, &mut |_| Ok(())).expect("an empty disk");
    let Mode::ReadWrite(mut writer) = opened.mode else { panic!("a new log is sound") };
    let mut buffer = LogBuffer::new(opened.next_position);
    let mut script = Script(data);
    while !script.is_done() {
        let (kind, flags, len) = (script.byte(), script.byte(), script.short());
        let Ok(kind) = RecordKind::try_from(kind % 18) else { continue };
        let body = script.bytes(len);
        if buffer.fits(body.len(), 1) {
            buffer.append(kind, flags, |bytes| bytes.extend_from_slice(body));
        }
    }
    if buffer.is_empty() {
        return;
    }
    writer.write(&mut buffer, 1_000, true).expect("a healthy log writes");
    drop(writer);

    if Embedded::recover_on(disk.clone(), with).is_ok() {
        Embedded::recover_on(disk, with).expect("what opened once opens again");
    }
});

/// One log in which each kind of record stands once, or more often where that is needed to make sense.
fn records() -> Vec<Vec<u8>> {
    let message = Message::from_json(br#"{"id":"1","source":"agent/a","type":"task","to":"jobs","data":{"n":1}}"#);
    let message = message.expect("an event");
    let (jobs, dead) = (1_u32.to_le_bytes(), 2_u32.to_le_bytes());
    let lease = |position: u64| {
        let token = [2_u64.to_le_bytes(), position.to_le_bytes()].concat();
        [&jobs[..], &position.to_le_bytes(), &token, &1_u32.to_le_bytes()].concat()
    };
    let stored = [&[5; 16][..], &9_u64.to_le_bytes(), &[1, 0, 1, 0], &jobs, b"a", message.bytes()].concat();
    let run = [2_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat();
    // The log's own first record is at 1.
    let story: Vec<(u8, u8, Vec<u8>)> = vec![
        (7, 0, [&jobs[..], br#"{"name":"jobs"}"#].concat()),
        (7, 0, [&dead[..], br#"{"name":"$dead.jobs"}"#].concat()),
        (3, 3, stored.clone()),
        (3, 1, stored.clone()),
        (3, 2, stored.clone()),
        (3, 0, stored.clone()),
        (3, 0, stored),
        (9, 0, [&lease(4)[..], b"agent/b"].concat()),
        (13, 0, [&lease(4)[..], &60_000_u64.to_le_bytes(), b"half"].concat()),
        (4, 0, lease(4)),
        (9, 0, [&lease(5)[..], b"agent/b"].concat()),
        (5, 0, [&lease(5)[..], &2_000_u64.to_le_bytes(), b"busy"].concat()),
        (9, 0, [&lease(6)[..], b"agent/b"].concat()),
        (10, 0, [&lease(6)[..], &[1], b"lease_expired"].concat()),
        (9, 0, [&lease(7)[..], b"agent/b"].concat()),
        (6, 4, [&lease(7)[..], &dead, b"bad"].concat()),
        (15, 0, [&dead[..], &jobs, &7_u64.to_le_bytes()].concat()),
        (14, 0, [&jobs[..], &7_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat()),
        (11, 0, [&3_u64.to_le_bytes()[..], &[3, 0], b"a.b", b"value"].concat()),
        (12, 0, b"a.b".to_vec()),
        (2, 0, (1_u64 << 21).to_le_bytes().to_vec()),
        (9, 0, [&lease(8)[..], b"agent/b"].concat()),
        (16, 2, [&lease(8)[..], b"expired"].concat()),
        (17, 0, [&17_u64.to_le_bytes()[..], &7_u64.to_le_bytes(), b"full"].concat()),
        (8, 0, dead.to_vec()),
        (14, 0, [&jobs[..], &run].concat()),
    ];
    let written = |(kind, flags, body): &(u8, u8, Vec<u8>)| {
        let len = u16::try_from(body.len()).expect("short").to_le_bytes();
        [&[*kind, *flags][..], &len, body].concat()
    };
    let written: Vec<Vec<u8>> = story.iter().map(written).collect();
    // Every beginning of it: what is wrong behind hides nothing before.
    (1..=written.len()).map(|end| written[..end].concat()).collect()
}
