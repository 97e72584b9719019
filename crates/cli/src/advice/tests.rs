use skep_protocol::QueueSpec;

use super::*;

fn queue(name: &str, filter: &str, ready: u64) -> QueueInfo {
    let spec = QueueSpec { filters: vec![filter.parse().unwrap()], ..QueueSpec::new(name.parse().unwrap()) };
    QueueInfo {
        spec,
        ready,
        leased: 0,
        delayed: 0,
        bytes: 0,
        consumers: 0,
        dead: 0,
        parked: 0,
        parked_keys: 0,
        active: None,
    }
}

fn told(code: Code, named: Named<'_>) -> String {
    let queues =
        [queue("agent.bob.inbox", "agent.bob.inbox", 1), queue("images", "img.*", 0), queue("jobs", "jobs", 2)];
    Names { queues: &queues, global: &Global::default() }.tell(code, named).unwrap()
}

fn no_queue(name: &str) -> String {
    told(Code::UnknownQueue, Named::Queue(&name.parse().unwrap()))
}

fn no_agent(name: &str) -> String {
    told(Code::UnknownAgent, Named::Agent(&name.parse().unwrap()))
}

#[test]
fn what_was_mistyped_is_offered_before_it_is_added() {
    assert_eq!(no_queue("job"), "no queue \"job\". Did you mean \"jobs\"? Else add it: skep queue add job");
    let far = "no queue \"zzz\". See which there are: skep queue ls; or add it: skep queue add zzz";
    assert_eq!(no_queue("zzz"), far);
    let none = Names { queues: &[], global: &Global::default() };
    let first = none.tell(Code::UnknownQueue, Named::Queue(&"zzz".parse().unwrap()));
    assert_eq!(first.as_deref(), Some("no queue \"zzz\". Add it: skep queue add zzz"));
    assert_eq!(no_agent("bbo"), "no agent \"bbo\". Did you mean \"bob\"? Else add it: skep agents add bbo");
    assert_eq!(no_queue("agent.bbo.inbox"), no_agent("bbo"));
    let either = told(Code::UnknownQueue, Named::Either(&"job".parse().unwrap()));
    assert!(either.starts_with("no queue and no agent \"job\". Did you mean \"jobs\"? Else add it: "), "{either}");
}

#[test]
fn a_name_of_the_other_kind_is_told_with_how_to_reach_it() {
    assert_eq!(no_agent("jobs"), "\"jobs\" is a queue, not an agent. Publish to it: skep publish jobs TEXT");
    assert!(no_agent("images").ends_with("skep publish TOPIC TEXT, with a topic that matches img.*"));
    assert_eq!(no_queue("bob"), "\"bob\" is an agent, not a queue; its inbox is the queue agent.bob.inbox");
}

#[test]
fn dead_letters_that_are_not_there_yet_are_no_unknown_queue() {
    assert_eq!(no_queue("$dead.jobs"), "jobs has no dead letters yet; $dead.jobs comes with the first");
    assert!(no_queue("$dead.job").starts_with("no dead letters: no queue \"job\". Did you mean \"jobs\"?"));
}

#[test]
fn what_is_in_use_is_told_with_the_flag_that_removes_it() {
    let queue = told(Code::InUse, Named::Queue(&"jobs".parse().unwrap()));
    assert!(queue.starts_with("queue jobs holds 2 messages and has 0 consumers."), "{queue}");
    assert!(queue.ends_with(": skep queue rm jobs --force"), "{queue}");
    let agent = told(Code::InUse, Named::Agent(&"bob".parse().unwrap()));
    assert!(agent.contains("holds 1 message and") && agent.ends_with(": skep agents rm bob --force"), "{agent}");
}

#[test]
fn a_topic_nobody_takes_is_told_with_the_queue_that_would() {
    let topic = "job".parse().unwrap();
    let text = told(Code::NoQueue, Named::Topic(&topic));
    assert!(text.ends_with("Did you mean \"jobs\"? Else add one: skep queue add job"), "{text}");
    let text = told(Code::NoResponders, Named::Topic(&"bbo".parse().unwrap()));
    assert!(text.contains("no agent \"bbo\" either. Did you mean \"bob\"?"), "{text}");
}
