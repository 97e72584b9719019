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
