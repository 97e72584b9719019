//! Receive over HTTP where messages must be read from disk first, which may take longer than the
//! caller waits: whatever is not handed to somebody is leased to nobody.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use skep_core::{Clock, Guards, HubOptions};
use skep_edge::{Edge, EdgeOptions};
use skep_embedded::Embedded;
use skep_protocol::{Ask, Page, Priority, QueueInfo};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Anyone, Gated, Peer, message};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::curl::Curl;
use crate::hub::{queue, soon};

/// A hub opened anew on messages that are on disk alone, and the disk does not answer.
struct Cold {
    disk: Gated,
    hub: Arc<skep_core::Hub>,
    http: SocketAddr,
    peer: Peer,
    _shutdown: DropGuard,
}

async fn open(disk: &Gated) -> Arc<skep_core::Hub> {
    let store = Embedded::open_on(Arc::new(disk.clone()), Clock::new()).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    skep_core::Hub::open(options, Clock::new(), store.clone(), store, Arc::new(Anyone)).await.expect("a hub")
}

impl Cold {
    async fn with(messages: u32) -> Self {
        let disk = Gated::default();
        let first = open(&disk).await;
        let mut peer = Peer::attach(&first, None);
        declare(&mut peer, "jobs", |spec| spec).await;
        for _ in 0..messages {
            peer.publish(message("jobs")).await.expect("a receipt");
        }
        peer.goodbye();
        first.close().await.expect("closed");
        drop(first);
        let hub = open(&disk).await;
        let shutdown = CancellationToken::new();
        let edge = Edge::new(hub.clone(), EdgeOptions::default(), shutdown.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let http = listener.local_addr().expect("an address");
        tokio::spawn(async move { edge.serve_tcp(listener).await });
        let peer = Peer::attach(&hub, None);
        disk.reads.shut();
        Cold { disk, hub, http, peer, _shutdown: shutdown.drop_guard() }
    }

    fn receive(&self, how: &str) -> Curl {
        Curl::bare(self.http, "POST", &format!("/v1/queues/jobs/receive?{how}")).token("any")
    }

    async fn info(&mut self) -> QueueInfo {
        match self.peer.look(Ask::Queue { queue: queue("jobs") }).await {
            Ok(Page::Queues(mut queues)) => queues.pop().expect("one queue"),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until it holds so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&QueueInfo) -> bool) {
        let wait = async {
            while !is_so(&self.info().await) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(what, wait).await;
    }

    /// Waits until so many have come to whoever receives.
    async fn has_delivered(&self, count: u64) {
        let come = async {
            while self.hub.counters().delivered < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon("they come", come).await;
    }

    /// All that is not held by somebody is ready again, and was never tried.
    async fn ends_with(mut self, held: u64, ready: u64) {
        self.disk.reads.open();
        self.until("nothing is leased to nobody", |info| info.leased == held && info.ready == ready).await;
        let look = self.peer.look(Ask::Peek { queue: queue("jobs"), limit: 100, from: None }).await;
        let Ok(Page::Messages { messages, .. }) = look else { panic!("{look:?}") };
        let tried: u32 = messages.iter().map(|stored| stored.attempts).sum();
        assert_eq!(u64::from(tried), held, "what returned is not charged");
        let info = self.info().await;
        assert_eq!((info.leased, info.ready, info.consumers), (held, ready, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_whose_caller_goes_away_while_the_disk_is_read_leaves_no_lease() {
    let mut cold = Cold::with(3).await;
    let poll = cold.receive("max=3&wait_ms=20000&lease_ms=60000").begin();
    cold.until("all are leased", |info| info.leased == 3).await;
    cold.disk.reads.holds_one();
    poll.give_up();
    cold.until("it is gone", |info| info.consumers == 0).await;
    cold.ends_with(0, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_that_ends_while_the_disk_is_read_leaves_no_lease() {
    for how in ["max=3&lease_ms=60000", "max=3&wait_ms=200&lease_ms=60000"] {
        let cold = Cold::with(3).await;
        let answer = cold.receive(how).call();
        assert_eq!(answer.json(), json!({"deliveries": []}));
        cold.disk.reads.holds_one();
        cold.ends_with(0, 3).await;
    }
}

/// One message is in memory and comes at once; while its lease is extended, another comes from disk,
/// too late to be handed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_disk_while_leases_are_extended_is_leased_to_nobody() {
    let mut cold = Cold::with(1).await;
    let urgent = message("jobs").priority(Priority::Critical);
    cold.peer.publish(urgent).await.expect("a receipt");
    cold.disk.syncs.shut();
    let poll = cold.receive("max=2&wait_ms=20000&lease_ms=60000").begin();
    cold.until("both are leased", |info| info.leased == 2).await;
    cold.disk.reads.holds_one();
    cold.has_delivered(1).await;
    cold.disk.syncs.holds_one();
    cold.disk.reads.open();
    cold.has_delivered(2).await;
    cold.disk.syncs.open();
    let handed = poll.answer().json()["deliveries"].as_array().map_or(0, Vec::len) as u64;
    // The other comes too late, but for the blink of an eye before the first one is extended.
    assert!((1..=2).contains(&handed), "{handed}");
    cold.ends_with(handed, 2 - handed).await;
}
