use std::fs;

use crate::place::Place;

#[test]
fn a_configuration_that_is_not_understood_is_told_with_file_line_and_what_was_expected() {
    let place = Place::empty();
    fs::write(place.path().join("skep.toml"), "log = \"info\"\nlisen = \"x\"\nlog_json = 3\n").unwrap();
    for command in [&["serve", "--detach"][..], &["config", "check"], &["config", "show"]] {
        let ran = place.skep(command).failed(2, "skep.toml:2:1: unknown key \"lisen\"; did you mean \"listen\"?");
        ran.failed(2, "skep.toml:3:12: log_json is 3; expected true or false");
    }
    assert!(!place.path().join(".skep").exists());
}

#[test]
fn each_value_is_shown_with_its_source() {
    let place = Place::empty();
    fs::write(place.path().join("skep.toml"), "# mine\npayload_bytes_max = 1000\n").unwrap();
    let args = ["config", "show", "--json", "--listen", "127.0.0.1:9"];
    let shown = place.skep_with(&args, &[("SKEP_LOG", "warn")], b"").done().json();
    assert_eq!(shown["listen"], serde_json::json!({ "value": "127.0.0.1:9", "source": "flag --listen" }));
    assert_eq!(shown["log"], serde_json::json!({ "value": "warn", "source": "env SKEP_LOG" }));
    assert_eq!(shown["payload_bytes_max"]["value"], 1000);
    assert!(shown["payload_bytes_max"]["source"].as_str().unwrap().ends_with("skep.toml:2"));
    assert_eq!(shown["unix"], serde_json::json!({ "value": true, "source": "default" }));
}

#[test]
fn off_loopback_nothing_listens_and_variables_are_checked_too() {
    let place = Place::empty();
    let rule = "off loopback nothing listens without TLS and auth; TLS is not built yet";
    place.skep(&["serve", "--listen", "0.0.0.0:7537"]).failed(2, rule);
    let ran = place.skep_with(&["config", "check"], &[("SKEP_LISTN", "x")], b"");
    ran.failed(2, "env SKEP_LISTN: unknown variable \"SKEP_LISTN\"; did you mean \"SKEP_LISTEN\"?");
    place.skep(&["serve", "--log", "no=such=filter"]).failed(2, "flag --log: log is");
}

#[test]
fn what_would_mean_something_else_is_refused_by_its_source_before_anything_is_made() {
    let place = Place::empty();
    let filter = "is \"lots\"; expected error, warn, info, debug, trace or off";
    for serve in [&["serve", "--detach", "--listen", "127.0.0.1:0"][..], &["config", "check"]] {
        place.skep(&[serve, &["--log", "lots"]].concat()).failed(2, &format!("flag --log: log {filter}"));
        place.skep_with(serve, &[("SKEP_LOG", "lots")], b"").failed(2, &format!("env SKEP_LOG: log {filter}"));
        place.skep(&[serve, &["--unix", "yes"]].concat()).failed(2, "flag --unix: unix is \"yes\"; expected a path");
        place.skep_with(serve, &[("SKEP_UNIX", "yes")], b"").failed(2, "env SKEP_UNIX: unix is \"yes\"");
        fs::write(place.path().join("skep.toml"), "unix = \"yes\"\nlog = \"lots\"\n").unwrap();
        place
            .skep(serve)
            .failed(2, "skep.toml:1:8: unix is \"yes\"")
            .failed(2, &format!("skep.toml:2:7: log {filter}"));
        fs::remove_file(place.path().join("skep.toml")).unwrap();
    }
    place.skep(&["status", "--data", ""]).failed(2, "--data");
    assert!(!place.path().join(".skep").exists());
}

#[test]
fn a_hub_started_further_down_is_told_what_the_file_beside_its_data_folder_says() {
    let place = Place::with_hub();
    place.skep(&["stop"]).done();
    fs::create_dir_all(place.path().join("src/deep")).unwrap();
    fs::write(place.path().join("skep.toml"), "payload_bytes_max = 9\n").unwrap();
    let checked = place.skep_in("src/deep", &["config", "check"]).done().out;
    assert!(checked.trim_end().ends_with("skep.toml") && checked.starts_with("ok: /"), "{checked}");
    let shown = place.skep_in("src/deep", &["config", "show", "--json"]).done().json();
    assert_eq!(shown["payload_bytes_max"]["value"], 9);
    place.skep_in("src/deep", &["serve", "--detach", "--listen", "127.0.0.1:0"]).done();
    place.skep(&["agents", "add", "bob"]).done();
    place.skep(&["send", "bob", "more than nine bytes"]).failed(3, "error too_large: ");
}
