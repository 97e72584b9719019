use crate::place::Place;

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
fn a_port_that_is_taken_is_named_and_the_log_is_shown() {
    let place = Place::with_hub();
    let other = Place::empty();
    let http = place.hub().unwrap()["http"].as_str().unwrap().to_owned();
    let ran = other.skep(&["serve", "--detach", "--listen", &http]).failed(1, "the hub ended while it started");
    assert!(ran.err.contains(&format!("cannot listen on {http}")), "{ran:?}");
}
