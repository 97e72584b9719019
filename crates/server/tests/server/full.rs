//! `skep serve` on a disk that is full: told to end, it ends, and what was acknowledged is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use skep_protocol::{Code, Outcome};
use tokio::time::timeout;

use crate::hub::{declare, info, next, note, receive, soon};
use crate::victim::Victim;

/// Room for the first two segments of a store and not for the third.
const SMALL: &str = "6m";
const LARGE: &str = "64m";

/// A file system of its own.
struct Mount<'a> {
    at: &'a Path,
}

impl<'a> Mount<'a> {
    fn small(at: &'a Path) -> Self {
        mount(&format!("size={SMALL}"), at);
        Mount { at }
    }

    fn make_room(&self) {
        mount(&format!("remount,size={LARGE}"), self.at);
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

/// A hub whose writer waits for room. Answers what it acknowledged before.
async fn stuffed(victim: &Victim) -> BTreeSet<String> {
    let client = soon("a client connects", victim.door().client()).await.expect("a client");
    declare(&client, "jobs").await;
    let payload = "x".repeat(10_000);
    let mut acknowledged = BTreeSet::new();
    let refused = loop {
        let message = note(&client, "jobs", &payload);
        let id = message.id().to_owned();
        match soon("a publish is answered", client.publish(message)).await {
            Ok(_) => assert!(acknowledged.insert(id)),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 10_000, "the disk has no end");
    };
    assert_eq!((refused.code, refused.outcome), (Code::DiskFull, Outcome::Refused), "{refused}");
    // What settles is taken for as long as there is room in what was prepared; then nothing is answered.
    let reason = "x".repeat(4_000);
    let mut jobs = receive(&client, "jobs", 1).await;
    for _ in 0..10_000 {
        let mut job = next(&mut jobs).await;
        match timeout(Duration::from_secs(3), job.nack(None, &reason)).await {
            Err(_unanswered) => return acknowledged,
            Ok(answer) => answer.expect("a nack is taken"),
        }
    }
    panic!("the disk has no end");
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

    // Nothing is left in what was prepared, and it starts all the same, ended well or not.
    for _ in 0..2 {
        victim.start();
        victim.ready().await;
        let client = soon("a client connects", victim.door().client()).await.expect("a client");
        let held = info(&client, "jobs").await;
        assert_eq!(held.ready + held.delayed + held.leased, acknowledged.len() as u64);
        let refused = soon("a publish is answered", client.publish(note(&client, "jobs", "more"))).await;
        assert_eq!(refused.expect_err("there is no room").code, Code::DiskFull);
        victim.kill().await;
    }

    mount.make_room();
    victim.start();
    victim.ready().await;
    let client = soon("a client connects", victim.door().client()).await.expect("a client");
    let held = info(&client, "jobs").await;
    assert_eq!(held.ready + held.delayed, acknowledged.len() as u64);
    let mut jobs = receive(&client, "jobs", 64).await;
    let mut found = BTreeSet::new();
    while found.len() < acknowledged.len() {
        let mut job = next(&mut jobs).await;
        found.insert(job.message.id().to_owned());
        soon("an ack is answered", job.ack()).await.expect("acked");
    }
    assert_eq!(found, acknowledged);
    soon("a receipt comes", client.publish(note(&client, "jobs", "more"))).await.expect("it takes more");
    client.close().await;
    victim.terminate().await;
}
