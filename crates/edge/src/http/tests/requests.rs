//! Requests over HTTP, and the replies to them, whole and in parts.

use std::time::Duration;

use futures_util::StreamExt as _;
use skep_core::Credentials;
use skep_core::limits::REPLIES_MAX;
use skep_protocol::{Connect, Filter, Frame, Publish, Settlement, Subscribe, Target, Window};

use super::*;
use crate::InProcess;

/// Whoever answers at `sums`.
struct Service {
    link: InProcess,
    sequence: u64,
}

impl Service {
    async fn at(house: &House) -> Self {
        let mut link = house.edge.connect_in_process(Credentials::default()).unwrap();
        let target = Target::Live(Filter::new("sums").unwrap());
        let window = Window { subscription: 1, messages: 1, bytes: 1 };
        let subscribe = Subscribe { id: 1, target, window, handlers: 1, binding: skep_protocol::Binding::Connection };
        let connect = Connect { version: 1, token: Some(TOKEN.into()), ..Connect::default() };
        link.0.send(vec![Frame::Connect(connect)]).await.unwrap();
        link.0.send(vec![Frame::Subscribe(subscribe)]).await.unwrap();
        while !link.1.recv().await.unwrap().contains(&Frame::Subscribed(1)) {}
        Service { link, sequence: 1 }
    }

    async fn request(&mut self) -> Message {
        let Frame::Live(mut requests) = self.link.1.recv().await.unwrap().remove(0) else { panic!("a request") };
        requests.remove(0)
    }

    /// Publishes replies; each is a type, and members beside what every reply has.
    async fn reply(&mut self, request: &Message, replies: &[(&str, &str)]) {
        let (id, to) = (request.id(), request.view().replyto().unwrap());
        let event = |(n, (kind, more)): (usize, &(&str, &str))| {
            let named =
                if more.contains("correlationid") { String::new() } else { format!(r#""correlationid":"{id}","#) };
            let event = format!(r#"{{"id":"r{n}","source":"s","type":"{kind}","to":"{to}",{named}{more}}}"#);
            Message::from_json(event.as_bytes()).unwrap()
        };
        let messages: Vec<Message> = replies.iter().enumerate().map(event).collect();
        let publish = Publish { sequence: self.sequence, messages };
        self.sequence += publish.messages.len() as u64;
        self.link.0.send(vec![Frame::Publish(publish)]).await.unwrap();
    }

    /// Why one of them is refused.
    async fn refused(&mut self) -> skep_protocol::Error {
        let refused = async {
            loop {
                for frame in self.link.1.recv().await.unwrap() {
                    let Frame::Receipt(receipts) = frame else { continue };
                    for receipt in receipts {
                        if let Settlement::Error(error) = receipt.result {
                            return error;
                        }
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap()
    }
}

fn streaming(line: &str) -> Request<Body> {
    with(header::ACCEPT, "text/event-stream, */*;q=0.1", asked(line, "{}"))
}

/// The events of an answer: their names and data.
fn events(body: &Value) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (name, data) = event.split_once("\n").unwrap_or_else(|| panic!("{event:?}"));
        let data = data.strip_prefix("data: ").unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), serde_json::from_str(data).unwrap())
    };
    body.as_str().unwrap().split("\n\n").filter(|event| !event.is_empty()).map(event).collect()
}

/// Asks for a stream that is answered so; its events.
async fn streamed(house: &House, replies: &[(&str, &str)]) -> Vec<(String, Value)> {
    let mut service = Service::at(house).await;
    let answering = async {
        let request = service.request().await;
        service.reply(&request, replies).await;
    };
    let asking = house.raw(streaming("POST /v1/request/sums?timeout_ms=5000"));
    let (response, ()) = tokio::join!(asking, answering);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    events(&read(response).await.1)
}

#[tokio::test]
async fn a_request_is_answered_with_the_reply_that_names_it() {
    let house = House::new().await;
    assert_eq!(house.call("POST /v1/request/sums", "{}").await.1["code"], "no_responders");
    let mut service = Service::at(&house).await;
    let answering = async {
        let request = service.request().await;
        let other = ("response", r#""correlationid":"another","data":1"#);
        let none = ("response", r#""correlationid":null,"data":2"#);
        service.reply(&request, &[other, none, ("response", r#""data":3"#)]).await;
    };
    let asking = house.call("POST /v1/request/sums?timeout_ms=600000", r#"{"data":[1,2]}"#);
    let ((status, reply), ()) = tokio::join!(asking, answering);
    assert_eq!((status, &reply["data"]), (StatusCode::OK, &json!(3)), "{reply}");
    for stray in ["r0", "r1"] {
        let trace = house.call(&format!("GET /v1/trace/{stray}"), "").await.1;
        assert!(trace.to_string().contains("the request that waits there is"), "{trace}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_reply_in_time_may_have_happened() {
    let house = House::new().await;
    let (status, problem) = house.call("POST /v1/request/agent.bob.inbox", "{}").await;
    assert_eq!((status, &problem["outcome"]), (StatusCode::GATEWAY_TIMEOUT, &json!("unknown")));
    assert_eq!(house.memory.count("agent.bob.inbox"), (1, 0));
}

#[tokio::test]
async fn a_streamed_reply_comes_as_events_and_ends_with_its_last_part() {
    let house = House::new().await;
    let parts = [
        ("stream.chunk", "\"sequence\":\"1\",\"data\":{\"a\":\r\n1}"),
        ("stream.chunk", r#""sequence":"2","data":"b""#),
        ("stream.chunk", r#""sequence":"2","data":"again""#),
        ("stream.end", r#""sequence":"3""#),
    ];
    let events = streamed(&house, &parts).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["stream.chunk", "stream.chunk", "stream.end"]);
    assert_eq!((&events[0].1["data"], &events[1].1["data"]), (&json!({"a": 1}), &json!("b")));
    let plain = streamed(&house, &[("response", r#""data":42"#)]).await;
    assert_eq!((plain.len(), plain[0].0.as_str(), &plain[0].1["data"]), (1, "message", &json!(42)));
    let failed = streamed(&house, &[("stream.chunk", r#""sequence":"1""#), ("error", r#""data":"no""#)]).await;
    assert_eq!((failed.len(), failed[1].0.as_str(), &failed[1].1["data"]), (2, "error", &json!("no")));
}

#[tokio::test(start_paused = true)]
async fn a_streamed_reply_that_lacks_a_part_or_its_end_says_so_at_its_end() {
    let house = House::new().await;
    let first = ("stream.chunk", r#""sequence":"1""#);
    let missing = streamed(&house, &[first, ("stream.chunk", r#""sequence":"3""#)]).await;
    assert_eq!((missing.len(), missing[1].0.as_str()), (2, "problem"));
    assert_eq!(missing[1].1["code"], "stream_broken");
    assert!(missing[1].1["detail"].as_str().unwrap().starts_with("part 2 of the streamed reply is missing"));
    let late = streamed(&house, &[first]).await;
    assert_eq!((late[1].0.as_str(), &late[1].1["code"]), ("problem", &json!("timeout")));
    assert!(
        late[1].1["detail"].as_str().unwrap().contains("parts that came: 1. Sent again, it is another request"),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_stream_is_no_answer_to_who_takes_one_message() {
    let house = House::new().await;
    let mut service = Service::at(&house).await;
    let answering = async {
        let request = service.request().await;
        service.reply(&request, &[("stream.chunk", r#""sequence":"1""#)]).await;
    };
    let ((status, problem), ()) = tokio::join!(house.call("POST /v1/request/sums", "{}"), answering);
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_GATEWAY, &json!("streamed")), "{problem}");
}

#[tokio::test]
async fn a_user_who_leaves_in_the_middle_of_a_stream_is_gone_for_the_responder() {
    let house = House::new().await;
    let mut service = Service::at(&house).await;
    let asking = house.raw(streaming("POST /v1/request/sums"));
    let (response, request) = tokio::join!(asking, service.request());
    service.reply(&request, &[("stream.chunk", r#""sequence":"1""#)]).await;
    let mut body = response.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: stream.chunk\n"), "{first:?}");
    drop(body);
    service.reply(&request, &[("stream.chunk", r#""sequence":"2""#)]).await;
    assert_eq!(service.refused().await.code, Code::NoResponders);
}

#[tokio::test]
async fn parts_that_a_user_does_not_read_wait_within_a_bound_and_then_the_responder_waits() {
    let house = House::new().await;
    let mut service = Service::at(&house).await;
    let asking = house.raw(streaming("POST /v1/request/sums"));
    let (response, request) = tokio::join!(asking, service.request());
    let numbers: Vec<String> = (1..=REPLIES_MAX + 1).map(|n| format!(r#""sequence":"{n}""#)).collect();
    let parts: Vec<(&str, &str)> = numbers.iter().map(|number| ("stream.chunk", number.as_str())).collect();
    for parts in parts.chunks(1000) {
        service.reply(&request, parts).await;
    }
    assert_eq!(service.refused().await.code, Code::QueueFull);
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.unwrap().unwrap().starts_with(b"event: stream.chunk\n"));
    let last = format!(r#""sequence":"{}""#, REPLIES_MAX + 1);
    service.reply(&request, &[("stream.end", &last)]).await;
    let mut events = 1;
    while let Some(event) = body.next().await {
        events += event.unwrap().windows(7).filter(|at| at == b"event: ").count();
    }
    assert_eq!(events, REPLIES_MAX + 1);
}
