use std::time::{Duration, Instant};

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
    assert!(traced.contains("\nIt was dropped from $dead.jobs by a purge.\n"), "{traced}");
}

/// Alice writes to two coders, one of whom takes nothing.
fn crew() -> Place {
    let place = Place::with_hub();
    for agent in ["alice", "coder-1", "coder-2"] {
        place.skep(&["agents", "add", agent]).done();
    }
    for coder in ["coder-1", "coder-2"] {
        place.skep(&["send", coder, "build it", "--type", "task", "--conversation", "c-1", "--as", "alice"]).done();
    }
    place.skep(&["receive", "coder-1", "--as", "coder-1", "--ack"]).done();
    place
}

#[test]
fn why_an_agent_did_not_get_its_messages_is_told_in_one_screen_with_one_cause_and_one_command() {
    let place = crew();
    let traced = place.skep(&["trace", "--to", "coder-2", "--since", "1h", "--undelivered"]).done();
    let lines: Vec<&str> = traced.out.lines().collect();
    assert!(lines.len() == 5 && lines[1].contains("alice") && lines[1].contains("waiting"), "{traced:?}");
    assert_eq!(lines[3], "The message waits in agent.coder-2.inbox: coder-2 is not here, never connected.");
    assert_eq!(lines[4], "next: skep receive coder-2");
    assert!(traced.err.contains("kept in memory only: known since 2"), "{traced:?}");
    // What the next command takes is not there any more.
    place.skep(&["receive", "coder-2", "--ack"]).done();
    let traced = place.skep(&["trace", "--to", "coder-2", "--undelivered"]).done();
    let expected = "nothing undelivered to coder-2 in the last 24h; 1 delivered.";
    assert!(traced.out.is_empty() && traced.err.starts_with(expected), "{traced:?}");
    let all = place.skep(&["trace", "--from", "alice"]).done().out;
    assert!(all.contains("\nAll 2 are done.\nnext: skep trace "), "{all}");
    let near = place.skep(&["trace", "--to", "codr-2"]).done().err;
    assert!(near.contains("Did you mean \"coder-2\""), "{near}");
}

#[test]
fn a_list_goes_on_where_it_said_and_says_all_as_json() {
    let place = crew();
    let json = place.skep(&["trace", "--from", "alice", "-n", "1", "--json"]).done().json();
    assert_eq!(
        (json["messages"][0]["state"].as_str(), json["messages"][0]["to"][0].as_str()),
        (Some("acked"), Some("agent.coder-1.inbox"))
    );
    let more = json["more"].to_string();
    let told = place.skep(&["trace", "--from", "alice", "-n", "1"]).done().err;
    assert!(told.contains(&format!("there are more: skep trace --from alice -n 1 --after {more}")), "{told}");
    let json = place.skep(&["trace", "--from", "alice", "--after", &more, "--json"]).done().json();
    assert_eq!(
        (json["messages"].as_array().map(Vec::len), json["messages"][0]["state"].as_str()),
        (Some(1), Some("waiting"))
    );
    assert_eq!((json["more"].is_null(), json["next"].as_str()), (true, Some("skep receive coder-2")));
}

#[test]
fn a_conversation_is_drawn_with_a_column_for_each_party_and_its_dead_letters_marked() {
    let place = crew();
    let lease = place.skep(&["receive", "coder-2", "--json"]).done().json()["delivery"]["lease"].clone();
    place.skep(&["reject", lease.as_str().unwrap(), "--reason", "no such branch"]).done();
    // The notice to alice is stored a moment after the reject is answered.
    let until = Instant::now() + Duration::from_secs(20);
    let mut drawn = String::new();
    while !drawn.starts_with("conversation c-1: 3 ") && Instant::now() < until {
        drawn = place.skep(&["trace", "--conversation", "c-1"]).done().out;
    }
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(lines[0].starts_with("conversation c-1: 3 messages, 2"), "{drawn}");
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["alice", "coder-1", "coder-2", "skep/hub"]);
    assert!(lines[3].contains("task build it") && lines[3].ends_with("acked"), "{drawn}");
    assert!(drawn.contains("x dead letter, try 1: no such branch"), "{drawn}");
    assert!(lines.iter().all(|line| line.chars().count() <= 120), "{drawn}");
    assert!(drawn.contains("\n1 of 3 is in the dead letters of agent.coder-2.inbox: no such branch.\n"), "{drawn}");
}

#[test]
fn what_was_refused_or_reached_nobody_is_told_with_why_until_the_hub_ends() {
    let place = crew();
    place.skep(&["send", "coder-9", "hi", "--id", "lost-1", "--as", "alice"]).failed(3, "unknown_agent");
    place.skep(&["publish", "build.red", "main", "--id", "lost-2", "--as", "alice"]).done();
    place.skep(&["queue", "add", "small", "--messages-max", "1"]).done();
    place.skep(&["publish", "small", "1"]).done();
    place.skep(&["publish", "small", "2", "--id", "lost-3"]).failed(3, "queue_full");
    for (id, says, next) in [
        ("lost-1", "It was refused and is stored nowhere: unknown_agent: no agent \"coder-9\"", "agents add coder-9"),
        ("lost-2", "It reached nobody: no queue matched it, and nobody listened.", "queue add build.red"),
        ("lost-3", "It was refused and is stored nowhere: queue_full: ", "queue ls"),
    ] {
        let traced = place.skep(&["trace", id]).done().out;
        assert!(traced.contains(says) && traced.ends_with(&format!("next: skep {next}\n")), "{traced}");
        assert!(traced.contains("kept in memory only: known since 2"), "{traced}");
    }
    let refused = place.skep(&["trace", "--from", "alice", "--undelivered", "--json"]).done().json();
    let states: Vec<&str> =
        refused["messages"].as_array().unwrap().iter().filter_map(|m| m["state"].as_str()).collect();
    assert_eq!(states, ["waiting", "refused", "unmatched"]);
    place.kill();
    place.serve().done();
    place.skep(&["trace", "lost-1"]).failed(6, "kept in memory only: known since 2");
}

#[test]
fn a_list_of_what_was_refused_goes_on_where_it_ended_and_does_not_say_all_before() {
    let place = Place::with_hub();
    for id in ["lost-1", "lost-2", "lost-3"] {
        place.skep(&["send", "coder-9", "hi", "--id", id, "--as", "alice"]).failed(3, "unknown_agent");
    }
    let begun = place.skep(&["trace", "--outcome", "refused", "-n", "2"]).done();
    assert!(begun.out.contains("lost-1") && begun.out.contains("lost-2") && !begun.out.contains("lost-3"), "{begun:?}");
    assert!(begun.out.contains("\n2 of the 2 shown were refused"), "{begun:?}");
    let (_, rest) = begun.err.split_once("there are more: skep ").expect("where to go on");
    let typed: Vec<&str> = rest.lines().next().into_iter().flat_map(str::split_whitespace).collect();
    let more = place.skep(&typed).done();
    assert!(more.out.contains("lost-3") && !more.out.contains("lost-2"), "{more:?}");
    assert!(!more.err.contains("there are more"), "{more:?}");
}

#[test]
fn to_trace_nothing_in_particular_is_told_what_can_be_said() {
    let place = Place::with_hub();
    place.skep(&["trace"]).failed(2, "--undelivered");
    place.skep(&["trace", "--outcome", "lost"]).failed(2, "expected one of undelivered");
}

#[test]
fn a_message_that_waits_is_told_with_who_could_take_it_and_a_delayed_one_with_when_it_is_due() {
    let place = crew();
    let id = published(&place);
    let traced = place.skep(&["trace", &id]).done().out;
    assert!(traced.contains("\nIt waits in jobs; nobody has taken it yet: no consumer is attached.\n"), "{traced}");
    let json = place.skep(&["publish", "jobs", "later", "--delay", "15m", "--json"]).done().json();
    let delayed = json["id"].as_str().unwrap();
    let traced = place.skep(&["trace", delayed]).done().out;
    assert!(traced.contains("Z  delayed   jobs "), "{traced}");
    assert!(traced.contains("\nIt waits in jobs for the moment that its sender named, due in 1"), "{traced}");
    assert!(traced.ends_with("\nnext: skep queue peek jobs\n"), "{traced}");
    let listed = place.skep(&["trace", "--to", "jobs", "--outcome", "delayed"]).done().out;
    assert!(listed.contains("delayed  due in 1") && listed.lines().count() == 5, "{listed}");
}

#[test]
fn messages_that_share_an_id_are_told_one_after_the_other() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs"]).done();
    for who in ["alice", "bob"] {
        place.skep(&["publish", "jobs", "x", "--id", "same", "--as", who]).done();
    }
    place.skep(&["receive", "jobs", "--ack", "--as", "carol"]).done();
    let traced = place.skep(&["trace", "same"]).done().out;
    let heads: Vec<&str> = traced.lines().filter(|line| line.starts_with("from ")).collect();
    assert!(heads.len() == 2 && heads[0].starts_with("from alice, ") && heads[0].ends_with(": acked"), "{traced}");
    assert!(heads[1].starts_with("from bob, ") && heads[1].ends_with(": waiting"), "{traced}");
    let end = "\nOf 2 messages with this id, that from bob stands worst: it waits in jobs; nobody has taken it yet: \
               no consumer is attached.\nnext: skep receive jobs\n";
    assert!(traced.ends_with(end), "{traced}");
}

#[test]
fn an_expired_dead_letter_is_found_as_expired_and_nobody_is_told_to_redrive_it() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs"]).done();
    let id = place.skep(&["publish", "jobs", "late", "--expires", "50ms", "--json"]).done().json()["id"].clone();
    let until = Instant::now() + Duration::from_secs(20);
    while !place.skep(&["queue", "peek", "$dead.jobs"]).done().out.contains("expired") {
        assert!(Instant::now() < until, "it waits for ever");
    }
    let one = place.skep(&["trace", id.as_str().unwrap()]).done().out;
    assert!(one.contains("send it again") && one.trim_end().ends_with("next: skep queue peek '$dead.jobs'"), "{one}");
    let list = place.skep(&["trace", "--to", "jobs", "--outcome", "expired"]).done().out;
    assert!(list.contains("dead") && list.contains("send it again") && !list.contains("redrive jobs"), "{list}");
}

#[test]
fn where_nothing_is_found_it_is_told_whether_the_name_is_known_or_all_is_delivered() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    place.skep(&["send", "bob", "hi"]).done();
    place.skep(&["receive", "bob", "--ack"]).done();
    let said = |to: &str| place.skep(&["trace", "--to", to, "--since", "1h", "--undelivered"]).done().err;
    let unknown = said("bbo");
    assert!(unknown.starts_with("no such message: no agent and no queue is called \"bbo\""), "{unknown}");
    assert!(unknown.contains("Did you mean \"bob\"?"), "{unknown}");
    assert!(said("bob").starts_with("nothing undelivered to bob in the last 1h; 1 delivered."), "{}", said("bob"));
}

#[test]
fn a_search_that_finds_nothing_says_what_was_asked_for_and_which_name_nobody_has_in_json_too() {
    let place = Place::with_hub();
    for agent in ["alice", "bob"] {
        place.skep(&["agents", "add", agent]).done();
    }
    place.skep(&["queue", "add", "ledger"]).done();
    for (args, says) in [
        (
            &["--from", "bbo"][..],
            "no message from bbo in the last 24h is known: no agent is called \"bbo\". Did you mean \"bob\"?",
        ),
        (&["--from", "alice"], "no message from alice in the last 24h is known."),
        (&["--to", "ledger", "--since", "1h"], "no message to ledger in the last 1h is known."),
        (
            &["--to", "nobody"],
            "no such message: no agent and no queue is called \"nobody\", and none takes that topic.",
        ),
        (&["--conversation", "nope"], "no message of the conversation nope is known."),
        (&["--to", "bob", "--outcome", "dead"], "no message to bob that is dead in the last 24h is known."),
    ] {
        let typed: Vec<&str> = ["trace"].iter().chain(args).copied().collect();
        let told = place.skep(&typed).done().err;
        assert_eq!(told.lines().next(), Some(says));
        let json = place.skep(&[&typed[..], &["--json"]].concat()).done().json();
        assert_eq!(json["verdict"].as_str(), Some(says));
    }
}

#[test]
fn a_message_that_other_options_hide_is_not_told_to_be_unknown() {
    let place = Place::with_hub();
    let id = published(&place);
    place.skep(&["trace", &id, "--to", "jobs"]).done();
    let hidden = place.skep(&["trace", &id, "--to", "bob"]).failed(6, "is known, but none that the other options mean");
    assert!(hidden.err.trim_end().ends_with(&format!("without them: skep trace {id}")), "{hidden:?}");
    place.skep(&["trace", "no-such-id", "--to", "bob"]).failed(6, "no message with the id \"no-such-id\" is known");
    let before = place.skep(&["replay", ">", "--from", "99999999"]).done();
    let says =
        "no message to > is stored at position 99999999 or behind it; there are some before: skep replay '>' --from ";
    assert!(before.err.starts_with(says), "{before:?}");
    let none = place.skep(&["replay", "nowhere", "--from", "99999999"]).done();
    assert!(none.err.starts_with("no message to nowhere is stored."), "{none:?}");
}

#[test]
fn agents_that_wait_each_for_themselves_are_counted_together() {
    let place = crew();
    place.skep(&["send", "coder-1", "once more", "--as", "alice"]).done();
    let traced = place.skep(&["trace", "--from", "alice", "--undelivered"]).done().out;
    let says = "\nAll 2 wait in 2 queues, the last one in agent.coder-1.inbox: coder-1 is not here, ";
    assert!(traced.contains(says) && traced.ends_with("\nnext: skep receive coder-1\n"), "{traced}");
}
