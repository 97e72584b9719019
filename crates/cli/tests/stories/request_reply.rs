use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::place::Place;

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
