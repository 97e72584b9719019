//! Bytes that no client of ours would say. Each is answered by a coded error or a clean close;
//! whoever works beside notices nothing, and nothing is lost.

use skep_protocol::limits::{BATCH_MAX, FRAME_BYTES_MAX};
use skep_protocol::{
    Action, Code, Encoding, Frame, LeaseToken, Managed, Publish, Settle, SettleBatch, Settlement, Subscribe, Target,
    Window,
};

use crate::hub::{Hub, note, queue};
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
async fn a_bad_topic_is_told_by_its_own_code_in_every_encoding() {
    let hub = Hub::start().await;
    let neighbour = Neighbour::of(&hub).await;
    let mut codes = Vec::new();
    for mut raw in Raw::all(&hub).await {
        let bad = bad_topic(raw.encoding());
        raw.say_bytes(&bad).await;
        let heard = raw.hear().await;
        let Heard::Frame(Frame::Error(error)) = heard else { panic!("{heard:?}") };
        assert!(error.text.contains("a..b"), "it names the topic: {error}");
        codes.push((raw.encoding(), error.code));
        raw.lives().await;
    }
    assert!(codes.iter().all(|(_, code)| *code == Code::InvalidTopic), "{codes:?}");
    neighbour.content(&hub).await;
    hub.close().await;
}

/// A publish of one good message and one to the topic `a..b`.
fn bad_topic(encoding: Encoding) -> Vec<u8> {
    let id = skep_protocol::MessageId::new("m").expect("an id");
    let to = skep_protocol::Topic::new("a.x.b").expect("a topic");
    let message = skep_protocol::Message::build(&id, "s", "t").to(&to).text("x").finish().expect("a message");
    let mut bytes = Vec::new();
    encoding.encode(&Frame::Publish(Publish { sequence: 1, messages: vec![message] }), &mut bytes);
    let at = bytes.windows(5).position(|part| part == b"a.x.b").expect("the topic");
    // As long as before, so that only the topic is wrong.
    bytes.splice(at..at + 5, *b"a..b.");
    bytes
}

pub(crate) fn subscribe(id: u32, name: &str) -> Frame {
    let window = Window { subscription: id, messages: 1, bytes: 1 << 20 };
    let target = Target::Queue(queue(name));
    Frame::Subscribe(Subscribe { id, target, window, handlers: 1, binding: skep_protocol::Binding::Connection })
}
