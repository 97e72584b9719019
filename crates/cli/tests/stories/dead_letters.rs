use crate::place::Place;

#[test]
fn a_rejected_message_is_found_explained_and_brought_back() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "alice"]).done();
    place.skep(&["queue", "add", "jobs"]).done();
    let id = place.skep(&["publish", "jobs", "poison", "--as", "alice", "--json"]).done().json()["id"].clone();
    let taken = place.skep(&["receive", "jobs", "--json"]).done().json();
    place.skep(&["reject", taken["delivery"]["lease"].as_str().unwrap(), "--reason", "no such customer"]).done();

    let traced = place.skep(&["trace", id.as_str().unwrap()]).done().out;
    assert!(traced.contains("It is in the dead letters of jobs: no such customer."), "{traced}");
    assert!(traced.ends_with("next: skep queue redrive jobs\n"), "{traced}");
    let dead = place.skep(&["queue", "peek", "$dead.jobs"]).done().out;
    assert!(dead.contains("poison") && dead.contains("no such customer"), "{dead}");
    let notice = place.skep(&["inbox", "alice"]).done().out;
    assert!(notice.contains("delivery.dead_lettered"), "{notice}");

    assert_eq!(place.skep(&["queue", "redrive", "jobs"]).done().out, "1 message moved back to jobs\n");
    assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out, "poison\n");
}

#[test]
fn what_the_log_does_not_know_is_told_as_nothing_there() {
    let place = Place::with_hub();
    place.skep(&["trace", "no-such-id"]).failed(6, "error not_found: ");
}
