use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::ready;

use bytes::Bytes;
use skep_core::{Clock, Credentials, Incoming};
use skep_protocol::{Code, Connect, Encoding, ProducerId, Publish, Welcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::task::yield_now;

use super::*;
use crate::prefixed::PrefixedWire;
use crate::testing::{TOKEN, edge, edge_at};
use crate::{Edge, EdgeOptions};

fn hello() -> Frame {
    Frame::Connect(Connect { version: 1, token: Some(TOKEN.into()), ..Connect::default() })
}

async fn hub() -> (Edge, Arc<Hub>, CancellationToken) {
    let (edge, _, shutdown) = edge(EdgeOptions::default()).await;
    let hub = edge.hub();
    (edge, hub, shutdown)
}

/// A peer that sends without end and takes nothing.
struct Deaf {
    reads: Arc<AtomicUsize>,
}

impl Wire for Deaf {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        let first = self.reads.fetch_add(1, Ordering::Relaxed) == 0;
        let frame = if first { hello() } else { Frame::Ping(u64::MAX) };
        let mut bytes = Vec::new();
        Encoding::Json.encode(&frame, &mut bytes);
        let count = bytes.len();
        into.push(Incoming::Bytes(bytes.into()));
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, _: &mut Outbox) -> Poll<Result<(), Gone>> {
        Poll::Pending
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_read_no_more() {
    let (_edge, hub, shutdown) = hub().await;
    let form = Form::Encoded(Encoding::Json);
    let connection = Connection::new(hub.clone(), form, Credentials::default(), hub.now());
    let reads = Arc::new(AtomicUsize::new(0));
    let wire = Deaf { reads: reads.clone() };
    let driven = tokio::spawn(async move { drive(wire, form, connection, hub, &shutdown).await });
    let mut before = usize::MAX;
    while before != reads.load(Ordering::Relaxed) {
        before = reads.load(Ordering::Relaxed);
        for _ in 0..100 {
            yield_now().await;
        }
    }
    // What waits is as much as may wait, and one batch.
    let pong = r#"{"pong":18446744073709551615}"#;
    let pongs = crate::limits::UNWRITTEN_BYTES_MAX / pong.len() + 2 * TURN_FRAMES_MAX;
    assert!((TURN_FRAMES_MAX..=pongs).contains(&before), "{before} frames were read");
    driven.abort();
}

/// A peer that says hello, takes its Welcome, and then takes nothing more.
struct Stuck {
    has_spoken: bool,
    taken: tokio::sync::mpsc::Sender<Bytes>,
    has_taken: bool,
    /// How often it was offered something since.
    offered: Arc<AtomicUsize>,
}

impl Wire for Stuck {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        if std::mem::replace(&mut self.has_spoken, true) {
            return Poll::Pending;
        }
        let mut bytes = Vec::new();
        Encoding::Json.encode(&hello(), &mut bytes);
        into.push(Incoming::Bytes(bytes.into()));
        Poll::Ready(Ok(1))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>> {
        if std::mem::replace(&mut self.has_taken, true) {
            self.offered.fetch_add(1, Ordering::Relaxed);
            return Poll::Pending;
        }
        self.taken.try_send(out.pop().unwrap()).unwrap();
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[tokio::test]
async fn a_reply_that_a_stuck_connection_did_not_write_reaches_the_one_that_takes_its_session_up() {
    let (edge, hub, shutdown) = hub().await;
    let (taken, mut welcome) = tokio::sync::mpsc::channel(1);
    let offered = Arc::new(AtomicUsize::new(0));
    let wire = Stuck { has_spoken: false, taken, has_taken: false, offered: offered.clone() };
    let form = Form::Encoded(Encoding::Json);
    let connection = Connection::new(hub.clone(), form, Credentials::default(), hub.now());
    let ours = hub.clone();
    let driven = tokio::spawn(async move { drive(wire, form, connection, ours, &shutdown).await });
    let welcome = Encoding::Json.decode(&welcome.recv().await.unwrap()).unwrap();
    let Frame::Welcome(welcome) = welcome else { panic!("{welcome:?}") };

    let mut answerer = hub.attach(skep_core::Party { name: "local".into(), agent: None }, None).unwrap();
    let reply = |n: u32| {
        let id = skep_protocol::MessageId::new(&n.to_string()).unwrap();
        let to = skep_protocol::Topic::new(&format!("{}.{n}", welcome.replies)).unwrap();
        skep_protocol::Message::build(&id, "s", "t").to(&to).payload("x/y", vec![0; 300 * 1024]).finish().unwrap()
    };
    // The first fills the outbox, the second waits in the mailbox.
    for n in 1..=2 {
        answerer.publish(n, &[reply(u32::try_from(n).unwrap())], hub.now());
        while offered.load(Ordering::Relaxed) == 0 {
            yield_now().await;
        }
    }

    let (to_hub, mut from_hub) = edge.connect_in_process(Credentials::default()).unwrap();
    let again = Connect { version: 1, token: Some(TOKEN.into()), resume: Some(welcome.resume), ..Connect::default() };
    to_hub.send(vec![Frame::Connect(again)]).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.extend(from_hub.recv().await.unwrap());
    }
    assert!(matches!(&heard[0], Frame::Welcome(welcome) if welcome.resumed), "{heard:?}");
    assert_eq!(heard[1..], [Frame::Live(vec![reply(1)]), Frame::Live(vec![reply(2)])]);
    driven.await.unwrap();
}

/// A peer that says who it is, and then its last word and the end at once.
struct Leaving {
    reads: usize,
    last: Frame,
}

impl Wire for Leaving {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        self.reads += 1;
        if self.reads == 1 {
            into.push(Incoming::Frame(hello()));
            return Poll::Ready(Ok(1));
        }
        into.push(Incoming::Frame(self.last.clone()));
        Poll::Ready(Err(Gone::Closed("it closed".into())))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>> {
        out.take_values();
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[tokio::test]
async fn what_is_read_together_with_the_end_counts() {
    let (_edge, hub, shutdown) = hub().await;
    let id = skep_protocol::MessageId::new("1").unwrap();
    let topic = skep_protocol::Topic::new("news").unwrap();
    let message = skep_protocol::Message::build(&id, "s", "t").to(&topic).finish().unwrap();
    let last = Frame::Publish(Publish { sequence: 1, messages: vec![message] });
    let connection = Connection::new(hub.clone(), Form::Values, Credentials::default(), hub.now());
    drive(Leaving { reads: 0, last }, Form::Values, connection, hub.clone(), &shutdown).await;
    assert_eq!(hub.counters().published, 1);
}

#[tokio::test]
async fn a_link_within_the_process_is_a_connection() {
    let (edge, hub, _) = hub().await;
    let (to_hub, mut from_hub) = edge.connect_in_process(Credentials::default()).unwrap();
    let connect = Connect { version: 1, producer: Some(ProducerId([7; 16])), ..Connect::default() };
    let publish = Frame::Publish(Publish { sequence: 1, messages: Vec::new() });
    to_hub.send(vec![Frame::Connect(Connect { token: Some(TOKEN.into()), ..connect }), publish]).await.unwrap();
    let batch = from_hub.recv().await.unwrap();
    assert!(matches!(&batch[..], [Frame::Welcome(Welcome { producer: ProducerId([7, ..]), .. })]), "{batch:?}");
    assert_eq!((edge.connections(), hub.sessions()), (1, 1));
    drop((to_hub, from_hub));
    edge.closed().await;
    assert_eq!(edge.connections(), 0);
    // The session waits to be resumed.
    assert_eq!(hub.sessions(), 1);
}

#[tokio::test]
async fn a_connection_without_the_token_is_told_why_and_ended() {
    let (edge, _, _) = hub().await;
    let (to_hub, mut from_hub) = edge.connect_in_process(Credentials::default()).unwrap();
    to_hub.send(vec![Frame::Connect(Connect { version: 1, ..Connect::default() })]).await.unwrap();
    let batch = from_hub.recv().await.unwrap();
    assert!(matches!(&batch[..], [Frame::Error(error)] if error.code == skep_protocol::Code::Unauthenticated));
    assert_eq!(from_hub.recv().await, None);
}

#[tokio::test]
async fn shutdown_says_goodbye_and_ends_every_connection() {
    let (edge, hub, shutdown) = hub().await;
    let (to_hub, mut from_hub) = edge.connect_in_process(Credentials::default()).unwrap();
    to_hub.send(vec![hello()]).await.unwrap();
    from_hub.recv().await.unwrap();
    shutdown.cancel();
    assert!(matches!(&from_hub.recv().await.unwrap()[..], [Frame::Goodbye(_)]));
    assert_eq!(from_hub.recv().await, None);
    drop(to_hub);
    edge.closed().await;
    assert_eq!((edge.connections(), hub.sessions()), (0, 0));
}

/// A socket that is closed with something unread in it is reset.
#[tokio::test]
async fn last_words_reach_a_peer_that_says_much_behind_what_cannot_be_read() {
    let (_edge, hub, shutdown) = hub().await;
    let form = Form::Encoded(Encoding::Compact);
    let connection = Connection::new(hub.clone(), form, Credentials::default(), hub.now());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let driven = tokio::spawn(async move { drive(PrefixedWire::new(ours), form, connection, hub, &shutdown).await });
    theirs.write_all(&vec![0xff; 1 << 20]).await.expect("all of it is taken");
    theirs.shutdown().await.unwrap();
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).await.expect("no reset");
    let frame = Encoding::Compact.decode(&Bytes::from(said.clone()).slice(4..)).unwrap();
    let Frame::Error(error) = frame else { panic!("{said:?}") };
    assert_eq!(error.code, Code::TooLarge);
    driven.await.unwrap();
}

/// Time that passes as fast as nobody has anything to do: the hub's clock follows that of the runtime.
async fn hub_in_its_own_time() -> (Edge, Arc<Hub>, CancellationToken) {
    const STEP: Duration = Duration::from_millis(500);
    let (clock, hand) = Clock::by_hand(Now { mono_ms: 1, unix_ms: 1 });
    let (edge, _, shutdown) = edge_at(EdgeOptions::default(), clock).await;
    tokio::spawn(async move {
        loop {
            sleep(STEP).await;
            hand.set(clock.now().plus(STEP));
        }
    });
    let hub = edge.hub();
    (edge, hub, shutdown)
}

/// A peer behind a narrow line: it says hello, and now and then something else, unless it only answers pings.
struct Narrow {
    stream: DuplexStream,
    written: usize,
    has_spoken: bool,
    says: Option<Pin<Box<Sleep>>>,
}

impl Narrow {
    fn new(stream: DuplexStream, speaks: bool) -> Self {
        let says = speaks.then(|| Box::pin(sleep(Duration::from_secs(10))));
        Narrow { stream, written: 0, has_spoken: false, says }
    }
}

fn json(frame: &Frame) -> Incoming {
    let mut bytes = Vec::new();
    Encoding::Json.encode(frame, &mut bytes);
    Incoming::Bytes(bytes.into())
}

impl Wire for Narrow {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        if !std::mem::replace(&mut self.has_spoken, true) {
            into.push(json(&hello()));
            return Poll::Ready(Ok(1));
        }
        if let Some(says) = &mut self.says
            && says.as_mut().poll(cx).is_ready()
        {
            says.as_mut().reset(Instant::now() + Duration::from_secs(10));
            into.push(json(&Frame::Pong(1)));
            return Poll::Ready(Ok(1));
        }
        // A byte is the answer to a ping.
        crate::wire::poll_read_some(&mut self.stream, cx, 1, |_| {
            into.push(json(&Frame::Pong(1)));
            Ok(())
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>> {
        while !out.is_empty() {
            let head = |_| crate::wire::Head::new(&[]);
            ready!(crate::wire::poll_write_some(&mut self.stream, cx, (out, &mut self.written), 1, head))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_by_itself_is_asked_in_time_and_lives_by_its_answers() {
    let (_edge, hub, shutdown) = hub_in_its_own_time().await;
    let form = Form::Encoded(Encoding::Json);
    let connection = Connection::new(hub.clone(), form, Credentials::default(), hub.now());
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let driven = tokio::spawn(async move { drive(Narrow::new(ours, false), form, connection, hub, &shutdown).await });
    let since = Instant::now();
    let mut pings = 0;
    let mut said = vec![0; 1024];
    while since.elapsed() < Duration::from_secs(300) {
        let count = theirs.read(&mut said).await.unwrap();
        assert!(count > 0, "it was closed after {:?}", since.elapsed());
        if said.starts_with(b"{\"ping\"") {
            pings += 1;
            theirs.write_all(b"!").await.unwrap();
        }
    }
    assert!((9..=10).contains(&pings), "{pings} pings in five minutes");
    driven.abort();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_large_frame_slowly_is_not_cut() {
    let (_edge, hub, shutdown) = hub_in_its_own_time().await;
    let form = Form::Encoded(Encoding::Json);
    let connection = Connection::new(hub.clone(), form, Credentials::default(), hub.now());
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let held = hub.clone();
    let driven = tokio::spawn(async move { drive(Narrow::new(ours, true), form, connection, held, &shutdown).await });
    let mut said = vec![0; 1024];
    let count = theirs.read(&mut said).await.unwrap();
    let Frame::Welcome(welcome) = Encoding::Json.decode(&Bytes::from(said[..count].to_vec())).unwrap() else {
        panic!()
    };
    let mut answerer = hub.attach(skep_core::Party { name: "local".into(), agent: None }, None).unwrap();
    let id = skep_protocol::MessageId::new("1").unwrap();
    let to = skep_protocol::Topic::new(&format!("{}.1", welcome.replies)).unwrap();
    let reply =
        skep_protocol::Message::build(&id, "s", "t").to(&to).payload("x/y", vec![0; 200 * 1024]).finish().unwrap();
    answerer.publish(1, &[reply], hub.now());
    let mut taken = 0;
    // A kilobyte a second: minutes for the whole of it.
    while taken < 200 * 1024 {
        sleep(Duration::from_secs(1)).await;
        let count = theirs.read(&mut said).await.unwrap();
        assert!(count > 0, "it was cut after {taken} bytes");
        taken += count;
    }
    driven.abort();
}
