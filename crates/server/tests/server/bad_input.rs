//! Bytes that no client of ours would say. Each is answered by a coded error or a clean close;
//! whoever works beside notices nothing, and nothing is lost.

use std::collections::BTreeMap;

use skep_protocol::limits::{BATCH_MAX, FRAME_BYTES_MAX};
use skep_protocol::{
    Accepted, Action, Code, Encoding, Error, Frame, LeaseToken, Managed, Publish, Settle, SettleBatch, Settlement,
    Subscribe, Target, Window,
};

use crate::hub::{Hub, declare, info, note, publish, queue};
use crate::neighbour::Neighbour;
use crate::raw::{Heard, Raw};

/// A connection survives fewer broken frames than this.
const BROKEN_FRAMES_MAX: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_cannot_be_read_is_answered_and_its_session_lives() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let json: [&[u8]; 6] = [b"", b"{", b"[]", b"hello", br#"{"dance":{}}"#, b"\xff\xfe"];
    let compact: [&[u8]; 8] = [
        b"",
        b"\xc1",
        b"\x92",
        b"\x92\x03",
        b"\x92\x63\xc0",
        b"\x92\x11\x07\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\x01\x02",
    ];
    for mut raw in Raw::all(&hub).await {
        let frames = if raw.encoding() == Encoding::Json { &json[..] } else { &compact[..] };
        for frame in frames {
            raw.say_bytes(frame).await;
            raw.is_told(Code::InvalidFrame).await;
            raw.lives().await;
        }
        neighbour.goes_on().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_nothing_else_is_shown_the_door() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    for mut raw in Raw::all(&hub).await {
        for _ in 0..BROKEN_FRAMES_MAX {
            raw.say_bytes(b"").await;
        }
        for _ in 0..BROKEN_FRAMES_MAX {
            raw.is_told(Code::InvalidFrame).await;
        }
        raw.is_closed().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_levels_deep_is_too_deep() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    for mut raw in Raw::all(&hub).await {
        let frames: Vec<Vec<u8>> = if raw.encoding() == Encoding::Json {
            let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
            let objects = [r#"{"publish":"#.repeat(10_000), "}".repeat(10_000)].concat();
            let tag =
                format!(r#"{{"manage":{{"tag":1,"command":{{"declare":{{"name":"x","filters":{open}{close}}}}}}}}}"#);
            vec![format!("{open}{close}").into(), objects.into(), tag.into()]
        } else {
            let nested = |level: &[u8], within: &[u8]| [within, &level.repeat(10_000), b"\xc0"].concat();
            // The whole frame, the body of a manage, and a message's attributes.
            vec![nested(b"\x91", b""), nested(b"\x91", b"\x92\x0d"), nested(b"\x81\xa1x", b"\x92\x0d\x92\x01")]
        };
        for frame in frames {
            raw.say_bytes(&frame).await;
            raw.is_told(Code::InvalidFrame).await;
        }
        raw.lives().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

/// Data is the client's own affair: it is taken as it is, as deep as it is, or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deeply_nested_data_harms_nobody() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let mut raw = Raw::web_socket(&hub, Encoding::Json).await;
    raw.connect(&hub).await;
    let data = ["[".repeat(10_000), "]".repeat(10_000)].concat();
    let message = format!(r#"{{"specversion":"1.0","id":"deep","source":"s","type":"t","to":"deep","data":{data}}}"#);
    raw.say_bytes(format!(r#"{{"publish":{{"sequence":1,"messages":[{message}]}}}}"#).as_bytes()).await;
    let heard = raw.hear().await;
    assert!(matches!(heard, Heard::Frame(Frame::Receipt(_) | Frame::Error(_))), "{heard:?}");
    raw.lives().await;
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_frame_may_hold_is_too_large() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let client = hub.client().await;
    let messages = vec![note(&client, "nowhere", "x"); BATCH_MAX + 1];
    let settles = vec![Settle { lease: LeaseToken([7; 16]), action: Action::Ack }; BATCH_MAX + 1];
    for mut raw in Raw::all(&hub).await {
        raw.say(&Frame::Publish(Publish { sequence: 1, messages: messages.clone() })).await;
        raw.is_told(Code::TooLarge).await;
        raw.say(&Frame::Settle(SettleBatch { tag: 1, settles: settles.clone(), atomic: false, publish: None })).await;
        raw.is_told(Code::TooLarge).await;
        raw.lives().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_frame_is_refused_before_it_comes() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    for raw in Raw::all(&hub).await {
        let (head, code): (Vec<u8>, _) = match raw {
            // A binary frame, masked, of 1 TiB.
            Raw::WebSocket(..) => {
                ([&[0x82, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[0; 8]].concat(), Code::InvalidFrame)
            }
            Raw::Unix(_) => (u32::MAX.to_le_bytes().to_vec(), Code::TooLarge),
        };
        let mut raw = raw.write(&head).await;
        raw.is_told(code).await;
        raw.is_closed().await;
        neighbour.goes_on().await;
    }
    let length = u32::try_from(FRAME_BYTES_MAX + 1).expect("few").to_le_bytes();
    let mut raw = Raw::unix(&hub).await.write(&length).await;
    raw.is_told(Code::TooLarge).await;
    raw.is_closed().await;
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_does_not_go_on_costs_only_itself() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let mut waiting = Vec::new();
    for raw in Raw::all(&hub).await {
        let head: Vec<u8> = match raw {
            Raw::WebSocket(..) => [&[0x82, 0xfe][..], &60_000_u16.to_be_bytes(), &[0; 100]].concat(),
            Raw::Unix(_) => [&1_000_000_u32.to_le_bytes()[..], &[0; 100]].concat(),
        };
        waiting.push(raw.write(&head).await);
        neighbour.goes_on().await;
    }
    drop(waiting);
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_queue_and_a_wrong_lease_are_told_apart() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    for mut raw in Raw::all(&hub).await {
        raw.say(&subscribe(7, "nowhere")).await;
        match raw.hear().await {
            Heard::Frame(Frame::Managed(Managed { tag: 7, result: Settlement::Error(error) })) => {
                assert_eq!(error.code, Code::UnknownQueue);
            }
            other => panic!("{other:?}"),
        }
        let settles = vec![Settle { lease: LeaseToken([7; 16]), action: Action::Ack }];
        raw.say(&Frame::Settle(SettleBatch { tag: 8, settles, atomic: false, publish: None })).await;
        match raw.hear().await {
            Heard::Frame(Frame::Settled(settled)) => {
                assert_eq!(settled.tag, 8);
                assert!(
                    matches!(&settled.results[..], [Settlement::Error(e)] if e.code == Code::LeaseLost),
                    "{settled:?}"
                );
            }
            other => panic!("{other:?}"),
        }
        raw.lives().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_is_refused_under_its_sequence_and_the_others_are_stored() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    for (n, mut raw) in Raw::all(&hub).await.into_iter().enumerate() {
        let jobs = format!("jobs-{n}");
        declare(&hub.client().await, &jobs).await;
        let publish = with_a_bad_one(&jobs);
        raw.say_bytes(&spoilt(raw.encoding(), &Frame::Publish(publish))).await;
        let mut codes = BTreeMap::new();
        while codes.len() < 3 {
            let heard = raw.hear().await;
            let Heard::Frame(Frame::Receipt(runs)) = heard else { panic!("{heard:?}") };
            for run in runs {
                let code = Result::from(run.result).err().map(|error| {
                    assert!(error.text.contains("b..ad"), "it names the topic: {error}");
                    error.code
                });
                codes.extend((run.sequence..).take(run.count as usize).map(|sequence| (sequence, code)));
            }
        }
        assert_eq!(codes, BTreeMap::from([(1, None), (2, Some(Code::InvalidTopic)), (3, None)]));
        assert_eq!(info(&hub.client().await, &jobs).await.ready, 2);
        raw.lives().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_that_does_not_count_on_is_refused_by_what_it_was_and_loses_nothing() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    let mut raw = Raw::web_socket(&hub, Encoding::Json).await;
    raw.connect(&hub).await;
    let say = |id: &str, sequence: u64| {
        let event = format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t","to":"jobs","data":"{id}"}}"#);
        format!(r#"{{"publish":{{"sequence":{sequence},"messages":[{event}]}}}}"#)
    };
    let mut told = Vec::new();
    for (id, sequence) in [("a", 1), ("b", 1), ("c", 1), ("a", 1), ("b", 2)] {
        raw.say_bytes(say(id, sequence).as_bytes()).await;
        let heard = raw.hear().await;
        let Heard::Frame(Frame::Receipt(runs)) = heard else { panic!("{heard:?}") };
        assert_eq!((runs.len(), runs[0].sequence, runs[0].count), (1, sequence, 1));
        told.push(Result::<Accepted, Error>::from(runs[0].result.clone()));
    }
    let first = told[0].clone().expect("it is new");
    for refused in &told[1..3] {
        let error = refused.as_ref().expect_err("it is another message");
        let at = format!("position {}", first.position.as_ref().expect("it is stored"));
        assert!(
            error.code == Code::Conflict && error.text.contains("sequence 1 ") && error.text.contains(&at),
            "{error}"
        );
    }
    let resent = told[3].clone().expect("a resend");
    assert_eq!((resent.duplicate, resent.position), (true, first.position));
    assert!(!told[4].clone().expect("a number of its own").duplicate);
    assert_eq!(info(&client, "jobs").await.ready, 2);
    raw.lives().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_with_a_message_that_cannot_be_read_is_refused_whole_with_the_reason() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let client = hub.client().await;
    for (n, mut raw) in Raw::all(&hub).await.into_iter().enumerate() {
        let (jobs, results) = (format!("jobs-{n}"), format!("results-{n}"));
        declare(&client, &jobs).await;
        declare(&client, &results).await;
        publish(&client, &jobs, "input").await;
        raw.say(&subscribe(1, &jobs)).await;
        assert_eq!(raw.hear().await, Heard::Frame(Frame::Subscribed(1)));
        let heard = raw.hear().await;
        let Heard::Frame(Frame::Deliver(deliveries)) = heard else { panic!("{heard:?}") };
        let settles = vec![Settle { lease: deliveries[0].lease, action: Action::Ack }];
        let step = SettleBatch { tag: 9, settles, atomic: true, publish: Some(with_a_bad_one(&results)) };
        raw.say_bytes(&spoilt(raw.encoding(), &Frame::Settle(step))).await;
        let heard = raw.hear().await;
        let Heard::Frame(Frame::Settled(settled)) = heard else { panic!("{heard:?}") };
        let [Settlement::Error(error)] = &settled.results[..] else { panic!("{settled:?}") };
        assert!(
            settled.tag == 9 && error.code == Code::InvalidTopic && error.text.contains("message 2 of 3"),
            "{error}"
        );
        assert_eq!((settled.receipts[0].sequence, settled.receipts[0].count), (1, 3));
        assert_eq!((info(&client, &jobs).await.leased, info(&client, &results).await.ready), (1, 0));
        raw.lives().await;
    }
    neighbour.content(&hub).await;
    hub.close().await;
}

/// Three messages; the second has a topic that [`spoilt`] makes unreadable.
fn with_a_bad_one(topic: &str) -> Publish {
    let message = |(n, topic): (usize, &str)| {
        let id = skep_protocol::MessageId::new(&format!("{topic}-{n}")).expect("an id");
        let to = skep_protocol::Topic::new(topic).expect("a topic");
        skep_protocol::Message::build(&id, "s", "t").to(&to).text("x").finish().expect("a message")
    };
    Publish { sequence: 1, messages: [topic, "b.a.d", topic].into_iter().enumerate().map(message).collect() }
}

/// As long as before, so that only the topic is wrong.
fn spoilt(encoding: Encoding, frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding.encode(frame, &mut bytes);
    let mut topics = bytes.windows(5).enumerate().filter(|(_, part)| part == b"b.a.d").map(|(at, _)| at);
    // The last is the topic: the message's id holds it, too.
    let at = topics.next_back().expect("the topic");
    bytes.splice(at..at + 5, *b"b..ad");
    bytes
}

pub(crate) fn subscribe(id: u32, name: &str) -> Frame {
    let window = Window { subscription: id, messages: 1, bytes: 1 << 20 };
    let target = Target::Queue(queue(name));
    Frame::Subscribe(Subscribe { id, target, window, handlers: 1, binding: skep_protocol::Binding::Connection })
}
