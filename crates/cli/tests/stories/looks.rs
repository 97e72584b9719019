use std::io::{BufRead, BufReader};

use crate::place::Place;

fn place() -> Place {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs", "--backoff-min", "0s"]).done();
    place
}

#[test]
fn what_is_seen_of_a_message_is_enough_to_type_the_next_command() {
    let place = place();
    let published = place.skep(&["publish", "jobs", "one", "--json"]).done().json();
    let id = published["id"].as_str().unwrap();
    for args in [&["queue", "peek", "jobs"][..], &["replay", "jobs"]] {
        let seen = place.skep(args).done().out;
        assert!(seen.contains(id), "{args:?}: {seen}");
    }
    place.skep(&["trace", id]).done();
}

#[test]
fn a_leased_message_is_shown_with_who_has_it_and_for_how_long() {
    let place = place();
    place.skep(&["publish", "jobs", "one"]).done();
    place.skep(&["publish", "jobs", "two"]).done();
    let taken = place.skep(&["receive", "jobs", "--as", "bob", "--json"]).done().json();
    let seen = place.skep(&["queue", "peek", "jobs"]).done().out;
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines[1].contains("leased to agent/bob, ") && lines[1].contains(" s left, attempt 1  one"), "{seen}");
    assert!(lines[2].contains("  waits  ") && lines[2].ends_with("two"), "{seen}");
    let json = place.skep(&["queue", "peek", "jobs", "--json"]).done().json();
    assert_eq!(json[0]["holder"]["party"], "agent/bob");
    let left_ms = json[0]["holder"]["until_ms"].as_u64().unwrap() - json[0]["time_ms"].as_u64().unwrap();
    assert!((1..=120_000).contains(&left_ms), "{json}");
    assert_eq!((json[1]["holder"].is_null(), json[1]["attempts"].as_u64()), (true, Some(0)));

    let lease = taken["delivery"]["lease"].as_str().unwrap();
    place.skep(&["nack", lease, "--reason", "not now"]).done();
    let seen = place.skep(&["queue", "peek", "jobs"]).done().out;
    assert!(seen.contains("waits, attempt 1 ended: not now") && !seen.contains("leased"), "{seen}");
}

/// Publishes a message whose every text would colour, move or forge what a terminal shows.
fn publish_evil(place: &Place) {
    let args = ["publish", "jobs", "\u{1b}[31mred", "--type", "\u{1b}[31mred\nforged", "--id", "a\u{9b}2Jb"];
    place.skep(&args).done();
}

#[test]
fn what_a_terminal_would_obey_is_shown_of_stored_and_of_live_messages() {
    let place = place();
    publish_evil(&place);
    let is_tame = |text: &str| !text.contains(|c: char| c.is_control() && c != '\n');
    let shown = place.skep(&["replay", "jobs"]).done().out;
    assert!(is_tame(&shown) && shown.lines().count() == 1, "{shown:?}");
    assert!(shown.contains("a\\u{9b}2Jb") && shown.contains("\\u{1b}[31mred\\nforged"), "{shown:?}");
    let taken = place.skep(&["receive", "jobs"]).done().err;
    assert!(is_tame(&taken) && taken.contains("\\u{1b}[31mred\\nforged\n"), "{taken:?}");

    let mut child = place.spawn(&["subscribe", "jobs", "-n", "1"]);
    let mut said = String::new();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    err.read_line(&mut said).unwrap();
    assert!(said.starts_with("listening"), "{said}");
    publish_evil(&place);
    let heard = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(is_tame(&heard) && heard.lines().count() == 1 && heard.contains("\\u{1b}[31mred\\nforged"), "{heard:?}");
    // A program is given what was said.
    let json = place.skep(&["replay", "jobs", "-n", "1", "--json"]).done().json();
    assert_eq!(json["message"]["type"], "\u{1b}[31mred\nforged");
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_look_quietly() {
    let place = place();
    for n in 0..20 {
        place.skep(&["publish", "jobs", &format!("{n} {}", "x".repeat(8 * 1024))]).done();
    }
    // More than a pipe holds, so that it is written while nobody reads.
    for args in [&["replay", ">", "--json"][..], &["queue", "peek", "jobs", "--json"]] {
        let mut child = place.spawn(args);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        if args[0] == "replay" {
            let mut first = String::new();
            out.read_line(&mut first).unwrap();
            assert!(first.contains("\"0 xxx"), "{first}");
        }
        drop(out);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}
