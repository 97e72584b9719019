use std::io::{BufRead, BufReader};

use crate::place::Place;

#[test]
fn messages_of_one_key_wait_behind_a_dead_one_until_it_is_redriven() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs"]).done();
    for text in ["first", "second"] {
        place.skep(&["publish", "jobs", text, "--key", "invoice-7"]).done();
    }
    let taken = place.skep(&["receive", "jobs", "-n", "5", "--wait", "200ms", "--json"]).done();
    assert!(taken.out.contains("first") && !taken.out.contains("second"), "one at a time: {taken:?}");
    let lease =
        taken.out.split("\"lease\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a lease").to_owned();
    place.skep(&["reject", &lease, "--reason", "no such invoice"]).done();
    let shown = place.skep(&["queue", "show", "jobs"]).done().out;
    assert!(shown.contains("parked     1 message of 1 key"), "{shown}");
    assert!(shown.contains("skep queue redrive jobs") && shown.contains("skep queue purge '$dead.jobs'"), "{shown}");
    place.skep(&["queue", "redrive", "jobs"]).done();
    for text in ["first", "second"] {
        let taken = place.skep(&["receive", "jobs", "--ack", "--wait", "20s"]).done().out;
        assert!(taken.contains(text), "{taken}");
    }
}

#[test]
fn a_queue_that_is_added_again_keeps_what_is_not_said() {
    let place = Place::with_hub();
    let add = |more: &[&str]| place.skep(&[&["queue", "add", "jobs"], more].concat()).done().out;
    let shown = || place.skep(&["queue", "show", "jobs", "--json"]).done().out;
    add(&["--filter", "a.*", "--lease", "5m", "--attempts", "3", "--drop-expired", "--consumers", "single-active"]);
    let before = shown();
    assert_eq!(add(&[]), "nothing to change in jobs: takes a.*; lease 5m, 3 attempts\n");
    assert_eq!(shown(), before);
    assert_eq!(add(&["--attempts", "4"]), "changed jobs: takes a.*; lease 5m, 4 attempts\n");
    add(&["--drop-expired=false"]);
    let after = shown();
    assert!(after.contains("single_active") && after.contains("\"attempts_max\":4"), "{after}");
    assert!(!after.contains("\"expired\":\"drop\""), "{after}");
}

#[test]
fn who_finds_an_exclusive_queue_taken_is_told_to_try_again_and_not_how_to_remove_it() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "orders.new", "--consumers", "exclusive"]).done();
    let mut first = place.spawn(&["receive", "orders.new"]);
    let mut said = String::new();
    BufReader::new(first.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("waiting for messages in orders.new"), "{said}");
    let ran = place.skep(&["receive", "orders.new", "--wait", "0s", "--json"]);
    first.kill().unwrap();
    first.wait().unwrap();
    let ran = ran.failed(3, "\"in_use\"").failed(3, "local consumes from it; try again when it has gone");
    assert!(ran.err.contains("{\"after\":1000}") && !ran.err.contains("queue rm"), "{ran:?}");
}

#[test]
fn a_message_that_waits_for_another_of_its_key_is_told_with_which_and_what_brings_that_one_on() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "kk"]).done();
    let publish = |text: &str, key: &str| {
        let stored = place.skep(&["publish", "kk", text, "--key", key, "--json"]).done().json();
        (stored["id"].as_str().unwrap().to_owned(), stored["position"].to_string())
    };
    let (first, second) = (publish("k1", "A"), publish("k2", "A"));
    let taken = place.skep(&["receive", "kk", "--json"]).done().json();
    let lease = taken["delivery"]["lease"].as_str().unwrap();
    let said = place.skep(&["trace", &second.0]).done().out;
    let expected = format!("behind position {} of the same key, leased to local for another ", first.1);
    assert!(said.contains(&expected) && said.trim_end().ends_with("next: skep queue peek kk"), "{said}");
    let peeked = place.skep(&["queue", "peek", "kk"]).done().out;
    let (head, last) = (peeked.lines().next().unwrap(), peeked.lines().last().unwrap());
    assert!(head.contains("  KEY  ") && last.contains("  A  "), "{peeked}");
    assert!(last.contains(&format!("waits behind {}, leased to local", first.1)), "{peeked}");

    place.skep(&["reject", lease, "--reason", "no such invoice"]).done();
    // Another key goes on, and says nothing of this one.
    let other = publish("b1", "B");
    let said = place.skep(&["trace", &second.0]).done().out;
    let expected = format!("its key is parked behind the dead letter at position {}", first.1);
    assert!(said.contains(&expected), "{said}");
    assert!(said.trim_end().ends_with("next: skep queue redrive kk --key A"), "{said}");
    let list = place.skep(&["trace", "--to", "kk", "--undelivered", "--json"]).done().json();
    assert_eq!(list["messages"][1]["behind"]["dead"], true, "{list}");
    let peeked = place.skep(&["queue", "peek", "kk"]).done().out;
    assert!(peeked.contains(&format!("parked behind the dead letter {}", first.1)), "{peeked}");
    assert!(place.skep(&["trace", &other.0]).done().out.contains("no consumer is attached"));
    place.skep(&["queue", "redrive", "kk", "--key", "A"]).done();
    assert!(!place.skep(&["queue", "peek", "kk"]).done().out.contains("parked"));
}
