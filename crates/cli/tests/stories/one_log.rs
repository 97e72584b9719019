use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::place::Place;

#[test]
fn a_log_that_two_data_folders_lead_to_is_written_by_one_hub_alone() {
    let place = Place::with_hub();
    let (data, log, copy) = (place.path().join(".skep"), place.path().join("L"), place.path().join("copy"));
    place.skep(&["stop"]).done();
    fs::rename(data.join("log"), &log).unwrap();
    symlink(&log, data.join("log")).unwrap();
    assert!(Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap().success());
    place.serve().done();
    let serve = ["serve", "--detach", "--listen", "127.0.0.1:0", "--data", "copy"];
    let second = place.skep(&serve);
    place.skep(&["stop", "--data", "copy"]);
    let says = format!("the log {} is in use", log.display());
    second.failed(3, "error hub_running: ").failed(3, &says);
    for look in ["verify", "repair"] {
        place.skep(&[look, "--data", "copy"]).failed(3, "error hub_running: ").failed(3, &says);
    }
    place.skep(&["queue", "add", "jobs"]).done();
    place.kill();
    // Nobody writes it now, so whoever comes may have it; what the first hub acknowledged is there.
    place.skep(&serve).done();
    let shown = place.skep(&["queue", "ls", "--data", "copy"]);
    place.skep(&["stop", "--data", "copy"]).done();
    assert!(shown.done().out.contains("jobs"));
    place.skep(&["verify"]).done();
}
