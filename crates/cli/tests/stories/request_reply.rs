use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::place::{Place, Ran};

#[test]
fn a_request_is_heard_answered_by_the_command_that_was_shown_and_printed() {
    let place = Place::with_hub();
    let mut listener = place.spawn(&["subscribe", "service.sum", "-n", "1"]);
    let mut said = BufReader::new(listener.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "listening to service.sum; end with Ctrl-C");
    let asker = place.spawn(&["request", "service.sum", "1+1", "--timeout", "20s"]);
    let how = said.next().unwrap().unwrap();
    let words: Vec<String> = how.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
    assert_eq!(words[..4], ["reply", "with:", "skep", "reply"], "{how}");
    let mut args: Vec<&str> = words[3..8].iter().map(String::as_str).collect();
    args.push("2");
    place.skep(&args).done();
    let reply = asker.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(reply.stdout).unwrap(), "2\n");
    let heard = String::from_utf8(listener.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(heard, "service.sum  client/skep  request  1+1\n");
}

#[test]
fn a_request_nobody_can_answer_is_refused_at_once() {
    let place = Place::with_hub();
    place.skep(&["request", "service.none", "x"]).failed(3, "error no_responders: ");
    place.skep(&["request", "bbo", "x"]).failed(3, "there is no agent \"bbo\" either");
}

#[test]
fn a_request_that_is_not_answered_in_time_is_told_with_how_long_was_waited() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    let ran = place.skep(&["request", "bob", "x", "--timeout", "50ms"]);
    ran.failed(6, "error timeout: no reply from agent.bob.inbox within 50ms");
}

#[test]
fn a_request_that_nobody_took_in_time_is_not_answered_for_nobody() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    place.skep(&["request", "bob", "are you there?", "--timeout", "200ms"]).failed(6, "Unless bob took it by then");
    let expired = || place.skep(&["queue", "peek", "$dead.agent.bob.inbox"]).done().out;
    let until = Instant::now() + Duration::from_secs(20);
    while !expired().contains("expired") {
        assert!(Instant::now() < until, "it waits for ever: {}", expired());
    }
    let taken = place.skep(&["receive", "bob", "--as", "bob", "--wait", "200ms"]);
    assert!(!taken.out.contains("are you there?"), "{taken:?}");
}

/// Asks `service.count` for a stream; the command that waits for it, and where replies go and what they name.
fn asked(place: &Place, more: &[&str]) -> (Child, Vec<String>) {
    let mut listener = place.spawn(&["subscribe", "service.count", "-n", "1"]);
    let mut said = BufReader::new(listener.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "listening to service.count; end with Ctrl-C");
    let asker = place.spawn(&[&["request", "service.count", "to three", "--timeout", "20s"], more].concat());
    let how = said.next().unwrap().unwrap();
    assert!(listener.wait().unwrap().success());
    let words = how.split_whitespace().skip(3).take(5).map(|word| word.trim_matches('\'').to_owned());
    (asker, words.collect())
}

fn with<'a>(words: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    words.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn a_streamed_reply_is_printed_part_by_part_while_it_is_still_said() {
    let place = Place::with_hub();
    let (mut asker, words) = asked(&place, &["--stream"]);
    let mut replier = place.spawn_fed(&with(&words, &["--stream", "-"]));
    let (mut said, mut printed) = (replier.stdin.take().unwrap(), BufReader::new(asker.stdout.take().unwrap()));
    for part in ["one\n", "two\n"] {
        said.write_all(part.as_bytes()).unwrap();
        let mut line = String::new();
        printed.read_line(&mut line).unwrap();
        assert_eq!(line, part);
    }
    said.write_all(b"three").unwrap();
    drop(said);
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), asker.wait().unwrap().code()), ("three\n", Some(0)));
    let receipt = String::from_utf8(replier.wait_with_output().unwrap().stdout).unwrap();
    assert!(receipt.starts_with("sent 3 parts and the end -> $reply."), "{receipt}");
}

#[test]
fn a_streamed_reply_of_json_is_one_event_a_line_and_a_bad_line_ends_it_for_both() {
    let place = Place::with_hub();
    let (asker, words) = asked(&place, &["--stream", "--json"]);
    let lines = b"{\"n\":1}\n\n{\"n\":2}\nthree\n{\"n\":4}\n";
    place.skep_with(&with(&words, &["--stream", "--data-json", "-"]), &[], lines).failed(2, "the payload is not JSON");
    let ended = asker.wait_with_output().unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    let parts: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<String> = parts.iter().map(|part| format!("{} {}", part["sequence"], part["data"])).collect();
    assert_eq!(shown, [r#""1" {"n":1}"#, r#""2" {"n":2}"#]);
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(error.contains("stream_broken") && error.contains("the payload is not JSON"), "{error}");
    assert_eq!(ended.status.code(), Some(4));
}

#[test]
fn who_asked_for_one_message_is_told_how_to_get_a_stream() {
    let place = Place::with_hub();
    let (asker, words) = asked(&place, &[]);
    // It may be told that nobody waits any more: the first part was enough.
    place.skep(&with(&words, &["--stream", "one\ntwo"]));
    let error = String::from_utf8(asker.wait_with_output().unwrap().stderr).unwrap();
    assert!(error.contains("error streamed: ") && error.contains("skep request --stream"), "{error}");
    place.skep(&["request", "service.none", "x", "--stream"]).failed(3, "error no_responders: ");
    let many = ["reply", "--to", "a", "--correlation", "1", "--stream", "--id", "2", "x"];
    place.skep(&many).failed(2, "cannot be used with");
}

#[test]
fn a_reply_that_reaches_nobody_fails_and_says_so() {
    let place = Place::with_hub();
    let reply = |to: &str, more: &[&str]| {
        place.skep(&[&["reply", "--to", to, "--correlation", "1", "--as", "bob"], more].concat())
    };
    reply("servce.replies", &["yes"])
        .failed(3, "error unmatched: the reply reached nobody: nobody listens at servce.replies");
    reply("null", &["yes"]).failed(3, "a request whose replyto is null wants no reply");
    reply("servce.replies", &["--stream", "yes"]).failed(3, "error unmatched: ");
    reply("$reply.00000000000000000000000000000000.1", &["yes"]).failed(3, "error ");
    // A queue that takes it keeps it for whoever asked.
    place.skep(&["queue", "add", "replies"]).done();
    reply("replies", &["yes"]).done();
}

#[test]
fn a_request_whose_outcome_nobody_knows_is_told_with_its_id_and_what_to_type() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "w3"]).done();
    let asking = place.spawn(&["request", "w3", "hey", "--id", "ask-1"]);
    let once = place.spawn(&["request", "w3", "once", "--id", "ask-2", "--guarantee", "exactly_once"]);
    let until = Instant::now() + Duration::from_secs(20);
    while ["hey", "once"].iter().any(|text| !place.skep(&["inbox", "w3"]).done().out.contains(text)) {
        assert!(Instant::now() < until, "it was not asked");
    }
    place.skep(&["stop"]).done();
    place.serve().done();
    let asked = Ran::from(asking.wait_with_output().unwrap()).failed(4, "error connection_lost: ");
    let says = "Its id is ask-1: look for it with skep trace ask-1 before you send it again: only a message of \
                --guarantee exactly_once is recognised\n";
    assert!(asked.err.ends_with(says), "{asked:?}");
    let asked = Ran::from(once.wait_with_output().unwrap()).failed(4, "error connection_lost: ");
    let says = "trace ask-2, or send it again as it was, with --id ask-2 --guarantee exactly_once: it is recognised\n";
    assert!(asked.err.ends_with(says), "{asked:?}");
    let again =
        place.skep(&["request", "w3", "once", "--id", "ask-2", "--guarantee", "exactly_once", "--timeout", "1ms"]);
    again.failed(6, "error timeout: ");
    assert_eq!(place.skep(&["trace", "--to", "w3", "--json"]).done().json()["messages"].as_array().unwrap().len(), 2);
    assert!(place.skep(&["trace", "ask-1"]).done().out.contains("agent.w3.inbox"));
}

#[test]
fn a_request_takes_no_replyto_and_says_how_to_have_the_reply_elsewhere() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    let ran = place.skep(&["request", "agent.bob.inbox", "x", "--replyto", "agent.planner.inbox"]);
    let ran = ran.failed(2, "a request waits for its reply and prints it, so it takes no --replyto");
    assert!(
        ran.err.contains(": skep publish agent.bob.inbox TEXT --type request --replyto agent.planner.inbox"),
        "{ran:?}"
    );
    let elsewhere = ["publish", "agent.bob.inbox", "x", "--type", "request", "--replyto", "agent.planner.inbox"];
    place.skep(&elsewhere).done();
    let heard = place.skep(&["receive", "bob", "--ack", "--json"]).done().json();
    assert_eq!(heard["delivery"]["message"]["replyto"], "agent.planner.inbox");
    for verb in ["request", "reply"] {
        assert!(!place.skep(&["help", verb]).done().out.contains("--replyto"));
    }
}
