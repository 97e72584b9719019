use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use skep_protocol::{Code, Message};
use tower::ServiceExt;

use crate::testing::{Memory, TOKEN, edge};
use crate::{Edge, EdgeOptions};

mod receive;
mod refusals;
mod requests;
mod settles;

/// A hub with an agent `bob` and a queue `jobs`.
struct House {
    edge: Edge,
    memory: Arc<Memory>,
}

impl House {
    async fn new() -> Self {
        let (edge, memory, _) = edge(EdgeOptions::default()).await;
        let house = House { edge, memory };
        assert_eq!(house.call("PUT /v1/agents/bob", r#"{"role":"coder"}"#).await.0, StatusCode::OK);
        assert_eq!(house.call("PUT /v1/queues/jobs", "").await.0, StatusCode::OK);
        house
    }

    async fn raw(&self, request: Request<Body>) -> Response {
        self.edge.router().oneshot(request).await.unwrap()
    }

    async fn call(&self, line: &str, body: &str) -> (StatusCode, Value) {
        read(self.raw(asked(line, body)).await).await
    }
}

/// A request as a local party sends it.
fn asked(line: &str, body: &str) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:7537");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    match body {
        "" => request.body(Body::empty()).unwrap(),
        body => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_owned())).unwrap(),
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()))
}

fn without(name: header::HeaderName, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().remove(name);
    request
}

fn with(name: header::HeaderName, value: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn without_a_token_nothing_but_health_is_answered() {
    let house = House::new().await;
    for line in [
        "GET /metrics",
        "GET /ws",
        "GET /v1/status",
        "GET /v1/nowhere",
        "PATCH /v1/queues",
        "POST /v1/send/nobody",
        "GET /healthz/",
        "OPTIONS /v1/send/bob",
    ] {
        let response = house.raw(without(header::AUTHORIZATION, asked(line, "[not json"))).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{line}");
        let (status, problem) = read(response).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthenticated")), "{line}");
        let wrong = with(header::AUTHORIZATION, "Bearer wrong", asked(line, ""));
        assert_eq!(house.raw(wrong).await.status(), StatusCode::UNAUTHORIZED, "{line}");
    }
    for path in ["GET /healthz", "GET /readyz"] {
        let (status, text) = read(house.raw(without(header::AUTHORIZATION, asked(path, ""))).await).await;
        assert_eq!((status, text), (StatusCode::OK, json!("ok")));
    }
    house.memory.set_trouble(Code::DiskFull);
    let (status, text) = house.call("GET /readyz", "").await;
    assert_eq!((status, text), (StatusCode::SERVICE_UNAVAILABLE, json!("disk_full")));
    house.memory.set_trouble(Code::ReadOnly);
    let (status, text) = house.call("GET /readyz", "").await;
    let text = text.as_str().unwrap();
    assert_eq!((status, text.lines().next()), (StatusCode::SERVICE_UNAVAILABLE, Some("read_only")));
    assert!(text.contains("`skep verify`") && text.contains("`skep repair`"), "{text}");
}

#[tokio::test]
async fn a_foreign_host_or_page_is_refused_on_every_path() {
    let house = House::new().await;
    for line in ["GET /healthz", "GET /v1/status", "GET /ws", "GET /nowhere"] {
        let rebound = with(header::HOST, "evil.example:7537", asked(line, ""));
        assert_eq!(house.raw(rebound).await.status(), StatusCode::FORBIDDEN, "{line}");
        let page = with(header::ORIGIN, "https://evil.example", asked(line, ""));
        assert_eq!(house.raw(page).await.status(), StatusCode::FORBIDDEN, "{line}");
    }
}

#[tokio::test]
async fn an_agent_that_is_none_is_told_only_to_those_with_a_token() {
    let house = House::new().await;
    let strange = |request| with(header::HeaderName::from_static("skep-agent"), "a b", request);
    assert_eq!(house.raw(strange(asked("GET /v1/status", ""))).await.status(), StatusCode::BAD_REQUEST);
    let unknown = without(header::AUTHORIZATION, asked("GET /v1/status", ""));
    assert_eq!(house.raw(strange(unknown)).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_body_must_be_a_json_object_that_says_so() {
    let house = House::new().await;
    let form = with(header::CONTENT_TYPE, "text/plain", asked("POST /v1/send/bob", "{}"));
    assert_eq!(house.raw(form).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let silent = without(header::CONTENT_TYPE, asked("POST /v1/send/bob", "{}"));
    assert_eq!(house.raw(silent).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let event = with(header::CONTENT_TYPE, "application/cloudevents+json", asked("POST /v1/send/bob", "{}"));
    assert_eq!(house.raw(event).await.status(), StatusCode::OK);
    for body in ["[]", "\"hello\"", "{"] {
        assert_eq!(house.call("POST /v1/send/bob", body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    let huge = " ".repeat(skep_protocol::limits::FRAME_BYTES_MAX + 1);
    assert_eq!(house.call("POST /v1/send/bob", &huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn unknown_paths_methods_and_arguments_are_named() {
    let house = House::new().await;
    assert_eq!(house.call("GET /v1/nowhere", "").await.1["code"], "not_found");
    let response = house.raw(asked("DELETE /v1/status", "")).await;
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
    assert_eq!(read(response).await.0, StatusCode::METHOD_NOT_ALLOWED);
    for (line, part) in [
        ("POST /v1/queues/jobs/receive?wait=5", "wait_ms"),
        ("POST /v1/queues/jobs/receive?max=0", "1 to 256"),
        ("POST /v1/queues/jobs/receive?wait_ms=60001", "60000"),
        ("POST /v1/ack/xyz", "32 hexadecimal"),
        ("GET /v1/inbox/a%20b", "letters"),
        ("GET /v1/replay?from=yesterday", "position"),
    ] {
        let (status, problem) = house.call(line, "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{line}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{line}: {problem}");
    }
}

#[tokio::test]
async fn what_would_be_ignored_is_refused_with_what_is_taken() {
    let house = House::new().await;
    let lease = "0".repeat(32);
    for (line, body, part) in [
        (&*format!("POST /v1/nack/{lease}?after=5m&reason=zz"), "", "\"after\": POST /v1/nack"),
        (&format!("POST /v1/nack/{lease}?reason=zz"), "", "after_ms and reason, in a JSON body"),
        (&format!("POST /v1/reject/{lease}?reason=zz"), "", "takes reason"),
        (&format!("POST /v1/extend/{lease}?lease_ms=5"), "", "lease_ms and progress"),
        (&format!("POST /v1/ack/{lease}?x"), "", "takes nothing"),
        ("POST /v1/send/bob?durability=os", r#"{"data":1}"#, "members of the message"),
        ("POST /v1/publish/jobs?durability=os", r#"{"data":1}"#, "members of the message"),
        ("POST /v1/publish?to=jobs", r#"{"data":1}"#, "members of the message"),
        ("POST /v1/settle?atomic=true", "{}", "settles, publish and atomic"),
        ("PUT /v1/queues/jobs?lease_ms=5000", "", "lease_ms, in a JSON body"),
        ("GET /v1/queues/jobs?limit=1", "", "takes nothing"),
        ("PUT /v1/agents/bob?role=coder", "", "metadata"),
        ("PUT /v1/agents/bob/workspaces/w?force=true", "", "takes nothing"),
        ("DELETE /v1/agents/bob/workspaces/w?force=true", "", "takes nothing"),
        ("GET /v1/trace/x?since=1h", "", "takes nothing"),
        ("GET /v1/status?verbose=true", "", "takes nothing"),
        ("POST /v1/queues/jobs/purge", r#"{"reason":"no such"}"#, "stands in the query: message, position, reason"),
        ("POST /v1/queues/jobs/redrive", r#"{"dry_run":true}"#, "limit and dry_run"),
        ("POST /v1/queues/jobs/receive", r#"{"max":5}"#, "max, wait_ms and lease_ms"),
        ("POST /v1/inbox/bob/receive", r#"{"max":5}"#, "max, wait_ms and lease_ms"),
    ] {
        let (status, problem) = house.call(line, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{line} {body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{line}: {problem}");
    }
    assert_eq!(house.memory.count("jobs"), (0, 0));
}

#[tokio::test]
async fn what_is_picked_by_an_empty_text_is_refused_and_nothing_is_dropped() {
    let house = House::new().await;
    assert_eq!(house.call("POST /v1/publish/jobs", "{}").await.0, StatusCode::OK);
    for name in ["message", "position", "reason", "type", "source", "partitionkey", "since", "until", "from"] {
        for verb in ["purge", "redrive"] {
            let (status, problem) = house.call(&format!("POST /v1/queues/jobs/{verb}?{name}="), "").await;
            assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")), "{name}");
            assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
        }
    }
    assert_eq!(house.memory.count("jobs"), (1, 0));
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_told_without_the_words_of_its_reader() {
    let house = House::new().await;
    let (status, problem) = house.call("POST /v1/queues/jobs/receive?max=x", "").await;
    assert_eq!((status, &problem["detail"]), (StatusCode::BAD_REQUEST, &json!("query: max: expected a whole number")));
}

#[tokio::test]
async fn a_sent_message_has_a_receipt_and_is_seen_in_the_inbox() {
    let house = House::new().await;
    let (status, receipt) = house.call("POST /v1/send/bob", r#"{"data":{"n":1.0e5}}"#).await;
    assert_eq!((status, &receipt["queues"]), (StatusCode::OK, &json!(1)), "{receipt}");
    let response = house.raw(asked("GET /v1/inbox/bob", "")).await;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(r#""data":{"n":1.0e5}"#) && text.contains(r#""source":"skep/http""#), "{text}");
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(page["messages"][0]["message"]["id"], receipt["id"]);
    let (status, problem) = house.call("POST /v1/send/bib", "{}").await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_agent")));
}

#[tokio::test]
async fn a_foreign_event_passes_unchanged_and_goes_where_it_is_posted() {
    let house = House::new().await;
    let event = r#"{"specversion":"1.0","id":"e-1","source":"https://ci.example","type":"build.done","build":7}"#;
    assert_eq!(house.call("POST /v1/publish", event).await.1["code"], "no_destination");
    assert_eq!(house.call("POST /v1/publish/jobs", event).await.1["id"], "e-1");
    let seen = &house.call("GET /v1/queues/jobs/messages?limit=1", "").await.1["messages"][0]["message"];
    assert_eq!((&seen["type"], &seen["build"]), (&json!("build.done"), &json!(7)));
    let elsewhere = r#"{"to":"agent.bob.inbox"}"#;
    assert_eq!(house.call("POST /v1/publish", elsewhere).await.0, StatusCode::OK);
    assert_eq!(house.call("POST /v1/publish/jobs", elsewhere).await.1["code"], "invalid_message");
}

#[tokio::test]
async fn queues_and_agents_are_declared_shown_and_deleted() {
    let house = House::new().await;
    let (_, changed) = house.call("PUT /v1/queues/more", r#"{"filters":["more.>"],"lease_ms":5000}"#).await;
    assert_eq!(changed, json!({"changed": true}));
    assert_eq!(house.call("GET /v1/queues/more", "").await.1["spec"]["lease_ms"], 5000);
    assert_eq!(house.call("DELETE /v1/queues/more?force=true", "").await.1, json!({"changed": true}));
    assert_eq!(house.call("GET /v1/queues/more", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(house.call("POST /v1/queues/jobs/purge", "").await.1, json!({"count": 0}));
    assert_eq!(house.call("PUT /v1/agents/bob/workspaces/w", "").await.1, json!({"changed": true}));
    let agent = &house.call("GET /v1/agents", "").await.1["agents"][0];
    assert_eq!((&agent["metadata"]["role"], &agent["workspaces"]), (&json!("coder"), &json!(["w"])));
    assert_eq!(house.call("GET /v1/trace/x", "").await.1["code"], "not_found");
    assert_eq!(house.call("GET /v1/status", "").await.1["queues"], 2);
}

#[tokio::test]
async fn what_was_refused_is_told_at_once_however_long_the_log_is() {
    let house = House::new().await;
    house.call("POST /v1/send/nobody", r#"{"id":"lost"}"#).await;
    let (_, found) = house.call("GET /v1/trace?outcome=refused", "").await;
    let lost = &found["messages"][0];
    assert_eq!(
        (&lost["id"], &lost["state"], &found["next"]),
        (&json!("lost"), &json!("refused"), &Value::Null),
        "{found}"
    );
    let said =
        "It was refused and is stored nowhere: unknown_agent: no agent \"nobody\". Add it: skep agents add nobody.";
    assert_eq!((&lost["verdict"], &lost["next_command"]), (&json!(said), &json!("skep agents add nobody")));
    assert!(
        found["verdict"].as_str().unwrap().starts_with("The message was refused and stored nowhere: unknown_agent")
    );
    // What is refused is not known from before the hub began, and the answer says since when it is.
    assert!(found["unstored_since_ms"].is_u64(), "{found}");
    // Of anything else the log tells.
    assert_eq!(house.call("GET /v1/trace?outcome=dropped", "").await.1["next"], 1);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let house = House::new().await;
    house.call("POST /v1/publish/jobs", "{}").await;
    let (_, text) = house.call("GET /metrics", "").await;
    let text = text.as_str().unwrap();
    for line in ["skep_messages_published_total 1", "skep_queue_messages_ready{queue=\"jobs\"} 1", "# EOF"] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}
