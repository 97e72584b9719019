use crate::place::Place;

#[test]
fn the_first_hour_is_told_word_for_word() {
    let place = Place::empty();
    let ready = place.serve().done();
    let http = place.hub().unwrap()["http"].as_str().unwrap().to_owned();
    assert_eq!((ready.out, ready.err), (format!("ready {http}  data ./.skep\n"), String::new()));

    let refused = place.skep(&["send", "bob", "hi"]);
    assert_eq!(refused.err, "error unknown_agent: no agent \"bob\". Add it: skep agents add bob\n");
    assert_eq!((refused.code, refused.out.as_str()), (3, ""));

    let added = place.skep(&["agents", "add", "bob"]).done();
    assert_eq!((added.out.as_str(), added.err.as_str()), ("added bob; it has an inbox now\n", ""));

    let stored = place.skep(&["send", "bob", "hi"]).done().out;
    let words: Vec<&str> = stored.split_whitespace().collect();
    assert_eq!((words[0], words[1].len(), words[2]), ("stored", 36, "position"), "{stored}");
    assert!(words[3].parse::<u64>().is_ok(), "{stored}");
    assert_eq!(words[4..].join(" "), "fsync -> bob: 1 waiting, never connected");
    assert_eq!(
        stored,
        format!("stored {}  position {}  fsync  ->  bob: 1 waiting, never connected\n", words[1], words[3])
    );

    for _ in 0..2 {
        let seen = place.skep(&["inbox", "bob"]).done().out;
        assert!(seen.starts_with("POSITION") && seen.contains("hi") && seen.lines().count() == 2, "{seen}");
        assert!(seen.contains(words[1]) && seen.contains("  waits  "), "{seen}");
    }

    let received = place.skep(&["receive", "bob", "--ack"]).done();
    assert_eq!(received.out, "hi\n");
    assert!(received.err.contains(words[1]) && received.err.contains("attempt 1"), "{received:?}");

    place
        .skep(&["receive", "bob", "--wait", "0s"])
        .failed(6, "error timeout: nothing came from agent.bob.inbox within 0s");
    let traced = place.skep(&["trace", words[1]]).done().out;
    assert!(traced.contains("It is done: agent/bob acked it, attempt 1."), "{traced}");

    let stopped = place.skep(&["stop"]).done().out;
    assert!(stopped.starts_with("stopped, pid "), "{stopped}");
    assert_eq!(place.hub(), None);
}

#[test]
fn a_status_says_where_the_hub_is() {
    let place = Place::with_hub();
    let hub = place.hub().unwrap();
    let (said, json) = (place.skep(&["status"]).done().out, place.skep(&["status", "--json"]).done().json());
    let http = hub["http"].as_str().unwrap();
    assert!(said.contains(&format!("address   {http}, unix:")) && said.contains("data      ./.skep\n"), "{said}");
    assert!(said.contains(&format!("pid       {}\n", hub["pid"])), "{said}");
    assert_eq!((&json["http"], &json["pid"]), (&hub["http"], &hub["pid"]));
}
