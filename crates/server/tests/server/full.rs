//! `skep serve` on a disk that is full: told to end, it ends, and what was acknowledged is there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use skep_client::Client;
use skep_protocol::{Code, Outcome};
use tokio::time::sleep;

use crate::hub::{declare, info, next, note, receive, soon};
use crate::victim::Victim;

/// Room for the first segments of a store and for what it keeps for a full disk, and not for much more.
const SMALL: &str = "12m";
/// Longer than a full disk takes to be full no more once all is settled.
const EASED: Duration = Duration::from_secs(60);

/// A file system of its own.
struct Mount<'a> {
    at: &'a Path,
}

impl<'a> Mount<'a> {
    fn small(at: &'a Path) -> Self {
        mount(&format!("size={SMALL}"), at);
        Mount { at }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // Whoever is still in it goes on, and it goes with them.
        let _ = Command::new("umount").arg("--lazy").arg(self.at).status();
    }
}

fn mount(options: &str, at: &Path) {
    let mut mount = Command::new("mount");
    let ran = mount.args(["-t", "tmpfs", "-o", options, "skep-test"]).arg(at).output().expect("mount runs");
    let why = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "this test fills a disk and so must mount one: run it as root with mounts ({why})");
}

/// A job is published, as soon as the disk has room for it; answers its id.
async fn taken(client: &Client, payload: &str) -> String {
    let begun = Instant::now();
    loop {
        let message = note(client, "jobs", payload);
        let id = message.id().to_owned();
        match soon("a publish is answered", client.publish(message)).await {
            Ok(_) => return id,
            Err(error) => {
                assert_eq!((error.code, error.outcome), (Code::DiskFull, Outcome::Refused), "{error}");
                assert!(begun.elapsed() < EASED, "the disk is full still: {error}");
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Jobs are published until the disk is full; answers those that were stored.
async fn fill(client: &Client, bytes: usize) -> BTreeSet<String> {
    declare(client, "jobs").await;
    let payload = "x".repeat(bytes);
    let mut acknowledged = BTreeSet::new();
    let refused = loop {
        let message = note(client, "jobs", &payload);
        let id = message.id().to_owned();
        match soon("a publish is answered", client.publish(message)).await {
            Ok(_) => assert!(acknowledged.insert(id)),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 10_000, "the disk has no end");
    };
    assert_eq!((refused.code, refused.outcome), (Code::DiskFull, Outcome::Refused), "{refused}");
    acknowledged
}

/// All of it is delivered and acked.
async fn ack_all(client: &Client, acknowledged: &BTreeSet<String>) {
    let mut jobs = receive(client, "jobs", 64).await;
    let mut found = BTreeSet::new();
    while found.len() < acknowledged.len() {
        let mut job = next(&mut jobs).await;
        found.insert(job.message.id().to_owned());
        soon("an ack is answered", job.ack()).await.expect("acked");
    }
    assert_eq!(found, *acknowledged);
}

/// A hub whose disk is full, and on which jobs are tried in vain. Answers what it acknowledged.
async fn stuffed(victim: &Victim) -> BTreeSet<String> {
    let client = soon("a client connects", victim.door().client()).await.expect("a client");
    let acknowledged = fill(&client, 10_000).await;
    // What settles is taken all the same, and more of it than was ever kept for it: what is settled makes room.
    let reason = "x".repeat(4_000);
    let mut jobs = receive(&client, "jobs", 1).await;
    for _ in 0..1_500 {
        let mut job = next(&mut jobs).await;
        soon("a nack is answered", job.nack(Some(Duration::ZERO), &reason)).await.expect("a nack is taken");
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_on_a_full_disk_ends_when_told_and_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::small(folder.path());
    let mut victim = Victim::within(folder.path(), 4711);
    victim.start();
    victim.ready().await;
    let acknowledged = stuffed(&victim).await;
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    victim.terminate().await;

    // It starts, ended well or not, with all that was acknowledged.
    for _ in 0..2 {
        victim.start();
        victim.ready().await;
        let client = soon("a client connects", victim.door().client()).await.expect("a client");
        let held = info(&client, "jobs").await;
        assert_eq!(held.ready + held.delayed + held.leased, acknowledged.len() as u64);
        victim.kill().await;
    }

    // Once all is acked the disk is full no more, and nobody helped.
    victim.start();
    victim.ready().await;
    let client = soon("a client connects", victim.door().client()).await.expect("a client");
    ack_all(&client, &acknowledged).await;
    for _ in 0..acknowledged.len() / 2 {
        taken(&client, &"x".repeat(10_000)).await;
    }
    client.close().await;
    victim.terminate().await;
    drop(mount);
}

/// Others take all that is left, and what becomes free.
fn stuff(folder: &Path, name: &str) {
    let mut file = File::create(folder.join(name)).expect("a file");
    while file.write_all(&[7; 512]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_starts_where_no_byte_is_left_however_it_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::small(folder.path());
    let mut victim = Victim::within(folder.path(), 4712);
    victim.start();
    victim.ready().await;
    victim.terminate().await;
    for round in 0..4 {
        stuff(folder.path(), &format!("others.{round}"));
        victim.start();
        victim.ready().await;
        if round % 2 == 0 {
            victim.kill().await;
        } else {
            victim.terminate().await;
        }
    }
    drop(mount);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_was_full_when_its_hub_was_killed_twice_is_full_no_more_once_all_is_acked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::small(folder.path());
    let mut victim = Victim::within(folder.path(), 4713);
    victim.start();
    victim.ready().await;
    let client = soon("a client connects", victim.door().client()).await.expect("a client");
    let acknowledged = fill(&client, 20_000).await;
    for _ in 0..2 {
        victim.kill().await;
        victim.start();
        victim.ready().await;
    }
    let client = soon("a client connects", victim.door().client()).await.expect("a client");
    ack_all(&client, &acknowledged).await;
    for _ in 0..20 {
        taken(&client, &"x".repeat(20_000)).await;
    }
    victim.terminate().await;
    drop(mount);
}

/// What waits for a larger segment than there is has history let go, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_one_at_a_time_never_fill_a_disk_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::small(folder.path());
    let mut victim = Victim::within(folder.path(), 4714);
    victim.start();
    victim.ready().await;
    let client = soon("a client connects", victim.door().client()).await.expect("a client");
    declare(&client, "jobs").await;
    let payload = "x".repeat(900_000);
    let mut jobs = receive(&client, "jobs", 1).await;
    for _ in 0..25 {
        let id = taken(&client, &payload).await;
        let mut job = next(&mut jobs).await;
        assert_eq!(job.message.id(), id);
        soon("an ack is answered", job.ack()).await.expect("acked");
    }
    victim.terminate().await;
    drop(mount);
}
