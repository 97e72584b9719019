use crate::place::Place;

#[test]
fn a_restart_keeps_the_queue_whether_the_hub_was_stopped_or_killed() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    place.skep(&["send", "bob", "one"]).done();
    place.skep(&["stop"]).done();
    place.serve().done();
    place.skep(&["send", "bob", "two"]).done();
    place.kill();
    place.serve().done();
    let sent = place.skep(&["send", "bob", "three"]).done().out;
    assert!(sent.contains("bob: 3 waiting"), "{sent}");
    let received = place.skep(&["receive", "bob", "--ack", "-n", "3"]).done().out;
    assert_eq!(received, "one\ntwo\nthree\n");
    place.kill();
    place.serve().done();
    place.skep(&["receive", "bob", "--wait", "0s"]).failed(6, "nothing came");
}

#[test]
fn a_hub_that_was_killed_an_instant_ago_does_not_keep_the_next_from_starting() {
    let place = Place::with_hub();
    for _ in 0..5 {
        let pid = place.hub().unwrap()["pid"].to_string();
        let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        assert!(killed.success());
        place.serve().done();
    }
}
