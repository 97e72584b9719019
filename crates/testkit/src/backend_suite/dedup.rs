//! What is recognised when it comes again.

use skep_protocol::{
    Action, AgentId, Ask, Code, Command, Guarantee, Message, MessageId, ProducerId, Settlement, Topic,
};

use super::{Opener, close, declare, hub, jobs, peek, settle};
use crate::peer::{Peer, message, topic};

/// A resend with the same sequence is answered as it was, also after a restart.
pub async fn a_resend_is_recognised_by_its_sequence_across_a_restart(opener: Opener<'_>) {
    let producer = ProducerId([9; 16]);
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    let mut publisher = Peer::attach_as(&first, None, producer);
    let one = message("jobs").text("one").finish().expect("a message");
    let receipt = publisher.publish_at(1, &one).await.expect("a receipt");
    let again = publisher.publish_at(1, &one).await.expect("a receipt");
    assert!(again.duplicate && !receipt.duplicate);
    assert_eq!(again.position, receipt.position);
    publisher.goodbye();
    peer.look(Ask::Queues).await.expect("a look");
    close(first, peer).await;
    let second = hub(opener).await;
    let mut publisher = Peer::attach_as(&second, None, producer);
    let again = publisher.publish_at(1, &one).await.expect("a receipt");
    assert!(again.duplicate);
    assert_eq!(again.position, receipt.position);
    assert_eq!(peek(&mut publisher, "jobs").await.len(), 1);
    close(second, publisher).await;
}

/// What would be refused now may be stored already: a resend is answered as it was, and only what is not stored is refused.
pub async fn a_resend_of_what_is_stored_is_not_refused_for_what_holds_now(opener: Opener<'_>) {
    let producer = ProducerId([7; 16]);
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    let bob = AgentId::new("bob").expect("an id");
    peer.manage(Command::Register { agent: bob.clone(), metadata: String::new() }).await.expect("registered");
    let both = message("jobs").to(&Topic::inbox(&bob)).text("both").finish().expect("a message");
    let mut publisher = Peer::attach_as(&hub, None, producer);
    let receipt = publisher.publish_at(1, &both).await.expect("a receipt");
    peer.manage(Command::Deregister { agent: bob, force: true }).await.expect("deregistered");
    let again = publisher.publish_at(1, &both).await.expect("it is stored in the other queue");
    assert!(again.duplicate);
    assert_eq!(again.position, receipt.position);
    let refused = publisher.publish_at(2, &both).await.expect_err("nobody of that name is known");
    assert_eq!(refused.code, Code::UnknownAgent);
    publisher.goodbye();
    close(hub, peer).await;
}

/// A publish that asks for exactly once is recognised by party, source and id.
pub async fn an_exactly_once_message_is_recognised_by_its_id_across_a_restart(opener: Opener<'_>) {
    let build = || message("jobs").guarantee(Guarantee::ExactlyOnce).text("once").finish().expect("a message");
    let once = build();
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    let receipt = peer.publish_at(1, &once).await.expect("a receipt");
    assert_eq!(receipt.guarantee, Guarantee::ExactlyOnce);
    let again = peer.publish_at(2, &once).await.expect("a receipt");
    assert!(again.duplicate && again.guarantee == Guarantee::ExactlyOnce);
    assert!(!peer.publish_at(3, &build()).await.expect("a receipt").duplicate);
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    let again = peer.publish_at(1, &once).await.expect("a receipt");
    assert!(again.duplicate);
    assert_eq!(again.position, receipt.position);
    close(second, peer).await;
}

/// An id that is published exactly once stands for one payload: with another one it is refused, also after a restart.
pub async fn an_id_that_comes_again_with_another_payload_is_refused(opener: Opener<'_>) {
    let build = |text: &str| {
        let id = MessageId::new("one").expect("an id");
        let message = Message::build(&id, "test", "note").to(&topic("jobs")).guarantee(Guarantee::ExactlyOnce);
        message.text(text).finish().expect("a message")
    };
    let first = hub(opener).await;
    let mut peer = jobs(&first).await;
    peer.publish_at(1, &build("a")).await.expect("a receipt");
    let refused = peer.publish_at(2, &build("b")).await.expect_err("it is another");
    assert!(refused.code == Code::Conflict && refused.text.contains("\"one\""), "{refused}");
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    assert_eq!(peer.publish_at(3, &build("b")).await.expect_err("it is another").code, Code::Conflict);
    assert!(peer.publish_at(4, &build("a")).await.expect("a receipt").duplicate);
    close(second, peer).await;
}

/// Settle and publish are one step: both happen or neither, and a resend is answered as it was.
pub async fn settle_and_publish_are_one_step(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    declare(&mut peer, "results", |spec| spec).await;
    peer.publish(message("jobs").text("work")).await.expect("a receipt");
    peer.consume("jobs", 1).await;
    let job = peer.delivery().await;
    let result = vec![message("results").text("done").finish().expect("a message")];
    let ack = vec![settle(job.lease, Action::Ack)];
    let unknown = vec![message("agent.nobody.inbox").finish().expect("a message")];
    let refused = peer.settle_at(50, ack.clone(), unknown).await;
    assert!(matches!(&refused.results[0], Settlement::Error(error) if error.code == Code::UnknownAgent));
    let done = peer.settle_at(60, ack.clone(), result.clone()).await;
    assert_eq!(done.results, [Settlement::Ok(())]);
    let again = peer.settle_at(60, ack.clone(), result.clone()).await;
    assert_eq!(again.results, [Settlement::Ok(())], "a resend is answered as it was");
    let stale = peer.settle_at(70, vec![settle(job.lease, Action::Return)], result).await;
    assert!(matches!(&stale.results[0], Settlement::Error(error) if error.code == Code::LeaseLost));
    assert_eq!(peek(&mut peer, "results").await.len(), 1);
    assert!(peek(&mut peer, "jobs").await.is_empty());
}
