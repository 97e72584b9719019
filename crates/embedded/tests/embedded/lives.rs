//! Random lives of a store: what it holds in memory is what it finds when it is opened again.

use skep_embedded::disk::recording::{Image, RecordingDisk};
use skep_protocol::{Action, Ask, Command, Ended, Page, Position, QueueName, QueueSpec};
use skep_testkit::backend_suite::declare;
use skep_testkit::{Peer, message};

use crate::faults::hub_on;

/// What a store shows of its queues: every message with how often it was tried and how the last attempt
/// ended, and what counts against the bounds.
#[derive(Debug, PartialEq)]
struct Shown {
    messages: Vec<(String, Position, u32, Option<Ended>)>,
    counts: Vec<(QueueName, u64, u64, u64)>,
}

async fn shown(peer: &mut Peer) -> Shown {
    let mut messages = Vec::new();
    for queue in ["jobs", "$dead.jobs"] {
        let name = QueueName::new(queue).expect("a name");
        let Ok(Page::Messages { messages: held, .. }) =
            peer.look(Ask::Peek { queue: name, limit: 1000, from: None }).await
        else {
            continue;
        };
        let held = held.into_iter().map(|held| (queue.to_owned(), held.position, held.attempts, held.previous));
        messages.extend(held);
    }
    let Ok(Page::Queues(queues)) = peer.look(Ask::Queues).await else { panic!("queues") };
    // What waits for its time may be ready by now.
    let counts = queues.into_iter().map(|q| (q.spec.name, q.leased + q.ready + q.delayed, q.bytes, q.dead)).collect();
    Shown { messages, counts }
}

/// Random lives of a store: whatever was done, it opens again, and holds what it held.
#[tokio::test]
async fn a_store_opened_again_holds_what_it_held() {
    for seed in 0..12_u64 {
        let disk = RecordingDisk::new();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        for life in 0..4_u64 {
            let (_store, hub) = hub_on(&disk).await;
            let mut peer = Peer::attach(&hub, None);
            let queue = QueueName::new("jobs").expect("a name");
            declare(&mut peer, "jobs", |spec| QueueSpec { attempts_max: 3, backoff_min_ms: 0, ..spec }).await;
            peer.consume("jobs", 3).await;
            for _ in 0..40 {
                match draw(10) {
                    0..=3 => {
                        peer.publish(message("jobs")).await.expect("a receipt");
                    }
                    4 => {
                        peer.manage(Command::Purge { queue: queue.clone() }).await.expect("purged");
                    }
                    5 => {
                        peer.manage(Command::Redrive { queue: queue.clone(), limit: 2 }).await.expect("redriven");
                    }
                    which => {
                        let Some(delivery) = peer.delivery_within(20).await else { continue };
                        let action = match which {
                            6 => Action::Ack,
                            7 => Action::Nack { after_ms: Some(draw(3)), reason: "no".into() },
                            8 => Action::Reject { reason: "never".into() },
                            _ => Action::Return,
                        };
                        peer.settle(delivery.lease, action).await.expect("settled");
                    }
                }
            }
            peer.goodbye();
            let mut looker = Peer::attach(&hub, None);
            // Answered when it is durable, and so is all that was returned before.
            declare(&mut looker, "fence", |spec| QueueSpec { lease_ms: 1_000 + life, ..spec }).await;
            let before = shown(&mut looker).await;
            looker.goodbye();
            // Every other life ends with a kill: what was written is there, nothing is closed.
            let image = disk.crash(disk.operations(), Image::AllWritten);
            hub.close().await.expect("closed");
            drop(hub);
            if life % 2 == 0 {
                let (_store, again) = hub_on(&image).await;
                assert_eq!(shown(&mut Peer::attach(&again, None)).await, before, "seed {seed}, life {life}, killed");
            }
            let (_store, again) = hub_on(&disk).await;
            assert_eq!(shown(&mut Peer::attach(&again, None)).await, before, "seed {seed}, life {life}, closed");
        }
    }
}
