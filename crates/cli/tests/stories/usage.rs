use serde_json::Value;

use crate::place::Place;

#[test]
fn a_command_that_is_not_understood_is_told_in_three_lines() {
    let place = Place::empty();
    let ran = place.skep(&["send", "bob"]);
    let expected = "error usage: the following required arguments were not provided: <TEXT>\n\
                    usage: skep send <AGENT> <TEXT>\nexample: skep send bob \"hi\"\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (2, "", expected));
    let ran = place.skep(&["queue"]);
    assert!(
        ran.err.starts_with("error usage: say what to do: ls, add, rm, ") && ran.err.lines().count() == 3,
        "{ran:?}"
    );
    place.skep(&["sned", "bob", "hi"]).failed(2, "a similar subcommand exists: 'send'\n");
}

#[test]
fn with_json_a_command_that_is_not_understood_is_one_object_of_code_usage() {
    let place = Place::empty();
    let wrong: &[&[&str]] = &[
        &["send", "bob", "--json"],
        &["--json", "sned"],
        &["queue", "--json"],
        &["queue", "add", "a b", "--json"],
        &["receive", "--json"],
        &["--json"],
    ];
    for args in wrong {
        let ran = place.skep(args);
        let error: Value = serde_json::from_str(&ran.err).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!((ran.code, ran.out.as_str(), error["exit"].as_i64()), (2, "", Some(2)), "{ran:?}");
        assert_eq!(error["error"]["code"], "usage", "{ran:?}");
    }
    // What stands behind -- is text.
    let ran = place.skep(&["send", "--", "bob", "--json", "x"]).failed(2, "error usage: ");
    assert!(!ran.err.starts_with('{'), "{ran:?}");
}

#[test]
fn help_and_version_are_answers_and_the_program_alone_shows_its_first_hour() {
    let place = Place::empty();
    for args in [&["--help"][..], &["-V"], &["send", "-h"], &["help", "queue"], &["help", "exit-codes"]] {
        let ran = place.skep(args).done();
        assert!(!ran.out.is_empty() && ran.err.is_empty(), "{ran:?}");
    }
    place.skep(&[]).failed(2, "A first hour:");
}

#[test]
fn a_value_out_of_its_range_is_misuse_also_where_only_the_hub_notices_it() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs", "--lease", "0s"]).failed(2, "error invalid_argument: ").failed(2, "lease");
    place.skep(&["queue", "add", "agent.x"]).failed(2, "error invalid_name: ");
    place.skep(&["publish", "jobs", "x", "--durability", "disk"]).failed(2, "error usage: ");
}

#[test]
fn the_address_of_a_hub_may_be_given_as_the_ready_line_and_curl_have_it() {
    let place = Place::with_hub();
    let (hub, token) = (place.hub().unwrap(), std::fs::read_to_string(place.path().join(".skep/token")).unwrap());
    let at = hub["http"].as_str().unwrap();
    for url in [at.to_owned(), format!("http://{at}"), format!("http://{at}/"), format!("ws://{at}")] {
        place.skep(&["status", "--token", token.trim(), "--url", &url]).done();
    }
    for url in ["ftp://127.0.0.1:1", "hub", "https://127.0.0.1:1"] {
        place.skep(&["status", "--url", url]).failed(2, "error invalid_argument: ");
    }
}

#[test]
fn an_agent_that_nobody_knows_is_told_by_the_same_code_whatever_one_wants_of_it() {
    let place = Place::with_hub();
    for args in
        [&["send", "nobody", "x"][..], &["inbox", "nobody"], &["receive", "nobody"], &["receive", "--as", "nobody"]]
    {
        place.skep(args).failed(3, "error unknown_agent: ");
    }
    place.skep(&["receive", "no.such.queue"]).failed(3, "error unknown_queue: ");
}

#[test]
fn a_message_asks_for_its_durability_on_the_command_line_too() {
    let place = Place::empty();
    std::fs::write(place.path().join("skep.toml"), "durability = [\"logs.> memory\"]\n").unwrap();
    place.serve().done();
    place.skep(&["queue", "add", "logs.a"]).done();
    let reached = |more: &[&str]| {
        place.skep(&[&["publish", "logs.a", "x", "--json"], more].concat()).done().json()["durability"].clone()
    };
    assert_eq!((reached(&[]), reached(&["--durability", "fsync"])), ("memory".into(), "fsync".into()));
}
