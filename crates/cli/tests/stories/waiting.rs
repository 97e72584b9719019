use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::place::Place;

fn place() -> Place {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs"]).done();
    place
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn counts(place: &Place) -> (u64, u64) {
    let queue = place.skep(&["queue", "show", "jobs", "--json"]).done().json();
    (queue["ready"].as_u64().unwrap(), queue["leased"].as_u64().unwrap())
}

#[test]
fn whoever_waits_is_told_for_what_and_ends_it_with_nothing_lost() {
    let place = place();
    for how in ["-INT", "-TERM"] {
        let mut child = place.spawn(&["receive", "jobs"]);
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        err.read_line(&mut said).unwrap();
        assert_eq!(said, "waiting for messages in jobs (Ctrl-C ends)\n");
        signal(&child, how);
        let ended = child.wait_with_output().unwrap();
        err.read_to_string(&mut said).unwrap();
        assert_eq!((ended.status.code(), ended.stdout.len(), said.lines().count()), (Some(130), 0, 1), "{said}");
    }
    place.skep(&["publish", "jobs", "one"]).done();
    assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out, "one\n");
}

#[test]
fn what_waits_already_comes_without_a_word_about_waiting() {
    let place = place();
    place.skep(&["publish", "jobs", "one"]).done();
    let ran = place.skep(&["receive", "jobs", "--ack"]).done();
    assert!(!ran.err.contains("waiting"), "{ran:?}");
    let ran = place.skep(&["receive", "jobs", "--wait", "400ms", "--json"]);
    assert_eq!((ran.code, ran.err.lines().count()), (6, 1), "{ran:?}");
}

#[test]
fn what_was_taken_and_not_shown_goes_back_when_the_command_is_interrupted() {
    let place = place();
    // More are wanted than there are, and so the command waits for the next with those it has.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        place.skep(&["publish", "jobs", "one"]).done();
        let child = place.spawn(&["receive", "jobs", "-n", "1000"]);
        let mut leased = false;
        while !leased && child.id() > 0 && Instant::now() < deadline {
            leased = counts(&place).1 == 1;
        }
        signal(&child, "-INT");
        let ended = child.wait_with_output().unwrap();
        if ended.status.code() == Some(130) && ended.stdout.is_empty() {
            break;
        }
        // It had shown the message before it heard the signal: once more.
        assert!(Instant::now() < deadline, "{ended:?}");
        place.skep(&["queue", "rm", "jobs", "--force"]).done();
        place.skep(&["queue", "add", "jobs"]).done();
    }
    assert_eq!(counts(&place), (1, 0));
}
