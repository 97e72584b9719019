use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::place::Place;

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_second_hub_in_a_data_folder_is_refused_and_the_first_named() {
    let place = Place::with_hub();
    let pid = place.hub().unwrap()["pid"].to_string();
    for args in [&["serve", "--detach"][..], &["serve"], &["serve", "--listen", "127.0.0.1:0"]] {
        place.skep(args).failed(3, "error hub_running: a hub already runs in").failed(3, &format!("(pid {pid})"));
    }
    assert_eq!(place.hub().unwrap()["pid"].to_string(), pid);
    place.skep(&["status"]).done();
}

#[test]
fn an_address_that_is_taken_is_told_alike_here_and_detached_and_nothing_is_left() {
    let place = Place::with_hub();
    let (http, socket) = (place.hub().unwrap()["http"].clone(), place.hub().unwrap()["unix"].clone());
    let (http, socket) = (http.as_str().unwrap(), socket.as_str().unwrap());
    for (args, says) in [
        (&["--listen", http][..], format!("error address_taken: cannot listen on {http}")),
        (&["--listen", "off", "--unix", socket], format!("error address_taken: somebody answers at {socket}")),
        (&["--listen", http, "--json"], "{\"error\":{\"code\":\"address_taken\"".into()),
    ] {
        let other = Place::empty();
        let told = [&["serve"][..], &["serve", "--detach"]].map(|serve| {
            let ran = other.skep(&[serve, &["--data", "a/b"], args].concat()).failed(3, &says);
            assert!(!other.path().join("a").exists(), "{ran:?}");
            ran.err
        });
        assert_eq!(told[0], told[1]);
    }
    place.skep(&["status"]).done();
}

#[test]
fn a_start_that_is_refused_leaves_a_folder_that_was_there() {
    let place = Place::with_hub();
    let http = place.hub().unwrap()["http"].as_str().unwrap().to_owned();
    let other = Place::empty();
    std::fs::create_dir(other.path().join(".skep")).unwrap();
    // As a umask of 002 leaves it: an empty folder is closed, not refused.
    set_mode(&other.path().join(".skep"), 0o775);
    for serve in [&["serve", "--listen", &http][..], &["serve", "--detach", "--listen", &http]] {
        other.skep(serve).failed(3, "error address_taken");
        assert!(other.path().join(".skep").is_dir());
    }
    other.serve().done();
}
