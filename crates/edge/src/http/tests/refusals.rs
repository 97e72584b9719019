//! What is refused, and what a refusal says of trying again.

use axum::http::{StatusCode, header};
use serde_json::json;

use super::{House, asked};

#[tokio::test]
async fn a_member_that_stands_twice_is_refused_and_none_of_both_is_taken() {
    let house = House::new().await;
    let lease = "0".repeat(32);
    let action = format!(r#"{{"settles":[{{"lease":"{lease}","action":{{"nack":{{"reason":"a","reason":"b"}}}}}}]}}"#);
    let name = format!(r#"{{"settles":[{{"lease":"{lease}","action":{{"ack":{{}},"ack":{{}}}}}}]}}"#);
    for (line, body, part) in [
        ("PUT /v1/queues/jobs", r#"{"lease_ms":1000,"lease_ms":2000}"#, "lease_ms"),
        ("PUT /v1/agents/bob", r#"{"role":"a","role":"b"}"#, "role"),
        ("POST /v1/settle", &action, "reason"),
        ("POST /v1/settle", &name, "expected"),
        ("POST /v1/settle", r#"{"settles":[],"settles":[]}"#, "settles"),
        (&format!("POST /v1/nack/{lease}"), r#"{"reason":"a","reason":"b"}"#, "reason"),
        ("POST /v1/publish/jobs", r#"{"data":1,"data":2}"#, "data"),
    ] {
        let (status, problem) = house.call(line, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{line} {body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{line}: {problem}");
    }
    assert_eq!(house.call("GET /v1/queues/jobs", "").await.1["spec"]["lease_ms"], 60_000);
    assert_eq!(house.call("GET /v1/agents", "").await.1["agents"][0]["metadata"], json!({"role": "coder"}));
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_refused_and_nothing_is_deleted() {
    let house = House::new().await;
    for line in [
        "DELETE /v1/queues/jobs",
        "DELETE /v1/agents/bob",
        "DELETE /v1/agents/bob/workspaces/docs",
        "PUT /v1/agents/bob/workspaces/docs",
        "GET /v1/queues",
        "GET /v1/replay",
    ] {
        let (status, problem) = house.call(line, r#"{"force":true}"#).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")), "{line}");
    }
    assert_eq!(house.call("GET /v1/queues/jobs", "").await.0, StatusCode::OK);
    assert_eq!(house.call("GET /v1/agents", "").await.1["agents"][0]["workspaces"], json!([]));
    // Whoever looks whether the hub lives may add what they like.
    assert_eq!(house.call("GET /healthz?probe=1", "").await.0, StatusCode::OK);
    assert_eq!(house.call("GET /metrics?probe=1", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn more_than_one_answer_shows_is_refused_and_not_less_shown() {
    let house = House::new().await;
    for (path, most) in [
        ("GET /v1/queues", 256),
        ("GET /v1/agents", 256),
        ("GET /v1/queues/jobs/messages", 1000),
        ("GET /v1/inbox/bob", 1000),
        ("GET /v1/replay", 1000),
        ("GET /v1/trace", 1000),
        ("POST /v1/queues/jobs/purge", 1000),
    ] {
        for limit in [0, most + 1] {
            let (status, problem) = house.call(&format!("{path}?limit={limit}"), "").await;
            let detail = format!("limit is {limit}; expected 1 to {most}");
            assert_eq!((status, &problem["detail"]), (StatusCode::BAD_REQUEST, &json!(detail)), "{path}");
        }
        assert_eq!(house.call(&format!("{path}?limit={most}"), "").await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_link_to_the_next_page_asks_for_as_many_as_this_one() {
    let house = House::new().await;
    assert_eq!(house.call("PUT /v1/agents/eve", "").await.0, StatusCode::OK);
    for (path, link) in [
        ("/v1/queues?limit=1", "</v1/queues?after=agent.bob.inbox&limit=1>; rel=\"next\""),
        ("/v1/agents?limit=1", "</v1/agents?after=bob&limit=1>; rel=\"next\""),
    ] {
        let response = house.raw(asked(&format!("GET {path}"), "")).await;
        assert_eq!(response.headers()[header::LINK], link);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_is_told_that_it_may_be_done_twice() {
    let house = House::new().await;
    let (status, problem) = house.call("POST /v1/request/jobs?timeout_ms=50", r#"{"id":"r-1"}"#).await;
    assert_eq!((status, &problem["outcome"]), (StatusCode::GATEWAY_TIMEOUT, &json!("unknown")), "{problem}");
    assert_eq!(problem["retry"], "never");
    assert!(problem["detail"].as_str().unwrap().ends_with("it may be asked, and done, twice"), "{problem}");
}

#[tokio::test]
async fn a_reply_that_nobody_waits_for_any_more_is_never_worth_another_try() {
    let house = House::new().await;
    let (status, problem) = house.call(&format!("POST /v1/publish/$reply.{}.1", "0".repeat(32)), "{}").await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("no_responders")), "{problem}");
    assert_eq!((&problem["retry"], &problem["retry_after_ms"]), (&json!("never"), &json!(null)));
    // Who asks where nobody listens yet may find somebody later.
    assert_eq!(house.call("POST /v1/request/service.none", "{}").await.1["retry"], "after");
}

#[tokio::test(start_paused = true)]
async fn a_step_sent_again_is_told_that_it_may_have_been_done_and_where_that_is_seen() {
    let house = House::new().await;
    house.call("POST /v1/publish/jobs", r#"{"data":1}"#).await;
    let (_, received) = house.call("POST /v1/queues/jobs/receive", "").await;
    let lease = &received["deliveries"][0]["lease"];
    let step = json!({"settles": [{"lease": lease, "action": "ack"}], "publish": [{"to": "jobs", "id": "n-1"}]});
    assert_eq!(house.call("POST /v1/settle", &step.to_string()).await.0, StatusCode::OK);
    let (status, problem) = house.call("POST /v1/settle", &step.to_string()).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("lease_lost")), "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("may have been done then") && detail.contains("GET /v1/messages/{id}"), "{detail}");
}

#[tokio::test]
async fn an_agent_that_says_something_else_of_itself_has_changed() {
    let house = House::new().await;
    let put = async |metadata| house.call("PUT /v1/agents/bob", metadata).await.1;
    assert_eq!(put(r#"{"role":"coder"}"#).await, json!({"changed": false}));
    assert_eq!(put(r#"{"role":"reviewer"}"#).await, json!({"changed": true}));
    assert_eq!(house.call("GET /v1/agents", "").await.1["agents"][0]["metadata"], json!({"role": "reviewer"}));
}
