use std::time::{Duration, Instant};

use crate::place::Place;

#[test]
fn a_delayed_message_waits_is_shown_and_comes_and_an_expired_one_is_a_dead_letter() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs"]).done();
    place.skep(&["publish", "jobs", "later", "--delay", "2s"]).done();
    place.skep(&["publish", "jobs", "soon stale", "--expires", "100ms"]).done();
    let looked = place.skep(&["queue", "peek", "jobs"]).done().out;
    assert!(looked.contains("later") && looked.contains("delayed"), "{looked}");
    let expired = || place.skep(&["queue", "peek", "$dead.jobs"]).done().out;
    let until = Instant::now() + Duration::from_secs(20);
    while !expired().contains("soon stale") {
        assert!(Instant::now() < until, "it never expires: {}", expired());
    }
    assert!(expired().contains("expired"), "{}", expired());
    let taken = place.skep(&["receive", "jobs", "--ack", "--wait", "20s"]).done().out;
    assert!(taken.contains("later"), "{taken}");
}

#[test]
fn a_moment_that_no_queue_can_keep_is_refused() {
    let place = Place::with_hub();
    place.skep(&["publish", "nobody.listens", "x", "--delay", "1m"]).failed(3, "no_queue");
    place.skep(&["publish", "nobody.listens", "x", "--not-before", "tomorrow"]).failed(2, "expected a time such as");
}
