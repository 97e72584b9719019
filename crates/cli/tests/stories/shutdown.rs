use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use crate::place::Place;

#[test]
fn a_hub_in_the_foreground_says_when_it_is_ready_and_ends_well_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let place = Place::empty();
        let mut hub = place.spawn(&["serve", "--listen", "127.0.0.1:0", "--log", "warn"]);
        let mut out = BufReader::new(hub.stdout.take().unwrap()).lines();
        assert!(out.next().unwrap().unwrap().starts_with("ready 127.0.0.1:"));
        let socket = place.hub().unwrap()["unix"].as_str().unwrap().to_owned();
        assert!(Command::new("kill").args([signal, &hub.id().to_string()]).status().unwrap().success());
        let status = hub.wait().unwrap();
        let mut log = String::new();
        hub.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert_eq!((status.code(), log.as_str()), (Some(0), ""), "{signal}");
        assert!(place.hub().is_none() && !std::path::Path::new(&socket).exists());
    }
}

#[test]
fn a_listener_hears_that_the_hub_ends_and_the_hub_does_not_wait_for_it() {
    let place = Place::with_hub();
    let mut listener = place.spawn(&["subscribe", ">"]);
    let mut said = BufReader::new(listener.stderr.take().unwrap()).lines();
    said.next().unwrap().unwrap();
    place.skep(&["stop", "--wait", "5s"]).done();
    place.serve().done();
    place.skep(&["status"]).done();
    assert!(Command::new("kill").args(["-INT", &listener.id().to_string()]).status().unwrap().success());
    assert_eq!(listener.wait().unwrap().code(), Some(130));
}

#[test]
fn a_data_folder_with_a_long_path_has_its_socket_elsewhere() {
    let place = Place::empty();
    let data = "d".repeat(120);
    place.skep(&["serve", "--detach", "--listen", "off", "--data", &data]).done();
    place.skep(&["status", "--data", &data]).done();
    place.skep(&["stop", "--data", &data]).done();
}

#[test]
fn a_detached_hub_holds_nothing_open_that_a_script_left_it() {
    let place = Place::empty();
    let held = std::fs::File::create(place.path().join("mine.lock")).unwrap();
    held.lock().unwrap();
    place.skep_holding(&["serve", "--detach", "--listen", "127.0.0.1:0"], held).done();
    let again = std::fs::File::open(place.path().join("mine.lock")).unwrap();
    again.try_lock().expect("the hub does not hold the lock of the script");
    assert!(place.hub().is_some());
}
