use proptest::prelude::*;

use super::*;
use crate::{Code, Topic};

fn id(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

fn full() -> Message {
    Message::build(&id("m-1"), "agent/alice", "task")
        .to(&Topic::new("jobs").unwrap())
        .to(&Topic::new("agent.bob.inbox").unwrap())
        .priority(Priority::High)
        .guarantee(Guarantee::AtLeastOnce)
        .replyto(&Topic::new("agent.alice.inbox").unwrap())
        .correlation("r-1")
        .causation("c-1")
        .conversation("k-1")
        .time("2026-01-31T12:00:00.5+03:00")
        .attribute("subject", Attribute::Text("a \"quoted\" one"))
        .attribute("retries", Attribute::Number(-3))
        .attribute("sampled", Attribute::Bool(true))
        .headers([("X-Free Name", "any value")])
        .json(r#"{ "a" : [1, 2.50] }"#)
        .finish()
        .unwrap()
}

#[test]
fn every_element_is_read_in_place_and_from_json_again() {
    let message = full();
    for m in [message.clone(), Message::from_json(message.to_json().as_bytes()).unwrap()] {
        let v = m.view();
        assert_eq!(v.id(), "m-1");
        assert_eq!(v.to().collect::<Vec<_>>(), ["jobs", "agent.bob.inbox"]);
        assert_eq!(v.kind(), "task");
        assert_eq!(v.source(), "agent/alice");
        assert_eq!(v.priority(), Priority::High);
        assert_eq!(v.guarantee(), Some(Guarantee::AtLeastOnce));
        assert_eq!(v.replyto(), Some("agent.alice.inbox"));
        assert_eq!((v.correlation(), v.causation(), v.conversation()), (Some("r-1"), Some("c-1"), "k-1"));
        assert_eq!(v.time(), Some("2026-01-31T12:00:00.5+03:00"));
        assert_eq!(v.attribute("retries"), Some(Attribute::Number(-3)));
        assert_eq!(v.attribute("sampled"), Some(Attribute::Bool(true)));
        assert_eq!(v.text_attribute("subject"), Some("a \"quoted\" one"));
        assert_eq!(v.header("X-Free Name").as_deref(), Some("any value"));
        assert_eq!(v.payload(), Some(&br#"{ "a" : [1, 2.50] }"#[..]));
        assert_eq!(m, message);
    }
}

#[test]
fn the_example_of_the_cloudevents_specification_is_taken_unchanged() {
    let event = br#"{
        "specversion" : "1.0", "type" : "com.github.pull_request.opened",
        "source" : "https://github.com/cloudevents/spec/pull", "subject" : "123",
        "id" : "A234-1234-1234", "time" : "2018-04-05T17:31:00Z",
        "comexampleextension1" : "value", "comexampleothervalue" : 5,
        "datacontenttype" : "text/xml", "data" : "<much wow=\"xml\"/>" }"#;
    let message = Message::from_json(event).unwrap();
    assert_eq!(message.view().to().count(), 0);
    assert_eq!(message.view().payload(), Some(&b"<much wow=\"xml\"/>"[..]));
    let out: serde_json::Value = serde_json::from_str(&message.to_json()).unwrap();
    assert_eq!(out, serde_json::from_slice::<serde_json::Value>(event).unwrap());
}

#[test]
fn a_json_error_names_the_attribute_and_the_rule() {
    let with = |member: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t",{member}}}"#);
    for (json, part) in [
        ("[]".to_owned(), "expected a CloudEvents"),
        (r#"{"id":"1","source":"s"}"#.into(), "type is missing"),
        (r#"{"specversion":"1.0","type":"t"}"#.into(), "id and source are missing"),
        (r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#.into(), "specversion"),
        (with(r#""priority":"urgent""#), "critical, high"),
        (with(r#""Bad_Name":"x""#), "lower-case"),
        (with(r#""ext":{"a":1}"#), "ext must be text"),
        (with(r#""ext":1.5"#), "ext must be text"),
        (with(r#""time":"yesterday""#), "RFC 3339"),
        (with(r#""time":"2026-13-01T00:00:00Z""#), "RFC 3339"),
        (with(r#""data":1,"data_base64":"AA==""#), "both data"),
        (with(r#""data_base64":"?""#), "not Base64"),
        (with(r#""x":"1","x":"2""#), "x stands twice"),
        (with(r#""to":"a,,b""#), "empty"),
        (with(r#""id":"7""#), "twice"),
    ] {
        let error = Message::from_json(json.as_bytes()).unwrap_err();
        assert!(error.text.contains(part), "{json}: {error}");
    }
}

#[test]
fn what_an_event_leaves_out_comes_from_the_defaults() {
    let defaults = Defaults { id: Some("d"), source: Some("agent/x"), kind: Some("message"), to: Some("jobs") };
    let message = Message::from_json_with(br#"{"data":"hi"}"#, &defaults).unwrap();
    assert_eq!((message.id(), message.view().source(), message.view().kind()), ("d", "agent/x", "message"));
    assert_eq!(message.view().to().collect::<Vec<_>>(), ["jobs"]);
}

#[test]
fn a_slip_of_the_pen_in_the_short_form_is_refused_with_what_was_meant() {
    let defaults = Defaults { id: Some("d"), source: Some("agent/x"), kind: Some("message"), to: Some("jobs") };
    for (json, part) in [
        (r#"{"dta":"hi"}"#, r#"unknown member "dta"; did you mean "data"?"#),
        (r#"{"Data":"hi"}"#, r#"did you mean "data"?"#),
        (r#"{"data":1,"prioriti":null}"#, r#"did you mean "priority"?"#),
        (r#"{"specversion":null,"zebra":1}"#, r#"unknown member "zebra"; expected members such as data"#),
    ] {
        let error = Message::from_json_with(json.as_bytes(), &defaults).unwrap_err();
        assert!(error.code == Code::InvalidMessage && error.text.contains(part), "{json}: {error}");
    }
    let known = KNOWN_SHORT_FORM.as_bytes();
    assert!(Message::from_json_with(known, &defaults).is_ok(), "{:?}", Message::from_json_with(known, &defaults));
}

/// A message in short form with what stands outside the fixed elements.
const KNOWN_SHORT_FORM: &str = r#"{"data":1,"subject":"s","dataschema":"u","dataref":"u","partitionkey":"k",
    "expirytime":"x","traceparent":"p","tracestate":"t","sequence":"1","sequencetype":"Integer","sampledrate":1,
    "notbefore":"n","hops":1,"retry":"r","timeout":1,"durability":"fsync","headers":"{}"}"#;

#[test]
fn an_event_that_says_so_is_whole_or_refused_and_keeps_its_own_attributes() {
    let defaults = Defaults { id: Some("d"), source: Some("agent/x"), kind: Some("message"), to: Some("jobs") };
    for (json, part) in [
        (r#"{"specversion":"1.0","id":"1","type":"t","data":1}"#, "source is missing"),
        (r#"{"specversion":"1.0"}"#, "id and source and type are missing"),
    ] {
        let error = Message::from_json_with(json.as_bytes(), &defaults).unwrap_err();
        assert!(error.code == Code::InvalidMessage && error.text.contains(part), "{json}: {error}");
    }
    let foreign = br#"{"specversion":"1.0","id":"1","source":"s","type":"t","dta":"kept"}"#;
    let message = Message::from_json_with(foreign, &defaults).unwrap();
    assert_eq!(message.view().text_attribute("dta"), Some("kept"));
    assert_eq!(message.view().to().collect::<Vec<_>>(), ["jobs"]);
}

#[test]
fn bytes_that_are_not_json_leave_as_base64_and_break_no_frame() {
    for payload in [&b"\xff\xfe"[..], b"not json", b"", b"{} ", b"{", b"null"] {
        let message = Message::build(&id("1"), "s", "t").json(payload).finish().unwrap();
        let json = message.to_json();
        assert!(json.contains("data_base64"), "{json}");
        assert_eq!(Message::from_json(json.as_bytes()).unwrap(), message);
    }
}

#[test]
fn elements_of_a_later_version_are_kept() {
    let mut bytes = full().bytes().to_vec();
    bytes[0] = 0x9f;
    bytes.extend_from_slice(&[0x81, 0xa1, b'k', 0x93, 1, 2, 3]);
    let message = Message::parse(Bytes::from(bytes.clone())).unwrap();
    assert_eq!(message.bytes().as_ref(), bytes);
    assert_eq!(message.view().id(), "m-1");
}

#[test]
fn a_compact_message_that_its_json_would_not_give_back_is_no_event() {
    let bytes = full().bytes().to_vec();
    assert_eq!(full().view().check_event(), Ok(()));
    for (from, to, why) in [("T12:00", "T99:00", "message: time"), ("sampled", "subject", "\"subject\" stands twice")] {
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        let message = Message::parse(Bytes::from(bytes)).unwrap();
        let error = message.view().check_event().unwrap_err();
        assert!(error.code == Code::InvalidMessage && error.text.contains(why), "{error}");
        assert!(Message::from_json(message.to_json().as_bytes()).is_err(), "{why}");
    }
}

#[test]
fn limits_refuse_with_the_limit_in_the_text() {
    let large = Message::build(&id("1"), "s", "t").payload("text/plain", vec![b'x'; 1024 * 1024 + 1]).finish();
    assert_eq!(large.unwrap_err().code, Code::TooLarge);
    let topic = Topic::new("t").unwrap();
    let many = (0..65).fold(Message::build(&id("1"), "s", "t"), |b, _| b.to(&topic)).finish();
    assert!(many.unwrap_err().text.contains("64"));
    assert!(Message::build(&id("1"), "", "t").finish().is_err());
}

fn any_message() -> impl Strategy<Value = Message> {
    let topic = "[a-zé]{1,8}(\\.[a-z0-9]{1,5}){0,3}";
    let head = ("\\PC{1,40}", "\\PC{1,40}", "\\PC{1,40}", proptest::collection::vec(topic, 0..4));
    let text = || proptest::option::of("\\PC{1,30}");
    let options = (proptest::option::of(0..5u64), proptest::option::of(0..3u64), text(), text(), text());
    let content = proptest::option::of(prop_oneof![
        Just("application/json".to_owned()),
        Just("text/plain; charset=utf-8".into()),
        Just("application/vnd.x+json".into())
    ]);
    let payload = proptest::option::of(prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "\\PC{0,60}".prop_map(String::into_bytes),
        Just(br#"{"a":[1,"x",null]}"#.to_vec()),
    ]);
    let attributes = proptest::collection::btree_map("x[a-z0-9]{0,9}", any::<i64>(), 0..4);
    (head, options, content, payload, attributes).prop_map(|(head, options, content, payload, attributes)| {
        let mut parts = Message::build(&MessageId::new(&head.0).unwrap(), &head.1, &head.2);
        parts.to = head.3;
        parts.priority = options.0.and_then(Priority::from_number);
        parts.guarantee = options.1.and_then(Guarantee::from_number);
        (parts.correlation, parts.causation, parts.conversation) = (options.2, options.3, options.4);
        parts.content_type = content;
        parts.payload = payload;
        for (name, n) in &attributes {
            parts = match n % 3 {
                0 => parts.attribute(name, Attribute::Number(*n)),
                1 => parts.attribute(name, Attribute::Bool(*n > 0)),
                _ => parts.attribute(name, Attribute::Text(&n.to_string())),
            };
        }
        parts.finish().unwrap()
    })
}

proptest! {
    #[test]
    fn json_and_compact_form_hold_the_same_message(message in any_message()) {
        let again = Message::from_json(message.to_json().as_bytes()).unwrap();
        prop_assert_eq!(&again, &message);
        let parsed = Message::parse(message.bytes().clone()).unwrap();
        prop_assert_eq!(parsed.view().payload(), message.view().payload());
        prop_assert_eq!(parsed.to_json(), message.to_json());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::parse(Bytes::from(bytes.clone()));
        let _ = Message::from_json(&bytes);
    }

    #[test]
    fn a_broken_message_is_refused_or_still_whole(at in 0..1000usize, to in any::<u8>()) {
        let mut bytes = full().bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(message) = Message::parse(Bytes::from(bytes)) {
            let _ = format!("{message:?}");
            let _ = (message.to_json(), message.view().attributes().count(), message.view().payload());
        }
    }
}

#[test]
fn a_bare_message_keeps_who_wrote_to_whom_and_neither_payload_nor_attributes() {
    let topic = Topic::new("jobs").unwrap();
    let message = Message::build(&MessageId::new("m-1").unwrap(), "agent/alice", "task")
        .to(&topic)
        .conversation("c-1")
        .headers([("a", "b")])
        .json(r#"{"secret":1}"#)
        .finish()
        .unwrap();
    let bare = message.view().bare();
    let view = bare.view();
    assert_eq!((view.id(), view.source(), view.kind()), ("m-1", "agent/alice", "task"));
    assert_eq!((view.conversation(), view.to().collect::<Vec<_>>()), ("c-1", vec!["jobs"]));
    assert!(view.payload().is_none() && view.attributes().next().is_none());
}

#[test]
fn a_message_after_its_like_is_read_as_it_is_alone() {
    let like = |n: u8| rebuilt(&full(), n);
    let before = like(1);
    for after in [like(2), before.clone()] {
        let read = Message::parse_after(after.bytes().clone(), Some(&before)).unwrap();
        assert_eq!((read.at, read.view().is_like(&before.view())), (after.at, true));
        assert_eq!((read.id(), read.view().payload()), (after.id(), after.view().payload()));
    }
    let elsewhere =
        Message::build(&id("m-1"), "agent/alice", "task").to(&Topic::new("jobz").unwrap()).finish().unwrap();
    assert!(!elsewhere.view().is_like(&before.view()));
}

/// The same with another id and payload.
fn rebuilt(message: &Message, n: u8) -> Message {
    let mut bytes = message.bytes().to_vec();
    let digit = bytes.windows(3).position(|window| window == b"m-1").unwrap() + 2;
    bytes[digit] = b'0' + n;
    let payload = *message.at.last().unwrap() as usize;
    bytes.truncate(payload);
    crate::pack::put_bin(&mut bytes, &vec![n; n.into()]);
    Message::parse(bytes.into()).unwrap()
}

proptest! {
    /// Whatever is damaged of it, and wherever it is cut.
    #[test]
    fn after_another_message_the_same_is_read_and_refused_as_alone(
        damage in proptest::collection::vec((0usize..400, any::<u8>()), 0..3), cut in 0usize..400, more in 0usize..3,
    ) {
        let before = rebuilt(&full(), 3);
        let mut bytes = rebuilt(&full(), 4).bytes().to_vec();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if cut < 40 {
            bytes.truncate(bytes.len() - cut);
        }
        bytes.extend(std::iter::repeat_n(0xc0, more));
        let (alone, after) = (Message::parse(bytes.clone().into()), Message::parse_after(bytes.into(), Some(&before)));
        prop_assert_eq!(alone.map(|m| (m.at, m)), after.map(|m| (m.at, m)));
    }
}

#[test]
fn free_headers_are_taken_as_the_object_that_they_are_and_as_its_text() {
    let defaults = Defaults { id: Some("1"), source: Some("s"), kind: Some("t"), to: Some("jobs") };
    let read = |headers: &str| Message::from_json_with(format!(r#"{{"headers":{headers}}}"#).as_bytes(), &defaults);
    for headers in
        [r#"{"X-Free Name":"any \"value\"","b":"2"}"#, r#""{\"X-Free Name\":\"any \\\"value\\\"\",\"b\":\"2\"}""#]
    {
        let message = read(headers).unwrap();
        assert_eq!(message.view().header("X-Free Name").as_deref(), Some("any \"value\""), "{headers}");
        assert_eq!(message.view().text_attribute("headers"), Some(r#"{"X-Free Name":"any \"value\"","b":"2"}"#));
    }
    for (headers, part) in
        [(r#"{"a":1}"#, "\"a\" is not a text"), (r#"{"a":"1","a":"2"}"#, "a stands twice"), ("[]", "text")]
    {
        let error = read(headers).unwrap_err();
        assert!(error.text.contains("headers") && error.text.contains(part), "{error}");
    }
}
