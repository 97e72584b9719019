use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::place::Place;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Ways for a folder not to be ours alone, each with what is said of it. Only root can give one away.
fn ways(folder: &Path) -> Vec<(u32, u32, &'static str)> {
    let us = fs::metadata(folder).unwrap().uid();
    let writable = (0o777, us, "can be changed by others (mode 0777)");
    let anothers = (0o700, 65534, "belongs to user 65534, but this is user 0");
    if us == 0 { vec![writable, anothers] } else { vec![writable] }
}

#[test]
fn a_strangers_data_folder_is_passed_over_with_a_warning_and_refused_by_name() {
    let place = Place::with_hub();
    let folder = place.path().join(".skep");
    let us = fs::metadata(&folder).unwrap().uid();
    for (mode, owner, why) in ways(&folder) {
        set_mode(&folder, mode);
        chown(&folder, Some(owner), None).unwrap();
        let ran = place.skep(&["status"]).failed(5, "error no_hub: no hub: there is no data folder ./.skep of yours");
        assert!(ran.err.starts_with("warning: passed over a data folder: ") && ran.err.contains(why), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
        place.skep(&["status", "--data", ".skep"]).failed(3, "error data_folder: ").failed(3, why);
        place.skep_with(&["status"], &[("SKEP_DATA", ".skep")], b"").failed(3, "error data_folder: ");
        for serve in [&["serve", "--data", ".skep"][..], &["serve", "--detach", "--data", ".skep"], &["serve"]] {
            let refused = place.skep(serve).failed(3, "error data_folder: ").failed(3, why);
            assert_eq!(refused.err.lines().count(), 1, "it is refused, and not passed over: {refused:?}");
        }
        place.skep(&["stop"]).failed(5, "no_hub").failed(5, "passed over");
        let json = place.skep(&["status", "--json"]).failed(5, "{\"warning\":\"passed over a data folder: ");
        assert!(json.err.lines().all(|line| line.starts_with('{')), "{json:?}");
    }
    // So that the hub can be ended.
    chown(&folder, Some(us), None).unwrap();
    set_mode(&folder, 0o700);
    place.skep(&["status"]).done();
}

#[test]
fn an_empty_folder_that_was_open_to_others_is_closed_and_used_without_a_word_of_passing_it_over() {
    let place = Place::empty();
    let folder = place.path().join(".skep");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o777);
    let ready = place.serve().done();
    assert_eq!(ready.err, "");
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_hub_that_starts_below_a_strangers_folder_makes_its_own() {
    let place = Place::empty();
    fs::create_dir_all(place.path().join("up/.skep")).unwrap();
    fs::create_dir(place.path().join("up/here")).unwrap();
    let folder = place.path().join("up/.skep");
    for (mode, owner, why) in ways(&folder) {
        set_mode(&folder, mode);
        chown(&folder, Some(owner), None).unwrap();
        let shown = place.skep_in("up/here", &["config", "show"]).done();
        assert!(shown.out.contains("up/here/.skep") && shown.err.contains(why), "{shown:?}");
    }
}

#[test]
fn links_in_a_data_folder_keep_the_hub_from_starting_and_a_client_from_reading() {
    let place = Place::with_hub();
    let token = place.path().join(".skep/token");
    fs::rename(&token, place.path().join("token")).unwrap();
    std::os::unix::fs::symlink(place.path().join("token"), &token).unwrap();
    place.skep(&["status"]).failed(3, "error token: ").failed(3, "is no regular file");
    place.skep(&["stop"]).done();
    place.skep(&["serve", "--listen", "off"]).failed(3, "error token: ").failed(3, "is no regular file");
}
