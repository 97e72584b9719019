//! A durable publish to its receipt, and the opening of a store that was killed. Real files in
//! the system's temporary folder: read these figures beside what a sync costs there.

use std::fs;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use skep_core::{Backend, Clock, Hub, SessionEvent};
use skep_embedded::{Embedded, EmbeddedOptions};
use skep_protocol::{Command, Message, QueueName, QueueSpec, Settlement};
use skep_testkit::{Peer, message};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PAYLOAD_BYTES: usize = 256;

fn main() {
    divan::main();
}

fn open(folder: &Path) -> Arc<Embedded> {
    Embedded::open(folder, Clock::new(), EmbeddedOptions::default()).expect("a store")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// A hub with one queue, and a party that publishes to it.
async fn publisher(store: Arc<Embedded>) -> (Arc<Hub>, Publisher) {
    let hub = skep_testkit::backend_suite::hub(&|| (store.clone(), store.clone())).await;
    let mut peer = Peer::attach(&hub, None);
    let spec = QueueSpec::new(QueueName::new("jobs").expect("a name"));
    let unbounded = QueueSpec { messages_max: u64::from(u32::MAX), bytes_max: 1 << 50, ..spec };
    peer.manage(Command::Declare(unbounded)).await.expect("a queue");
    let message = message("jobs").payload("application/octet-stream", [0; PAYLOAD_BYTES]).finish().expect("a message");
    (hub.clone(), Publisher { hub, peer, message, next_sequence: 1 })
}

struct Publisher {
    hub: Arc<Hub>,
    peer: Peer,
    message: Message,
    next_sequence: u64,
}

impl Publisher {
    /// Publishes so many messages at once and waits until each has its receipt.
    async fn publish(&mut self, count: usize) {
        let (session, now) = (self.peer.session(), self.hub.now());
        session.publish(self.next_sequence, &vec![self.message.clone(); count], now);
        self.next_sequence += count as u64;
        let mut answered = 0;
        while answered < count {
            let mut events = Vec::new();
            poll_fn(|cx| session.poll_events(cx, now, &mut events)).await;
            for event in events {
                let SessionEvent::Receipt(receipt) = event else { panic!("expected receipts, got {event:?}") };
                assert!(matches!(receipt.result, Settlement::Ok(_)), "{receipt:?}");
                answered += receipt.count as usize;
            }
        }
        assert_eq!(answered, count);
    }
}

#[divan::bench(args = [1, 16, 256, 2048], sample_size = 1, sample_count = 200)]
fn publish_to_receipt(bencher: Bencher<'_, '_>, in_flight: usize) {
    let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
    let (_hub, mut publisher) = runtime.block_on(publisher(open(folder.path())));
    bencher.counter(ItemsCount::new(in_flight)).bench_local(|| runtime.block_on(publisher.publish(in_flight)));
}

/// Opens what a kill left: a copy of the folder of a store that is open still.
#[divan::bench(args = [16, 64, 256], sample_size = 1, sample_count = 5)]
fn recovery_of_mib(bencher: Bencher<'_, '_>, mib: usize) {
    const BATCH: usize = 2048;
    let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
    let (_hub, mut publisher) = runtime.block_on(publisher(open(folder.path())));
    let messages = mib * 1024 * 1024 / (PAYLOAD_BYTES + 128);
    for _ in 0..messages.div_ceil(BATCH) {
        runtime.block_on(publisher.publish(BATCH));
    }
    let published = publisher.next_sequence - 1;
    let found = copy(folder.path());
    let info = open(found.path()).info(&QueueName::new("jobs").expect("a name")).expect("the queue");
    assert_eq!(info.ready, published, "everything acknowledged is there");
    bencher.counter(BytesCount::new(mib * 1024 * 1024)).with_inputs(|| copy(folder.path())).bench_local_values(
        |copy| {
            let store = open(copy.path());
            // Both go when the sample is taken: the store first.
            (store, copy)
        },
    );
}

fn copy(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(folder).expect("the store's files") {
        let path = entry.expect("a file").path();
        fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    copy
}
