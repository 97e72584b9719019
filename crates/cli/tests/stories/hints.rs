use crate::place::Place;

fn place() -> Place {
    let place = Place::with_hub();
    place.skep(&["agents", "add", "bob"]).done();
    place.skep(&["queue", "add", "jobs"]).done();
    place
}

#[test]
fn a_mistyped_queue_is_told_with_the_one_that_was_probably_meant() {
    let place = place();
    for verb in ["show", "peek", "purge", "redrive"] {
        let ran = place.skep(&["queue", verb, "job"]).failed(3, "error unknown_queue: no queue \"job\". ");
        ran.failed(3, "Did you mean \"jobs\"? Else add it: skep queue add job\n");
    }
    let ran = place.skep(&["receive", "jbos", "--wait", "0s"]).failed(3, "no queue and no agent \"jbos\". ");
    ran.failed(3, "Did you mean \"jobs\"? Else add it: skep queue add jbos, or skep agents add jbos\n");
    let ran = place.skep(&["publish", "job", "x", "--guarantee", "at_least_once"]).failed(3, "error no_queue: ");
    ran.failed(3, "Did you mean \"jobs\"? Else add one: skep queue add job\n");
}

#[test]
fn a_mistyped_topic_that_nobody_takes_is_told_although_nothing_was_refused() {
    let place = place();
    assert_eq!(place.skep(&["publish", "job", "x"]).done().err, "Did you mean \"jobs\"?\n");
    let ran = place.skep(&["replay", "job"]).done();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "no message to job is stored. Did you mean \"jobs\"?\n"));
}

#[test]
fn what_is_there_and_holds_nothing_is_not_guessed_to_be_mistyped() {
    let ran = place().skep(&["replay", "jobs"]).done();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "no message to jobs is stored.\n"));
}

#[test]
fn what_to_type_next_for_a_message_that_reached_nobody_is_not_refused() {
    let place = place();
    for (topic, next) in [
        ("bob", "send bob TEXT"),
        ("workspace.docs", "publish workspace.docs.news TEXT"),
        ("Jobs", "publish jobs TEXT"),
        ("service.sum", "subscribe service.sum"),
        ("elsewhere", "queue add elsewhere"),
    ] {
        let published = place.skep(&["publish", topic, "x", "--json"]).done().json();
        let traced = place.skep(&["trace", published["id"].as_str().unwrap()]).done().out;
        assert!(traced.ends_with(&format!("\nnext: skep {next}\n")), "{topic}: {traced}");
        let typed: Vec<&str> = next.split(' ').collect();
        if typed[0] != "subscribe" {
            place.skep(&typed).done();
        }
    }
    place.skep(&["request", "service.sum", "x", "--id", "asked"]).failed(3, "no_responders");
    let traced = place.skep(&["trace", "asked"]).done().out;
    assert!(traced.ends_with("\nnext: skep subscribe service.sum\n"), "{traced}");
}

#[test]
fn a_mistyped_agent_is_told_with_the_one_that_was_probably_meant() {
    let place = place();
    for args in [&["send", "bbo", "x"][..], &["inbox", "bbo"], &["receive", "--as", "bbo"]] {
        place.skep(args).failed(3, "no agent \"bbo\". Did you mean \"bob\"? Else add it: skep agents add bbo\n");
    }
}

#[test]
fn a_message_sent_to_a_queue_is_told_how_it_gets_there() {
    let place = place();
    let ran = place.skep(&["send", "jobs", "x"]);
    ran.failed(3, "\"jobs\" is a queue, not an agent. Publish to it: skep publish jobs TEXT\n");
    place.skep(&["publish", "jobs", "x"]).done();
}

#[test]
fn dead_letters_that_are_not_there_yet_are_none_and_no_error() {
    let place = place();
    let ran = place.skep(&["queue", "peek", "$dead.jobs"]).done();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "jobs has no dead letters\n"));
    assert_eq!(place.skep(&["queue", "peek", "$dead.jobs", "--json"]).done().out, "[]\n");
    place.skep(&["queue", "show", "$dead.jobs"]).failed(3, "jobs has no dead letters yet");
    place.skep(&["queue", "peek", "$dead.job"]).failed(3, "Did you mean \"jobs\"?");
    place.skep(&["queue", "redrive", "$dead.jobs"]).failed(2, "skep queue redrive jobs\n");
}

#[test]
fn what_was_to_be_removed_and_is_not_there_is_not_told_how_to_be_added() {
    let place = place();
    let agent =
        place.skep(&["agents", "rm", "nope"]).failed(3, "no agent \"nope\". See which there are: skep agents ls\n");
    let queue =
        place.skep(&["queue", "rm", "nope"]).failed(3, "no queue \"nope\". See which there are: skep queue ls\n");
    assert!(!agent.err.contains("add") && !queue.err.contains("add"), "{agent:?} {queue:?}");
    place.skep(&["agents", "rm", "bbo"]).failed(3, "Did you mean \"bob\"? Else see which there are: skep agents ls\n");
    place.skep(&["queue", "rm", "job"]).failed(3, "Did you mean \"jobs\"? Else see which there are: skep queue ls\n");
}

#[test]
fn what_is_in_use_is_told_with_the_command_that_removes_it() {
    let place = place();
    place.skep(&["publish", "jobs", "x"]).done();
    place.skep(&["send", "bob", "x"]).done();
    let queue = place.skep(&["queue", "rm", "jobs"]).failed(3, "holds 1 message and has 0 consumers");
    queue.failed(3, ": skep queue rm jobs --force\n");
    place.skep(&["agents", "rm", "bob"]).failed(3, ": skep agents rm bob --force\n");
    assert_eq!(place.skep(&["queue", "rm", "jobs", "--force"]).done().out, "removed jobs\n");
    assert_eq!(place.skep(&["agents", "rm", "bob", "--force"]).done().out, "removed bob and its inbox\n");
}

#[test]
fn what_to_type_next_finds_the_same_hub() {
    let place = Place::empty();
    let data = place.path().join("elsewhere");
    let data = data.to_str().unwrap();
    place.skep(&["serve", "--detach", "--listen", "127.0.0.1:0", "--data", data]).done();
    let ran = place.skep(&["send", "bob", "x", "--data", data]);
    let next = format!("skep agents add bob --data {data}");
    assert!(ran.err.ends_with(&format!("Add it: {next}\n")), "{ran:?}");
    let words: Vec<&str> = next.split(' ').skip(1).collect();
    place.skep(&words).done();
    place.skep(&["send", "bob", "x", "--data", data]).done();
    let taken = place.skep(&["receive", "bob", "--data", data]).done();
    let done: Vec<&str> = taken.err.split("done with it: skep ").nth(1).unwrap().trim().split(' ').collect();
    place.skep(&done).done();
    let url = format!("unix:{data}/hub.sock");
    let token = std::fs::read_to_string(format!("{data}/token")).unwrap();
    let ran = place.skep(&["send", "eve", "x", "--url", &url, "--token", token.trim()]);
    ran.failed(3, &format!("skep agents add eve --url {url}\n"));
    place.skep(&["stop", "--data", data]).done();
}

#[test]
fn who_acts_as_an_agent_that_nobody_added_is_told_and_not_refused() {
    let place = place();
    let ran = place.skep(&["send", "bob", "x", "--as", "bbo"]).done();
    let note = "--as bbo: no agent \"bbo\". Did you mean \"bob\"? Else add it: skep agents add bbo. Nobody can send to it until then\n";
    assert_eq!(ran.err, note);
    assert_eq!(place.skep(&["send", "bob", "x", "--as", "bob"]).done().err, "");
    assert_eq!(place.skep(&["agents", "add", "eve", "--as", "eve"]).done().err, "");
}

#[test]
fn what_was_changed_is_told_in_one_line() {
    let place = Place::with_hub();
    let said = |args: &[&str]| {
        let ran = place.skep(args).done();
        assert_eq!(ran.err, "", "{args:?}");
        ran.out
    };
    assert_eq!(said(&["queue", "add", "jobs"]), "added jobs: takes jobs; lease 1m, 5 attempts\n");
    assert_eq!(said(&["queue", "add", "jobs"]), "nothing to change in jobs: takes jobs; lease 1m, 5 attempts\n");
    let changed = said(&["queue", "add", "jobs", "--attempts", "1", "--filter", "a.*"]);
    assert_eq!(changed, "changed jobs: takes a.*; lease 1m, 1 attempt\n");
    said(&["publish", "a.b", "x"]);
    assert_eq!(said(&["queue", "purge", "jobs"]), "1 message dropped from jobs\n");
    assert_eq!(said(&["queue", "redrive", "jobs"]), "jobs has no dead letters to move back; those that expired stay\n");
    assert_eq!(said(&["queue", "rm", "jobs"]), "removed jobs\n");
    assert_eq!(said(&["agents", "add", "bob", "--metadata", "{\"a\":1}"]), "added bob; it has an inbox now\n");
    assert_eq!(said(&["agents", "add", "bob"]), "bob was there already\n");
    assert_eq!(place.skep(&["agents", "ls", "--json"]).done().json()[0]["metadata"], serde_json::json!({ "a": 1 }));
    assert!(said(&["agents", "join", "bob", "docs"]).starts_with("bob joined docs"));
    assert_eq!(said(&["agents", "leave", "bob", "docs"]), "bob left docs\n");
    assert_eq!(said(&["agents", "rm", "bob"]), "removed bob and its inbox\n");
}

#[test]
fn a_full_queue_is_told_with_the_commands_that_make_room() {
    let place = Place::with_hub();
    place.skep(&["queue", "add", "jobs", "--messages-max", "1"]).done();
    place.skep(&["publish", "jobs", "x"]).done();
    let full =
        place.skep(&["publish", "jobs", "y"]).failed(3, "error queue_full: queue jobs is full: it holds 1 messages");
    assert!(
        full.err.contains("skep queue add jobs --messages-max N") && full.err.contains("(skep receive jobs)"),
        "{full:?}"
    );
    place.skep(&["queue", "add", "jobs", "--messages-max", "2"]).done();
    place.skep(&["publish", "jobs", "y"]).done();
    place.skep(&["publish", "jobs", "z"]).failed(3, "(skep queue purge jobs, or POST /v1/queues/jobs/purge)");
    place.skep(&["queue", "purge", "jobs"]).done();
    place.skep(&["publish", "jobs", "z"]).done();
}
