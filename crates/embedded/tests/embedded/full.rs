//! A disk that is full when the hub ends, in whatever way, and when it starts again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::{io, thread};

use skep_core::Clock;
use skep_embedded::Embedded;
use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_embedded::disk::{Disk, DiskFile};
use skep_protocol::{Action, Code, Outcome, Position};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Peer, message};
use tokio::sync::Mutex;

use crate::faults::{held, hub_on, hub_on_any};

/// A few of them fill a segment.
const LARGE_BYTES: usize = 150_000;

struct Answered {
    operations: usize,
    position: Position,
    text: String,
    acked_at: Option<usize>,
}

/// A store that fills its disk, and then settles some of what it holds. Answers what was answered, and when the queue was there.
async fn life(disk: &RecordingDisk) -> (usize, Vec<Answered>) {
    let (store, hub) = hub_on(disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    let declared = disk.operations();
    let mut answered = Vec::new();
    loop {
        let text = format!("{} {}", answered.len(), "x".repeat(LARGE_BYTES));
        match peer.publish(message("jobs").text(&text)).await {
            Ok(receipt) => {
                let position = receipt.position.expect("stored");
                answered.push(Answered { operations: disk.operations(), position, text, acked_at: None });
            }
            Err(error) => {
                assert_eq!((error.code, error.outcome), (Code::DiskFull, Outcome::Refused), "{error}");
                break;
            }
        }
        if answered.len() == 4 {
            disk.fill();
        }
        assert!(answered.len() < 100, "the disk has no end");
    }
    peer.consume("jobs", 1).await;
    for _ in 0..3 {
        let delivery = peer.delivery().await;
        let of = answered.iter().position(|a| a.position == delivery.position).expect("it was answered");
        peer.settle(delivery.lease, Action::Ack).await.expect("an ack is taken");
        answered[of].acked_at = Some(disk.operations());
    }
    drop((peer, hub, store));
    (declared, answered)
}

/// What was acknowledged is served and can be acked, all of it.
async fn drain(peer: &mut Peer, found: &BTreeMap<Position, String>) {
    peer.consume("jobs", 2).await;
    for _ in found {
        let delivery = peer.delivery().await;
        assert!(found.contains_key(&delivery.position));
        peer.settle(delivery.lease, Action::Ack).await.expect("an ack is taken");
    }
}

async fn publish_refused(peer: &mut Peer) {
    for _ in 0..20 {
        if let Err(error) = peer.publish(message("jobs").text("small")).await {
            return assert_eq!((error.code, error.outcome), (Code::DiskFull, Outcome::Refused), "{error}");
        }
        peer.is_quiet(20).await;
    }
    panic!("the disk is full, and publishes are taken");
}

async fn publish_taken(peer: &mut Peer) {
    for _ in 0..100 {
        match peer.publish(message("jobs")).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.code, Code::DiskFull),
        }
        assert!(peer.is_quiet(50).await);
    }
    panic!("room was made, and it is still refused");
}

fn check(found: &BTreeMap<Position, String>, answered: &[Answered], at: usize, image: Image) {
    for a in answered {
        let was_acked = a.acked_at.is_some_and(|acked| acked <= at);
        if a.operations <= at && a.acked_at.is_none() {
            assert_eq!(found.get(&a.position), Some(&a.text), "lost at {at}, {image:?}");
        }
        assert!(!(was_acked && found.contains_key(&a.position)), "came back at {at}, {image:?}");
    }
}

/// At whatever moment it is killed, or the power goes, while its disk runs full or is: it starts there, and is killed and starts
/// again, refuses publishes, serves what was acknowledged until nothing is left, and goes on when there is room.
#[tokio::test]
async fn a_hub_on_a_full_disk_starts_after_a_crash_at_any_moment_and_drains() {
    let disk = RecordingDisk::new();
    let (declared, answered) = life(&disk).await;
    let (end, mut states) = (disk.operations(), 0);
    for at in (declared..=end).step_by(2) {
        for image in [Image::OnlySynced, Image::AllWritten, Image::Random { seed: at as u64 }] {
            let crashed = disk.crash(at, image);
            crashed.fill();
            let (store, hub) = hub_on(&crashed).await;
            let mut peer = Peer::attach(&hub, None);
            check(&held(&mut peer, "jobs").await, &answered, at, image);
            drop((peer, hub, store));

            let again = crashed.crash(crashed.operations(), Image::OnlySynced);
            again.fill();
            let (_store, hub) = hub_on(&again).await;
            let mut peer = Peer::attach(&hub, None);
            publish_refused(&mut peer).await;
            let found = held(&mut peer, "jobs").await;
            check(&found, &answered, at, image);
            drain(&mut peer, &found).await;
            if states % 8 == 0 {
                again.set_room(None);
                publish_taken(&mut peer).await;
            }
            states += 1;
        }
    }
    println!("{states} crash states");
    assert!(states > 40, "only {states} states");
}

/// A disk on which the thread that prepares segments gets no answer for as long as the lock is held.
struct Slow {
    disk: RecordingDisk,
    answers: Arc<Mutex<()>>,
}

impl Disk for Slow {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let prepares = thread::current().name() == Some("skep-spare");
        let _answer = prepares.then(|| self.answers.blocking_lock());
        self.disk.create_zeroed(name, bytes)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
}

#[tokio::test]
async fn a_hub_that_found_no_room_to_open_refuses_the_first_publish_already() {
    let disk = RecordingDisk::new();
    let (store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    let killed = disk.crash(disk.operations(), Image::AllWritten);
    drop((peer, hub, store));
    for spare in killed.list().expect("names").into_iter().filter(|name| name.ends_with("2.seg")) {
        killed.lose(&spare);
    }
    killed.fill();
    let answers = Arc::new(Mutex::new(()));
    let slow = Slow { disk: killed, answers: answers.clone() };
    let unanswered = answers.lock().await;
    let (_store, hub) = hub_on_any(Arc::new(slow)).await;
    let mut peer = Peer::attach(&hub, None);
    let refused = peer.publish(message("jobs")).await;
    drop(unanswered);
    assert_eq!(refused.expect_err("there is no room").code, Code::DiskFull);
}

/// Without a store there is nothing to serve from; the refusal is coded and says what it needs.
#[tokio::test]
async fn a_new_store_on_a_full_disk_is_refused_with_what_it_needs() {
    let disk = RecordingDisk::new();
    disk.fill();
    let error = opened(&disk).expect_err("there is no room");
    assert_eq!((error.code, error.outcome), (Code::DiskFull, Outcome::Refused), "{error}");
    assert!(error.text.contains("mark") && error.text.contains("8192 bytes"), "{error}");
    disk.set_room(None);
    opened(&disk).expect("there is room");
}

#[tokio::test]
async fn a_store_without_file_descriptors_is_refused_as_out_of_open_files() {
    let disk = RecordingDisk::new();
    opened(&disk).expect("a store");
    disk.set_out_of_files(true);
    let error = opened(&disk).expect_err("no file can be opened");
    assert_eq!((error.code, error.outcome), (Code::Busy, Outcome::Refused), "{error}");
    assert!(error.text.contains("open files") && !error.text.contains("check the disk"), "{error}");
}

fn opened(disk: &RecordingDisk) -> Result<(), skep_protocol::Error> {
    Embedded::open_on(Arc::new(disk.clone()), Clock::new()).map(|_: Arc<Embedded>| ())
}
