//! HTTP, with plain curl.

use serde_json::{Value, json};

use crate::curl::{Answer, Curl};
use crate::hub::{Hub, declare, info, next, publish, receive, soon, text};

impl Hub {
    fn curl(&self, method: &str, path: &str) -> Curl {
        Curl::bare(self.http(), method, path).token(self.token())
    }

    fn get(&self, path: &str) -> Answer {
        self.curl("GET", path).call()
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.curl("POST", path).json(body).call()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_ends_a_long_poll_and_is_acked_by_its_lease() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    assert_eq!(hub.curl("PUT", "/v1/queues/jobs").json("{}").call().json(), json!({"changed": true}));
    let poll = hub.curl("POST", "/v1/queues/jobs/receive?wait_ms=20000").begin();
    soon("the poll waits", async { while info(&client, "jobs").await.consumers == 0 {} }).await;
    let receipt = hub.post("/v1/publish/jobs", r#"{"type":"task","data":{"n": 1}}"#).json();
    assert_eq!((&receipt["durability"], &receipt["queues"]), (&json!("fsync"), &json!(1)), "{receipt}");
    let answer = poll.answer();
    let delivery = answer.json()["deliveries"][0].clone();
    assert_eq!((&delivery["position"], &delivery["attempt"]), (&receipt["position"], &json!(1)));
    assert_eq!(delivery["message"]["id"], receipt["id"]);
    assert!(answer.body.contains(r#""data":{"n": 1}"#), "byte for byte: {answer:?}");
    let lease = delivery["lease"].as_str().expect("a lease");
    hub.curl("POST", &format!("/v1/ack/{lease}")).call().json();
    hub.curl("POST", &format!("/v1/ack/{lease}")).call().json();
    hub.post(&format!("/v1/nack/{lease}"), r#"{"reason":"too late"}"#).refused(410, "lease_lost");
    assert_eq!(hub.post("/v1/queues/jobs/receive", "{}").json(), json!({"deliveries": []}));
    hub.close().await;
}

/// As by a typing error in the topic of a result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_not_acked_with_a_result_that_no_queue_takes() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    declare(&client, "results").await;
    publish(&client, "jobs", "task").await;
    let taken = hub.curl("POST", "/v1/queues/jobs/receive?wait_ms=20000").call().json();
    let step = |to: &str, guarantee: Option<&str>| {
        let settles = json!([{"lease": taken["deliveries"][0]["lease"], "action": "ack"}]);
        json!({"atomic": true, "settles": settles, "publish": [{"to": to, "data": "42", "guarantee": guarantee}]})
    };
    for guarantee in [None, Some("at_least_once")] {
        hub.post("/v1/settle", &step("resluts", guarantee).to_string()).refused(409, "no_queue");
    }
    assert_eq!((info(&client, "jobs").await.leased, info(&client, "results").await.ready), (1, 0));
    let done = hub.post("/v1/settle", &step("results", None).to_string()).json();
    assert_eq!((&done["results"][0], &done["receipts"][0]["ok"]["queues"]), (&json!({"ok": null}), &json!(1)));
    assert_eq!((info(&client, "jobs").await.held(), info(&client, "results").await.ready), (0, 1));
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_whose_user_gave_up_holds_nothing() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    let poll = hub.curl("POST", "/v1/queues/jobs/receive?wait_ms=20000").begin();
    soon("the poll waits", async { while info(&client, "jobs").await.consumers == 0 {} }).await;
    poll.give_up();
    soon("it is gone", async { while info(&client, "jobs").await.consumers > 0 {} }).await;
    publish(&client, "jobs", "one").await;
    let taken = hub.curl("POST", "/v1/queues/jobs/receive?wait_ms=20000").call().json();
    assert_eq!(taken["deliveries"][0]["attempt"], 1);
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_on_a_queue_that_is_deleted_is_answered_at_once() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    let poll = hub.curl("POST", "/v1/queues/jobs/receive?wait_ms=20000").begin();
    soon("the poll waits", async { while info(&client, "jobs").await.consumers == 0 {} }).await;
    let begun = std::time::Instant::now();
    hub.curl("DELETE", "/v1/queues/jobs?force=true").call().json();
    poll.answer().refused(404, "unknown_queue");
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "it did not wait to its end");
    hub.close().await;
}

/// The first example of the CloudEvents specification (JSON format, 3.2), byte for byte.
const EVENT: &str = r#"{
    "specversion" : "1.0",
    "type" : "com.example.someevent",
    "source" : "/mycontext",
    "subject": null,
    "id" : "C234-1234-1234",
    "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value",
    "comexampleothervalue" : 5,
    "datacontenttype" : "application/json",
    "data" : {
        "appinfoA" : "abc",
        "appinfoB" : 123,
        "appinfoC" : true
    }
}"#;

const DATA: &str = "{
        \"appinfoA\" : \"abc\",
        \"appinfoB\" : 123,
        \"appinfoC\" : true
    }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_somebody_elses_shape_is_taken_unchanged_and_its_payload_stays_byte_for_byte() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "orders").await;
    let posted = hub.curl("POST", "/v1/publish/orders").body("application/cloudevents+json", EVENT).call();
    assert_eq!(posted.json()["id"], "C234-1234-1234");
    let shown = hub.get("/v1/queues/orders/messages");
    assert!(shown.body.contains(DATA), "{shown:?}");
    let mut seen = shown.json()["messages"][0]["message"].clone();
    let mut sent: Value = serde_json::from_str(EVENT).expect("JSON");
    // A member that is null says nothing, so it is the same as none; the topic was in the path.
    sent.as_object_mut().expect("an object").remove("subject");
    assert_eq!(seen.as_object_mut().expect("an object").remove("to"), Some(json!("orders")));
    assert_eq!(seen, sent);
    let mut orders = receive(&client, "orders", 1).await;
    assert_eq!(text(&next(&mut orders).await.message), DATA);
    hub.close().await;
}

/// The other examples of the specification: XML as text, and bytes as Base64.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_is_no_json_comes_back_as_it_was() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "orders").await;
    let xml = r#"{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","id":"B234-1234-1234",
        "time":"2018-04-05T17:31:00Z","unsetextension":null,"datacontenttype":"application/xml",
        "data":"<much wow=\"xml\"/>"}"#;
    let bytes = r#"{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","id":"D234-1234-1234",
        "datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"AP8BgP4="}"#;
    for event in [xml, bytes] {
        hub.curl("POST", "/v1/publish/orders").body("application/cloudevents+json", event).call().json();
    }
    let mut orders = receive(&client, "orders", 2).await;
    assert_eq!(text(&next(&mut orders).await.message), r#"<much wow="xml"/>"#);
    assert_eq!(next(&mut orders).await.message.payload()[..], [0, 255, 1, 128, 254]);
    let shown = hub.get("/v1/replay?filter=orders").json();
    assert_eq!(shown["messages"][0]["message"]["data"], r#"<much wow="xml"/>"#);
    assert_eq!(shown["messages"][1]["message"]["data_base64"], "AP8BgP4=");
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_messages_is_asked_by_id_by_conversation_and_by_search() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    for n in 1..=3 {
        let body = format!(r#"{{"id":"m-{n}","conversationid":"c/1","data":{n}}}"#);
        hub.post("/v1/publish/jobs", &body).json();
    }
    let mut jobs = receive(&client, "jobs", 1).await;
    let _first = next(&mut jobs).await;
    hub.post("/v1/publish/nowhere", r#"{"id":"lost","guarantee":"at_least_once"}"#).refused(409, "no_queue");
    let message = hub.get("/v1/messages/m-2").json();
    assert_eq!((&message["messages"][0]["state"], &message["next"]), (&json!("waiting"), &Value::Null), "{message}");
    assert_eq!(message["messages"][0]["message"]["data"], 2);
    assert_eq!(message["messages"][0]["events"][0]["what"], "accepted");
    let said = "It waits in jobs; nobody has taken it yet: 1 consumer is attached.";
    assert_eq!((&message["verdict"], &message["next_command"]), (&json!(said), &json!("skep receive jobs")));
    assert_eq!(hub.get("/v1/messages/lost").json()["messages"][0]["state"], "refused");
    let talk = hub.get("/v1/conversations/c%2F1").json();
    assert_eq!(talk["messages"].as_array().map(Vec::len), Some(3), "{talk}");
    // Each message is told with its cause and what to do, and all of them in one sentence, as `skep trace` says it.
    let found = hub.get("/v1/trace?to=jobs").json();
    assert_eq!(found["verdict"], "2 of 3 wait in jobs: 1 consumer is attached.", "{found}");
    assert_eq!(found["messages"][2]["verdict"], said);
    assert_eq!(found["messages"][0]["next_command"], "skep queue peek jobs");
    let held = found["messages"][0]["verdict"].as_str().expect("a sentence");
    assert!(held.contains(" has it from jobs, attempt 1, for another "), "{held}");
    hub.curl("PUT", "/v1/agents/bob").json("{}").call().json();
    hub.post("/v1/send/bob", "{}").json();
    let found = hub.get("/v1/trace?to=bob").json();
    let said = "It waits in agent.bob.inbox; nobody has taken it yet: bob is not here, never connected.";
    assert_eq!(found["messages"][0]["verdict"], said, "{found}");
    let none = hub.get("/v1/trace?to=nobody").json();
    assert_eq!((none["messages"].as_array().map(Vec::len), none.get("verdict")), (Some(0), None), "{none}");
    // One by one, each page says where the next begins.
    let (mut ids, mut path) = (Vec::new(), "/v1/trace?to=jobs&since=1h&outcome=undelivered&limit=1".to_owned());
    loop {
        let page = hub.get(&path).json();
        ids.extend(page["messages"].as_array().into_iter().flatten().map(|traced| traced["id"].to_string()));
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/trace?to=jobs&since=1h&outcome=undelivered&limit=1&next={next}");
    }
    assert_eq!(ids, ["\"m-2\"", "\"m-3\""]);
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_a_destination_is_refused() {
    let hub = Hub::start().await;
    let posted = hub.curl("POST", "/v1/publish").body("application/cloudevents+json", EVENT).call();
    posted.refused(400, "no_destination");
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_happened_in_the_form_of_prometheus() {
    let hub = Hub::start().await;
    let client = hub.client().await;
    declare(&client, "jobs").await;
    for n in 0..3 {
        publish(&client, "jobs", &n.to_string()).await;
    }
    hub.post("/v1/publish/agent.nobody.inbox", "{}").refused(404, "unknown_agent");
    let mut jobs = receive(&client, "jobs", 2).await;
    let mut held = vec![next(&mut jobs).await, next(&mut jobs).await];
    soon("an ack is answered", held.remove(0).ack()).await.expect("acked");
    held.push(next(&mut jobs).await);
    let metrics = hub.get("/metrics");
    assert_eq!(metrics.status, 200, "{metrics:?}");
    assert!(metrics.header("content-type").is_some_and(|kind| kind.contains("openmetrics-text")), "{metrics:?}");
    let value = |name: &str| {
        let line = metrics.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {}", metrics.body)).to_owned()
    };
    // The fourth is the one that was refused.
    assert_eq!(value("skep_messages_published_total"), "4");
    assert_eq!(value("skep_messages_refused_total"), "1");
    assert_eq!(value("skep_messages_settled_total"), "1");
    assert_eq!(value("skep_queues"), "1");
    assert_eq!(value("skep_ready"), "1");
    assert_eq!(value("skep_log_first_position"), "1");
    assert!(value("skep_log_bytes").parse::<u64>().expect("a number") >= 1 << 20);
    assert_eq!(value(r#"skep_queue_messages_leased{queue="jobs"}"#), "2");
    assert!(metrics.body.ends_with("# EOF\n"), "{metrics:?}");
    hub.close().await;
}
