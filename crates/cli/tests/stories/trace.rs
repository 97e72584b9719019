use crate::place::Place;

fn published(place: &Place) -> String {
    place.skep(&["queue", "add", "jobs"]).done();
    place.skep(&["publish", "jobs", "x", "--json"]).done().json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_leased_message_is_traced_to_who_has_it_and_to_the_look_that_shows_until_when() {
    let place = Place::with_hub();
    let id = published(&place);
    let lease = place.skep(&["receive", "jobs", "--as", "bob", "--json"]).done().json()["delivery"]["lease"].clone();
    // Its record may not be in the log yet; that somebody has the message is said all the same.
    let traced = place.skep(&["trace", &id]).done().out;
    assert!(traced.contains("\nagent/bob has it from jobs, attempt 1, for another "), "{traced}");
    assert!(traced.ends_with(" s, and has not settled it.\nnext: skep queue peek jobs\n"), "{traced}");
    place.skep(&["queue", "peek", "jobs"]).done();
    place.skep(&["ack", lease.as_str().unwrap()]).done();
    let traced = place.skep(&["trace", &id]).done().out;
    assert!(traced.contains("\nIt is done: agent/bob acked it, attempt 1.\n"), "{traced}");
    assert!(traced.contains("\n(leased: the time of its record; "), "{traced}");
    assert!(place.skep(&["trace", &id, "--json"]).done().json()["note"].as_str().unwrap().starts_with("leased: "));
}

#[test]
fn a_lease_that_ended_with_the_hub_is_not_told_as_held() {
    let place = Place::with_hub();
    let id = published(&place);
    place.skep(&["receive", "jobs", "--as", "bob"]).done();
    // What is stored after it makes the record of the lease durable.
    place.skep(&["publish", "jobs", "y"]).done();
    place.kill();
    place.serve().done();
    let traced = place.skep(&["trace", &id]).done().out;
    let end = "It waits in jobs to be delivered again: the hub started anew while agent/bob had it, attempt 1.\n\
               next: skep receive jobs\n";
    assert!(traced.ends_with(end), "{traced}");
    assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out, "x\n");
}

#[test]
fn a_message_that_went_with_its_queue_is_not_told_to_wait() {
    let place = Place::with_hub();
    let id = published(&place);
    place.skep(&["queue", "rm", "jobs", "--force"]).done();
    let traced = place.skep(&["trace", &id]).done().out;
    assert!(traced.contains("\nIt was removed together with jobs.\nnext: skep replay "), "{traced}");
}

#[test]
fn a_dead_letter_that_was_dropped_is_not_told_to_be_one() {
    let place = Place::with_hub();
    let id = published(&place);
    let lease = place.skep(&["receive", "jobs", "--json"]).done().json()["delivery"]["lease"].clone();
    place.skep(&["reject", lease.as_str().unwrap()]).done();
    place.skep(&["queue", "purge", "$dead.jobs"]).done();
    let traced = place.skep(&["trace", &id]).done().out;
    assert!(traced.contains("\nIt was dropped from $dead.jobs: the queue was purged.\n"), "{traced}");
}
