//! Who is let in over HTTP, and what is said to the others.

use serde_json::Value;

use crate::curl::Curl;
use crate::hub::{Hub, declare};

/// Every path there is, and some there are not; `jobs` is a queue, `nowhere` is none.
const CLOSED: [(&str, &str); 34] = [
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/ws"),
    ("POST", "/v1/send/bob"),
    ("POST", "/v1/publish"),
    ("POST", "/v1/publish/jobs"),
    ("POST", "/v1/request/jobs"),
    ("GET", "/v1/inbox/bob"),
    ("POST", "/v1/inbox/bob/receive"),
    ("POST", "/v1/settle"),
    ("POST", "/v1/ack/07070707070707070707070707070707"),
    ("POST", "/v1/nack/07070707070707070707070707070707"),
    ("POST", "/v1/reject/07070707070707070707070707070707"),
    ("POST", "/v1/extend/07070707070707070707070707070707"),
    ("GET", "/v1/queues"),
    ("GET", "/v1/queues/jobs"),
    ("GET", "/v1/queues/nowhere"),
    ("PUT", "/v1/queues/jobs"),
    ("DELETE", "/v1/queues/jobs"),
    ("GET", "/v1/queues/jobs/messages"),
    ("POST", "/v1/queues/jobs/receive"),
    ("POST", "/v1/queues/jobs/purge"),
    ("POST", "/v1/queues/jobs/redrive"),
    ("GET", "/v1/agents"),
    ("PUT", "/v1/agents/bob"),
    ("PUT", "/v1/agents/bob/workspaces/w"),
    ("GET", "/v1/replay"),
    ("GET", "/v1/trace"),
    ("GET", "/v1/trace/m-1"),
    ("GET", "/v1/messages/m-1"),
    ("GET", "/v1/conversations/c-1"),
    ("GET", "/v1/status"),
    ("OPTIONS", "/v1/queues"),
    ("GET", "/no/such/path"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_nothing_is_answered_but_whether_the_hub_lives() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    for (token, said) in [(None, "no token"), (Some("0123456789abcdef0123456789abcdef"), "not this hub's")] {
        let mut answers = Vec::new();
        for (method, path) in CLOSED {
            let call = Curl::bare(hub.http(), method, path).json("{}");
            let answer =
                token.map_or_else(|| Curl::bare(hub.http(), method, path).json("{}"), |t| call.token(t)).call();
            let problem = answer.refused(401, "unauthenticated");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{answer:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!answer.body.contains(hub.token()) && answer.header("server").is_none(), "{answer:?}");
            answers.push(answer.body);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "what exists is told from what does not: {answers:?}");
    }
    for path in ["/healthz", "/readyz"] {
        let answer = Curl::bare(hub.http(), "GET", path).call();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    let queues = Curl::bare(hub.http(), "GET", "/v1/queues").token(hub.token()).call().json();
    assert!(queues["queues"].as_array().is_some_and(|queues| queues.len() == 1), "none was made or deleted: {queues}");
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_another_form_is_none() {
    let hub = Hub::start().await;
    for header in [
        "Authorization: Basic dXNlcjpwYXNz".to_owned(),
        format!("Authorization: {}", hub.token()),
        format!("Authorization: Bearer {}x", hub.token()),
        format!("Authorization: Bearer {}", &hub.token()[1..]),
        "Authorization: Bearer".to_owned(),
        format!("X-Token: {}", hub.token()),
    ] {
        Curl::bare(hub.http(), "GET", "/v1/status").header(&header).call().refused(401, "unauthenticated");
    }
    let twice = Curl::bare(hub.http(), "GET", "/v1/status").token("wrong-wrong-wrong-wrong").token(hub.token());
    twice.call().refused(401, "unauthenticated");
    let query = format!("/v1/status?token={}", hub.token());
    Curl::bare(hub.http(), "GET", &query).call().refused(401, "unauthenticated");
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_another_name_the_hub_answers_nothing() {
    let hub = Hub::start().await;
    let port = hub.http().port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "10.0.0.1".into(), "localhost.evil".into()]
    {
        for path in ["/v1/status", "/healthz", "/metrics"] {
            let call = Curl::bare(hub.http(), "GET", path).token(hub.token()).header(&format!("Host: {host}"));
            call.call().refused(403, "forbidden");
        }
    }
    let ours = Curl::bare(hub.http(), "GET", "/v1/status").token(hub.token()).header("Host: localhost");
    ours.call().json();
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_foreign_sites_are_refused_with_the_token_too() {
    let hub = Hub::start().await;
    for origin in ["https://evil.example", "null", "http://localhost:3000", &format!("http://{}", hub.http())] {
        for (method, path) in [("GET", "/v1/status"), ("POST", "/v1/publish/news"), ("GET", "/ws"), ("GET", "/healthz")]
        {
            let call = Curl::bare(hub.http(), method, path).token(hub.token()).header(&format!("Origin: {origin}"));
            let answer = call.json("{}").call();
            answer.refused(403, "forbidden");
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{answer:?}");
        }
    }
    let asked = Curl::bare(hub.http(), "OPTIONS", "/v1/publish/news").header("Origin: https://evil.example");
    let asked = asked.header("Access-Control-Request-Method: POST").call();
    assert!(asked.status == 403 && asked.header("access-control-allow-origin").is_none(), "{asked:?}");
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_form_of_a_page_can_send_is_no_body_of_ours() {
    let hub = Hub::start().await;
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", ""]
    {
        let call = Curl::bare(hub.http(), "POST", "/v1/publish/news").token(hub.token());
        let answer = call.body(content_type, r#"{"data":1}"#).call();
        answer.refused(415, "invalid_argument");
    }
    for content_type in ["application/json; charset=utf-8", "application/cloudevents+json"] {
        let call = Curl::bare(hub.http(), "POST", "/v1/publish/news").token(hub.token());
        call.body(content_type, r#"{"data":1}"#).call().json();
    }
    hub.close().await;
}

/// Method, path, body, and the status and code of the refusal.
const REFUSED: [(&str, &str, &str, u16, &str); 34] = [
    ("POST", "/v1/publish/news", "{", 400, "invalid_message"),
    ("POST", "/v1/publish/news", "[1]", 400, "invalid_argument"),
    ("POST", "/v1/publish/news", "", 400, "invalid_argument"),
    ("POST", "/v1/publish/news", r#"{"specversion":"0.3"}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/news", r#"{"dta":"hi"}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/news", r#"{"specversion":"1.0","data":1}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/news", r#"{"to":"other"}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/news", r#"{"id":"a","id":"b"}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/news", r#"{"priority":"urgent"}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/a..b", "{}", 400, "invalid_topic"),
    ("POST", "/v1/publish/a.*", "{}", 400, "invalid_topic"),
    ("POST", "/v1/publish/$sys.x", "{}", 403, "forbidden"),
    ("POST", "/v1/publish/news", r#"{"source":"agent/eve"}"#, 403, "forbidden"),
    ("POST", "/v1/publish/news", r#"{"guarantee":"at_least_once"}"#, 409, "no_queue"),
    ("POST", "/v1/publish/news", r#"{"retry":"3"}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/news", r#"{"timeout":"soon"}"#, 400, "invalid_message"),
    ("POST", "/v1/publish/news", r#"{"durability":"disk"}"#, 400, "invalid_message"),
    ("POST", "/v1/send/nobody", "{}", 404, "unknown_agent"),
    ("POST", "/v1/send/no.body", "{}", 400, "invalid_name"),
    ("POST", "/v1/request/service.none", "{}", 503, "no_responders"),
    ("POST", "/v1/queues/nowhere/receive", "", 404, "unknown_queue"),
    ("POST", "/v1/queues/nowhere/receive?max=0", "", 400, "invalid_argument"),
    ("POST", "/v1/queues/nowhere/receive?wait=1", "", 400, "invalid_argument"),
    ("GET", "/v1/queues/nowhere", "", 404, "unknown_queue"),
    ("PUT", "/v1/queues/jobs", r#"{"lease_ms":1}"#, 400, "invalid_argument"),
    ("POST", "/v1/ack/07070707070707070707070707070707", "", 410, "lease_lost"),
    ("POST", "/v1/ack/xyz", "", 400, "invalid_frame"),
    ("GET", "/v1/trace/never", "", 404, "not_found"),
    ("GET", "/v1/messages/never", "", 404, "not_found"),
    ("GET", "/v1/conversations/never", "", 404, "not_found"),
    ("GET", "/v1/trace?since=yesterday", "", 400, "invalid_argument"),
    ("GET", "/v1/trace?outcome=lost", "", 400, "invalid_argument"),
    ("GET", "/v1/trace?form=alice", "", 400, "invalid_argument"),
    ("GET", "/v1/nowhere", "", 404, "not_found"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_a_problem_with_a_stable_code() {
    let hub = Hub::start().await;
    for (method, path, body, status, code) in REFUSED {
        let call = Curl::bare(hub.http(), method, path).token(hub.token());
        let call = if body.is_empty() && method != "POST" { call } else { call.json(body) };
        let answer = call.call();
        let problem: Value = answer.refused(status, code);
        assert!(["refused", "unknown"].contains(&problem["outcome"].as_str().unwrap_or_default()), "{answer:?}");
    }
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(300 * 1024));
    let call = |body: &str| Curl::bare(hub.http(), "POST", "/v1/publish/news").token(hub.token()).json(body).call();
    call(&large).refused(413, "too_large");
    call(&"x".repeat(5 * 1024 * 1024)).refused(413, "too_large");
    let wrong = Curl::bare(hub.http(), "DELETE", "/v1/status").token(hub.token()).call();
    wrong.refused(405, "invalid_argument");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    Curl::bare(hub.http(), "GET", "/readyz").call().body.contains("ok").then_some(()).expect("still ready");
    hub.close().await;
}
