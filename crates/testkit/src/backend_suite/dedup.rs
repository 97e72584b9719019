//! What is recognised when it comes again.

use skep_protocol::{
    Accepted, Action, AgentId, Ask, Code, Command, Error, Guarantee, Message, MessageId, Outcome, ProducerId, Retry,
    Settlement, Topic,
};

use super::{Opener, close, declare, hub, jobs, peek, settle, text};
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

/// A sequence stands for one message: another one is refused under it, also after a restart, and what stands beside it is stored.
pub async fn another_message_under_a_used_sequence_is_refused_and_the_first_is_untouched(opener: Opener<'_>) {
    let producer = ProducerId([9; 16]);
    let build = |text: &str| message("jobs").text(text).finish().expect("a message");
    let (one, other, two) = (build("one"), build("other"), build("two"));
    let first = hub(opener).await;
    let peer = jobs(&first).await;
    let mut publisher = Peer::attach_as(&first, None, producer);
    let receipt = publisher.publish_at(1, &one).await.expect("a receipt");
    let now = first.now();
    publisher.session().publish(1, &[other.clone(), two.clone()], now);
    let told = [publisher.receipt().await, publisher.receipt().await];
    let told = told.map(|told| (told.sequence, Result::<Accepted, Error>::from(told.result)));
    let refused = told.iter().find(|(sequence, _)| *sequence == 1).and_then(|(_, result)| result.clone().err());
    let refused = refused.expect("it is another message");
    let position = receipt.position.expect("it is stored");
    assert_eq!((refused.code, refused.outcome, refused.retry), (Code::Conflict, Outcome::Refused, Retry::Never));
    for said in ["sequence 1 ".to_owned(), format!("position {position}"), "a batch of n takes n".to_owned()] {
        assert!(refused.text.contains(&said), "{refused} does not say {said}");
    }
    assert!(told.iter().any(|(sequence, result)| *sequence == 2 && result.as_ref().is_ok_and(|kept| !kept.duplicate)));
    publisher.goodbye();
    close(first, peer).await;
    let second = hub(opener).await;
    let mut publisher = Peer::attach_as(&second, None, producer);
    let again = publisher.publish_at(1, &one).await.expect("a resend");
    assert_eq!((again.duplicate, again.position), (true, receipt.position));
    assert_eq!(publisher.publish_at(1, &other).await.expect_err("it is another").code, Code::Conflict);
    assert_eq!(publisher.publish_at(2, &one).await.expect_err("it is another").code, Code::Conflict);
    assert!(publisher.publish_at(2, &two).await.expect("a resend").duplicate);
    assert!(!publisher.publish_at(3, &other).await.expect("a number of its own").duplicate);
    let texts: Vec<String> = peek(&mut publisher, "jobs").await.iter().map(|stored| text(&stored.message)).collect();
    assert_eq!(texts, ["one", "two", "other"]);
    close(second, publisher).await;
}

/// A step that brings another message under a used sequence is none that was done: it is refused whole, whatever its leases are.
pub async fn another_message_under_a_used_sequence_is_refused_in_a_step(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = jobs(&hub).await;
    declare(&mut peer, "results", |spec| spec).await;
    let build = |text: &str| message("results").text(text).finish().expect("a message");
    let (done, other) = (build("done"), build("other"));
    peer.publish(message("jobs").text("work")).await.expect("a receipt");
    peer.publish(message("jobs").text("more")).await.expect("a receipt");
    peer.consume("jobs", 2).await;
    let [job, more] = [peer.delivery().await, peer.delivery().await].map(|job| vec![settle(job.lease, Action::Ack)]);
    let step = vec![done.clone(), build("done, too")];
    let first = peer.settle_at(60, job.clone(), step.clone()).await;
    assert_eq!(first.results, [Settlement::Ok(())]);
    // With a lease that is held, with one that is gone, and where the one before it is a resend.
    for (settles, messages) in [(&more, vec![&other]), (&job, vec![&other]), (&job, vec![&done, &other])] {
        let messages = messages.into_iter().cloned().collect();
        let refused = peer.settle_at(60, settles.clone(), messages).await;
        assert!(
            matches!(&refused.results[..], [Settlement::Error(error)] if error.code == Code::Conflict),
            "{refused:?}"
        );
        assert!(
            matches!(&refused.receipts[0].result, Settlement::Error(error) if error.code == Code::Conflict),
            "{refused:?}"
        );
    }
    let again = peer.settle_at(60, job, step).await;
    assert_eq!((again.results, peek(&mut peer, "results").await.len()), (vec![Settlement::Ok(())], 2));
    let next = peer.settle_at(62, more, vec![other]).await;
    assert_eq!((next.results, peek(&mut peer, "results").await.len()), (vec![Settlement::Ok(())], 3));
    assert!(peek(&mut peer, "jobs").await.is_empty());
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
