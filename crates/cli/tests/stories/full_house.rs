use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::place::{Place, Ran, binary};

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

#[test]
fn strangers_leave_files_to_the_log_and_the_socket_where_few_may_be_open() {
    let place = Place::empty();
    let mut script = place.clean(Command::new("sh"));
    script.args(["-c", "ulimit -n 128; exec \"$@\"", "sh"]).arg(binary());
    let ready = script.args(["serve", "--detach", "--listen", "127.0.0.1:0"]).output().unwrap();
    Ran::from(ready).done();
    let hub = place.hub().unwrap();
    let strangers: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stranger = TcpStream::connect(hub["http"].as_str().unwrap()).unwrap();
            // The hub may have closed it already.
            let _ = stranger.write_all(b"G");
            stranger
        })
        .collect();
    // The hub has come to the last one when that is told something, or closed.
    let mut last = strangers.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = last.read(&mut [0; 256]);
    place.skep(&["queue", "add", "jobs"]).done();
    place.skep(&["publish", "jobs", "hi"]).done();
    let log = fs::read_to_string(place.path().join(".skep/hub.log")).unwrap();
    assert_eq!(log.matches("connections_max").count(), 1, "{log}");
    assert!(log.contains("10000") && log.contains("128") && !log.contains("cannot accept"), "{log}");
}
