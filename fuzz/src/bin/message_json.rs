//! Messages in JSON, as events and in the short form: what was taken is the same in compact form and back in JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_fuzz::{frames, seeds};
use skep_protocol::{Defaults, Message};

const FILLED: Defaults<'static> =
    Defaults { id: Some("i"), source: Some("agent/s"), kind: Some("note"), to: Some("t.o") };

fuzz_target!(init: seeds::lay(events()), |data: &[u8]| {
    let bare = Message::from_json(data);
    let filled = Message::from_json_with(data, &FILLED);
    if let Ok(message) = &bare {
        assert!(filled.is_ok(), "what is whole needs nothing filled in: {filled:?}");
        frames::says_the_same(message);
    }
    if let Ok(message) = &filled {
        frames::says_the_same(message);
    }
});

fn events() -> Vec<Vec<u8>> {
    [
        r#"{"data":{"n":1}}"#,
        r#"{"id":"1","source":"s","type":"t","to":"a.b, c.d","data_base64":"/w=="}"#,
        r#"{"data":"hello","datacontenttype":"text/plain","priority":"low","notbefore":"2026-01-31T12:00:00Z"}"#,
        r#"{"data":1,"notbefore":"2026-01-31T12:00:00.5+01:00","expirytime":"2027-01-31T12:00:00Z"}"#,
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-01-31T12:00:00Z","own":"x","hops":3,"b":true,"data":null}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
