use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::place::Place;

#[test]
fn a_hub_takes_as_many_connections_as_it_is_told_and_says_so_to_the_next() {
    let place = Place::empty();
    fs::write(place.path().join("skep.toml"), "connections_max = 1\n").unwrap();
    place.serve().done();
    place.skep(&["queue", "add", "jobs"]).done();
    let mut first = place.spawn(&["receive", "jobs"]);
    let mut waits = String::new();
    BufReader::new(first.stderr.take().unwrap()).read_line(&mut waits).unwrap();
    assert!(waits.starts_with("waiting for messages"), "{waits}");
    let full = "error busy: this hub has 1 connection, as many as it takes (connections_max); try again later";
    place.skep(&["queue", "ls"]).failed(3, full);
    let url = format!("ws://{}", place.hub().unwrap()["http"].as_str().unwrap());
    let token = fs::read_to_string(place.path().join(".skep/token")).unwrap();
    place.skep(&["queue", "ls", "--url", &url, "--token", token.trim()]).failed(3, full);
    assert!(Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap().success());
    first.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while place.skep(&["queue", "ls"]).code != 0 {
        assert!(Instant::now() < until, "nobody takes the place of who has left");
    }
    place
        .skep(&["serve", "--connections-max", "0"])
        .failed(2, "flag --connections-max: connections_max is \"0\"; expected");
}
