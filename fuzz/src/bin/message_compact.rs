//! Messages in compact form: kept byte for byte, read in place, and the same through JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skep_fuzz::{frames, seeds};
use skep_protocol::{Encoding, Frame, Message};

fuzz_target!(init: seeds::lay(messages()), |data: &[u8]| {
    if let Ok(message) = Message::parse(Bytes::copy_from_slice(data)) {
        assert_eq!(message.bytes(), data);
        frames::says_the_same(&message);
    }
});

/// The messages of the golden publish and live frames, and one that says everything.
fn messages() -> Vec<Vec<u8>> {
    let mut messages: Vec<Message> = Vec::new();
    for bytes in seeds::compact_frames() {
        match Encoding::Compact.decode(&bytes.into()).expect("golden") {
            Frame::Publish(publish) => messages.extend(publish.messages),
            Frame::Live(live) => messages.extend(live),
            _ => {}
        }
    }
    messages.push(Message::from_json(EVERYTHING.as_bytes()).expect("it is an event"));
    messages.iter().map(|message| message.bytes().to_vec()).collect()
}

const EVERYTHING: &str = r#"{"specversion":"1.0","id":"1","source":"agent/a","type":"task","to":"a.b,c","priority":"high",
"guarantee":"exactly_once","replyto":"r","correlationid":"c","causationid":"k","conversationid":"v",
"time":"2026-01-31T12:00:00.5+01:00","datacontenttype":"text/plain","subject":"s","hops":-3,"sampled":true,
"headers":"{\"a\":\"b\"}","data_base64":"/w=="}"#;
