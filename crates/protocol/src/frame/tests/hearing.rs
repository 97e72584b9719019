//! Frames in which something cannot be read.

use bytes::Bytes;

use super::super::*;
use super::message;
use crate::{Action, Code, MessageId, Topic};

/// The frame with the topic of one message made unreadable, in its place and of its length.
fn spoilt(encoding: Encoding, frame: &Frame) -> Bytes {
    let mut bytes = Vec::new();
    encoding.encode(frame, &mut bytes);
    let at = bytes.windows(5).position(|part| part == b"b.a.d").unwrap();
    bytes[at..at + 5].copy_from_slice(b"b..ad");
    bytes.into()
}

fn with_a_bad_one() -> Publish {
    let topic = Topic::new("b.a.d").unwrap();
    let bad = Message::build(&MessageId::new("bad").unwrap(), "s", "t").to(&topic).finish().unwrap();
    Publish { sequence: 4, messages: vec![message(1), bad, message(2)] }
}

#[test]
fn a_message_that_cannot_be_read_leaves_its_neighbours_readable() {
    for encoding in [Encoding::Json, Encoding::Compact] {
        let frame = Frame::Publish(with_a_bad_one());
        let heard = encoding.hear(&spoilt(encoding, &frame)).unwrap();
        let Heard::Publish { sequence: 4, messages } = heard else { panic!("{heard:?}") };
        let [Ok(first), Err(error), Ok(last)] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!((first, error.code, last), (&message(1), Code::InvalidTopic, &message(2)));
        let settles = vec![Settle { lease: LeaseToken([7; 16]), action: Action::Ack }];
        let step = SettleBatch { tag: 5, settles, atomic: true, publish: Some(with_a_bad_one()) };
        let heard = encoding.hear(&spoilt(encoding, &Frame::Settle(step))).unwrap();
        let Heard::Settle { tag: 5, settles: 1, sequence: 4, messages: 3, error } = heard else { panic!("{heard:?}") };
        assert!(error.code == Code::InvalidTopic && error.text.starts_with("message 2 of 3: "), "{error}");
    }
}

#[test]
fn what_is_no_message_at_all_costs_itself_only_and_an_envelope_that_is_none_costs_the_frame() {
    let long = format!(r#"{{"publish":{{"sequence":1,"messages":[7,{{"{}":1}}]}}}}"#, "x".repeat(5000));
    let compact = [0x92, 3, 0x92, 1, 0x93, 0xc0, 0xa1, b'x', 0x81, 1, 2];
    for (encoding, bytes) in [
        (Encoding::Json, Bytes::from(long)),
        (Encoding::Json, Bytes::from_static(br#"{"publish":{"sequence":1,"messages":[null,[]]}}"#)),
        (Encoding::Compact, Bytes::copy_from_slice(&compact)),
    ] {
        let Heard::Publish { sequence: 1, messages } = encoding.hear(&bytes).unwrap() else { panic!("a publish") };
        assert!(messages.len() >= 2);
        for result in messages {
            let error = result.unwrap_err();
            assert!(error.code == Code::InvalidMessage && error.text.len() < 1000, "{error}");
        }
    }
    for (encoding, bytes) in [
        (Encoding::Json, &br#"{"publish":{"sequence":-1,"messages":[7]}}"#[..]),
        (Encoding::Json, br#"{"publish":{"sequence":1,"messages":7}}"#),
        (Encoding::Json, br#"{"publish":{"sequence":1,"messages":[7"#),
        (Encoding::Json, br#"{"settle":{"tag":1,"settles":[8],"publish":{"sequence":1,"messages":[7]}}}"#),
        (Encoding::Compact, &compact[..9]),
        (Encoding::Compact, &[0x92, 3, 0x92, 0xc0, 0x91, 0xc0]),
    ] {
        assert!(encoding.hear(&Bytes::copy_from_slice(bytes)).is_err());
    }
}
