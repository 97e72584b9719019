//! A peer that reads no more, and comes back over another connection before the hub has noticed.

use std::collections::BTreeSet;

use skep_protocol::{
    Action, Binding, Connect, Encoding, Frame, Message, Settle, SettleBatch, Settlement, Subscribe, Target, Topic,
    Welcome, Window,
};

use crate::hub::{Hub, declare, info, note, publish, queue, soon};
use crate::raw::{Heard, Raw};

/// Messages that wait for the peer, durable ones; with the live ones they are more than the
/// systems between keep of a socket.
const JOBS: usize = 80;
const NEWS: usize = 30;
const TEXT_BYTES: usize = 200 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_no_more_takes_its_session_up_at_once_and_loses_nothing() {
    let hub = Hub::start().await;
    for (n, kind) in ["json", "compact", "unix"].into_iter().enumerate() {
        let (jobs, news) = (format!("jobs-{n}"), format!("news-{n}"));
        let mut stuck = connection(&hub, kind).await;
        let welcome = stuck.connect(&hub).await;
        let client = hub.client().await;
        declare(&client, &jobs).await;
        for (id, target) in [(1, Target::Queue(queue(&jobs))), (2, Target::Live(news.parse().expect("a filter")))] {
            let window = Window { subscription: id, messages: 1_000, bytes: 64 << 20 };
            let subscribe = Subscribe { id, target, window, handlers: 1, binding: Binding::Connection };
            stuck.say(&Frame::Subscribe(subscribe)).await;
            assert_eq!(stuck.hear().await, Heard::Frame(Frame::Subscribed(id)));
        }
        publish(&client, &jobs, "held").await;
        let heard = stuck.hear().await;
        let Heard::Frame(Frame::Deliver(held)) = heard else { panic!("{heard:?}") };
        // From here on it reads no more.
        let text = "x".repeat(TEXT_BYTES);
        let flood: Vec<Message> = (0..JOBS).map(|_| note(&client, &jobs, &text)).collect();
        let expected: BTreeSet<String> = flood.iter().map(|message| message.id().to_owned()).collect();
        let news = (0..NEWS).map(|_| note(&client, &news, &text));
        let receipts = soon("all are accepted", client.publish_all(news.chain(flood).collect())).await;
        assert!(receipts.iter().all(Result::is_ok));
        let to = Topic::new(&format!("{}.1", welcome.replies)).expect("a topic");
        let reply = client.message("response").to(&to).text("late").finish().expect("a message");
        soon("a reply is taken", client.publish(reply.clone())).await.expect("taken");

        let mut back = connection(&hub, kind).await;
        let again = resume(&mut back, &hub, &welcome, held[0].lease).await;
        assert!(again.resumed && again.lost.is_empty(), "{kind}: {again:?}");
        let mut missing = expected;
        let mut has_reply = false;
        while !missing.is_empty() || !has_reply {
            match back.hear().await {
                Heard::Frame(Frame::Deliver(deliveries)) => {
                    for delivery in deliveries {
                        assert_eq!(delivery.attempt, 1, "{kind}: it is charged with nothing");
                        assert!(missing.remove(delivery.message.id()), "{kind}: it comes once");
                    }
                }
                Heard::Frame(Frame::Live(messages)) => has_reply |= messages.contains(&reply),
                Heard::Frame(_) => {}
                Heard::Closed => panic!("{kind}: closed, with {} missing, reply: {has_reply}", missing.len()),
            }
        }
        let settles = vec![Settle { lease: held[0].lease, action: Action::Ack }];
        back.say(&Frame::Settle(SettleBatch { tag: 1, settles, atomic: false, publish: None })).await;
        let settled = loop {
            match back.hear().await {
                Heard::Frame(Frame::Settled(settled)) => break settled,
                Heard::Frame(Frame::Live(_)) => {}
                other => panic!("{kind}: {other:?}"),
            }
        };
        assert_eq!(settled.results, [Settlement::Ok(())], "{kind}: its lease still held");
        assert_eq!(info(&client, &jobs).await.leased, JOBS as u64);
        drop(stuck);
    }
    hub.close().await;
}

async fn connection(hub: &Hub, kind: &str) -> Raw {
    match kind {
        "json" => Raw::web_socket(hub, Encoding::Json).await,
        "compact" => Raw::web_socket(hub, Encoding::Compact).await,
        _ => Raw::unix(hub).await,
    }
}

async fn resume(raw: &mut Raw, hub: &Hub, welcome: &Welcome, held: skep_protocol::LeaseToken) -> Welcome {
    let token = Some(hub.token().to_owned());
    let producer = Some(welcome.producer);
    let resume = Some(welcome.resume);
    raw.say(&Frame::Connect(Connect { version: 1, token, producer, resume, held: vec![held], ..Connect::default() }))
        .await;
    match raw.hear().await {
        Heard::Frame(Frame::Welcome(welcome)) => welcome,
        other => panic!("{other:?}"),
    }
}
