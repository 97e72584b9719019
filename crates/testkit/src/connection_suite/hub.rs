//! What the cases share: bounded waits, queues and messages.

use std::future::Future;
use std::time::Duration;

use skep_client::{Client, Deliveries, Leased, LiveSubscription, ReceiveOptions};
use skep_protocol::{Ask, Command, Filter, Message, Page, QueueInfo, QueueName, QueueSpec, Topic};
use tokio::time::timeout;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must come.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("within {PATIENCE:?} it did not happen that {what}"))
}

pub(super) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

pub(super) fn filter(text: &str) -> Filter {
    Filter::new(text).expect("a filter")
}

/// Declares a queue that delivers again at once.
pub(super) async fn declare(client: &Client, name: &str, more: impl FnOnce(QueueSpec) -> QueueSpec) {
    let spec = more(QueueSpec { backoff_min_ms: 0, ..QueueSpec::new(queue(name)) });
    soon("a queue is declared", client.manage(Command::Declare(spec))).await.expect("a queue");
}

/// A note to a topic, with a text.
pub(super) fn note(client: &Client, to: &str, text: &str) -> Message {
    let to = Topic::new(to).expect("a topic");
    client.message("note").to(&to).text(text).finish().expect("a message")
}

/// Publishes a note that must be accepted.
pub(super) async fn publish(client: &Client, to: &str, text: &str) -> skep_protocol::Accepted {
    soon("a receipt comes", client.publish(note(client, to, text))).await.expect("a receipt")
}

pub(super) async fn receive(client: &Client, name: &str, window: u32) -> Deliveries {
    let options = ReceiveOptions { window, ..ReceiveOptions::default() };
    soon("a subscription stands", client.receive(&queue(name), options)).await.expect("a subscription")
}

pub(super) async fn subscribe(client: &Client, text: &str) -> LiveSubscription {
    soon("a subscription stands", client.subscribe(filter(text))).await.expect("a subscription")
}

pub(super) async fn next(deliveries: &mut Deliveries) -> Leased {
    soon("a delivery comes", deliveries.next()).await.expect("a delivery")
}

pub(super) async fn heard(live: &mut LiveSubscription) -> String {
    text(&soon("a live message comes", live.next()).await.expect("a live message"))
}

pub(super) fn text(message: &Message) -> String {
    String::from_utf8(message.payload().to_vec()).expect("text")
}

/// What a queue holds now, by the hub's own word.
pub(super) async fn info(client: &Client, name: &str) -> QueueInfo {
    match soon("a look is answered", client.query(Ask::Queue { queue: queue(name) })).await {
        Ok(Page::Queues(mut queues)) => queues.pop().expect("one queue"),
        other => panic!("{other:?}"),
    }
}

/// What a queue holds: ready, leased, delayed, dead.
pub(super) async fn held(client: &Client, name: &str) -> (u64, u64, u64, u64) {
    let info = info(client, name).await;
    (info.ready, info.leased, info.delayed, info.dead)
}
