//! The bound on the memory of the index, seen from outside.

use std::sync::Arc;

use skep_core::{Backend, Clock, Guards, Hub, HubOptions};
use skep_embedded::{Embedded, EmbeddedOptions};
use skep_protocol::{Action, Code};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Anyone, Peer, message};

async fn open(folder: &tempfile::TempDir, memory_bytes: u64) -> (Arc<Embedded>, Arc<Hub>) {
    let mut options = EmbeddedOptions::default();
    options.memory_bytes = Some(memory_bytes);
    let store = Embedded::open(folder.path(), Clock::new(), options).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(options, Clock::new(), store.clone(), store.clone(), Arc::new(Anyone)).await.expect("a hub");
    (store, hub)
}

fn gauge(store: &Embedded, name: &str) -> u64 {
    store.gauges().into_iter().find(|gauge| gauge.name == name).expect("it is shown").value
}

#[tokio::test]
async fn the_bound_on_memory_is_shown_refuses_publishes_and_keeps_no_store_from_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, hub) = open(&folder, 4 * 1024).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    let mut taken = 0;
    let refused = loop {
        match peer.publish(message("jobs")).await {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert!(refused.code == Code::Busy && refused.text.contains("memory_bytes"), "{refused}");
    assert!((30..80).contains(&taken), "{taken} messages");
    assert!(gauge(&store, "memory_bytes") > 3 * 1024);
    assert_eq!(gauge(&store, "memory_bytes_max"), 4 * 1024);
    assert!(store.recovery().contains("of at most 4096"), "{}", store.recovery());
    peer.goodbye();
    hub.close().await.expect("closed in order");
    drop((store, hub));

    let (store, hub) = open(&folder, 1).await;
    let mut peer = Peer::attach(&hub, None);
    assert_eq!(peer.publish(message("jobs")).await.expect_err("there is no room").code, Code::Busy);
    peer.consume("jobs", 10).await;
    for _ in 0..taken {
        let lease = peer.delivery().await.lease;
        peer.settle(lease, Action::Ack).await.expect("an ack is taken");
    }
    peer.goodbye();
    hub.close().await.expect("closed in order");
    drop(store);
}
