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
