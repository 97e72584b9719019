use crate::place::Place;

fn with_jobs(jobs: &[&str]) -> Place {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs", "--backoff-min", "0s"]).done();
    for job in jobs {
        place.skep(&["publish", "jobs", job]).done();
    }
    place
}

fn counts(place: &Place) -> (u64, u64) {
    let queue = place.skep(&["queue", "show", "jobs", "--json"]).done().json();
    (queue["ready"].as_u64().unwrap(), queue["leased"].as_u64().unwrap())
}

#[test]
fn receive_takes_one_unless_told_and_leaves_the_rest() {
    let place = with_jobs(&["a", "b", "c", "d"]);
    assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out, "a\n");
    assert_eq!(counts(&place), (3, 0));
    assert_eq!(place.skep(&["receive", "jobs", "-n", "2", "--ack"]).done().out, "b\nc\n");
    assert_eq!(counts(&place), (1, 0));
    assert_eq!(place.skep(&["receive", "jobs", "-n", "9", "--ack"]).done().out, "d\n");
}

#[test]
fn a_lease_outlives_the_command_that_took_it() {
    let place = with_jobs(&["a", "b", "c"]);
    let taken = place.skep(&["receive", "jobs", "--json"]).done().json();
    let lease = taken["delivery"]["lease"].as_str().unwrap();
    assert_eq!((taken["delivery"]["message"]["data"].as_str(), counts(&place)), (Some("a"), (2, 1)));
    place.skep(&["extend", lease, "--for", "5m", "--progress", "half"]).done();
    place.skep(&["nack", lease, "--reason", "not now"]).done();
    place.skep(&["ack", lease]).failed(3, "error lease_lost: ");
    let again = place.skep(&["receive", "jobs", "-n", "3"]).done();
    assert_eq!(again.out.lines().count(), 3);
    assert!(again.err.contains("the attempt before ended: not now, which came as far as: half"), "{again:?}");
    let leases: Vec<&str> = again.err.lines().filter_map(|line| line.split("skep ack ").nth(1)).collect();
    assert_eq!((leases.len(), counts(&place)), (3, (0, 3)));
    let acked = place.skep(&[&["ack"], leases.as_slice()].concat()).done().out;
    assert_eq!((acked.lines().count(), counts(&place)), (3, (0, 0)));
}

#[test]
fn a_queue_or_an_agent_that_is_not_there_is_told_with_what_to_add() {
    let place = Place::with_hub();
    let ran =
        place.skep(&["receive", "job", "--wait", "0s"]).failed(3, "error unknown_agent: no queue and no agent \"job\"");
    assert!(ran.err.contains("skep queue add job, or skep agents add job"), "{ran:?}");
    place.skep(&["receive"]).failed(2, "error usage: name a queue or an agent");
}

#[test]
fn a_payload_is_printed_as_it_was_sent() {
    let place = with_jobs(&[]);
    let bytes = "zwölf\n\u{1b}[1m\nlines".as_bytes();
    place.skep_with(&["publish", "jobs", "-"], &[], bytes).done();
    assert_eq!(place.skep(&["receive", "jobs", "--ack"]).done().out.as_bytes(), [bytes, b"\n"].concat());
}

#[test]
fn what_cannot_be_printed_is_not_taken() {
    let place = with_jobs(&["a", "b"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = place.skep_to(&["receive", "jobs", "-n", "2", "--ack"], full);
    assert_eq!((ran.code, counts(&place)), (1, (2, 0)), "{ran:?}");
    assert_eq!(place.skep(&["receive", "jobs", "-n", "2", "--ack"]).done().out, "a\nb\n");
}

#[test]
fn who_is_given_nothing_is_told_what_the_queue_holds() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs"]).done();
    place.skep(&["publish", "jobs", "now"]).done();
    place.skep(&["publish", "jobs", "later", "--delay", "1h"]).done();
    place.skep(&["receive", "jobs"]).done();
    place
        .skep(&["receive", "jobs", "--wait", "0s"])
        .failed(6, "nothing came from jobs within 0s; it holds 1 leased, 1 delayed");
}

#[test]
fn who_waits_behind_the_lease_of_another_is_told_whose_it_is_and_until_when() {
    let place = Place::with_hub();
    for how in ["exclusive", "single-active"] {
        place.skep(&["queue", "add", how, "--consumers", how]).done();
        place.skep(&["publish", how, "first"]).done();
        let second = place.skep(&["publish", how, "second", "--json"]).done().json();
        let taken = place.skep(&["receive", how, "--as", "eve", "--json"]).done().json();
        let position = &taken["delivery"]["position"];
        let ran =
            place.skep(&["receive", how, "--wait", "0s"]).failed(6, "it holds 1 ready, 1 leased. But one consumer");
        ran.failed(6, &format!("the lease of agent/eve on position {position} keeps it for another "));
        let traced = place.skep(&["trace", second["id"].as_str().unwrap()]).done().out;
        assert!(traced.contains(&format!("the lease of agent/eve on position {position} keeps it")), "{traced}");
        assert!(traced.ends_with(&format!("\nnext: skep queue peek {how}\n")), "{traced}");
        place.skep(&["ack", taken["delivery"]["lease"].as_str().unwrap()]).done();
        assert_eq!(place.skep(&["receive", how, "--ack"]).done().out, "second\n");
    }
}
