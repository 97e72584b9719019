mod places;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use super::*;

struct Place {
    folder: tempfile::TempDir,
    said: Said,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let said = Said { folder: folder.path().into(), ..Said::default() };
    Place { folder, said }
}

impl Place {
    fn with_file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whatever the umask is: it may be a data folder.
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn with_variable(mut self, name: &str, text: &str) -> Self {
        self.said.environment.push((name.into(), text.into()));
        self
    }

    fn with_flag(mut self, name: &'static str, text: &str) -> Self {
        self.said.flags.push((name, text.into()));
        self
    }

    fn load(&self) -> Loaded {
        load(&self.said).unwrap()
    }

    fn problems(&self) -> Vec<String> {
        let error = load(&self.said).unwrap_err();
        let folder = format!("{}/", self.folder.path().display());
        error.problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }

    fn sources(&self) -> Vec<String> {
        let loaded = self.load();
        KEYS.iter().map(|key| loaded.source(key).to_string()).collect()
    }
}

#[test]
fn durability_is_a_list_of_filters_each_with_a_level() {
    let trees = "durability = [\"logs.> interval(2s)\", \"ticks.* os\"]\n";
    let config = place().with_file("skep.toml", trees).load().config;
    let key = KEYS.iter().find(|key| key.name == "durability").unwrap();
    assert_eq!((key.show)(&config), r#"["logs.> interval(2000ms)", "ticks.* os"]"#);
    let config = place().with_flag("durability", "a.> memory, b fsync").load().config;
    assert_eq!((key.show)(&config), r#"["a.> memory", "b fsync"]"#);
    for bad in ["a.>", "a.> disk", "a..b os", "a.> interval(2m)", "os a.>", "", "a os,,b os"] {
        let problems = place().with_flag("durability", bad).problems();
        assert!(problems.len() == 1 && problems[0].contains("expected up to 64 filters"), "{problems:?}");
    }
    let list = "durability = [\"ticks.* os\", \"logs.> interval(100)\"]\n";
    let problems = place().with_file("skep.toml", list).problems();
    assert!(
        problems[0].starts_with("skep.toml:1:14: durability is wrong at \"logs.> interval(100)\"; expected"),
        "{problems:?}"
    );
    let many = vec!["a os"; 65].join(",");
    assert_eq!(place().with_flag("durability", &many).problems().len(), 1);
}

#[test]
fn retention_of_trees_is_a_list_of_filters_each_with_bounds() {
    let trees = "retention = [\"logs.> messages=100 age=48h\", \"ticks.* bytes=1048576\"]\n";
    let config = place().with_file("skep.toml", trees).load().config;
    let key = KEYS.iter().find(|key| key.name == "retention").unwrap();
    assert_eq!((key.show)(&config), r#"["logs.> age=2d messages=100", "ticks.* bytes=1048576"]"#);
    let config = place().with_flag("retention", "a.> age=7d, b messages=1").load().config;
    assert_eq!((key.show)(&config), r#"["a.> age=7d", "b messages=1"]"#);
    let many = vec!["a age=1d"; 65].join(",");
    let problems = place().with_flag("retention", &many).problems();
    assert!(problems.len() == 1 && problems[0].contains("expected up to 64 filters"), "{problems:?}");
}

#[test]
fn retention_is_a_span_and_a_number_of_bytes_within_their_bounds() {
    let place =
        place().with_file("skep.toml", "retention_age = \"36h\"\n").with_variable("SKEP_RETENTION_BYTES", "2097152");
    let config = place.load().config;
    assert_eq!((config.retention_age.as_secs(), config.retention_bytes), (36 * 3_600, 2_097_152));
    for (key, bad) in
        [("retention_age", "30s"), ("retention_age", "7"), ("retention_bytes", "1000"), ("retention_bytes", "1g")]
    {
        let place = self::place().with_flag(key, bad);
        let problems = place.problems();
        assert!(problems.len() == 1 && problems[0].contains(bad), "{problems:?}");
    }
}

#[test]
fn nothing_said_is_the_default() {
    let place = place();
    let loaded = place.load();
    assert_eq!(loaded.config, Config::new(place.folder.path().join(".skep")));
    assert!(place.sources().iter().all(|source| source == "default"));
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let place = place()
        .with_file("skep.toml", "log = \"warn\"\nlisten = \"127.0.0.1:1\"\npayload_bytes_max = 0x400\n")
        .with_variable("SKEP_LISTEN", "127.0.0.1:2")
        .with_variable("SKEP_PAYLOAD_BYTES_MAX", "2000")
        .with_flag("listen", "127.0.0.1:3");
    let config = place.load().config;
    assert_eq!(config.listen.unwrap().port(), 3);
    assert_eq!((config.payload_bytes_max, config.log.as_str()), (2000, "warn"));
    let sources = place.sources();
    assert_eq!(sources[0], "flag --listen");
    assert_eq!(sources[5], "env SKEP_PAYLOAD_BYTES_MAX");
    assert!(sources[16].ends_with("skep.toml:1"), "{sources:?}");
    assert_eq!(sources[17], "default");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let place = place()
        .with_file("skep.toml", "# a hub\nlisten = 7537\n\n  lisen = true\nunix = \"\"\nallowed_hosts = [1]\n")
        .with_variable("SKEP_LOGJSON", "true")
        .with_variable("SKEP_LOG_JSON", "yes")
        .with_flag("payload_bytes_max", "2000000");
    let problems = place.problems();
    let expected = [
        "skep.toml:2:10: listen is 7537; expected an address and a port",
        "skep.toml:4:3: unknown key \"lisen\"; did you mean \"listen\"?",
        "skep.toml:5:8: unix is \"\"; expected a path with a / or a dot in it",
        "skep.toml:6:17: allowed_hosts is of type array; expected host names",
        "env SKEP_LOGJSON: unknown variable \"SKEP_LOGJSON\"; did you mean \"SKEP_LOG_JSON\"?",
        "env SKEP_LOG_JSON: log_json is \"yes\"; expected true or false",
        "flag --payload-bytes-max: payload_bytes_max is \"2000000\"; expected a number of bytes from 1 to 1048576",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
}

#[test]
fn what_is_not_toml_is_told_with_line_and_column() {
    let problems = place().with_file("skep.toml", "log = \"info\"\nlisten = = 1\n").problems();
    assert!(problems[0].starts_with("skep.toml:2:"), "{problems:?}");
}

#[test]
fn a_far_key_is_told_with_all_that_are_known() {
    let problems = place().with_file("skep.toml", "[zzz]\na = 1\n").problems();
    assert!(
        problems[0].starts_with("skep.toml:1:2: unknown key \"zzz\"; expected one of listen, unix"),
        "{problems:?}"
    );
}

#[test]
fn variables_of_clients_and_of_others_are_left_alone() {
    let mut place = place().with_variable("PATH", "/bin");
    for name in CLIENT_VARIABLES {
        place = place.with_variable(name, "x");
    }
    place.load();
}

#[test]
fn off_loopback_nothing_listens() {
    for listen in ["0.0.0.0:7537", "[::]:7537", "192.0.2.1:80"] {
        let problems = place().with_flag("listen", listen).problems();
        let rule = "off loopback nothing listens without TLS and auth; TLS is not built yet";
        assert!(problems[0].starts_with("flag --listen: ") && problems[0].contains(rule), "{problems:?}");
    }
    for listen in ["[::1]:0", "localhost:1", "off"] {
        place().with_flag("listen", listen).load();
    }
}

#[test]
fn the_table_says_the_true_default_and_shows_what_it_takes() {
    let config = Config::new("d");
    for key in KEYS {
        assert_eq!(key.variable, format!("SKEP_{}", key.name.to_uppercase().replace('.', "_")));
        assert_eq!(key.flag, key.name.replace(['_', '.'], "-"));
        let shown = (key.show)(&config);
        let toml = format!("value = {shown}");
        let table = toml::de::DeTable::parse(&toml).unwrap();
        let value = table.get_ref().get("value").unwrap();
        let mut taken = Config::new("other");
        let given = Given::Toml { value: value.get_ref(), base: Path::new("") };
        assert!((key.set)(&mut taken, &given).is_some(), "{} {shown}", key.name);
        assert_eq!((key.show)(&taken), shown);
        let plain = shown.trim_matches('"');
        assert!(key.name == "data" || shown == "[]" || key.default.starts_with(plain), "{} {shown}", key.name);
    }
}

/// Of each key, what is no value: as text, in a flag or variable, and as a file says it.
const BAD: &[(&str, &[&str], &[&str])] = &[
    ("listen", &["7537", "on", "hub.example:1", "127.0.0.1:99999", ""], &["7537", "\"on\"", "true", "[]"]),
    ("unix", &["yes", "on", "True", "1", ""], &["\"yes\"", "\"true\"", "1", "[\"a.sock\"]"]),
    ("data", &[""], &["\"\"", "1", "true"]),
    ("allowed_hosts", &["http://hub", "a b", "a,,b", "", "a:port", "hub/"], &["\"hub\"", "[1]", "[\"hub:x\"]"]),
    (
        "allowed_origins",
        &["hub.example", "*", "http://", "http://a/b", ""],
        &["\"http://a\"", "[true]", "[\"ftp://a\"]"],
    ),
    ("payload_bytes_max", &["0", "1048577", "1MiB", "-1", "1.5", ""], &["0", "-1", "1.5", "\"1000\"", "0x100001"]),
    ("connections_max", &["0", "1000001", "many", "-1", ""], &["0", "-1", "1.5", "\"20\"", "true"]),
    ("guards.hops", &["-1", "4294967296", "many", ""], &["-1", "1.5", "\"32\"", "{}"]),
    ("guards.conversation_messages", &["-1", "4294967296", "1k", ""], &["-1", "true", "[]"]),
    ("guards.conversation_hours", &["-1", "24h", ""], &["-1", "\"24h\"", "1.5"]),
    ("guards.messages_per_second", &["-1", "off", ""], &["-1", "false", "4294967296"]),
    ("durability", &["os", "a..b os", "a disk", ""], &["\"a os\"", "[1]", "[\"a interval(0ms)\"]", "{}"]),
    (
        "retention",
        &[
            "logs.>",
            "a..b age=1d",
            "a age=1",
            "a age=30s",
            "a messages=0",
            "a bytes=1KiB",
            "a age=1d age=2d",
            "a size=1",
            "",
        ],
        &["\"a age=1d\"", "[1]", "[\"a messages=+1\"]", "[\"age=1d\"]", "{}"],
    ),
    ("retention_age", &["7", "30s", "d", "-1d", "7w", "36501d", ""], &["7", "\"7\"", "true", "[\"7d\"]"]),
    (
        "retention_bytes",
        &["1048575", "1125899906842625", "1GiB", "-1", "1.5", ""],
        &["0", "-1", "1.5", "\"1048576\"", "true"],
    ),
    ("memory_bytes", &["67108863", "1125899906842625", "1GiB", ""], &["0", "-1", "1.5", "\"1048576\"", "true"]),
    ("log", &["lots", "skep_core", "info,", "a=b", ""], &["\"lots\"", "1", "true", "[\"info\"]"]),
    ("log_json", &["yes", "1", "True", ""], &["\"true\"", "1", "\"yes\""]),
];

#[test]
fn a_bad_value_of_any_key_from_any_source_is_refused_with_its_source_and_what_was_expected() {
    let named: Vec<&str> = BAD.iter().map(|(name, ..)| *name).collect();
    let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(named, known, "every key is in the table");
    for (key, (_, texts, values)) in KEYS.iter().zip(BAD) {
        let expect = |place: Place, source: &str, value: &str| {
            let Err(error) = load(&place.said) else { panic!("{source} {value:?} is taken") };
            let folder = format!("{}/", place.folder.path().display());
            let said = error.to_string().replace(&folder, "");
            let begins = format!("{source}: {} is ", key.name);
            assert!(said.starts_with(&begins), "{said}\n{begins}");
            assert!(said.ends_with(&format!("; expected {}", key.expected)), "{said}");
        };
        for text in *texts {
            expect(place().with_flag(key.name, text), &format!("flag --{}", key.flag), text);
            expect(place().with_variable(key.variable, text), &format!("env {}", key.variable), text);
        }
        for value in *values {
            let file = format!("# mine\n{} = {value}\n", key.name);
            let column = key.name.len() + 4;
            expect(place().with_file("skep.toml", &file), &format!("skep.toml:2:{column}"), value);
        }
    }
}

#[test]
fn guards_are_told_in_a_table_of_the_file_and_shown_with_their_place() {
    let text = "log = \"warn\"\n[guards]\nhops = 5\nconversation_messages = 0\n";
    let place = place().with_file(".skep/skep.toml", text).with_variable("SKEP_GUARDS_HOPS", "6");
    let loaded = place.load();
    let expected = Guards { hops: 6, conversation_messages: 0, ..Guards::default() };
    assert_eq!(loaded.config.guards, expected);
    let key = |name| KEYS.iter().find(|key| key.name == name).unwrap();
    assert!(loaded.source(key("guards.conversation_messages")).to_string().ends_with("skep.toml:4"));
    assert_eq!((key("guards.hops").show)(&loaded.config), "6");
}

#[test]
fn a_guard_that_is_none_is_told_with_its_place_and_the_nearest_key() {
    let text = "[guards]\nhop = 5\nconversation_hours = -1\nmessages_per_second = 4294967296\n";
    let problems = place().with_file(".skep/skep.toml", text).problems();
    let parts = ["skep.toml:2:1: unknown key \"guards.hop\"; did you mean \"guards.hops\"?", "3:22", "4:23"];
    assert_eq!(problems.len(), parts.len(), "{problems:?}");
    for (problem, part) in problems.iter().zip(parts) {
        assert!(problem.contains(part), "{problem}");
    }
    let whole = place().with_file(".skep/skep.toml", "guards = 5\n").problems();
    assert!(whole.first().is_some_and(|problem| problem.contains("unknown key \"guards\"")), "{whole:?}");
}
