//! Atomic steps: what is settled and what follows from it.

use skep_protocol::{Action, Code, Command, Error, Guarantee, QueueName, QueueSpec, Settle, Settlement};
use skep_testkit::{Peer, message};

use crate::connection::House;

/// A peer that has a message of the queue `jobs` under a lease; there is a queue `results`, too.
async fn worker(house: &House) -> (Peer, Settle) {
    let mut peer = Peer::attach(&house.hub, None);
    for name in ["jobs", "results"] {
        let name = QueueName::new(name).expect("a name");
        peer.manage(Command::Declare(QueueSpec::new(name))).await.expect("a queue");
    }
    peer.publish(message("jobs")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let lease = peer.delivery().await.lease;
    (peer, Settle { lease, action: Action::Ack })
}

async fn ready(peer: &mut Peer, queue: &str) -> u64 {
    let queue = QueueName::new(queue).expect("a name");
    match peer.look(skep_protocol::Ask::Queue { queue }).await.expect("a page") {
        skep_protocol::Page::Queues(queues) => queues.first().expect("the queue").ready,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_step_whose_result_no_queue_takes_is_refused_whole_and_its_lease_holds() {
    let house = House::new().await;
    let (mut worker, ack) = worker(&house).await;
    // A listener is no queue: what it hears is gone with it.
    let mut listener = Peer::attach(&house.hub, None);
    listener.listen("heard").await;
    for topic in ["resluts", "heard"] {
        let messages = ["results", topic].map(|topic| message(topic).finish().expect("a message")).to_vec();
        let refused = worker.settle_all(vec![ack.clone()], messages).await;
        let code = |result: Settlement<()>| Result::from(result).map_err(|error: Error| error.code);
        let codes: Vec<_> = refused.results.into_iter().map(code).collect();
        assert_eq!(codes, [Err(Code::NoQueue)], "{topic}");
        assert!(
            refused.receipts.iter().all(|run| matches!(run.result, Settlement::Error(_))),
            "{:?}",
            refused.receipts
        );
        assert_eq!(ready(&mut worker, "results").await, 0, "{topic}");
    }
    assert!(listener.is_quiet(20).await);
    worker.settle(ack.lease, ack.action).await.expect("its lease holds");
}

#[tokio::test]
async fn a_step_tells_live_listeners_alone_what_asks_for_best_effort() {
    let house = House::new().await;
    let (mut worker, ack) = worker(&house).await;
    let weak = || message("progress").guarantee(Guarantee::BestEffort).finish().expect("a message");
    let result = message("results").finish().expect("a message");
    let done = worker.settle_all(vec![ack], vec![weak(), result]).await;
    assert_eq!(done.results, [Settlement::Ok(())]);
    let told = done.receipts.into_iter().map(|run| Result::from(run.result).expect("taken"));
    let told: Vec<_> = told.map(|accepted: skep_protocol::Accepted| (accepted.queues, accepted.guarantee)).collect();
    assert_eq!(told, [(0, Guarantee::BestEffort), (1, Guarantee::AtLeastOnce)]);
}
