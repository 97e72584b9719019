//! The message and its frames: made, read, turned into JSON and back.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use skep_protocol::{Encoding, Frame, Message, MessageId, Publish, Topic};

const PAYLOADS: [usize; 3] = [16, 256, 16 * 1024];
const BATCHES: [usize; 3] = [1, 32, 256];

fn main() {
    divan::main();
}

/// As a client makes one: an id, a time, one topic, a JSON payload.
fn message(payload_bytes: usize) -> Message {
    let id = MessageId::v7(1_700_000_000_000, &[7; 10]);
    let payload = format!("\"{}\"", "x".repeat(payload_bytes - 2));
    let topic = Topic::new("agent.bob.inbox").expect("a topic");
    let message = Message::build(&id, "agent/alice", "note").to(&topic).time("2026-01-01T00:00:00Z");
    message.json(payload).finish().expect("a message")
}

fn publish(messages: usize) -> Frame {
    Frame::Publish(Publish { sequence: 1, messages: vec![message(256); messages] })
}

fn encoded(encoding: Encoding, frame: &Frame) -> Bytes {
    let mut out = Vec::new();
    encoding.encode(frame, &mut out);
    out.into()
}

#[divan::bench(args = PAYLOADS)]
fn build(payload_bytes: usize) -> Message {
    message(divan::black_box(payload_bytes))
}

#[divan::bench(args = PAYLOADS)]
fn parse(bencher: Bencher<'_, '_>, payload_bytes: usize) {
    let bytes = message(payload_bytes).bytes().clone();
    bencher.counter(BytesCount::new(bytes.len())).bench(|| Message::parse(divan::black_box(&bytes).clone()));
}

#[divan::bench(args = PAYLOADS)]
fn to_json(bencher: Bencher<'_, '_>, payload_bytes: usize) {
    let message = message(payload_bytes);
    bencher.counter(BytesCount::new(message.bytes().len())).bench(|| divan::black_box(&message).to_json());
}

#[divan::bench(args = PAYLOADS)]
fn from_json(bencher: Bencher<'_, '_>, payload_bytes: usize) {
    let json = message(payload_bytes).to_json();
    bencher.counter(BytesCount::new(json.len())).bench(|| Message::from_json(divan::black_box(json.as_bytes())));
}

#[divan::bench(args = BATCHES)]
fn encode_publish_compact(bencher: Bencher<'_, '_>, messages: usize) {
    encode(bencher, Encoding::Compact, messages);
}

#[divan::bench(args = BATCHES)]
fn encode_publish_json(bencher: Bencher<'_, '_>, messages: usize) {
    encode(bencher, Encoding::Json, messages);
}

#[divan::bench(args = BATCHES)]
fn decode_publish_compact(bencher: Bencher<'_, '_>, messages: usize) {
    decode(bencher, Encoding::Compact, messages);
}

#[divan::bench(args = BATCHES)]
fn decode_publish_json(bencher: Bencher<'_, '_>, messages: usize) {
    decode(bencher, Encoding::Json, messages);
}

fn encode(bencher: Bencher<'_, '_>, encoding: Encoding, messages: usize) {
    let (frame, mut out) = (publish(messages), Vec::new());
    bencher.counter(ItemsCount::new(messages)).bench_local(|| {
        out.clear();
        encoding.encode(divan::black_box(&frame), &mut out);
        out.len()
    });
}

fn decode(bencher: Bencher<'_, '_>, encoding: Encoding, messages: usize) {
    let bytes = encoded(encoding, &publish(messages));
    assert!(matches!(encoding.decode(&bytes), Ok(Frame::Publish(publish)) if publish.messages.len() == messages));
    bencher.counter(ItemsCount::new(messages)).bench(|| encoding.decode(divan::black_box(&bytes)));
}
