mod every;
mod hearing;

use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;

use self::every::every_frame;
use super::*;
use crate::{Code, MessageId, Topic};

fn message(n: u32) -> Message {
    let id = MessageId::new(&format!("m-{n}")).unwrap();
    let topic = Topic::new("jobs").unwrap();
    Message::build(&id, "agent/alice", "task").to(&topic).json(format!(r#"{{"n":{n}}}"#)).finish().unwrap()
}

#[test]
fn every_frame_is_the_same_in_both_encodings() {
    for (name, frame) in every_frame() {
        for encoding in [Encoding::Json, Encoding::Compact] {
            let mut out = Vec::new();
            encoding.encode(&frame, &mut out);
            assert_eq!(encoding.decode(&Bytes::from(out)).unwrap(), frame, "{name} {encoding:?}");
        }
    }
}

/// The golden frames that every client must read and write. `SKEP_VECTORS=write` makes them anew.
#[test]
fn the_vectors_are_fresh() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors");
    for (name, frame) in every_frame() {
        let mut compact = Vec::new();
        Encoding::Compact.encode(&frame, &mut compact);
        let hex: String = compact.iter().map(|b| format!("{b:02x}")).collect();
        let vector = serde_json::json!({ "name": name, "json": serde_json::to_value(&frame).unwrap(), "compact": hex });
        let fresh = serde_json::to_string_pretty(&vector).unwrap() + "\n";
        let file = folder.join(format!("{name}.json"));
        if std::env::var("SKEP_VECTORS").as_deref() == Ok("write") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &fresh).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(golden, fresh, "{} changed: the wire is fixed", file.display());
    }
}

#[test]
fn a_message_of_a_compact_publish_shares_the_memory_of_its_frame() {
    let mut out = Vec::new();
    Encoding::Compact.encode(&Frame::Publish(Publish { sequence: 1, messages: vec![message(1)] }), &mut out);
    let bytes = Bytes::from(out);
    let Frame::Publish(publish) = Encoding::Compact.decode(&bytes).unwrap() else { panic!("a publish") };
    assert!(bytes.as_ptr_range().contains(&publish.messages[0].bytes().as_ptr()));
}

#[test]
fn a_broken_frame_says_what_was_expected() {
    for (encoding, bytes, part) in [
        (Encoding::Json, &b"hello"[..], "object with one member"),
        (Encoding::Json, br#"{"shout":1}"#, "unknown variant"),
        (Encoding::Json, br#"{"publish":{"sequence":1,"messages":[{"id":"1"}]}}"#, "source and type are missing"),
        (Encoding::Compact, &[0xc0], "expected [number, body]"),
        (Encoding::Compact, &[0x92, 99, 0xc0], "no frame has number 99"),
        (Encoding::Compact, &[0x92, 3, 0x92, 1, 0x91, 0xc4, 1, 0xc0], "array"),
    ] {
        let error = encoding.decode(&Bytes::from_static(bytes)).unwrap_err();
        assert!(error.text.contains(part), "{error}");
    }
    let bad_topic = br#"{"publish":{"sequence":1,"messages":[{"id":"1","source":"s","type":"t","to":"a..b"}]}}"#;
    let error = Encoding::Json.decode(&Bytes::from_static(bad_topic)).unwrap_err();
    assert_eq!(error.code, Code::InvalidTopic, "{error}");
    let huge = Bytes::from(vec![b' '; crate::limits::FRAME_BYTES_MAX + 1]);
    assert_eq!(Encoding::Json.decode(&huge).unwrap_err().code, Code::TooLarge);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        let _ = (Encoding::Json.hear(&bytes), Encoding::Compact.hear(&bytes));
    }

    #[test]
    fn a_frame_with_one_wrong_byte_is_refused_or_read(which in 0..28usize, at in any::<usize>(), to in any::<u8>()) {
        let mut out = Vec::new();
        Encoding::Compact.encode(&every_frame()[which].1, &mut out);
        let at = at % out.len();
        out[at] = to;
        let _ = Encoding::Compact.hear(&Bytes::from(out));
    }
}
