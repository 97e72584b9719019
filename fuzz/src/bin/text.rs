//! The short texts of the wire: tokens, positions, names and options. What is taken is shown again as it was meant.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use skep_fuzz::seeds;
use skep_protocol::limits::{AGENT_BYTES_MAX, ID_BYTES_MAX, QUEUE_NAME_BYTES_MAX};
use skep_protocol::{
    AgentId, Code, Durability, Guarantee, LeaseToken, MessageId, Position, Priority, ProducerId, QueueName, QueueSpec,
    ResumeToken, WorkspaceId, nearest,
};
use skep_server::Token;

fuzz_target!(init: seeds::lay(texts()), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for token in [text.parse().map(|LeaseToken(t)| t), text.parse().map(|ProducerId(t)| t)] {
        assert_eq!(token.is_ok(), text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()), "{text:?}");
    }
    comes_back::<LeaseToken>(text);
    comes_back::<ProducerId>(text);
    comes_back::<ResumeToken>(text);
    comes_back::<Position>(text);
    comes_back::<MessageId>(text);
    comes_back::<AgentId>(text);
    comes_back::<WorkspaceId>(text);
    comes_back::<QueueName>(text);
    comes_back::<Priority>(text);
    comes_back::<Guarantee>(text);
    comes_back::<Durability>(text);
    assert!(MessageId::new(text).is_err() || text.len() <= ID_BYTES_MAX);
    assert!(AgentId::new(text).is_err() || text.len() <= AGENT_BYTES_MAX);
    if let Ok(queue) = QueueName::new(text) {
        assert!(text.len() <= QUEUE_NAME_BYTES_MAX);
        assert!(queue.dead().is_none_or(|dead| dead.origin() == Some(queue)));
    }
    if let Ok(spec) = serde_json::from_str::<QueueSpec>(text).map(QueueSpec::checked) {
        assert!(spec.is_err() || spec.clone().and_then(QueueSpec::checked) == spec, "checked twice is checked");
    }
    if let Ok(token) = Token::new(text) {
        assert!(token.is(text) && token.expose() == text);
        assert!(text.len() >= 16 && text.bytes().all(|b| b.is_ascii_graphic()), "a token travels in a header");
    }
    let known = Code::ALL.iter().map(|code| code.as_str());
    assert!(nearest(text, known.clone()).iter().all(|near| known.clone().any(|code| code == *near)));
});

fn comes_back<T: FromStr<Err = skep_protocol::Error> + Display + PartialEq + Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => assert_eq!(value.to_string().parse(), Ok(value)),
        Err(error) => assert!(!error.text.is_empty()),
    }
}

fn texts() -> Vec<Vec<u8>> {
    let spec = r#"{"name":"jobs","filters":["a.>"],"lease_ms":60000,"attempts_max":5}"#;
    ["000102030405060708090a0b0c0d0e0f", "18446744073709551615", "x0102ff", "$dead.jobs.x", "coder-2", "high", spec]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
