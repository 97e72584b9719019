use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::place::Place;

#[test]
fn a_wrong_token_is_refused_over_every_way_in() {
    let place = Place::with_hub();
    let http = format!("ws://{}", place.hub().unwrap()["http"].as_str().unwrap());
    let unix = format!("unix:{}", place.hub().unwrap()["unix"].as_str().unwrap());
    for url in [&http, &unix] {
        let wrong = ["status", "--url", url, "--token", "wrong-wrong-wrong-wrong"];
        place.skep(&wrong).failed(3, "error unauthenticated: ");
        place.skep(&["status", "--url", url]).failed(3, "unauthenticated").failed(3, "say --token or SKEP_TOKEN, too");
        let token = fs::read_to_string(place.path().join(".skep/token")).unwrap();
        place.skep_with(&["status", "--url", url], &[("SKEP_TOKEN", token.trim())], b"").done();
    }
}

#[test]
fn a_token_that_others_may_read_keeps_the_hub_from_starting() {
    let place = Place::with_hub();
    place.skep(&["stop"]).done();
    let token = place.path().join(".skep/token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    place.skep(&["serve", "--listen", "127.0.0.1:0"]).failed(3, "chmod 600");
}
