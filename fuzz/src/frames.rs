//! What must hold of every frame and message that was read.

use bytes::Bytes;
use skep_protocol::{Code, Encoding, Frame, Message, MessageRef};

/// A frame comes back from either encoding as it was, however it was first written.
pub fn comes_back(frame: &Frame) {
    let compact = encoded(frame, Encoding::Compact);
    let back = Encoding::Compact.decode(&compact).expect("what was written compact can be read");
    assert_eq!(&back, frame);

    // A message is equal byte by byte, and JSON keeps no bytes of a compact form that could be shorter. Its JSON is the same.
    let json = encoded(frame, Encoding::Json);
    match Encoding::Json.decode(&json) {
        Ok(back) => assert_eq!(encoded(&back, Encoding::Json), json),
        Err(error) => assert!(error.code == Code::InvalidMessage && is_no_event(&error.text), "{error}"),
    }
}

/// What the compact form leaves open, and a hub therefore checks apart: see `MessageRef::check_event`.
fn is_no_event(why: &str) -> bool {
    why.contains(" stands twice") || why.contains("message: time ")
}

fn encoded(frame: &Frame, encoding: Encoding) -> Bytes {
    let mut bytes = Vec::new();
    encoding.encode(frame, &mut bytes);
    bytes.into()
}

/// Every accessor answers, from the message's own bytes; and through JSON it says the same.
pub fn says_the_same(message: &Message) {
    let view = message.view();
    let own = MessageRef::parse(message.bytes()).expect("it was parsed before");
    assert_eq!(&message.detached(), message);
    assert_eq!((view.id(), view.kind(), view.source()), (own.id(), own.kind(), own.source()));
    assert!(!view.id().is_empty() && !view.kind().is_empty() && !view.source().is_empty());
    assert_eq!(message.payload(), view.payload().unwrap_or_default());
    let texts = [view.replyto(), view.correlation(), view.causation(), view.time(), view.content_type()];
    assert!(texts.iter().flatten().all(|text| !text.is_empty()));
    assert!(!view.conversation().is_empty());
    assert!(view.attributes().all(|(name, _)| view.attribute(name).is_some()));
    let _ = (view.header("a"), format!("{message:?}"));
    for (name, moment) in [("notbefore", view.not_before_ms()), ("expirytime", view.expires_ms())] {
        assert!(moment.is_err() || moment.as_ref().is_ok_and(Option::is_some) == view.attribute(name).is_some());
        assert!(moment.is_ok() || moment.is_err_and(|error| error.text.contains(name)), "{name}");
    }

    let json = message.to_json();
    if let Err(error) = view.check_event() {
        assert!(is_no_event(&error.text));
        Message::from_json(json.as_bytes()).expect_err("it is no event in JSON either");
        return;
    }
    let back = Message::from_json(json.as_bytes()).expect("a message in JSON can be read");
    assert_eq!(back.to_json(), json);
    assert_eq!(meaning(&back), meaning(message));
    // What came through JSON is in the shortest form: from there on the bytes are the same, too.
    assert_eq!(Message::from_json(back.to_json().as_bytes()).as_ref(), Ok(&back));
    assert_eq!(Message::parse(back.bytes().clone()), Ok(back));
}

fn meaning(message: &Message) -> impl PartialEq + std::fmt::Debug + '_ {
    let view = message.view();
    let said = (view.id(), view.kind(), view.source(), view.to().collect::<Vec<_>>());
    let options = (view.priority(), view.guarantee(), view.replyto(), view.correlation());
    let rest = (view.causation(), view.conversation(), view.time(), view.content_type());
    let moments = (view.not_before_ms().ok(), view.expires_ms().ok());
    (said, options, rest, moments, view.attributes().collect::<Vec<_>>(), view.payload())
}
