//! A connection without any I/O: frames in, frames out, time as an argument.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use skep_core::limits::{CONNECT_MAX_MS, HEARTBEAT_MS, SILENCE_MAX_MS, UNANSWERED_BYTES_MAX, UNANSWERED_MESSAGES_MAX};
use skep_core::{Clock, Connection, Credentials, Form, Guards, Hub, HubOptions, Incoming, Now, Transmit};
use skep_embedded::{Embedded, EmbeddedOptions};
use skep_protocol::limits::BATCH_MAX;
use skep_protocol::{
    Action, Binding, Code, Command, Connect, Encoding, Frame, LeaseToken, Manage, ProducerId, Publish, QueueName,
    QueueSpec, Settle, SettleBatch, Settlement, Subscribe, Target, Welcome, Window,
};
use skep_testkit::{Anyone, Peer, message};

pub(crate) struct House {
    _folder: tempfile::TempDir,
    pub(crate) hub: Arc<Hub>,
}

impl House {
    pub(crate) async fn new() -> Self {
        House::guarded(Guards::default()).await
    }

    pub(crate) async fn guarded(guards: Guards) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Embedded::open(folder.path(), Clock::new(), EmbeddedOptions::default()).expect("a store");
        let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards };
        let hub = Hub::open(options, Clock::new(), store.clone(), store, Arc::new(Anyone)).await.expect("a hub");
        House { _folder: folder, hub }
    }

    pub(crate) fn line(&self) -> Line {
        let now = self.hub.now();
        let connection = Connection::new(self.hub.clone(), Form::Values, Credentials::default(), now);
        Line { connection, hub: self.hub.clone(), heard: Vec::new() }
    }

    /// A line over which a session stands.
    pub(crate) async fn open(&self, connect: Connect) -> (Line, Welcome) {
        let mut line = self.line();
        line.say(Frame::Connect(connect));
        let welcome = line.hear(|frame| matches!(frame, Frame::Welcome(_))).await;
        let Frame::Welcome(welcome) = welcome else { unreachable!() };
        (line, welcome)
    }
}

/// One end of a connection.
pub(crate) struct Line {
    pub(crate) connection: Connection,
    pub(crate) hub: Arc<Hub>,
    heard: Vec<Frame>,
}

impl Line {
    pub(crate) fn say(&mut self, frame: Frame) {
        let now = self.hub.now();
        // Whether it ends, the test sees by what it hears.
        let _ = self.connection.turn([Incoming::Frame(frame)], now);
    }

    /// The first frame of a kind.
    pub(crate) async fn hear(&mut self, is_it: impl Fn(&Frame) -> bool) -> Frame {
        let wait = async {
            loop {
                if let Some(at) = self.heard.iter().position(&is_it) {
                    return self.heard.remove(at);
                }
                let mut out = Transmit::default();
                let now = self.hub.now();
                std::future::poll_fn(|cx| self.connection.poll_transmit(cx, now, &mut out)).await;
                self.heard.append(&mut out.values);
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("a frame that must come")
    }

    async fn error(&mut self) -> Code {
        match self.hear(|frame| matches!(frame, Frame::Error(_))).await {
            Frame::Error(error) => error.code,
            other => unreachable!("{other:?}"),
        }
    }

    /// Declares a queue and subscribes to it.
    pub(crate) async fn consume(&mut self, queue: &str, messages: u32) {
        let name = QueueName::new(queue).expect("a name");
        self.say(Frame::Manage(Manage { tag: 1, command: Command::Declare(QueueSpec::new(name.clone())) }));
        self.hear(|frame| matches!(frame, Frame::Managed(_))).await;
        let window = Window { subscription: 1, messages, bytes: 1 << 20 };
        let target = Target::Queue(name);
        self.say(Frame::Subscribe(Subscribe { id: 1, target, window, handlers: 1, binding: Binding::Connection }));
        self.hear(|frame| matches!(frame, Frame::Subscribed(1))).await;
    }
}

pub(crate) fn hello() -> Connect {
    Connect { version: 1, producer: Some(ProducerId([3; 16])), ..Connect::default() }
}

fn publish(sequence: u64, count: usize) -> Frame {
    let messages = (0..count).map(|_| message("jobs").text("x").finish().expect("a message")).collect();
    Frame::Publish(Publish { sequence, messages })
}

#[tokio::test]
async fn what_is_said_before_the_welcome_waits_for_it() {
    let house = House::new().await;
    let mut line = house.line();
    let now = house.hub.now();
    let both = [Incoming::Frame(Frame::Connect(hello())), Incoming::Frame(publish(1, 1))];
    line.connection.turn(both, now).expect("open");
    line.hear(|frame| matches!(frame, Frame::Welcome(w) if w.producer == ProducerId([3; 16]) && !w.resumed)).await;
    line.hear(|frame| matches!(frame, Frame::Receipt(r) if r[0].sequence == 1)).await;
}

#[tokio::test]
async fn a_first_frame_that_is_no_connect_is_refused_and_ends() {
    let house = House::new().await;
    let mut line = house.line();
    line.say(publish(1, 1));
    assert_eq!(line.error().await, Code::Unauthenticated);
    assert!(line.connection.turn([], house.hub.now()).is_err());
    let mut line = house.line();
    line.say(Frame::Connect(Connect { version: 0, ..hello() }));
    assert_eq!(line.error().await, Code::UnsupportedVersion);
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_is_named_and_the_session_stands() {
    let house = House::new().await;
    let form = Form::Encoded(Encoding::Json);
    let mut connection = Connection::new(house.hub.clone(), form, Credentials::default(), house.hub.now());
    let now = house.hub.now();
    let text = |text: &'static str| Incoming::Bytes(text.into());
    let (mut out, mut cx) = (Transmit::default(), Context::from_waker(Waker::noop()));
    connection.turn([text(r#"{"connect":{"version":1}}"#)], now).expect("open");
    assert!(connection.poll_transmit(&mut cx, now, &mut out).is_ready());
    connection.turn([text("{")], now).expect("open still");
    assert!(connection.poll_transmit(&mut cx, now, &mut out).is_ready());
    let said: Vec<String> = out.blocks.iter().map(|block| String::from_utf8_lossy(&block.bytes).into_owned()).collect();
    assert!(said.iter().any(|frame| frame.contains("invalid_frame")), "{said:?}");
    // A flood of them ends it.
    let flood = (0..20).map(|_| text("{"));
    assert!(connection.turn(flood, now).is_err());
}

#[tokio::test]
async fn a_second_connect_and_frames_of_the_hub_are_refused_and_harm_nothing() {
    let house = House::new().await;
    let (mut line, _) = house.open(hello()).await;
    line.say(Frame::Connect(hello()));
    assert_eq!(line.error().await, Code::InvalidFrame);
    line.say(Frame::Subscribed(7));
    assert_eq!(line.error().await, Code::InvalidFrame);
    line.say(publish(0, 1));
    assert_eq!(line.error().await, Code::InvalidSequence);
    line.say(Frame::Ping(5));
    line.hear(|frame| matches!(frame, Frame::Pong(5))).await;
}

/// A frame that comes as a value is bounded as one that is read from bytes.
#[tokio::test]
async fn a_frame_of_too_many_items_is_refused_over_a_link_of_values_too() {
    let house = House::new().await;
    let (mut line, _) = house.open(hello()).await;
    line.consume("jobs", 0).await;
    line.say(publish(1, BATCH_MAX + 1));
    assert_eq!(line.error().await, Code::TooLarge);
    let settles = vec![Settle { lease: LeaseToken([7; 16]), action: Action::Ack }; BATCH_MAX + 1];
    line.say(Frame::Settle(SettleBatch { tag: 1, settles, atomic: false, publish: None }));
    assert_eq!(line.error().await, Code::TooLarge);
    line.say(publish(1, BATCH_MAX));
    let receipt = line.hear(|frame| matches!(frame, Frame::Receipt(_))).await;
    let Frame::Receipt(runs) = receipt else { unreachable!() };
    assert_eq!((runs[0].sequence, runs.iter().map(|run| run.count as usize).sum::<usize>()), (1, BATCH_MAX));
}

#[tokio::test]
async fn publishes_that_follow_one_by_one_are_answered_as_one_run() {
    let house = House::new().await;
    let (mut line, _) = house.open(hello()).await;
    line.consume("jobs", 0).await;
    let frames = [publish(1, 3), publish(4, 2)].map(Incoming::Frame);
    line.connection.turn(frames, house.hub.now()).expect("open");
    let receipt = line.hear(|frame| matches!(frame, Frame::Receipt(_))).await;
    let Frame::Receipt(runs) = receipt else { unreachable!() };
    assert_eq!((runs.len(), runs[0].sequence, runs[0].count), (1, 1, 5));
}

#[tokio::test]
async fn who_has_too_much_unanswered_is_read_no_more_until_it_is_answered() {
    let house = House::new().await;
    let (mut line, _) = house.open(hello()).await;
    line.consume("jobs", 0).await;
    let mut sequence = 1;
    while line.connection.wants_read() {
        line.say(publish(sequence, 1024));
        sequence += 1024;
        assert!(sequence < 4 * UNANSWERED_MESSAGES_MAX as u64, "there is a bound");
    }
    line.hear(|frame| matches!(frame, Frame::Receipt(_))).await;
    while !line.connection.wants_read() {
        line.hear(|frame| matches!(frame, Frame::Receipt(_))).await;
    }
}

/// Settles that are refused at once are answered all the same, and so are those with a long reason.
#[tokio::test]
async fn who_has_too_many_settles_unanswered_is_read_no_more_until_they_are_answered() {
    let house = House::new().await;
    let nack = || Action::Nack { after_ms: None, reason: "x".repeat(4_000) };
    for (action, most) in [(Action::Ack, UNANSWERED_MESSAGES_MAX / 64), (nack(), UNANSWERED_BYTES_MAX / (64 * 4_000))] {
        let (mut line, _) = house.open(Connect { producer: None, ..hello() }).await;
        let settles = vec![Settle { lease: LeaseToken([7; 16]), action }; 64];
        let mut said = 0;
        while line.connection.wants_read() {
            let settles = settles.clone();
            line.say(Frame::Settle(SettleBatch { tag: 1, settles, atomic: false, publish: None }));
            said += 1;
            assert!(said <= most + 1, "there is a bound");
        }
        assert!(said >= most, "{said} batches are within the bound of {most}");
        for _ in 0..said {
            line.hear(|frame| matches!(frame, Frame::Settled(_))).await;
        }
        assert!(line.connection.wants_read(), "all is answered");
    }
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_again_with_its_leases() {
    let house = House::new().await;
    let (mut line, welcome) = house.open(hello()).await;
    line.consume("jobs", 1).await;
    line.say(publish(1, 2));
    let deliver = line.hear(|frame| matches!(frame, Frame::Deliver(_))).await;
    let Frame::Deliver(deliveries) = deliver else { unreachable!() };
    let lease = deliveries[0].lease;
    line.connection.lost(Transmit::default(), house.hub.now());
    let again = Connect { resume: Some(welcome.resume), held: vec![lease], ..hello() };
    let (mut line, resumed) = house.open(again.clone()).await;
    assert!(resumed.resumed && resumed.lost.is_empty());
    assert_eq!(resumed.replies, welcome.replies, "live requests survive");
    let settles = vec![Settle { lease, action: Action::Ack }];
    line.say(Frame::Settle(SettleBatch { tag: 9, settles, atomic: false, publish: None }));
    let settled = line.hear(|frame| matches!(frame, Frame::Settled(_))).await;
    let Frame::Settled(settled) = settled else { unreachable!() };
    assert_eq!(settled.results, [Settlement::Ok(())]);
    line.hear(|frame| matches!(frame, Frame::Deliver(_))).await;
    // A session that stands elsewhere, or is gone, is not taken up: every lease is lost.
    let (_line, fresh) = house.open(again).await;
    assert!(!fresh.resumed);
    assert_eq!(fresh.lost, [lease]);
}

#[tokio::test]
async fn silence_is_pinged_and_then_ends_the_connection() {
    let house = House::new().await;
    let (mut line, _) = house.open(hello()).await;
    let start = house.hub.now();
    let after = |ms: u64| start.plus(Duration::from_millis(ms));
    line.connection.on_deadline(after(HEARTBEAT_MS + 1_000)).expect("open");
    line.hear(|frame| matches!(frame, Frame::Ping(_))).await;
    assert!(line.connection.on_deadline(after(SILENCE_MAX_MS + 1_000)).is_err());
    let mut mute = house.line();
    assert!(mute.connection.deadline() <= house.hub.now().mono_ms + CONNECT_MAX_MS);
    assert!(mute.connection.on_deadline(after(CONNECT_MAX_MS + 1_000)).is_err());
}

/// Pings of the transport keep a session alive, and nobody who has not said who they are.
#[tokio::test]
async fn who_pings_and_never_connects_is_refused_in_time() {
    let house = House::new().await;
    let mut line = house.line();
    let start = house.hub.now();
    for ms in (0..CONNECT_MAX_MS).step_by(500) {
        let now = start.plus(Duration::from_millis(ms));
        // As the driver hands on what is a sign of life and no frame.
        line.connection.turn([], now).expect("open");
        line.connection.on_deadline(now).expect("open");
        assert!(line.connection.deadline() <= start.mono_ms + CONNECT_MAX_MS, "its time runs from the start");
    }
    let late = start.plus(Duration::from_millis(CONNECT_MAX_MS));
    assert!(line.connection.on_deadline(late).is_err());
    assert_eq!(line.error().await, Code::Unauthenticated);
}

#[tokio::test]
async fn a_goodbye_returns_what_is_held_uncharged() {
    let house = House::new().await;
    let (mut first, _) = house.open(hello()).await;
    first.consume("jobs", 1).await;
    first.say(publish(1, 1));
    first.hear(|frame| matches!(frame, Frame::Deliver(_))).await;
    first.connection.shut_down(Now::default());
    first.hear(|frame| matches!(frame, Frame::Goodbye(_))).await;
    let (mut second, _) = house.open(Connect { producer: None, ..hello() }).await;
    second.consume("jobs", 1).await;
    second.hear(|frame| matches!(frame, Frame::Deliver(d) if d[0].attempt == 1)).await;
}

#[tokio::test]
async fn a_connection_that_the_hub_still_holds_for_alive_lets_go_of_its_session() {
    let house = House::new().await;
    let (mut old, welcome) = house.open(hello()).await;
    old.consume("jobs", 1).await;
    old.say(publish(1, 1));
    let Frame::Deliver(deliveries) = old.hear(|frame| matches!(frame, Frame::Deliver(_))).await else { unreachable!() };
    let again = Connect { resume: Some(welcome.resume), held: vec![deliveries[0].lease], ..hello() };
    let ended = tokio::spawn(async move { old.hear(|frame| matches!(frame, Frame::Goodbye(_))).await });
    let (_new, resumed) = house.open(again).await;
    assert!(resumed.resumed && resumed.lost.is_empty());
    ended.await.expect("the old connection is told");
}

fn as_agent(agent: &str) -> Connect {
    Connect { version: 1, agent: Some(agent.parse().expect("an id")), ..Connect::default() }
}

/// Whoever learnt the secret of a session that is not theirs gets a session of their own.
#[tokio::test]
async fn another_party_does_not_take_a_session_up_nor_end_its_connection() {
    let house = House::new().await;
    let (mut alice, welcome) = house.open(as_agent("alice")).await;
    alice.consume("jobs", 1).await;
    alice.say(publish(1, 1));
    let Frame::Deliver(deliveries) = alice.hear(|frame| matches!(frame, Frame::Deliver(_))).await else {
        unreachable!()
    };
    let lease = deliveries[0].lease;
    let stolen = |agent| Connect { resume: Some(welcome.resume), held: vec![lease], ..as_agent(agent) };
    let (_eve, refused) = house.open(stolen("eve")).await;
    assert_eq!((refused.resumed, &refused.lost), (false, &vec![lease]));
    assert_ne!(refused.resume, welcome.resume);
    // Had she been asked to let go, she would do so when she is answered first.
    for n in [5, 6] {
        alice.say(Frame::Ping(n));
        let heard = alice.hear(|frame| matches!(frame, Frame::Pong(_) | Frame::Goodbye(_))).await;
        assert_eq!(heard, Frame::Pong(n), "her connection stands");
    }
    // Nor does it help to wait until her connection is lost.
    alice.connection.lost(Transmit::default(), house.hub.now());
    let (_eve, refused) = house.open(stolen("eve")).await;
    assert_eq!((refused.resumed, &refused.lost), (false, &vec![lease]));
    let (_alice, resumed) = house.open(stolen("alice")).await;
    assert!(resumed.resumed && resumed.lost.is_empty(), "it is hers still, with its lease");
}

/// The hub asks a connection to let go that has died by then: whoever takes the session up is not meant.
#[tokio::test]
async fn whoever_took_a_session_up_is_not_evicted_in_place_of_the_one_before() {
    let house = House::new().await;
    let (old, welcome) = house.open(hello()).await;
    let mut new = house.line();
    new.say(Frame::Connect(Connect { resume: Some(welcome.resume), ..hello() }));
    let mut out = Transmit::default();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(new.connection.poll_transmit(&mut cx, house.hub.now(), &mut out).is_pending(), "it waits for the old one");
    old.connection.lost(Transmit::default(), house.hub.now());
    new.hear(|frame| matches!(frame, Frame::Welcome(welcome) if welcome.resumed)).await;
    new.say(Frame::Ping(5));
    new.hear(|frame| matches!(frame, Frame::Pong(5))).await;
}

/// Nobody waits for a session that ends instead of being parked.
#[tokio::test]
async fn a_session_that_ends_while_another_connection_wants_it_is_waited_for_no_more() {
    let house = House::new().await;
    let (mut old, welcome) = house.open(hello()).await;
    let mut new = house.line();
    new.say(Frame::Connect(Connect { resume: Some(welcome.resume), ..hello() }));
    let mut out = Transmit::default();
    let waiting = std::future::poll_fn(|cx| new.connection.poll_transmit(cx, house.hub.now(), &mut out));
    let begun = std::time::Instant::now();
    let leaving = async { old.connection.shut_down(house.hub.now()) };
    tokio::join!(waiting, leaving);
    assert!(matches!(&out.values[..], [Frame::Welcome(welcome)] if !welcome.resumed), "{:?}", out.values);
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
}

/// Who is parked hears nothing: a sender who is told that they are connected would wait in vain.
#[tokio::test]
async fn an_agent_whose_connection_is_lost_is_not_told_to_be_connected() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    let agent = "kim".parse().expect("an id");
    peer.manage(Command::Register { agent, metadata: "{}".into() }).await.expect("an agent");
    let (line, welcome) = house.open(as_agent("kim")).await;
    assert_eq!(connected(&mut peer).await, Some(true));
    line.connection.lost(Transmit::default(), house.hub.now());
    assert_eq!(connected(&mut peer).await, Some(false));
    let (_line, resumed) = house.open(Connect { resume: Some(welcome.resume), ..as_agent("kim") }).await;
    assert!(resumed.resumed);
    assert_eq!(connected(&mut peer).await, Some(true));
}

async fn connected(peer: &mut Peer) -> Option<bool> {
    let receipt = peer.publish(message("agent.kim.inbox")).await.expect("a receipt");
    receipt.recipient.expect("it is one agent's").connected
}
