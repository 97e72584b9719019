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
