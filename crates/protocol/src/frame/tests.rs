use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Action, Code, Ended, Holder, MessageId, QueueSpec, Stored, Topic};

fn message(n: u32) -> Message {
    let id = MessageId::new(&format!("m-{n}")).unwrap();
    let topic = Topic::new("jobs").unwrap();
    Message::build(&id, "agent/alice", "task").to(&topic).json(format!(r#"{{"n":{n}}}"#)).finish().unwrap()
}

/// One frame of every kind, with every member said, and one of those that grew a member later
/// without it; the vectors are made of them.
#[expect(clippy::too_many_lines, reason = "a table: one row a frame")]
fn every_frame() -> Vec<(&'static str, Frame)> {
    let queue = QueueName::new("jobs").unwrap();
    let agent = AgentId::new("alice").unwrap();
    let lease = LeaseToken([7; 16]);
    let previous = Some(Ended { reason: "lease_expired".into(), progress: Some("half".into()) });
    let delivery = Delivery {
        subscription: 1,
        queue: queue.clone(),
        position: Position::Number(9),
        attempt: 2,
        lease,
        lease_ms: 60_000,
        previous: previous.clone(),
        message: message(1),
    };
    let accepted = Accepted {
        position: Some(Position::Number(9)),
        durability: Some(Durability::Fsync),
        guarantee: Guarantee::AtLeastOnce,
        queues: 1,
        skipped: 0,
        live: 2,
        duplicate: false,
        recipient: Some(Recipient { agent: agent.clone(), waiting: 3, connected: Some(false), last_seen_ms: Some(5) }),
    };
    let refused = Error::new(Code::UnknownAgent, "no agent \"bob\"");
    let publication = |result| Publication { sequence: 4, count: 2, result };
    let position = Position::Number(9);
    let stored = Stored {
        position,
        time_ms: 5,
        attempts: 1,
        previous: None,
        message: message(2),
        holder: None,
        due_ms: None,
        died_ms: None,
    };
    let settles = vec![
        Settle { lease, action: Action::Ack },
        Settle { lease, action: Action::Nack { after_ms: Some(5), reason: "busy".into() } },
        Settle { lease, action: Action::Reject { reason: "bad".into() } },
        Settle { lease, action: Action::Extend { lease_ms: None, progress: Some("half".into()) } },
        Settle { lease, action: Action::Return },
    ];
    let info = AgentInfo {
        agent: agent.clone(),
        metadata: "{}".into(),
        connected: Some(true),
        last_seen_ms: None,
        waiting: 2,
        workspaces: vec!["docs".parse().unwrap()],
    };
    vec![
        (
            "connect",
            Frame::Connect(Connect {
                version: 1,
                features: 0,
                token: Some("secret".into()),
                agent: Some(agent.clone()),
                producer: Some(ProducerId([1; 16])),
                resume: Some(ResumeToken([2; 16])),
                held: vec![lease],
                client: "test 1".into(),
            }),
        ),
        (
            "welcome",
            Frame::Welcome(Welcome {
                version: 1,
                features: 0,
                hub: "skep 0.1.0".into(),
                agent: Some(agent.clone()),
                producer: ProducerId([1; 16]),
                resume: ResumeToken([2; 16]),
                resumed: true,
                lost: vec![lease],
                replies: "$reply.00".into(),
                heartbeat_ms: 30_000,
                payload_bytes_max: 1 << 20,
            }),
        ),
        ("publish", Frame::Publish(Publish { sequence: 4, messages: vec![message(1), message(2)] })),
        (
            "receipt",
            Frame::Receipt(vec![
                publication(Settlement::Ok(accepted)),
                publication(Settlement::Error(refused.clone())),
            ]),
        ),
        (
            "subscribe",
            Frame::Subscribe(Subscribe {
                id: 1,
                target: Target::Queue(queue.clone()),
                window: Window { subscription: 1, messages: 10, bytes: 1 << 20 },
                handlers: 2,
                binding: Binding::Deadline,
            }),
        ),
        ("subscribed", Frame::Subscribed(1)),
        ("unsubscribe", Frame::Unsubscribe(1)),
        ("window", Frame::Window(Window { subscription: 1, messages: 10, bytes: 1 << 20 })),
        ("deliver", Frame::Deliver(vec![delivery.clone(), Delivery { previous: None, ..delivery }])),
        ("live", Frame::Live(vec![message(1)])),
        (
            "settle",
            Frame::Settle(SettleBatch {
                tag: 5,
                settles,
                atomic: true,
                publish: Some(Publish { sequence: 6, messages: vec![message(3)] }),
            }),
        ),
        (
            "settled",
            Frame::Settled(Settled {
                tag: 5,
                results: vec![Settlement::Ok(()), Settlement::Error(Error::new(Code::LeaseLost, "lease is lost"))],
                receipts: vec![publication(Settlement::Error(refused.clone()))],
            }),
        ),
        ("manage", Frame::Manage(Manage { tag: 6, command: Command::Declare(QueueSpec::new(queue.clone())) })),
        ("managed", Frame::Managed(Managed { tag: 6, result: Settlement::Ok(Answer::Done { changed: true }) })),
        ("query", Frame::Query(Query { tag: 7, ask: Ask::Peek { queue: queue.clone(), limit: 10, from: None } })),
        (
            "page",
            Frame::Page(Report {
                tag: 7,
                result: Settlement::Ok(Page::Messages { messages: vec![stored], next: Some(Position::Number(10)) }),
            }),
        ),
        ("ping", Frame::Ping(8)),
        ("pong", Frame::Pong(8)),
        ("error", Frame::Error(refused)),
        ("goodbye", Frame::Goodbye(Goodbye { reason: "done".into() })),
        (
            "query_from",
            Frame::Query(Query {
                tag: 7,
                ask: Ask::Peek { queue: queue.clone(), limit: 10, from: Some(Position::Number(9)) },
            }),
        ),
        (
            "query_after",
            Frame::Query(Query { tag: 7, ask: Ask::QueuesAfter { after: Some(queue.clone()), limit: 10 } }),
        ),
        (
            "page_part",
            Frame::Page(Report {
                tag: 7,
                result: Settlement::Ok(Page::AgentsPart { agents: vec![info], next: Some("alice".parse().unwrap()) }),
            }),
        ),
        ("query_trace", Frame::Query(Query { tag: 8, ask: Ask::Trace { message: "m-1".into(), search: None } })),
        (
            "query_search",
            Frame::Query(Query { tag: 8, ask: Ask::Trace { message: String::new(), search: Some(search()) } }),
        ),
        (
            "manage_picked",
            Frame::Manage(Manage {
                tag: 9,
                command: Command::RedrivePicked { queue: queue.clone(), pick: Box::new(pick()) },
            }),
        ),
        (
            "managed_picked",
            Frame::Managed(Managed { tag: 9, result: Settlement::Ok(Answer::Picked(picked(previous))) }),
        ),
        ("page_traced", Frame::Page(Report { tag: 8, result: Settlement::Ok(Page::Traced(found(queue))) })),
    ]
}

/// A pick with every member said.
fn pick() -> Pick {
    Pick {
        message: Some("m-1".into()),
        position: Some(Position::Number(9)),
        reason: Some("no such".into()),
        kind: Some("task".into()),
        source: Some("agent/alice".into()),
        partitionkey: Some("k".into()),
        since_ms: Some(4),
        until_ms: Some(6),
        from: Some(Position::Number(8)),
        limit: Some(10),
        dry_run: true,
    }
}

fn picked(previous: Option<Ended>) -> Picked {
    let (position, time_ms, message) = (Position::Number(9), 5, message(2));
    let dead =
        Stored { position, time_ms, attempts: 1, previous, message, holder: None, due_ms: None, died_ms: Some(6) };
    Picked { count: 2, skipped: 1, next: Some(Position::Number(10)), first: vec![dead] }
}

/// A search with every member said.
fn search() -> Search {
    Search {
        conversation: Some("c-1".into()),
        from: Some("alice".into()),
        to: Some("jobs".into()),
        since_ms: Some(4),
        until_ms: Some(6),
        outcome: Some(Wanted::Undelivered),
        limit: Some(10),
        next: Some(Position::Number(9)),
        whole: true,
    }
}

fn found(queue: QueueName) -> Found {
    let event = Event {
        time_ms: 5,
        position: Position::Number(9),
        what: "leased".into(),
        queue: Some(queue.clone()),
        attempt: Some(1),
        party: Some("agent/bob".into()),
        detail: None,
    };
    let traced = Traced {
        id: "m-1".into(),
        position: Some(Position::Number(9)),
        time_ms: 4,
        conversation: "c-1".into(),
        kind: "task".into(),
        source: "agent/alice".into(),
        party: "agent/alice".into(),
        to: vec!["jobs".into()],
        state: Fate::Leased,
        state_ms: 5,
        queue: Some(queue),
        attempts: 1,
        reason: Some("busy".into()),
        holder: Some(Holder { party: "agent/bob".into(), until_ms: 7 }),
        message: Some(message(1)),
        events: vec![event],
        due_ms: Some(11),
    };
    Found { messages: vec![traced], next: Some(Position::Number(10)), unstored_since_ms: 3 }
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
