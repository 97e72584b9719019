use crate::place::Place;

#[test]
fn without_a_hub_every_verb_says_where_it_looked_and_what_to_do() {
    let place = Place::empty();
    let lease = "00000000000000000000000000000001";
    let verbs: &[&[&str]] = &[
        &["send", "bob", "hi"],
        &["publish", "a.b", "hi"],
        &["request", "bob", "hi"],
        &["reply", "--to", "a", "--correlation", "1", "hi"],
        &["subscribe", ">"],
        &["receive", "bob"],
        &["inbox", "bob"],
        &["ack", lease],
        &["nack", lease],
        &["reject", lease],
        &["extend", lease],
        &["agents", "ls"],
        &["queue", "ls"],
        &["replay", ">"],
        &["trace", "1"],
        &["status"],
    ];
    for verb in verbs {
        let ran = place.skep(verb).failed(5, "error no_hub: no hub: there is no data folder ./.skep");
        assert!(ran.err.contains("skep serve --detach") && ran.out.is_empty(), "{ran:?}");
    }
    place.skep(&["stop"]).failed(5, "no_hub");
}

#[test]
fn a_hub_that_was_killed_is_no_hub_whatever_its_file_says() {
    let place = Place::with_hub();
    place.kill();
    place.skep(&["status"]).failed(5, "error no_hub: no hub runs in ./.skep. Start one: skep serve --detach");
    assert!(place.hub().is_some());
    place.serve().done();
    place.skep(&["status"]).done();
}

#[test]
fn an_address_where_nobody_answers_is_named_with_who_said_it() {
    let place = Place::empty();
    let ran = place.skep(&["status", "--url", "ws://127.0.0.1:1"]).failed(5, "error no_hub: no hub answers at ws://");
    ran.failed(5, ". Correct --url, or start one there: skep serve --detach --listen 127.0.0.1:1\n");
    let ran = place.skep_with(&["status"], &[("SKEP_URL", "unix:/nowhere.sock")], b"");
    let ran = ran.failed(5, "Correct SKEP_URL, or leave it out to find the hub of this folder");
    assert!(!ran.err.contains("skep serve"), "{ran:?}");
}

#[test]
fn a_data_folder_that_was_said_is_said_again_in_what_to_do() {
    let place = Place::empty();
    let ran = place.skep(&["status", "--data", "some where"]);
    let text = "no data folder ./some where. Start one: skep serve --detach --data 'some where'\n";
    ran.failed(5, text);
}

/// Lets a process go on, also when the story fails.
struct Stopped(String);

impl Stopped {
    fn new(pid: &str) -> Self {
        assert!(std::process::Command::new("kill").args(["-STOP", pid]).status().unwrap().success());
        Stopped(pid.to_owned())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-CONT", &self.0]).status();
    }
}

#[test]
fn a_hub_that_listens_and_does_not_answer_is_not_told_to_be_started() {
    let place = Place::with_hub();
    let pid = place.hub().unwrap()["pid"].to_string();
    let stopped = Stopped::new(&pid);
    let ran = place.skep(&["status"]).failed(5, "error no_hub: the hub in ./.skep listens at ");
    assert!(ran.err.contains(" and does not answer, for 3s now") && ran.err.contains(&pid), "{ran:?}");
    assert!(!ran.err.contains("serve"), "{ran:?}");
    drop(stopped);
    place.skep(&["status"]).done();
}
