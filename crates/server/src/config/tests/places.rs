//! Where the file and the data folder are found, and whose they may be.

use super::*;

#[test]
fn the_file_in_the_data_folder_goes_before_the_one_here() {
    let place = place().with_file("skep.toml", "log = \"warn\"").with_file("d/skep.toml", "log = \"error\"");
    assert_eq!(place.load().config.log, "warn");
    let place = place.with_flag("data", "d");
    assert_eq!(place.load().config.log, "error");
}

#[test]
fn paths_in_a_file_begin_at_the_file() {
    let place = place().with_file("etc/my.toml", "data = \"../hub\"\nunix = \"run.sock\"");
    let said = Said { file: Some("etc/my.toml".into()), ..place.said.clone() };
    let config = load(&said).unwrap().config;
    assert_eq!(config.data, place.folder.path().join("etc/../hub"));
    assert_eq!(config.unix, UnixSocket::At(place.folder.path().join("etc/run.sock")));
}

#[test]
fn the_nearest_data_folder_upward_is_taken() {
    let place = place().with_file(".skep/x", "").with_file("a/b/x", "");
    let said = Said { folder: place.folder.path().join("a/b"), ..Said::default() };
    assert_eq!(load(&said).unwrap().config.data, place.folder.path().join(".skep"));
}

#[test]
fn the_data_folders_own_file_cannot_move_it() {
    let problems = place().with_file(".skep/skep.toml", "data = \"elsewhere\"").problems();
    assert!(problems[0].starts_with(".skep/skep.toml:1:8: data cannot be set"), "{problems:?}");
}

#[test]
fn a_named_file_that_is_not_there_is_told() {
    let mut place = place();
    place.said.file = Some("no.toml".into());
    assert!(place.problems()[0].starts_with("no.toml: cannot be read"), "{:?}", place.problems());
}

#[test]
fn a_data_folder_of_another_user_or_open_to_others_is_passed_over_and_told() {
    let place =
        place().with_file(".skep/x", "").with_file("a/.skep/skep.toml", "log = \"trace\"").with_file("a/b/x", "");
    let said = Said { folder: place.folder.path().join("a/b"), ..Said::default() };
    let (ours, near) = (place.folder.path().join(".skep"), place.folder.path().join("a/.skep"));
    let mode = |mode| fs::set_permissions(&near, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o700);
    assert_eq!(load(&said).unwrap().config.data, near);
    mode(0o777);
    let mut why = vec!["can be changed by others (mode 0777)"];
    // Only root can give a folder away.
    if rustix::process::geteuid().is_root() {
        why.push("belongs to user 65534");
    }
    for why in why {
        let loaded = load(&said).unwrap();
        assert_eq!((&loaded.config.data, loaded.config.log.as_str()), (&ours, "info"));
        let [passed] = &loaded.passed_over[..] else { panic!("{:?}", loaded.passed_over) };
        let said_of_it = passed.to_string();
        assert!(passed.path == near && said_of_it.contains(why), "{said_of_it}");
        assert!(said_of_it.starts_with("passed over a data folder: "), "{said_of_it}");
        let named = Said { flags: vec![("data", "other".into())], ..said.clone() };
        assert!(load(&named).unwrap().passed_over.is_empty());
        if rustix::process::geteuid().is_root() {
            mode(0o700);
            chown(&near, Some(65534), None).unwrap();
        }
    }
}

#[test]
fn the_file_beside_the_data_folder_that_was_found_counts_wherever_below_one_stands() {
    let place = place().with_file(".skep/x", "").with_file("skep.toml", "log = \"warn\"").with_file("a/b/x", "");
    let below = Said { folder: place.folder.path().join("a/b"), ..Said::default() };
    let loaded = load(&below).unwrap();
    assert_eq!((loaded.config.log.as_str(), loaded.file), ("warn", Some(place.folder.path().join("skep.toml"))));
    // One in the data folder goes before it, and one of the folder one stands in comes last.
    let place = place.with_file("a/b/skep.toml", "log = \"error\"");
    assert_eq!(load(&below).unwrap().config.log, "warn");
    let place = place.with_file(".skep/skep.toml", "log = \"debug\"");
    assert_eq!(load(&below).unwrap().config.log, "debug");
    // What lies beside a folder that was named is nobody's business.
    let named = Said { flags: vec![("data", "../../.other/x".into())], ..below };
    let place = place.with_file(".other/skep.toml", "log = \"trace\"");
    assert_eq!(load(&named).unwrap().config.log, "error");
    drop(place);
}

#[test]
fn a_file_that_another_user_can_have_written_is_passed_over_and_told() {
    let place = place().with_file(".skep/x", "").with_file("skep.toml", "log = \"trace\"").with_file("a/x", "");
    let file = place.folder.path().join("skep.toml");
    let said = Said { folder: place.folder.path().join("a"), ..Said::default() };
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o664);
    assert_eq!(load(&said).unwrap().config.log, "trace");
    mode(0o666);
    let mut why = vec!["can be changed by others (mode 0666)"];
    // Only root can give a file away.
    if rustix::process::geteuid().is_root() {
        why.push("belongs to user 65534");
    }
    for why in why {
        for said in [&said, &place.said] {
            let loaded = load(said).unwrap();
            assert_eq!((loaded.config.log.as_str(), &loaded.file), ("info", &None));
            let [passed] = &loaded.passed_over[..] else { panic!("{:?}", loaded.passed_over) };
            assert!(passed.to_string().starts_with("passed over a configuration file: "), "{passed}");
            assert!(passed.path == file && passed.why.contains(why), "{passed}");
        }
        if rustix::process::geteuid().is_root() {
            mode(0o644);
            chown(&file, Some(65534), None).unwrap();
        }
    }
}
