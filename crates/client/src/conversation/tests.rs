use std::sync::Arc;
use std::time::Duration;

use skep_protocol::limits::{BATCH_MAX, FRAME_BYTES_MAX, PRODUCER_WINDOW};
use skep_protocol::{
    Accepted, Action, Binding, Delivery, Filter, Guarantee, LeaseToken, Message, MessageId, Outcome, Position,
    ProducerId, Publication, Publish, QueueName, ResumeToken, Settle, SettleBatch, Settled, Settlement, Subscribe,
    SubscriptionId, Target, Topic, Welcome, Window,
};
use tokio::sync::Semaphore;

use super::*;
use crate::limits::PONGS_MAX;
use crate::mailbox::{Bound, Mailbox};
use crate::verb::{Asker, Credit, Feed, Held, Left, Paid, Replies, Verb};

mod leases;
mod publishing;
mod sessions;

const NOW: Moment = Duration::from_secs(100);
const HEARTBEAT: Duration = Duration::from_secs(10);

type Coming<T> = oneshot::Receiver<Result<T, Error>>;

/// A conversation and the hub's side of it, by hand.
struct Bench {
    it: Conversation,
    room: Arc<Semaphore>,
    session: watch::Receiver<Session>,
}

impl Bench {
    /// A conversation whose first session stands.
    fn open() -> Self {
        let (session, shown) = watch::channel(Session::default());
        let identity = Identity {
            agent: None,
            client: "test".into(),
            producer: ProducerId([9; 16]),
            close_timeout: Duration::from_secs(5),
        };
        let room = Arc::new(Semaphore::new(1 << 30));
        let mut bench = Bench { it: Conversation::new(identity, session), room, session: shown };
        assert!(matches!(bench.greet().as_slice(), [Frame::Connect(connect)] if connect.resume.is_none()));
        bench.hear(vec![welcome(1, false, vec![])]);
        bench
    }

    /// A link comes up; gives back what is said first.
    fn greet(&mut self) -> Vec<Frame> {
        self.it.link_up(None, NOW);
        self.sent()
    }

    fn hear(&mut self, frames: Vec<Frame>) {
        self.it.hear(frames, NOW).unwrap();
    }

    /// The link breaks and another comes up.
    fn reconnect(&mut self, welcome: Frame) -> skep_protocol::Connect {
        self.it.link_down();
        let greeting = self.greet();
        let [Frame::Connect(connect)] = greeting.as_slice() else { panic!("{greeting:?}") };
        self.hear(vec![welcome]);
        connect.clone()
    }

    /// Everything there is to send.
    fn sent(&mut self) -> Vec<Frame> {
        let mut out = Vec::new();
        while self.it.wants_write() {
            let before = out.len();
            self.it.transmit(&mut out, NOW);
            assert!(out.len() > before, "it wants to write, and writes nothing");
        }
        out
    }

    fn paid(&self) -> Paid {
        Arc::clone(&self.room).try_acquire_owned().unwrap()
    }

    fn ask<T>(&mut self, verb: impl FnOnce(Asker<T>, Paid) -> Verb) -> Coming<T> {
        let (asker, coming) = oneshot::channel();
        let verb = verb(asker, self.paid());
        self.it.take(verb, NOW);
        coming
    }

    fn publish(&mut self, n: u64) -> Coming<Accepted> {
        self.ask(|asker, paid| Verb::Publish { message: message(n), paid, asker })
    }

    fn settle(&mut self, n: u8, action: Action) -> Coming<()> {
        self.ask(|asker, paid| Verb::Settle { lease: lease(n), action, paid, asker })
    }

    fn hand_over(&mut self, n: u8, messages: Vec<Message>) -> Coming<Vec<Accepted>> {
        self.ask(|asker, paid| Verb::HandOver { lease: lease(n), messages, paid, asker })
    }

    fn request(&mut self, number: u64) -> Coming<Message> {
        let replies = self.session.borrow().replies.clone();
        let message = build(number).replyto(&Topic::new(&format!("{replies}.{number}")).unwrap()).finish().unwrap();
        let room = self.paid();
        self.ask(|asker, paid| Verb::Request { message, number, paid, room, replies: Replies::One(asker) })
    }

    fn receive(&mut self, id: SubscriptionId, window: u32) -> (Arc<Mailbox<Held>>, Coming<()>) {
        let mailbox = Arc::new(Mailbox::new(Bound::items(window as usize)));
        let options = Credit { messages: window, bytes: 1000, handlers: 1, binding: Binding::Connection };
        let feed = Feed::Queue { queue: jobs(), options, mailbox: Arc::clone(&mailbox) };
        let coming = self.ask(|asker, _| Verb::Subscribe { id, feed, asker });
        (mailbox, coming)
    }

    /// A queue subscription that the hub confirmed, and so many deliveries, with leases from 1 on.
    fn receiving(&mut self, count: u8) -> Arc<Mailbox<Held>> {
        let (mailbox, _) = self.receive(1, 8);
        self.sent();
        self.hear(vec![Frame::Subscribed(1), Frame::Deliver((1..=count).map(delivery).collect())]);
        mailbox
    }

    fn listen(&mut self, id: SubscriptionId, filter: &str) -> Arc<Mailbox<Message>> {
        let mailbox = Arc::new(Mailbox::new(Bound::items(8)));
        let feed = Feed::Live { filter: Filter::new(filter).unwrap(), mailbox: Arc::clone(&mailbox) };
        let _confirmed_later = self.ask(|asker, _| Verb::Subscribe { id, feed, asker });
        mailbox
    }
}

fn welcome(session: u8, resumed: bool, lost: Vec<LeaseToken>) -> Frame {
    Frame::Welcome(Welcome {
        version: 1,
        features: 0,
        hub: "test".into(),
        agent: None,
        producer: ProducerId([9; 16]),
        resume: ResumeToken([session; 16]),
        resumed,
        lost,
        replies: format!("$reply.{session}"),
        heartbeat_ms: 10_000,
        payload_bytes_max: 1 << 20,
    })
}

fn lease(n: u8) -> LeaseToken {
    LeaseToken([n; 16])
}

fn jobs() -> QueueName {
    QueueName::new("jobs").unwrap()
}

fn build(n: u64) -> skep_protocol::MessageBuilder {
    Message::build(&MessageId::new(&format!("m-{n}")).unwrap(), "client/test", "task").to(&Topic::new("jobs").unwrap())
}

fn message(n: u64) -> Message {
    build(n).finish().unwrap()
}

fn delivery(n: u8) -> Delivery {
    Delivery {
        subscription: 1,
        queue: jobs(),
        position: Position::Number(n.into()),
        attempt: 1,
        lease: lease(n),
        lease_ms: 60_000,
        previous: None,
        message: message(n.into()),
    }
}

fn accepted(position: u64) -> Accepted {
    Accepted {
        position: Some(Position::Number(position)),
        durability: None,
        guarantee: Guarantee::AtLeastOnce,
        queues: 1,
        skipped: 0,
        live: 0,
        duplicate: false,
        recipient: None,
    }
}

/// What became of a run of messages; accepted ones stand at their sequence + 1,000.
fn publication(sequence: u64, count: u32) -> Publication {
    Publication { sequence, count, result: Settlement::Ok(accepted(sequence + 1000)) }
}

fn error<T>(coming: &mut Coming<T>) -> Error {
    match coming.try_recv() {
        Ok(Err(error)) => error,
        Ok(Ok(_)) => panic!("expected an error, and it was done"),
        Err(_) => panic!("expected an error, and it was not answered"),
    }
}

/// The sequences of what is published by these frames, in order.
fn sequences(frames: &[Frame]) -> Vec<u64> {
    let run = |publish: &Publish| (publish.sequence..).take(publish.messages.len()).collect::<Vec<_>>();
    let of = |frame: &Frame| match frame {
        Frame::Publish(publish) | Frame::Settle(SettleBatch { publish: Some(publish), .. }) => run(publish),
        _ => Vec::new(),
    };
    frames.iter().flat_map(of).collect()
}
