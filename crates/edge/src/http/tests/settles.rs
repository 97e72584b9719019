//! Many settles in one body.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::House;

/// A house with messages in `jobs`, as many under a lease as are asked for.
async fn leased(count: usize) -> (House, Vec<String>) {
    let house = House::new().await;
    for _ in 0..count {
        house.call("POST /v1/publish/jobs", r#"{"data":1}"#).await;
    }
    let (_, received) = house.call(&format!("POST /v1/queues/jobs/receive?max={count}"), "").await;
    let leases = received["deliveries"].as_array().unwrap().iter();
    (house, leases.map(|delivery| delivery["lease"].as_str().unwrap().to_owned()).collect())
}

#[tokio::test(start_paused = true)]
async fn an_action_has_the_members_of_its_path_and_without_any_its_name_is_enough() {
    let actions = [
        json!("ack"),
        json!({"ack": {}}),
        json!("nack"),
        json!({"nack": {}}),
        json!({"nack": {"after_ms": 5000, "reason": "busy"}}),
        json!("reject"),
        json!({"reject": {"reason": "no such file"}}),
        json!("extend"),
        json!({"extend": {"lease_ms": 5000, "progress": "half"}}),
        json!("return"),
    ];
    let (house, leases) = leased(actions.len()).await;
    let settles: Vec<Value> =
        leases.iter().zip(&actions).map(|(lease, action)| json!({"lease": lease, "action": action})).collect();
    let (status, done) = house.call("POST /v1/settle", &json!({ "settles": settles }).to_string()).await;
    assert_eq!((status, &done), (StatusCode::OK, &json!({"results": vec![json!({"ok": null}); actions.len()]})));
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_not_understood_is_refused_by_its_place_and_nothing_is_settled() {
    let (house, leases) = leased(2).await;
    for (action, part) in [
        (json!({"nack": {"reason": "r", "bogus": 1}}), "`bogus`, expected `after_ms` or `reason`"),
        (json!({"nack": {"reason": "r", "after": 1}}), "`after`, expected `after_ms` or `reason`"),
        (json!({"extend": {"lease": 1}}), "expected `lease_ms` or `progress`"),
        (json!({"ack": {"reason": "r"}}), "`reason`"),
        (json!({"nack": {}, "ack": {}}), r#"{"nack":{"reason":"busy","after_ms":5000}}"#),
        (json!("nak"), r#"{"nack":{"reason":"busy","after_ms":5000}}"#),
        (json!(7), r#"expected "ack""#),
    ] {
        let settles = json!([{"lease": leases[0], "action": "ack"}, {"lease": leases[1], "action": action}]);
        let (status, problem) = house.call("POST /v1/settle", &json!({ "settles": settles }).to_string()).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{action}: {problem}");
        assert!(detail.starts_with("settles[1]: action") && detail.contains(part), "{action}: {detail}");
    }
    assert_eq!(house.memory.count("jobs"), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn settles_with_publishes_are_one_step_unless_that_is_denied_and_then_nothing_is_done() {
    let (house, leases) = leased(1).await;
    let batch = |lease: &str, atomic: Option<bool>| {
        let settles = json!([{"lease": lease, "action": "ack"}]);
        let mut batch = json!({"settles": settles, "publish": [{"to": "jobs", "data": 2}]});
        atomic.into_iter().for_each(|atomic| batch["atomic"] = atomic.into());
        batch.to_string()
    };
    let (status, problem) = house.call("POST /v1/settle", &batch(&leases[0], Some(false))).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")), "{problem}");
    assert_eq!(house.memory.count("jobs"), (0, 1));
    // What a step is refused by is one problem.
    let (status, problem) = house.call("POST /v1/settle", &batch(&"0".repeat(32), None)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("lease_lost")), "{problem}");
    let (status, done) = house.call("POST /v1/settle", &batch(&leases[0], None)).await;
    assert_eq!((status, &done["receipts"][0]["ok"]["queues"]), (StatusCode::OK, &json!(1)), "{done}");
}
