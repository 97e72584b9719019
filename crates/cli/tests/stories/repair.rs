use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::place::Place;

/// Every file below a folder, byte for byte.
fn bytes_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap().file_type() {
            kind if kind.is_dir() => all.extend(bytes_below(&path)),
            kind if kind.is_file() => drop(all.insert(path.clone(), fs::read(&path).unwrap())),
            _ => {}
        }
    }
    all
}

fn segments(place: &Place) -> Vec<PathBuf> {
    let below = bytes_below(&place.path().join(".skep/log"));
    let top = |path: &&PathBuf| path.parent().unwrap().ends_with("log") && path.extension().is_some_and(|e| e == "seg");
    below.keys().filter(top).cloned().collect()
}

/// Changes one byte of a payload that is in the log.
fn flip(place: &Place, payload: &str) {
    let found = segments(place).into_iter().find_map(|path| {
        let bytes = fs::read(&path).unwrap();
        let at = bytes.windows(payload.len()).position(|part| part == payload.as_bytes())?;
        Some((path, bytes, at))
    });
    let (path, mut bytes, at) = found.unwrap();
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

/// Bob was sent eight messages and has settled the first two; the hub was killed.
fn place_with_messages() -> Place {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    for n in 0..6 {
        place.skep(&["send", "bob", &format!("needle-{n}")]).done();
    }
    assert_eq!(place.skep(&["receive", "bob", "--ack", "-n", "2"]).done().out, "needle-0\nneedle-1\n");
    place.skep(&["send", "bob", "needle-6"]).done();
    place.skep(&["send", "bob", "needle-7"]).done();
    place.skep(&["stop"]).done();
    place
}

#[test]
fn a_damaged_store_is_named_verified_and_repaired_and_loses_only_what_was_damaged() {
    let place = place_with_messages();
    let sound = place.skep(&["verify"]).done().out;
    assert!(sound.contains("closed     in order") && sound.trim_end().ends_with("sound"), "{sound}");
    flip(&place, "needle-4");

    let ready = place.serve().done();
    assert!(ready.err.starts_with("warning: read-only: the store is damaged, see skep verify: "), "{ready:?}");
    assert!(ready.out.starts_with("ready ") && ready.err.contains(".seg: bytes"), "{ready:?}");
    let status = place.skep(&["status"]).failed(7, "error not_ready: the hub is read-only, its store is damaged").out;
    assert!(status.contains("not ready: read_only") && status.contains(".seg: bytes"), "{status}");
    assert!(status.contains("`skep verify`") && status.contains("`skep repair`"), "{status}");
    place.skep(&["send", "bob", "more"]).failed(3, "read_only");
    // What could be received of a sound store waits for the repair of this one.
    for outcome in ["waiting", "refused"] {
        let traced = place.skep(&["trace", "--to", "bob", "--outcome", outcome]).done().out;
        assert!(traced.ends_with("\nnext: skep verify\n"), "{traced}");
    }
    let pid = place.hub().unwrap()["pid"].to_string();
    for args in [&["verify"][..], &["repair"], &["repair", "--accept-loss"]] {
        place.skep(args).failed(3, "error hub_running: a hub already runs in").failed(3, &format!("(pid {pid})"));
    }
    place.skep(&["stop"]).done();

    let before = bytes_below(place.path());
    let verified = place.skep(&["verify"]).failed(7, "error damaged: ").failed(7, "skep repair --data ");
    assert!(verified.out.contains("damaged    0000000001.seg: bytes "), "{verified:?}");
    assert!(verified.out.contains("lost       0000000001.seg bytes "), "{verified:?}");
    assert!(verified.out.contains("headers in it tell of 1 batches with 1 records"), "{verified:?}");
    place.skep(&["repair"]).failed(7, "nothing was changed").failed(7, "skep repair --accept-loss");
    place.skep(&["repair", "--dry-run", "--accept-loss"]).done();
    let json = place.skep(&["repair", "--json"]).failed(7, "\"damaged\"").json();
    let lost = &json["found"]["damage"]["cost"]["losses"][0]["positions"];
    assert_eq!(lost["end"].as_u64().unwrap() - lost["start"].as_u64().unwrap(), 1, "{json}");
    assert_eq!(bytes_below(place.path()), before, "nothing was changed");

    let repaired = place.skep(&["repair", "--accept-loss"]).done().out;
    assert!(
        repaired.contains("copy       ./.skep/log/lost-") && repaired.trim_end().contains("\nsound\n"),
        "{repaired}"
    );
    let copy = repaired.lines().find_map(|line| line.strip_prefix("copy       ")).unwrap();
    let kept = fs::read(place.path().join(copy).join("0000000001.seg")).unwrap();
    assert_eq!(Some(&kept), before.get(&place.path().join(".skep/log/0000000001.seg")));
    assert!(
        fs::read_to_string(place.path().join(copy).join("report.txt")).unwrap().contains("lost       0000000001.seg")
    );
    let json = place.skep(&["verify", "--json"]).done().json();
    assert_eq!((&json["sound"], &json["given_up"][0]), (&true.into(), lost));
    assert!(place.skep(&["repair", "--accept-loss"]).done().out.contains("nothing to repair"));

    place.serve().done();
    let status = place.skep(&["status"]).done().out;
    assert!(status.contains(", ready") && status.contains("were given up in a repair"), "{status}");
    place.skep(&["send", "bob", "after"]).done();
    let received = place.skep(&["receive", "bob", "--ack", "-n", "6"]).done().out;
    assert_eq!(received, "needle-2\nneedle-3\nneedle-5\nneedle-6\nneedle-7\nafter\n");
    place.skep(&["receive", "bob", "--wait", "0s"]).failed(6, "nothing came");
    place.kill();
    place.serve().done();
    place.skep(&["receive", "bob", "--wait", "0s"]).failed(6, "nothing came");
}

#[test]
fn verify_changes_no_byte_of_a_store_whose_hub_was_killed() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    place.skep(&["send", "bob", "one"]).done();
    place.kill();
    let before = bytes_below(place.path());
    let out = place.skep(&["verify"]).done().out;
    assert!(out.contains("closed     not in order"), "{out}");
    assert_eq!(bytes_below(place.path()), before);
    place.skep(&["verify", "--data", "nowhere"]).failed(2, "there is no data folder");
}

#[test]
fn a_store_that_does_not_even_open_is_repaired_too() {
    for harm in [
        (|place: &Place| fs::write(place.path().join(".skep/log/mark"), [0xff; 8192]).unwrap()) as fn(&Place),
        |place| {
            segments(place).into_iter().for_each(|path| {
                let mut bytes = fs::read(&path).unwrap();
                bytes[100] ^= 1;
                fs::write(&path, bytes).unwrap();
            })
        },
    ] {
        let place = place_with_messages();
        harm(&place);
        place.skep(&["verify"]).failed(7, "damaged");
        place.skep(&["repair", "--accept-loss"]).done();
        place.serve().done();
        let received = place.skep(&["receive", "bob", "--ack", "-n", "6"]).done().out;
        assert_eq!(received, "needle-2\nneedle-3\nneedle-4\nneedle-5\nneedle-6\nneedle-7\n");
    }
}

#[test]
fn a_foreign_segment_is_refused_and_what_to_do_is_said() {
    let place = place_with_messages();
    let first = segments(&place).remove(0);
    fs::copy(&first, first.with_file_name("0000000042.seg")).unwrap();
    let before = bytes_below(place.path());
    place.skep(&["repair", "--accept-loss"]).failed(7, "rename it, or remove the copy");
    assert_eq!(bytes_below(place.path()), before);
}

#[test]
fn what_a_damaged_store_does_not_show_is_not_told_to_be_unknown() {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    place.skep(&["queue", "add", "jobs"]).done();
    place.skep(&["publish", "jobs", "needle"]).done();
    place.skep(&["stop"]).done();
    // Before anything that was declared: the agents are lost with it.
    flip(&place, "agent.bob.inbox");
    let warns = "read-only: the store is damaged, see skep verify: ";
    let json = place.skep(&["serve", "--detach", "--listen", "127.0.0.1:0", "--json"]).done();
    assert!(json.err.starts_with(&format!("{{\"warning\":\"{warns}")), "{json:?}");
    assert!(json.json()["trouble"].as_str().unwrap().starts_with("read_only: "), "{json:?}");
    place.skep(&["status"]).failed(7, "skep verify");
    for args in [&["agents", "ls"][..], &["queue", "ls"], &["trace", "--to", "bob"]] {
        let empty = place.skep(args).done();
        assert!(empty.err.starts_with("warning: the store is damaged, so what it held may be missing"), "{empty:?}");
        assert!(!empty.err.contains("no agents yet") && !empty.err.contains("no queues yet"), "{empty:?}");
    }
    for args in [
        &["send", "bob", "x"][..],
        &["request", "agent.bob.inbox", "x"],
        &["inbox", "bob"],
        &["receive", "bob"],
        &["receive", "jobs", "--wait", "0s"],
        &["queue", "show", "jobs"],
        &["queue", "peek", "jobs"],
        &["agents", "add", "eve"],
        &["agents", "join", "bob", "docs"],
        &["agents", "rm", "bob"],
        &["queue", "add", "more"],
        &["publish", "jobs", "x"],
    ] {
        place.skep(args).failed(3, "error read_only: ");
    }
    place.skep(&["trace", "no-such-id"]).failed(6, "warning: the store is damaged");
}
