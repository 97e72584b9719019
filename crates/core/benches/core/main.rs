//! The router, and a live publish through a session, without any socket.

mod nothing;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Waker};

use divan::Bencher;
use divan::counter::ItemsCount;
use skep_core::{Clock, Credentials, Guards, Hub, HubOptions, Policy, Router, Session, SessionEvent};
use skep_protocol::{Binding, Filter, Message, MessageId, Subscribe, Target, Topic, Window};

use crate::nothing::{Anyone, Nothing};

/// Topics asked for in turn, so that not one line of the cache answers all.
const ASKED: usize = 4096;

fn main() {
    divan::main();
}

/// Steps through all numbers below `count` without an order that a cache could guess.
fn scattered(count: usize) -> impl Iterator<Item = usize> {
    (0..ASKED).map(move |n| n.wrapping_mul(2_654_435_761) % count)
}

/// One literal filter each, as inboxes are.
#[divan::bench(args = [10_000, 100_000])]
fn router_finds_one_of_many_literals(bencher: Bencher<'_, '_>, literals: usize) {
    let name = |n: usize| format!("agent.a{n}.inbox");
    let mut router = Router::default();
    (0..literals).for_each(|n| router.insert(&Filter::new(&name(n)).expect("a filter"), n));
    find_each(bencher, &router, &scattered(literals).map(name).collect::<Vec<_>>());
}

/// Wildcards of which exactly one matches.
#[divan::bench(args = [5_000])]
fn router_finds_one_of_many_wildcards(bencher: Bencher<'_, '_>, wildcards: usize) {
    let mut router = Router::default();
    for n in 0..wildcards {
        let filter = if n.is_multiple_of(2) { format!("events.*.w{n}") } else { format!("events.b.w{n}.>") };
        router.insert(&Filter::new(&filter).expect("a filter"), n);
    }
    let topic = |n: usize| if n.is_multiple_of(2) { format!("events.b.w{n}") } else { format!("events.b.w{n}.x") };
    find_each(bencher, &router, &scattered(wildcards).map(topic).collect::<Vec<_>>());
}

/// Every topic is found exactly once, or there is nothing to measure.
fn find_each(bencher: Bencher<'_, '_>, router: &Router<usize>, topics: &[String]) {
    let find = |topic: &str| {
        let mut found = 0;
        let walked = router.visit(topic, &mut |n| {
            found += usize::from(n.is_some());
            ControlFlow::Continue(())
        });
        assert!(walked.is_continue());
        found
    };
    assert!(topics.iter().all(|topic| find(topic) == 1));
    let mut next = topics.iter().cycle();
    bencher.bench_local(|| find(divan::black_box(next.next().expect("a cycle has no end"))));
}

/// A batch published live, taken by every listener, receipts taken by the publisher.
#[divan::bench(args = [(1, 1), (1, 64), (10, 64)])]
fn session_publishes_live(bencher: Bencher<'_, '_>, (listeners, batch): (usize, usize)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let hub = runtime.block_on(hub());
    let mut listening: Vec<Session> = (0..listeners).map(|_| attach(&hub, &runtime)).collect();
    for session in &mut listening {
        let window = Window { subscription: 1, messages: 0, bytes: 0 };
        let target = Target::Live(Filter::new("bench.live").expect("a filter"));
        session.subscribe(Subscribe { id: 1, target, window, handlers: 1, binding: Binding::Connection });
        assert_eq!(take(session, &hub), 1, "subscribed");
    }
    let mut publisher = attach(&hub, &runtime);
    let messages = vec![message(); batch];
    let mut sequence = 1;
    bencher.counter(ItemsCount::new(batch * listeners)).bench_local(|| {
        publisher.publish(sequence, &messages, hub.now());
        sequence += batch as u64;
        for session in &mut listening {
            assert_eq!(take(session, &hub), batch, "each message once");
        }
        assert_ne!(take(&mut publisher, &hub), 0, "receipts");
    });
}

async fn hub() -> Arc<Hub> {
    let options = HubOptions { name: "bench".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let nothing = Arc::new(Nothing);
    Hub::open(options, Clock::new(), nothing.clone(), nothing, Arc::new(Anyone)).await.expect("a hub")
}

fn attach(hub: &Arc<Hub>, runtime: &tokio::runtime::Runtime) -> Session {
    let party = runtime.block_on(Anyone.authenticate(Credentials::default())).expect("anyone");
    hub.attach(party, None).expect("random bytes")
}

fn message() -> Message {
    let (id, topic) = (MessageId::new("1").expect("an id"), Topic::new("bench.live").expect("a topic"));
    let message = Message::build(&id, "bench", "note").to(&topic);
    message.payload("application/octet-stream", [0; 256]).finish().expect("a message")
}

/// Takes all events; answers how many.
fn take(session: &mut Session, hub: &Hub) -> usize {
    let mut events: Vec<SessionEvent> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while session.poll_events(&mut cx, hub.now(), &mut events).is_ready() {}
    events.len()
}
