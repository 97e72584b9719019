//! Dead letters over HTTP: looked at, tried dry, moved back and dropped by what they are.

use serde_json::{Value, json};

use crate::curl::{Answer, Curl};
use crate::hub::{Hub, declare};

fn post(hub: &Hub, path: &str, body: &str) -> Answer {
    Curl::bare(hub.http(), "POST", path).token(hub.token()).json(body).call()
}

/// A message that is tried once, and fails.
fn die(hub: &Hub, body: &str, reason: &str) {
    let event = json!({ "type": "task", "data": body, "retry": "attempts=1" });
    post(hub, "/v1/publish/jobs", &event.to_string()).json();
    let taken = post(hub, "/v1/queues/jobs/receive?wait_ms=20000", "{}").json();
    let lease = taken["deliveries"][0]["lease"].as_str().expect("a lease").to_owned();
    post(hub, &format!("/v1/nack/{lease}"), &json!({ "reason": reason }).to_string()).json();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_moved_back_by_what_they_are_over_http() {
    let hub = Hub::start().await;
    declare(&hub.client().await, "jobs").await;
    for (body, reason) in [("one", "no such file"), ("two", "busy"), ("three", "no such file")] {
        die(&hub, body, reason);
    }
    let look = || Curl::bare(hub.http(), "GET", "/v1/queues/$dead.jobs/messages").token(hub.token()).call().json();
    let dead = look();
    let first = &dead["messages"][0];
    assert_eq!((&first["attempts"], &first["previous"]["reason"]), (&json!(1), &json!("no such file")), "{dead}");
    assert!(first["died_ms"].as_u64() >= first["time_ms"].as_u64() && first["died_ms"].is_u64(), "{first}");

    let redrive = |how: &str| post(&hub, &format!("/v1/queues/jobs/redrive?{how}"), "{}").json();
    let dry = redrive("reason=no%20such&dry_run=true");
    let first = dry["first"].as_array().expect("a list").iter();
    let shown: Vec<&str> = first.filter_map(|stored| stored["message"]["data"].as_str()).collect();
    assert_eq!((&dry["count"], &dry["next"], shown), (&json!(2), &Value::Null, vec!["one", "three"]), "{dry}");
    assert_eq!(look(), dead, "nothing was changed");
    assert_eq!(redrive("type=note")["count"], 0);
    assert_eq!(redrive("until=1h")["count"], 0);
    let part = redrive("since=1h&limit=1");
    assert_eq!((&part["count"], part["next"].is_null()), (&json!(1), false), "{part}");
    let dropped = post(&hub, "/v1/queues/$dead.jobs/purge?reason=busy", "{}").json();
    assert_eq!((&dropped["count"], &dropped["skipped"]), (&json!(1), &json!(0)), "{dropped}");
    assert_eq!(redrive("limit=9"), json!({ "count": 1 }), "all that are left, as ever");
    post(&hub, "/v1/queues/jobs/redrive?raeson=busy", "{}").refused(400, "invalid_argument");
    post(&hub, "/v1/queues/jobs/redrive?since=yesterday", "{}").refused(400, "invalid_argument");
    hub.close().await;
}
