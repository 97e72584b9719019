//! Frames that are well-formed, with numbers at the ends of their ranges.

use skep_client::Client;
use skep_protocol::{
    Action, Ask, Binding, Code, Command, Filter, Frame, LeaseToken, Manage, Message, Position, Publish, Query,
    QueueSpec, Settle, SettleBatch, Settlement, Subscribe, Target, Window,
};

use crate::hub::{Hub, declare, info, note, publish, queue};
use crate::neighbour::Neighbour;
use crate::raw::{Heard, Raw};

/// What comes next, past what is of no interest here.
async fn answer(raw: &mut Raw, wanted: impl Fn(&Frame) -> bool) -> Frame {
    loop {
        match raw.hear().await {
            Heard::Frame(frame) if wanted(&frame) => return frame,
            Heard::Frame(_) => {}
            Heard::Closed => panic!("the connection was closed instead"),
        }
    }
}

/// A hub with a queue, and with a neighbour that must notice nothing.
struct Trial {
    hub: Hub,
    neighbour: Neighbour,
    client: Client,
}

impl Trial {
    async fn begin() -> Self {
        let hub = Hub::start().await;
        let (neighbour, client) = (Neighbour::of(&hub).await, hub.client().await);
        declare(&client, "jobs").await;
        Trial { hub, neighbour, client }
    }

    /// A connection with a session.
    async fn raw(&self) -> Raw {
        let mut raw = Raw::unix(&self.hub).await;
        raw.connect(&self.hub).await;
        raw
    }

    /// One that holds the lease of a message.
    async fn leased(&self) -> (Raw, LeaseToken) {
        publish(&self.client, "jobs", "one").await;
        let mut raw = self.raw().await;
        raw.say(&crate::bad_input::subscribe(1, "jobs")).await;
        match answer(&mut raw, |frame| matches!(frame, Frame::Deliver(_))).await {
            Frame::Deliver(deliveries) => (raw, deliveries[0].lease),
            other => unreachable!("{other:?}"),
        }
    }

    /// The connection is answered so, or with an error, and the neighbour goes on.
    async fn answers(&self, raw: &mut Raw, sequence: u64, is_so: impl Fn(&Frame) -> bool) {
        let heard = raw.hear().await;
        let is_answered = matches!(&heard, Heard::Frame(frame) if is_so(frame) || matches!(frame, Frame::Error(_)));
        assert!(is_answered, "{sequence}: {heard:?}");
        self.neighbour.goes_on().await;
    }

    async fn ends_well(self) {
        self.neighbour.content(&self.hub).await;
        self.hub.close().await;
    }
}

const SEQUENCES: [u64; 5] = [0, u64::MAX - 1, u64::MAX, u64::MAX / 2, 1];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_at_the_end_of_its_range_is_answered_and_harms_nobody() {
    let trial = Trial::begin().await;
    let mut raw = trial.raw().await;
    for sequence in SEQUENCES {
        raw.say(&Frame::Publish(Publish { sequence, messages: vec![note(&trial.client, "jobs", "x")] })).await;
        trial.answers(&mut raw, sequence, |frame| matches!(frame, Frame::Receipt(_))).await;
    }
    raw.lives().await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_that_run_over_the_end_of_their_range_are_answered_and_harm_nobody() {
    let trial = Trial::begin().await;
    let two: Vec<Message> = ["a", "b"].map(|text| note(&trial.client, "jobs", text)).to_vec();
    for sequence in SEQUENCES {
        let mut raw = trial.raw().await;
        for messages in [two.clone(), two.clone()] {
            raw.say(&Frame::Publish(Publish { sequence, messages })).await;
        }
        trial.answers(&mut raw, sequence, |frame| matches!(frame, Frame::Receipt(_))).await;
    }
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_at_the_end_of_the_sequences_is_answered_and_harms_nobody() {
    let trial = Trial::begin().await;
    let messages: Vec<Message> = ["a", "b"].map(|text| note(&trial.client, "jobs", text)).to_vec();
    for sequence in SEQUENCES {
        let mut raw = trial.raw().await;
        let settles = vec![Settle { lease: LeaseToken([7; 16]), action: Action::Ack }];
        let publish = Some(Publish { sequence, messages: messages.clone() });
        raw.say(&Frame::Settle(SettleBatch { tag: 1, settles, atomic: true, publish })).await;
        trial.answers(&mut raw, sequence, |frame| matches!(frame, Frame::Settled(_))).await;
    }
    assert_eq!(info(&trial.client, "jobs").await.ready, 0, "its lease was no lease");
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_at_the_ends_of_their_range_are_bounded_and_harm_nobody() {
    let trial = Trial::begin().await;
    for n in 0..3 {
        publish(&trial.client, "jobs", &n.to_string()).await;
    }
    for (messages, bytes, handlers, comes) in [(0, 0, 0, 0), (1, 0, 0, 1), (u32::MAX, u64::MAX, u32::MAX, 3)] {
        let mut raw = trial.raw().await;
        let window = Window { subscription: 1, messages, bytes };
        let target = Target::Queue(queue("jobs"));
        raw.say(&Frame::Subscribe(Subscribe { id: 1, target, window, handlers, binding: Binding::Connection })).await;
        answer(&mut raw, |frame| *frame == Frame::Subscribed(1)).await;
        assert_eq!(info(&trial.client, "jobs").await.leased, comes);
        for subscription in [0, 2, u32::MAX] {
            raw.say(&Frame::Window(Window { subscription, messages, bytes })).await;
            raw.say(&Frame::Unsubscribe(subscription)).await;
        }
        raw.say(&Frame::Goodbye(skep_protocol::Goodbye { reason: "done".into() })).await;
        answer(&mut raw, |frame| matches!(frame, Frame::Goodbye(_))).await;
        assert_eq!(info(&trial.client, "jobs").await.ready, 3, "a goodbye returns all");
    }
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durations_at_the_end_of_their_range_are_answered_and_harm_nobody() {
    let trial = Trial::begin().await;
    let (mut raw, lease) = trial.leased().await;
    let reason = String::new();
    for action in [
        Action::Extend { lease_ms: Some(u64::MAX), progress: None },
        Action::Extend { lease_ms: Some(0), progress: None },
        Action::Nack { after_ms: Some(u64::MAX), reason },
    ] {
        let settles = vec![Settle { lease, action: action.clone() }];
        raw.say(&Frame::Settle(SettleBatch { tag: u64::MAX, settles, atomic: false, publish: None })).await;
        match answer(&mut raw, |frame| matches!(frame, Frame::Settled(_))).await {
            Frame::Settled(settled) => assert_eq!((settled.tag, settled.results.len()), (u64::MAX, 1), "{action:?}"),
            other => unreachable!("{other:?}"),
        }
        trial.neighbour.goes_on().await;
    }
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_questions_at_the_end_of_their_range_are_answered_and_harm_nobody() {
    let trial = Trial::begin().await;
    publish(&trial.client, "jobs", "one").await;
    let mut raw = trial.raw().await;
    let everything = || Filter::new(">").expect("a filter");
    let replay = |from| Ask::Replay { filter: everything(), from, limit: u32::MAX };
    for ask in [
        replay(Position::Number(0)),
        replay(Position::Number(u64::MAX)),
        replay(Position::opaque(&[255; 24]).expect("short")),
        Ask::Peek { queue: queue("jobs"), limit: u32::MAX, from: None },
        Ask::Peek { queue: queue("jobs"), limit: 0, from: Some(Position::Number(u64::MAX)) },
        Ask::Peek { queue: queue("jobs"), limit: 1, from: Some(Position::opaque(&[255; 24]).expect("short")) },
        Ask::Trace { message: "x".repeat(100_000), search: None },
        Ask::Trace { message: String::new(), search: None },
    ] {
        raw.say(&Frame::Query(Query { tag: 1, ask: ask.clone() })).await;
        answer(&mut raw, |frame| matches!(frame, Frame::Page(_))).await;
        trial.neighbour.goes_on().await;
    }
    let name = queue("jobs");
    let spec = QueueSpec { lease_ms: u64::MAX, ..QueueSpec::new(name.clone()) };
    let most = QueueSpec { messages_max: u64::MAX, bytes_max: u64::MAX, ..QueueSpec::new(name.clone()) };
    let long = QueueSpec { backoff_min_ms: u64::MAX, backoff_max_ms: u64::MAX, ..QueueSpec::new(name.clone()) };
    for command in [Command::Declare(spec), Command::Declare(most), Command::Declare(long)] {
        raw.say(&Frame::Manage(Manage { tag: 2, command: command.clone() })).await;
        match answer(&mut raw, |frame| matches!(frame, Frame::Managed(_))).await {
            Frame::Managed(managed) => {
                let refused = matches!(&managed.result, Settlement::Error(e) if e.code == Code::InvalidArgument);
                assert!(refused, "{command:?}: {managed:?}");
            }
            other => unreachable!("{other:?}"),
        }
    }
    raw.say(&Frame::Manage(Manage { tag: 3, command: Command::Redrive { queue: name, limit: u32::MAX } })).await;
    answer(&mut raw, |frame| matches!(frame, Frame::Managed(_))).await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settles_that_say_nothing_or_the_same_twice_are_answered_one_by_one() {
    let trial = Trial::begin().await;
    let (mut raw, lease) = trial.leased().await;
    let ack = |lease| Settle { lease, action: Action::Ack };
    let other = LeaseToken([7; 16]);
    for (settles, atomic, results) in [
        (vec![], false, vec![]),
        (vec![], true, vec![]),
        (vec![ack(lease), ack(other)], true, vec![false, false]),
        (vec![ack(lease), ack(lease), ack(other)], false, vec![true, true, false]),
    ] {
        raw.say(&Frame::Settle(SettleBatch { tag: 5, settles, atomic, publish: None })).await;
        let Frame::Settled(settled) = answer(&mut raw, |frame| matches!(frame, Frame::Settled(_))).await else {
            unreachable!("it was waited for")
        };
        let went_well: Vec<bool> = settled.results.iter().map(|result| matches!(result, Settlement::Ok(()))).collect();
        assert_eq!(went_well, results, "{settled:?}");
    }
    assert_eq!((info(&trial.client, "jobs").await.ready, info(&trial.client, "jobs").await.leased), (0, 0));
    trial.ends_well().await;
}
