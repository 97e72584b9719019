use std::sync::Mutex;

use skep_protocol::{
    Action, Delivery, Frame, LeaseToken, Position, QueueName, ResumeToken, Settled, Settlement, Welcome,
};

use super::*;
use crate::{Client, Options, Outcome, ReceiveOptions};

mod streams;

/// The hub's ends of the links a client opened, in order; each is used by hand.
type Hub = mpsc::Receiver<Ends>;

struct Ends {
    from: mpsc::Receiver<Vec<Frame>>,
    to: mpsc::Sender<Vec<Frame>>,
}

impl Ends {
    /// The next frame that is no ping; pings are answered.
    async fn next(&mut self, waiting: &mut Vec<Frame>) -> Frame {
        within(Duration::from_secs(600), self.wait(waiting)).await.expect("the client says something")
    }

    async fn wait(&mut self, waiting: &mut Vec<Frame>) -> Frame {
        loop {
            while waiting.is_empty() {
                waiting.extend(self.from.recv().await.expect("the client is there"));
            }
            match waiting.remove(0) {
                Frame::Ping(n) => self.say(Frame::Pong(n)).await,
                frame => return frame,
            }
        }
    }

    async fn say(&self, frame: Frame) {
        self.to.send(vec![frame]).await.unwrap();
    }
}

fn in_process() -> (Connector, Hub) {
    let (opened, hub) = mpsc::channel(8);
    let connector = Connector::in_process("test", move || {
        let opened = opened.clone();
        async move {
            let ((to_hub, from), (to, from_hub)) = (mpsc::channel(4), mpsc::channel(4));
            let refused = |_| Error::new(Code::NoHub, "the test hub is gone");
            opened.send(Ends { from, to }).await.map_err(refused)?;
            Ok((to_hub, from_hub))
        }
    });
    (connector, hub)
}

async fn welcomed(hub: &mut Hub, resumed: bool) -> (Ends, Vec<Frame>, skep_protocol::Connect) {
    let (mut ends, mut waiting) = (hub.recv().await.unwrap(), Vec::new());
    let Frame::Connect(connect) = ends.next(&mut waiting).await else { panic!("Connect comes first") };
    let welcome = Welcome {
        version: 1,
        features: 0,
        hub: "test".into(),
        agent: None,
        producer: connect.producer.unwrap(),
        resume: ResumeToken([1; 16]),
        resumed,
        lost: vec![],
        replies: "$reply.1".into(),
        heartbeat_ms: 10_000,
        payload_bytes_max: 1 << 20,
    };
    ends.say(Frame::Welcome(welcome)).await;
    (ends, waiting, connect)
}

async fn connected() -> (Client, Hub, Ends) {
    let (connector, mut hub) = in_process();
    let connecting = tokio::spawn(Client::over(connector, Options::default()));
    let (ends, ..) = welcomed(&mut hub, false).await;
    (connecting.await.unwrap().unwrap(), hub, ends)
}

fn queue() -> QueueName {
    QueueName::new("jobs").unwrap()
}

fn delivery(client: &Client, subscription: u32) -> Frame {
    Frame::Deliver(vec![Delivery {
        subscription,
        queue: queue(),
        position: Position::Number(1),
        attempt: 1,
        lease: LeaseToken([1; 16]),
        lease_ms: 60_000,
        previous: None,
        message: client.message("task").finish().unwrap(),
    }])
}

/// A consumer whose one handler never ends, and where it says that it began and was dropped.
async fn stuck_consumer(client: &Client, ends: &mut Ends) -> (mpsc::Receiver<()>, oneshot::Receiver<()>) {
    let (began, begins) = mpsc::channel(1);
    let (dropped, drops) = oneshot::channel::<()>();
    let dropped = Mutex::new(Some(dropped));
    let consumer = client.clone();
    tokio::spawn(async move {
        let handler = move |_work| {
            let (began, guard) = (began.clone(), dropped.lock().unwrap().take());
            async move {
                let _guard = guard;
                began.send(()).await.unwrap();
                std::future::pending::<Outcome>().await
            }
        };
        consumer.consume(&queue(), ReceiveOptions::default(), handler).await
    });
    let Frame::Subscribe(subscribe) = ends.next(&mut Vec::new()).await else { panic!("Subscribe") };
    ends.say(Frame::Subscribed(subscribe.id)).await;
    ends.say(delivery(client, subscribe.id)).await;
    (begins, drops)
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_is_opened_again_with_the_same_producer_and_the_unanswered_is_sent_again() {
    let (client, mut hub, mut ends) = connected().await;
    let publisher = client.clone();
    let message = client.message("note").finish().unwrap();
    let publishing = tokio::spawn(async move { publisher.publish(message).await });
    let first = ends.next(&mut Vec::new()).await;
    drop(ends);
    let (mut ends, mut waiting, connect) = welcomed(&mut hub, true).await;
    assert!(connect.producer.is_some() && connect.resume == Some(ResumeToken([1; 16])));
    let again = ends.next(&mut waiting).await;
    assert!(matches!(again, Frame::Publish(_)));
    assert_eq!(first, again);
    client.clone().close().await;
    assert_eq!(publishing.await.unwrap().unwrap_err().code, Code::ConnectionLost);
}

#[tokio::test(start_paused = true)]
async fn the_first_connection_is_given_up_after_five_seconds_naming_the_address() {
    let mut tries = 0;
    let connector = Connector::in_process("hub-in-test", move || {
        tries += 1;
        let error = no_hub("hub-in-test", &format!("try {tries}"));
        async move { Err(error) }
    });
    let clock = Clock::start();
    let error = Client::over(connector, Options::default()).await.unwrap_err();
    assert_eq!(error.code, Code::NoHub);
    assert!(
        error.text.contains("hub-in-test") && error.text.contains("expected a Skep hub that listens there"),
        "{error}"
    );
    assert!(clock.now() > Duration::from_secs(2) && clock.now() <= Duration::from_secs(5), "{:?}", clock.now());
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_has_no_room_is_asked_again_and_then_told_in_its_own_words() {
    let (connector, mut hub) = in_process();
    let clock = Clock::start();
    let connecting = tokio::spawn(Client::over(connector, Options::default()));
    let mut tries = 0;
    while let Some(mut ends) = hub.recv().await {
        let Frame::Connect(_) = ends.next(&mut Vec::new()).await else { panic!("Connect comes first") };
        ends.say(Frame::Error(Error::new(Code::Busy, "it has 7 connections"))).await;
        tries += 1;
    }
    let error = connecting.await.unwrap().unwrap_err();
    assert_eq!((error.code, error.text.as_str()), (Code::Busy, "it has 7 connections"));
    assert!(tries > 1 && clock.now() > Duration::from_secs(2), "{tries} in {:?}", clock.now());
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_takes_the_link_and_never_answers_is_given_up_too() {
    let (connector, mut hub) = in_process();
    let clock = Clock::start();
    let connecting = tokio::spawn(Client::over(connector, Options::default()));
    let _silent = hub.recv().await.unwrap();
    assert_eq!(connecting.await.unwrap().unwrap_err().code, Code::NoHub);
    assert_eq!(clock.now().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_is_told_at_once() {
    let (connector, mut hub) = in_process();
    let clock = Clock::start();
    let options = Options { token: Some("wrong".into()), ..Options::default() };
    let connecting = tokio::spawn(Client::over(connector, options));
    let mut ends = hub.recv().await.unwrap();
    let Frame::Connect(connect) = ends.next(&mut Vec::new()).await else { panic!("Connect comes first") };
    assert_eq!(connect.token.as_deref(), Some("wrong"));
    ends.say(Frame::Error(Error::new(Code::Unauthenticated, "no such token"))).await;
    assert_eq!(connecting.await.unwrap().unwrap_err().code, Code::Unauthenticated);
    assert_eq!(clock.now(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_silent_hub_is_left_after_two_heartbeats() {
    let (_client, mut hub, silent) = connected().await;
    let clock = Clock::start();
    let _ends = welcomed(&mut hub, true).await;
    assert!(clock.now() >= Duration::from_secs(20) && clock.now() < Duration::from_secs(21), "{:?}", clock.now());
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_says_goodbye() {
    let (client, _hub, mut ends) = connected().await;
    let other = client.clone();
    drop(client);
    drop(other);
    assert!(matches!(ends.next(&mut Vec::new()).await, Frame::Goodbye(_)));
    assert_eq!(ends.from.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_reply_ends_in_time_and_leaves_nothing_behind() {
    let (client, _hub, mut ends) = connected().await;
    let clock = Clock::start();
    let error = client.request(client.message("request"), Some(Duration::from_secs(5))).await.unwrap_err();
    assert_eq!((error.code, clock.now().as_secs()), (Code::Timeout, 5));
    assert!(matches!(ends.next(&mut Vec::new()).await, Frame::Publish(_)));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.handle().requests_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_at_each_third_of_it_while_the_handler_runs() {
    let (client, _hub, mut ends) = connected().await;
    let (mut begins, mut drops) = stuck_consumer(&client, &mut ends).await;
    begins.recv().await.unwrap();
    let clock = Clock::start();
    for n in 1..=5 {
        let Frame::Settle(batch) = ends.next(&mut Vec::new()).await else { panic!("a renewal") };
        assert!(matches!(batch.settles[0].action, Action::Extend { lease_ms: None, progress: None }));
        assert_eq!(clock.now().as_secs(), n * 20);
        let results = vec![Settlement::Ok(())];
        ends.say(Frame::Settled(Settled { tag: batch.tag, results, receipts: vec![] })).await;
    }
    assert!(drops.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_when_the_hub_lost_its_lease() {
    let (client, mut hub, mut ends) = connected().await;
    let (mut begins, drops) = stuck_consumer(&client, &mut ends).await;
    begins.recv().await.unwrap();
    drop(ends);
    let _ends = welcomed(&mut hub, false).await;
    assert!(drops.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_when_its_lease_runs_out_while_the_hub_is_away() {
    let (client, hub, mut ends) = connected().await;
    let (mut begins, drops) = stuck_consumer(&client, &mut ends).await;
    begins.recv().await.unwrap();
    let clock = Clock::start();
    drop((ends, hub));
    assert!(drops.await.is_err());
    assert_eq!(clock.now().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_returns_settles_and_a_panic_is_a_nack() {
    for (panics, expected) in [(false, "Ack"), (true, "the handler panicked")] {
        let (client, _hub, mut ends) = connected().await;
        let consumer = client.clone();
        let consuming = tokio::spawn(async move {
            let handler = move |_work| async move {
                assert!(!panics, "as the test wants it");
                Outcome::Ack
            };
            consumer.consume(&queue(), ReceiveOptions::handlers(2), handler).await
        });
        let Frame::Subscribe(subscribe) = ends.next(&mut Vec::new()).await else { panic!("Subscribe") };
        assert_eq!((subscribe.handlers, subscribe.window.messages), (2, 32));
        ends.say(Frame::Subscribed(subscribe.id)).await;
        ends.say(delivery(&client, subscribe.id)).await;
        let Frame::Settle(batch) = ends.next(&mut Vec::new()).await else { panic!("a settle") };
        assert!(format!("{:?}", batch.settles[0].action).contains(expected), "{batch:?}");
        let results = vec![Settlement::Ok(())];
        ends.say(Frame::Settled(Settled { tag: batch.tag, results, receipts: vec![] })).await;
        client.close().await;
        assert_eq!(consuming.await.unwrap(), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leased_message_dropped_unsettled_returns() {
    let (client, _hub, mut ends) = connected().await;
    let receiver = client.clone();
    let receiving = tokio::spawn(async move {
        let mut deliveries = receiver.receive(&queue(), ReceiveOptions::default()).await.unwrap();
        drop(deliveries.next().await.unwrap());
        deliveries
    });
    let Frame::Subscribe(subscribe) = ends.next(&mut Vec::new()).await else { panic!("Subscribe") };
    ends.say(Frame::Subscribed(subscribe.id)).await;
    ends.say(delivery(&client, subscribe.id)).await;
    let Frame::Settle(batch) = ends.next(&mut Vec::new()).await else { panic!("a settle") };
    assert_eq!(batch.settles[0].action, Action::Return);
    drop(receiving);
}

#[tokio::test(start_paused = true)]
async fn callers_wait_while_too_many_bytes_are_unanswered() {
    let (client, _hub, mut ends) = connected().await;
    let publisher = client.clone();
    let messages: Vec<_> = (0..5000).map(|_| client.message("note").finish().unwrap()).collect();
    let publishing = tokio::spawn(async move { publisher.publish_all(messages).await });
    let (mut waiting, mut answered) = (Vec::new(), 0);
    while answered < 5000 {
        let Frame::Publish(publish) = ends.next(&mut waiting).await else { panic!("messages") };
        assert!(publish.sequence + publish.messages.len() as u64 <= answered + 1 + 4096);
        answered += publish.messages.len() as u64;
        let count = u32::try_from(publish.messages.len()).unwrap();
        let result = Settlement::Error(Error::new(Code::QueueFull, "full"));
        let publication = skep_protocol::Publication { sequence: publish.sequence, count, result };
        ends.say(Frame::Receipt(vec![publication])).await;
    }
    let results = publishing.await.unwrap();
    assert_eq!(results.len(), 5000);
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|e| e.code == Code::QueueFull)));
}
