//! What a store tells of messages: their whole way, also across deleted queues, restarts and many segments.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_core::{Backend, Hub};
use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_embedded::disk::{Disk, DiskFile};
use skep_protocol::{
    Action, Ask, Command, Expired, Fate, Message, MessageId, Page, Position, QueueName, QueueSpec, Search, Traced,
};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Peer, message};

use crate::faults::{hub_on, hub_on_any};

/// All that is told of the messages of an id, and how often it was asked for.
pub(crate) async fn asked(peer: &mut Peer, id: &str, search: Search) -> (Vec<Traced>, u32) {
    let (mut messages, mut search, mut times) = (Vec::new(), search, 0);
    loop {
        let asked = Ask::Trace { message: id.into(), search: Some(search.clone()) };
        let Ok(Page::Traced(found)) = peer.look(asked).await else { panic!("a trace") };
        times += 1;
        messages.extend(found.messages);
        search.next = found.next;
        if search.next.is_none() {
            return (messages, times);
        }
    }
}

async fn traced(peer: &mut Peer, id: &str) -> Vec<Traced> {
    asked(peer, id, Search { whole: true, ..Search::default() }).await.0
}

fn what(traced: &Traced) -> Vec<&str> {
    traced.events.iter().map(|event| event.what.as_str()).collect()
}

fn named(id: &str, source: &str) -> Message {
    let to = skep_protocol::Topic::new("jobs").expect("a topic");
    Message::build(&MessageId::new(id).expect("an id"), source, "task").to(&to).text("x").finish().expect("a message")
}

fn jobs() -> QueueName {
    QueueName::new("jobs").expect("a name")
}

#[tokio::test]
async fn what_went_with_its_queue_does_not_wait_in_one_that_was_made_again_under_its_name() {
    let (_store, hub) = hub_on(&RecordingDisk::new()).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.publish_at(1, &named("m-1", "a")).await.expect("a receipt");
    peer.manage(Command::Delete { queue: jobs(), force: true }).await.expect("deleted");
    declare(&mut peer, "jobs", |spec| spec).await;
    let found = traced(&mut peer, "m-1").await;
    assert_eq!((found[0].state, found[0].queue.clone()), (Fate::Removed, Some(jobs())));
    assert_eq!(what(&found[0]), ["accepted", "stored", "removed"]);
}

#[tokio::test]
async fn messages_that_share_an_id_are_told_apart() {
    let (_store, hub) = hub_on(&RecordingDisk::new()).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| spec).await;
    peer.publish_at(1, &named("m-1", "a")).await.expect("a receipt");
    peer.publish_at(2, &named("m-1", "b")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let first = peer.delivery().await;
    peer.settle(first.lease, Action::Ack).await.expect("settled");
    let found = traced(&mut peer, "m-1").await;
    let each: Vec<_> = found.iter().map(|traced| (traced.source.as_str(), traced.events.len() >= 4)).collect();
    assert_eq!(each, [("a", true), ("b", false)]);
    assert_eq!((what(&found[0]), found[0].state), (vec!["accepted", "stored", "leased", "acked"], Fate::Acked));
    assert!(!what(&found[1]).contains(&"acked") && found[1].state == Fate::Leased, "{found:?}");
    // A search for one of them has that one alone.
    let of_b = Search { from: Some("b".into()), ..Search::default() };
    let (found, _) = asked(&mut peer, "m-1", of_b).await;
    assert_eq!(found.iter().map(|traced| traced.source.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_delay_and_what_comes_of_a_nack_are_rows_and_when_it_is_due_is_told() {
    let (_store, hub) = hub_on(&RecordingDisk::new()).await;
    let mut peer = Peer::attach(&hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { backoff_min_ms: 60_000, backoff_max_ms: 60_000, ..spec }).await;
    let due_ms = hub.now().unix_ms + 3_600_000;
    let delayed = message("jobs").not_before(due_ms).text("later").finish().expect("a message");
    peer.publish_at(1, &delayed).await.expect("a receipt");
    let found = traced(&mut peer, delayed.id()).await;
    assert_eq!((found[0].state, found[0].due_ms), (Fate::Delayed, Some(due_ms)));
    assert_eq!(what(&found[0]), ["accepted", "stored", "delayed"]);
    peer.publish_at(2, &named("m-1", "a")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let first = peer.delivery().await;
    let nack = Action::Nack { after_ms: None, reason: "busy".into() };
    peer.settle(first.lease, nack).await.expect("settled");
    let found = traced(&mut peer, "m-1").await;
    assert_eq!(what(&found[0]), ["accepted", "stored", "leased", "nacked", "delayed"]);
    assert_eq!((found[0].state, found[0].reason.as_deref()), (Fate::Retrying, Some("busy")));
    assert!(found[0].due_ms.is_some_and(|due_ms| due_ms > hub.now().unix_ms), "{found:?}");
}

#[tokio::test]
async fn what_expired_is_told_so_whether_it_was_dropped_or_died() {
    for (then, state, last) in
        [(Expired::Drop, Fate::Expired, "expired"), (Expired::DeadLetter, Fate::Dead, "dead_lettered")]
    {
        let (_store, hub) = hub_on(&RecordingDisk::new()).await;
        let mut peer = Peer::attach(&hub, None);
        declare(&mut peer, "jobs", |spec| QueueSpec { expired: then, ..spec }).await;
        let short = message("jobs").expires(hub.now().unix_ms + 50).text("soon").finish().expect("a message");
        peer.publish_at(1, &short).await.expect("a receipt");
        let begun = std::time::Instant::now();
        let found = loop {
            let found = traced(&mut peer, short.id()).await;
            if what(&found[0]).contains(&last) {
                break found;
            }
            assert!(begun.elapsed().as_secs() < 20, "it does not expire: {found:?}");
            assert!(peer.is_quiet(5).await);
        };
        assert_eq!(found[0].state, state);
    }
}

#[tokio::test]
async fn a_restart_that_ended_a_lease_is_a_row_and_so_is_a_reply() {
    let disk = RecordingDisk::new();
    let killed;
    {
        let (store, hub) = hub_on(&disk).await;
        let mut peer = Peer::attach(&hub, None);
        declare(&mut peer, "jobs", |spec| spec).await;
        peer.publish_at(1, &named("m-1", "a")).await.expect("a receipt");
        peer.consume("jobs", 1).await;
        peer.delivery().await;
        // What is stored after it makes the record of the lease durable.
        let reply = message("jobs").causation("m-1").text("yes").finish().expect("a message");
        peer.publish_at(2, &reply).await.expect("a receipt");
        let found = traced(&mut peer, "m-1").await;
        assert_eq!((what(&found[0]), found[0].state), (vec!["accepted", "stored", "leased", "replied"], Fate::Leased));
        killed = disk.crash(disk.operations(), Image::AllWritten);
        store.close().await.expect("closed");
    }
    for (disk, why, state) in [(&killed, "hub_restarted", Fate::Retrying), (&disk, "hub_closed", Fate::Waiting)] {
        let (_store, hub) = hub_on(disk).await;
        let mut peer = Peer::attach(&hub, None);
        let found = traced(&mut peer, "m-1").await;
        assert_eq!(what(&found[0]), ["accepted", "stored", "leased", "replied", "returned"]);
        let last = found[0].events.last().expect("events");
        assert!(last.detail.as_deref().is_some_and(|detail| detail.contains(why)), "{last:?}");
        assert_eq!((last.attempt, found[0].state), (Some(1), state), "{why}");
    }
}

/// A disk that counts what is read of segments.
struct Counting {
    disk: RecordingDisk,
    read: Arc<AtomicU64>,
}

struct CountingFile {
    file: Arc<dyn DiskFile>,
    read: Arc<AtomicU64>,
}

impl Disk for Counting {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create_zeroed(name, bytes)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(name)?;
        Ok(if name.ends_with(".seg") { Arc::new(CountingFile { file, read: self.read.clone() }) } else { file })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
}

impl DiskFile for CountingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.file.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

/// Some megabytes of log in several segments, with one message at its beginning whose way goes through all of it.
async fn filled(hub: &Arc<Hub>) -> Peer {
    let mut peer = Peer::attach(hub, None);
    declare(&mut peer, "other", |spec| spec).await;
    declare(&mut peer, "jobs", |spec| QueueSpec { backoff_min_ms: 0, backoff_max_ms: 0, ..spec }).await;
    peer.publish_at(1_000, &named("m-1", "a")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    for n in 0..4 {
        let delivery = peer.delivery().await;
        for _ in 0..20 {
            peer.publish(message("other").text(&"x".repeat(100_000))).await.expect("a receipt");
        }
        let action = if n < 3 { Action::Nack { after_ms: Some(0), reason: "busy".into() } } else { Action::Ack };
        peer.settle(delivery.lease, action).await.expect("settled");
    }
    peer
}

#[tokio::test]
async fn a_trace_reads_of_a_long_log_little_more_than_what_concerns_it_and_tells_the_same() {
    let (disk, read) = (RecordingDisk::new(), Arc::new(AtomicU64::new(0)));
    let (_store, hub) = hub_on_any(Arc::new(Counting { disk: disk.clone(), read: read.clone() })).await;
    let mut peer = filled(&hub).await;
    let (first, times) = asked(&mut peer, "m-1", Search { whole: true, ..Search::default() }).await;
    let built = || disk.list().expect("names").into_iter().filter(|name| name.ends_with(".idx")).collect::<Vec<_>>();
    let indexes = built();
    assert!(indexes.len() >= 2 && times >= 2, "one index is built at a time: {indexes:?}, asked {times} times");
    let acks = |found: &[Traced]| what(&found[0]).iter().filter(|what| **what == "acked").count();
    assert_eq!((first.len(), acks(&first), first[0].state), (1, 1, Fate::Acked));
    let before = read.load(Ordering::Relaxed);
    assert_eq!(traced(&mut peer, "m-1").await, first);
    let with = read.load(Ordering::Relaxed) - before;
    assert!(with < 3_000_000, "{with} bytes were read of 8 MB");
    // What is damaged, cut or gone is built again, and nothing else is told.
    disk.tamper(&indexes[0], 100, &[0x55]);
    disk.lose(&indexes[1]);
    assert_eq!(traced(&mut peer, "m-1").await, first);
    assert_eq!(built().len(), indexes.len());
    disk.shorten(&indexes[0], 50);
    assert_eq!(traced(&mut peer, "m-1").await, first);
    assert!(traced(&mut peer, "nobody").await.is_empty());
}

#[tokio::test]
async fn an_index_whose_segment_is_no_more_is_removed_and_a_full_disk_needs_none() {
    let disk = RecordingDisk::new();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = filled(&hub).await;
    disk.create_zeroed("0000000999.idx", 10).expect("created");
    let (first, _) = asked(&mut peer, "m-1", Search { whole: true, ..Search::default() }).await;
    let names = disk.list().expect("names");
    assert!(!names.contains(&"0000000999.idx".to_owned()) && names.iter().any(|name| name.ends_with(".idx")));
    for name in names.iter().filter(|name| name.ends_with(".idx")) {
        disk.remove(name).expect("removed");
    }
    disk.fill();
    assert_eq!(traced(&mut peer, "m-1").await, first);
}

#[tokio::test]
async fn pages_of_a_search_follow_each_other_and_together_hold_each_message_once() {
    let (_store, hub) = hub_on(&RecordingDisk::new()).await;
    let mut peer = filled(&hub).await;
    for limit in [1, 7, 1000] {
        let to = Search { to: Some("other".into()), limit: Some(limit), ..Search::default() };
        let (found, _) = asked(&mut peer, "", to).await;
        let positions: Vec<Option<Position>> = found.iter().map(|traced| traced.position).collect();
        assert!(positions.len() == 80 && positions.is_sorted(), "{limit}: {positions:?}");
        let dead = Search { to: Some("other".into()), outcome: "acked".parse().ok(), ..Search::default() };
        assert!(asked(&mut peer, "", dead).await.0.is_empty());
    }
}
