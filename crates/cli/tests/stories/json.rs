use serde_json::Value;

use crate::place::Place;

#[test]
fn every_answer_is_one_json_value_a_line() {
    let place = Place::with_hub();
    let json = |args: &[&str]| -> Vec<Value> {
        let ran = place.skep(&[args, &["--json"]].concat()).done();
        assert_eq!(ran.err, "", "{args:?}");
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(json(&["agents", "add", "bob", "--metadata", "{\"a\":1}"])[0]["done"]["changed"], true);
    assert_eq!(json(&["agents", "add", "bob"])[0]["done"]["changed"], false);
    json(&["agents", "join", "bob", "docs"]);
    assert_eq!(json(&["agents", "ls"])[0][0]["workspaces"][0], "docs");
    json(&["queue", "add", "jobs"]);
    assert_eq!(json(&["queue", "ls"])[0].as_array().unwrap().len(), 2);
    assert_eq!(json(&["queue", "show", "jobs"])[0]["spec"]["lease_ms"], 60_000);

    let sent = json(&["send", "bob", "--data-json", "{\"n\":1}"]).remove(0);
    assert_eq!((&sent["durability"], &sent["recipient"]["waiting"]), (&Value::from("fsync"), &Value::from(1)));
    assert_eq!(sent["guarantee"], "at_least_once");
    let id = sent["id"].as_str().unwrap();
    assert_eq!(json(&["inbox", "bob"])[0][0]["message"]["data"]["n"], 1);
    assert_eq!(json(&["queue", "peek", "agent.bob.inbox"])[0][0]["message"]["id"], id);
    assert_eq!(json(&["replay", ">"])[0]["message"]["id"], id);
    assert_eq!(json(&["publish", "nobody.hears", "x"])[0]["position"], Value::Null);
    assert_eq!(json(&["receive", "bob", "--ack"])[0]["delivery"]["message"]["data"]["n"], 1);
    assert!(json(&["trace", id])[0]["next"].as_str().unwrap().starts_with("skep replay"));
    assert!(json(&["status"])[0]["hub"].as_str().unwrap().starts_with("skep "));
    assert_eq!(json(&["queue", "purge", "jobs"])[0]["count"], 0);
    json(&["queue", "rm", "jobs"]);
    json(&["agents", "leave", "bob", "docs"]);
    json(&["agents", "rm", "bob", "--force"]);
    assert!(json(&["stop"])[0]["stopped"].is_u64());
}

#[test]
fn an_error_is_one_json_value_on_standard_error() {
    let place = Place::with_hub();
    let ran = place.skep(&["send", "nobody", "hi", "--json"]);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.code, ran.out.as_str(), error["exit"].as_i64()), (3, "", Some(3)));
    assert_eq!((&error["error"]["code"], &error["error"]["outcome"]), (&"unknown_agent".into(), &"refused".into()));
}

#[test]
fn what_an_agent_says_of_itself_is_shown_as_the_object_that_it_is() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "coder", "--metadata", "{\"model\":\"small\"}"]).done();
    let agents = place.skep(&["agents", "ls", "--json"]).done().json();
    assert_eq!(agents[0]["metadata"], serde_json::json!({ "model": "small" }), "{agents}");
    assert_eq!(agents[0]["connected"], false);
}
