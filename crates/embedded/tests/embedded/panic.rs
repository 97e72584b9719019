//! A panic under the store's lock, halfway through a change: nothing more is written, whoever
//! waits is told that nobody knows, and nothing that was acknowledged is lost.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use skep_core::{Backend, Hub, Outgoing, Reply, Write};
use skep_embedded::Embedded;
use skep_embedded::disk::recording::{Image, Operation, RecordingDisk};
use skep_protocol::{Accepted, Action, Code, Command, Error, LeaseToken, Outcome, QueueName, QueueSpec, Settle};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Gated, Peer, message};
use tokio::task::JoinHandle;

use crate::faults::{held, hub_on, hub_on_any};

const SAFE: [&str; 3] = ["safe 0", "safe 1", "safe 2"];

/// A store that holds what is safe; and its disk, which holds up every further sync. A test that fails
/// leaves the store as it is: to drop one that does not end would hide why.
async fn store(gated: &Gated) -> ManuallyDrop<(Arc<Embedded>, Arc<Hub>)> {
    let (store, hub) = hub_on_any(Arc::new(gated.clone())).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    for text in SAFE {
        peer.publish(message("jobs").text(text)).await.expect("a receipt");
    }
    gated.syncs.shut();
    ManuallyDrop::new((store, hub))
}

/// A publish that is staged when this returns.
async fn begin(hub: &Arc<Hub>, text: &str) -> JoinHandle<Result<Accepted, Error>> {
    let (mut peer, message) = (Peer::attach(hub, None), message("jobs").text(text));
    let publish = tokio::spawn(async move { peer.publish(message).await });
    tokio::task::yield_now().await;
    publish
}

async fn is_answered_unknown(publish: JoinHandle<Result<Accepted, Error>>) {
    let answer = tokio::time::timeout(Duration::from_secs(20), publish).await.expect("it is answered");
    let error = answer.expect("no panic").expect_err("nobody knows whether it is durable");
    assert_eq!((error.code, error.outcome), (Code::StoreFailed, Outcome::Unknown), "{error}");
}

fn writes(disk: &RecordingDisk) -> usize {
    disk.trace().iter().filter(|operation| matches!(operation, Operation::Write { .. })).count()
}

/// What takes a change is refused from now on.
async fn takes_nothing(hub: &Arc<Hub>) {
    assert_eq!(hub.trouble().expect("it is not ready").code, Code::StoreFailed);
    let mut peer = Peer::attach(hub, None);
    let publish = peer.publish(message("jobs").text("late")).await.expect_err("nothing is taken");
    let settle = peer.settle(LeaseToken([7; 16]), Action::Ack).await.expect_err("nothing is taken");
    let consume = peer.consume_with("jobs", 1, |subscribe| subscribe).await.expect_err("nothing is delivered");
    let spec = QueueSpec::new(QueueName::new("more").expect("a name"));
    let declare = peer.manage(Command::Declare(spec)).await.expect_err("nothing is taken");
    for error in [publish, settle, consume, declare] {
        assert_eq!(error.code, Code::StoreFailed, "{error}");
    }
}

/// Its threads end, although one of them may have panicked.
fn ends(opened: ManuallyDrop<(Arc<Embedded>, Arc<Hub>)>) {
    let (tell, ended) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        drop(ManuallyDrop::into_inner(opened));
        tell.send(())
    });
    ended.recv_timeout(Duration::from_secs(20)).expect("the store ends within 20 s");
}

/// Opened again, after a kill, after a power loss and as it was left, the log is sound.
async fn holds(disk: &RecordingDisk, expected: &[&str], perhaps: &str) {
    let killed = disk.crash(disk.operations(), Image::AllWritten);
    let unplugged = disk.crash(disk.operations(), Image::OnlySynced);
    for disk in [&killed, &unplugged, disk] {
        let (_store, hub) = hub_on(disk).await;
        assert!(hub.trouble().is_none(), "it is sound: {:?}", hub.trouble());
        let mut peer = Peer::attach(&hub, None);
        let mut found: Vec<String> = held(&mut peer, "jobs").await.into_values().collect();
        found.retain(|text| text != perhaps);
        assert_eq!(found, expected);
        peer.publish(message("jobs")).await.expect("it serves");
    }
}

/// The panic comes in a thread that asked something of the store.
#[tokio::test]
async fn a_panic_under_the_lock_writes_nothing_more_and_loses_nothing_acknowledged() {
    let gated = Gated::default();
    let opened = store(&gated).await;
    let (store, hub) = &*opened;
    let written = begin(hub, "written").await;
    gated.syncs.holds_one();
    let staged = begin(hub, "staged").await;
    let before = writes(&gated.disk);
    let settles = [Settle { lease: LeaseToken([7; 16]), action: Action::Ack }];
    let write = Write { settles: &settles, publishes: &[], atomic: false, party: "test", producer: None };
    // It is refused at once, and so answered under the lock.
    let reply = Reply::call(|_| panic!("as a fault of the engine would"));
    let fault = catch_unwind(AssertUnwindSafe(|| store.submit(write, hub.now(), reply)));
    assert!(fault.is_err(), "the reply was called at once");
    assert!(hub.trouble().is_some(), "and under the lock");
    gated.syncs.open();
    is_answered_unknown(written).await;
    is_answered_unknown(staged).await;
    takes_nothing(hub).await;
    ends(opened);
    assert_eq!(writes(&gated.disk), before, "something was written after the panic");
    holds(&gated.disk, &SAFE, "written").await;
}

/// The panic comes in the thread that writes, while it lets take effect what is durable.
#[tokio::test]
async fn a_panic_of_the_writing_thread_writes_nothing_more_and_loses_nothing_acknowledged() {
    let gated = Gated::default();
    let opened = store(&gated).await;
    let (store, hub) = &*opened;
    let message = message("jobs").text("durable").finish().expect("a message");
    let publishes = [Outgoing::new(&message)];
    let write = Write { settles: &[], publishes: &publishes, atomic: false, party: "test", producer: None };
    store.submit(write, hub.now(), Reply::call(|_| panic!("as a fault of the engine would")));
    gated.syncs.holds_one();
    let staged = begin(hub, "staged").await;
    let before = writes(&gated.disk);
    gated.syncs.open();
    // Nobody asks the store for anything meanwhile.
    is_answered_unknown(staged).await;
    takes_nothing(hub).await;
    ends(opened);
    assert_eq!(writes(&gated.disk), before, "something was written after the panic");
    holds(&gated.disk, &["safe 0", "safe 1", "safe 2", "durable"], "").await;
}
