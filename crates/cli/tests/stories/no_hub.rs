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
fn an_address_where_nobody_answers_is_named_and_no_other_hub_is_offered() {
    let place = Place::empty();
    let unix = format!("unix:{}", place.path().join("no.sock").display());
    for url in ["ws://127.0.0.1:1", &unix] {
        let ran = place.skep(&["status", "--url", url]).failed(5, &format!("no hub answers at {url}"));
        assert!(ran.err.contains("expected a Skep hub that listens there"), "{ran:?}");
        assert!(ran.err.contains("--url") && !ran.err.contains("skep serve"), "{ran:?}");
    }
}
