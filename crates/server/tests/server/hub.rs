//! A hub for a test, on a folder and a port of its own.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_client::{Client, Deliveries, Leased, Options, ReceiveOptions};
use skep_protocol::{Accepted, Ask, Command, Message, Page, QueueInfo, QueueName, QueueSpec, Topic};
use skep_server::config::Config;
use skep_server::{Running, Server};
use tempfile::TempDir;
use tokio::time::timeout;

/// Longer than anything takes that happens at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("within {PATIENCE:?} it did not happen that {what}"))
}

/// A running hub, which listens at a port and at a Unix socket.
pub(crate) struct Hub {
    running: Running,
    folder: TempDir,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::new(folder.path().join("data"));
        config.listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        config.payload_bytes_max = 256 * 1024;
        let running = soon("a hub starts", Server::start(config)).await.expect("a hub");
        Hub { running, folder }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.running.addresses().http.expect("it listens")
    }

    /// A folder in which a program finds the hub by `.skep/`.
    pub(crate) fn beside(&self) -> &Path {
        std::os::unix::fs::symlink("data", self.folder.path().join(".skep")).expect("a link");
        self.folder.path()
    }

    pub(crate) fn unix(&self) -> PathBuf {
        self.running.addresses().unix.clone().expect("it listens")
    }

    pub(crate) fn token(&self) -> &str {
        self.running.token().expose()
    }

    pub(crate) fn hub(&self) -> &skep_core::Hub {
        self.running.hub()
    }

    /// A client over WebSocket.
    pub(crate) async fn client(&self) -> Client {
        let options = Options { token: Some(self.token().into()), ..Options::default() };
        let url = format!("ws://{}", self.http());
        soon("a client connects", Client::connect(&url, options)).await.expect("a client")
    }

    pub(crate) async fn close(self) {
        soon("the hub shuts down", self.running.shutdown()).await.expect("closed in order");
    }
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

/// Declares a queue that delivers again at once, as often as it takes.
pub(crate) async fn declare(client: &Client, name: &str) {
    let spec = QueueSpec { backoff_min_ms: 0, attempts_max: 0, ..QueueSpec::new(queue(name)) };
    soon("a queue is declared", client.manage(Command::Declare(spec))).await.expect("a queue");
}

pub(crate) fn note(client: &Client, to: &str, text: &str) -> Message {
    let to = Topic::new(to).expect("a topic");
    client.message("note").to(&to).text(text).finish().expect("a message")
}

pub(crate) async fn publish(client: &Client, to: &str, text: &str) -> Accepted {
    soon("a receipt comes", client.publish(note(client, to, text))).await.expect("a receipt")
}

pub(crate) async fn receive(client: &Client, name: &str, window: u32) -> Deliveries {
    let options = ReceiveOptions { window, ..ReceiveOptions::default() };
    soon("a subscription stands", client.receive(&queue(name), options)).await.expect("a subscription")
}

pub(crate) async fn next(deliveries: &mut Deliveries) -> Leased {
    soon("a delivery comes", deliveries.next()).await.expect("a delivery")
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.payload().to_vec()).expect("text")
}

/// What a queue holds now, by the hub's own word.
pub(crate) async fn info(client: &Client, name: &str) -> QueueInfo {
    match soon("a look is answered", client.query(Ask::Queue { queue: queue(name) })).await {
        Ok(Page::Queues(mut queues)) => queues.pop().expect("one queue"),
        other => panic!("{other:?}"),
    }
}
