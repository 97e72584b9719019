use std::process::Command;
use std::time::{Duration, Instant};

use crate::place::Place;

/// A hub with a queue `jobs`, in which these died, each with a reason.
fn with_dead(bodies: &[(&str, &str)]) -> Place {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs"]).done();
    for (body, reason) in bodies {
        place.skep(&["publish", "jobs", body]).done();
        let taken = place.skep(&["receive", "jobs", "--json"]).done().json();
        place.skep(&["reject", taken["delivery"]["lease"].as_str().unwrap(), "--reason", reason]).done();
    }
    place
}

fn dead(place: &Place) -> usize {
    place.skep(&["queue", "peek", "$dead.jobs", "--json"]).done().json().as_array().unwrap().len()
}

#[test]
fn after_a_fix_the_dead_letters_of_one_cause_go_back_and_the_others_are_dropped() {
    let place = with_dead(&[
        ("first", "no such customer 1"),
        ("second", "timeout at the bank"),
        ("third", "no such customer 2"),
    ]);
    let shown = place.skep(&["queue", "peek", "$dead.jobs"]).done().out;
    for part in ["DIED", "ATTEMPTS", "timeout at the bank", "client/skep", "now"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let dry = place.skep(&["queue", "redrive", "jobs", "--reason", "no such", "--dry-run"]).done().out;
    assert!(dry.starts_with("would move 2 messages back to jobs; nothing was changed:\n"), "{dry}");
    assert!(dry.contains("no such customer 2") && !dry.contains("bank"), "{dry}");
    assert_eq!(dead(&place), 3);

    let redriven = place.skep(&["queue", "redrive", "jobs", "--reason", "no such", "--rate", "50/s"]).done().out;
    assert_eq!(redriven, "2 messages moved back to jobs\n");
    for body in ["first\n", "third\n"] {
        assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out, body, "their order is kept");
    }
    let older = place.skep(&["queue", "redrive", "jobs", "--older", "1h", "--json"]).done().json();
    assert_eq!((older["count"].as_u64(), older["skipped"].as_u64()), (Some(0), Some(0)), "{older}");
    let dropped = place.skep(&["queue", "purge", "$dead.jobs", "--reason", "bank", "--dry-run"]).done().out;
    assert!(dropped.starts_with("would drop 1 message from $dead.jobs;"), "{dropped}");
    let dropped = place.skep(&["queue", "purge", "$dead.jobs", "--reason", "bank"]).done().out;
    assert_eq!(dropped, "1 message dropped from $dead.jobs\n");
    assert_eq!(dead(&place), 0);
    place.skep(&["queue", "redrive", "jobs", "--rate", "fast"]).failed(2, "expected a rate of messages such as 10/s");
}

#[test]
fn what_is_picked_by_an_empty_text_is_refused_and_nothing_is_dropped() {
    let place = with_dead(&[("first", "bad")]);
    place.skep(&["publish", "jobs", "second"]).done();
    for (flag, name) in
        [("reason", "reason"), ("type", "type"), ("source", "source"), ("message", "message"), ("key", "partitionkey")]
    {
        for args in [["queue", "purge", "jobs"], ["queue", "purge", "$dead.jobs"], ["queue", "redrive", "jobs"]] {
            let flag = format!("--{flag}");
            let ran = place.skep(&[&args[..], &[flag.as_str(), ""]].concat());
            ran.failed(2, &format!("error invalid_argument: {name} is empty"));
        }
    }
    assert_eq!(dead(&place), 1);
    assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out, "second\n");
}

#[test]
fn a_message_that_must_not_be_tried_twice_says_so_itself() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs", "--attempts", "5"]).done();
    place.skep(&["publish", "jobs", "pay once", "--retry", "attempts=1"]).done();
    place.skep(&["publish", "jobs", "try again"]).done();
    for _ in 0..2 {
        let taken = place.skep(&["receive", "jobs", "--json"]).done().json();
        place
            .skep(&["nack", taken["delivery"]["lease"].as_str().unwrap(), "--reason", "no answer", "--after", "1h"])
            .done();
    }
    let dead = place.skep(&["queue", "peek", "$dead.jobs"]).done().out;
    assert!(dead.contains("pay once") && !dead.contains("try again"), "{dead}");
    let refused = place.skep(&["publish", "jobs", "x", "--retry", "3"]);
    refused.failed(2, "expected such as \"attempts=3 backoff=2s..1m\"");
}

#[test]
fn ctrl_c_leaves_the_dead_letters_untouched_that_were_not_reached() {
    let place = with_dead(&[("first", "bad"), ("second", "bad"), ("third", "bad")]);
    let redrive = place.spawn(&["queue", "redrive", "jobs", "--rate", "1/h"]);
    let until = Instant::now() + Duration::from_secs(20);
    while dead(&place) == 3 {
        assert!(Instant::now() < until, "none is moved");
    }
    assert!(Command::new("kill").args(["-INT", &redrive.id().to_string()]).status().unwrap().success());
    let ended = redrive.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(said.starts_with("stopped: ") && said.contains("the rest is untouched"), "{said}");
    assert_eq!((ended.status.code(), dead(&place)), (Some(130), 2));
    assert_eq!(place.skep(&["queue", "redrive", "jobs"]).done().out, "2 messages moved back to jobs\n");
}

#[test]
fn a_rejected_message_is_found_explained_and_brought_back() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "alice"]).done();
    place.skep(&["queue", "add", "jobs"]).done();
    let id = place.skep(&["publish", "jobs", "poison", "--as", "alice", "--json"]).done().json()["id"].clone();
    let taken = place.skep(&["receive", "jobs", "--json"]).done().json();
    place.skep(&["reject", taken["delivery"]["lease"].as_str().unwrap(), "--reason", "no such customer"]).done();

    let traced = place.skep(&["trace", id.as_str().unwrap()]).done().out;
    assert!(traced.contains("It is in the dead letters of jobs: no such customer."), "{traced}");
    // The others that died there are left where they are.
    let redrive = format!("queue redrive jobs --message {}", id.as_str().unwrap());
    assert!(traced.ends_with(&format!("next: skep {redrive}\n")), "{traced}");
    let other = place.skep(&["publish", "jobs", "other", "--json"]).done().json();
    let taken = place.skep(&["receive", "jobs", "--json"]).done().json();
    assert_eq!(taken["delivery"]["message"]["id"], other["id"]);
    place.skep(&["reject", taken["delivery"]["lease"].as_str().unwrap()]).done();
    let dead = place.skep(&["queue", "peek", "$dead.jobs"]).done().out;
    assert!(dead.contains("poison") && dead.contains("no such customer"), "{dead}");
    let notice = place.skep(&["inbox", "alice"]).done().out;
    assert!(notice.contains("delivery.dead_lettered"), "{notice}");

    let typed: Vec<&str> = redrive.split(' ').collect();
    assert_eq!(place.skep(&typed).done().out, "1 message moved back to jobs\n");
    assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out, "poison\n");
}

#[test]
fn what_the_log_does_not_know_is_told_as_nothing_there() {
    let place = Place::with_hub();
    place.skep(&["trace", "no-such-id"]).failed(6, "error not_found: ");
}
