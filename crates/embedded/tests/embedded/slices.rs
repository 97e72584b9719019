//! One write that asks for much, beside others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use skep_core::{Backend, Clock, Completion, Now, Outgoing, QueueCommand, Reply, Write};
use skep_embedded::Embedded;
use skep_embedded::disk::recording::RecordingDisk;
use skep_protocol::{Filter, Message, QueueName, QueueSpec};
use skep_testkit::{message, topic};

/// Forty queues with 64 filters each, all of which match `a<n>.x.x.x.x.x.x`; and one plain queue.
async fn overlapping(store: &Embedded, now: Now) {
    let queue = |name: &str| QueueSpec::new(QueueName::new(name).expect("a name"));
    for id in 0..40 {
        let filter = |n: u32| {
            let tokens: Vec<&str> = (0..6).map(|bit| if n >> bit & 1 == 0 { "x" } else { "*" }).collect();
            Filter::new(&format!("*.{}", tokens.join("."))).expect("a filter")
        };
        let spec = QueueSpec { filters: (0..64).map(filter).collect(), ..queue(&format!("q{id}")) };
        store.manage(QueueCommand::Declare(spec), now).await.expect("a queue");
    }
    store.manage(QueueCommand::Declare(queue("jobs")), now).await.expect("a queue");
}

fn submit(store: &Embedded, messages: &[Message], now: Now) -> Receiver<Completion> {
    let (answer, answered) = sync_channel(1);
    let publishes: Vec<Outgoing<'_>> = messages.iter().map(Outgoing::new).collect();
    let write = Write { settles: &[], publishes: &publishes, atomic: false, party: "test", producer: None };
    store.submit(write, now, Reply::call(move |completion| drop(answer.send(completion))));
    answered
}

/// What one write asks of the router does not keep others from the store: their messages stand
/// between its own. Its results are all there, in order.
#[tokio::test]
async fn a_heavy_write_lets_others_in_between() {
    let clock = Clock::new();
    let store = Embedded::open_on(Arc::new(RecordingDisk::new()), clock).expect("a store");
    overlapping(&store, clock.now()).await;
    let heavy: Vec<Message> = (0..100)
        .map(|_| (0..12).fold(message("a.x.x.x.x.x.x"), |m, n| m.to(&topic(&format!("a{n}.x.x.x.x.x.x")))))
        .map(|message| message.finish().expect("a message"))
        .collect();
    let ended = Arc::new(AtomicBool::new(false));
    let answered = std::thread::scope(|scope| {
        let heavy = scope.spawn(|| {
            let answered = submit(&store, &heavy, clock.now());
            ended.store(true, Ordering::Release);
            answered
        });
        while !ended.load(Ordering::Acquire) {
            let small = message("jobs").finish().expect("a message");
            submit(&store, std::slice::from_ref(&small), clock.now()).recv().expect("an answer");
        }
        heavy.join().expect("it ended")
    });
    let runs = answered.recv().expect("an answer").publishes;
    assert_eq!(runs.iter().map(|run| run.count).sum::<u32>(), 100);
    assert!(runs.iter().all(|run| run.result.as_ref().is_ok_and(|kept| kept.queues == 40)));
    let positions: Vec<_> = runs.iter().filter_map(|run| run.result.as_ref().ok()?.position).collect();
    assert!(positions.is_sorted());
    assert!(runs.len() > 1, "nobody was let in");
}
