//! Messages that are received, and leases that nobody takes.

use std::pin::pin;
use std::task::{Context, Waker};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_received_is_leased_until_it_is_settled() {
    let house = House::new().await;
    for n in 0..3 {
        house.call("POST /v1/publish/jobs", &format!(r#"{{"data":{n}}}"#)).await;
    }
    let (_, received) = house.call("POST /v1/queues/jobs/receive?max=2&lease_ms=9000", "").await;
    let deliveries = received["deliveries"].as_array().unwrap();
    assert_eq!((deliveries.len(), house.memory.count("jobs")), (2, (1, 2)));
    assert_eq!(deliveries[0]["lease_ms"], 9000);
    let lease = |n: usize| deliveries[n]["lease"].as_str().unwrap();
    let (status, done) = house.call(&format!("POST /v1/ack/{}", lease(0)), "").await;
    assert_eq!((status, &done["settled"]), (StatusCode::OK, &json!("acked")));
    assert_eq!(house.call(&format!("POST /v1/ack/{}", lease(0)), "").await.1["code"], "lease_lost");
    let both = json!({"settles": [{"lease": lease(1), "action": "return"}, {"lease": lease(0), "action": "ack"}]});
    let (_, results) = house.call("POST /v1/settle", &both.to_string()).await;
    assert_eq!(results["results"][0], json!({"ok": null}));
    assert_eq!(results["results"][1]["error"]["code"], "lease_lost");
    let bad = json!({"publish": [{"data": 1, "to": "jobs"}, {"dta": 1, "to": "jobs"}], "atomic": true});
    let (status, problem) = house.call("POST /v1/settle", &bad.to_string()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(problem.to_string().contains("publish[1]: message: unknown member"), "{problem}");
    let atomic = json!({"settles": [{"lease": lease(0), "action": "ack"}], "atomic": true});
    assert_eq!(house.call("POST /v1/settle", &atomic.to_string()).await.0, StatusCode::GONE);
    assert_eq!(house.memory.count("jobs"), (2, 0));
    // As the README says it: with no body, and so with no reason.
    let (_, received) = house.call("POST /v1/queues/jobs/receive", "").await;
    let lease = received["deliveries"][0]["lease"].as_str().unwrap();
    let (status, done) = house.call(&format!("POST /v1/reject/{lease}"), "").await;
    assert_eq!((status, &done["settled"]), (StatusCode::OK, &json!("rejected")), "{done}");
}

/// What is leased is told, however long it lasts: nobody else gets it, and it would end charged.
#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_extended_is_handed_out_with_the_time_it_has() {
    let house = House::new().await;
    house.call("POST /v1/publish/jobs", "{}").await;
    house.memory.refuse_extends(Code::DiskFull);
    let (status, received) = house.call("POST /v1/queues/jobs/receive?lease_ms=9000", "").await;
    let own_ms = &house.call("GET /v1/queues/jobs", "").await.1["spec"]["lease_ms"];
    assert_eq!((status, &received["deliveries"][0]["lease_ms"]), (StatusCode::OK, own_ms), "{received}");
    assert_eq!(house.memory.count("jobs"), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_before_it_is_handed_out_is_not_told() {
    let house = House::new().await;
    house.call("POST /v1/publish/jobs", "{}").await;
    house.memory.refuse_extends(Code::LeaseLost);
    let (_, received) = house.call("POST /v1/queues/jobs/receive?lease_ms=9000", "").await;
    assert_eq!(received, json!({"deliveries": []}));
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_finds_nothing_in_time_is_answered_with_nothing() {
    let house = House::new().await;
    assert_eq!(house.call("POST /v1/inbox/bob/receive?wait_ms=60000", "").await.1, json!({"deliveries": []}));
    assert_eq!(house.call("POST /v1/inbox/nobody/receive", "").await.1["code"], "unknown_queue");
}

#[tokio::test]
async fn a_receive_whose_client_goes_away_leases_nothing() {
    let house = House::new().await;
    let router = house.edge.router();
    {
        let mut waiting = pin!(router.oneshot(asked("POST /v1/queues/jobs/receive?wait_ms=60000", "")));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        house.call("POST /v1/publish/jobs", "{}").await;
        assert_eq!(house.memory.count("jobs"), (0, 1));
    }
    assert_eq!(house.memory.count("jobs"), (1, 0));
}

#[tokio::test]
async fn an_answer_that_is_never_taken_returns_its_leases() {
    let house = House::new().await;
    house.call("POST /v1/publish/jobs", "{}").await;
    let response = house.raw(asked("POST /v1/queues/jobs/receive", "")).await;
    assert_eq!(house.memory.count("jobs"), (0, 1));
    drop(response);
    assert_eq!(house.memory.count("jobs"), (1, 0));
}
