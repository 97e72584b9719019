//! Loops that nobody watches end, and who loops is told.

use skep_core::Guards;
use skep_protocol::{
    Action, AgentId, Code, Command, Error, Message, MessageBuilder, MessageRef, QueueName, QueueSpec, Retry, Settle,
    Settlement,
};
use skep_testkit::{Peer, message};

use crate::connection::House;

/// An agent with a subscription to its own inbox.
async fn agent(house: &House, name: &str) -> Peer {
    let mut peer = Peer::attach(&house.hub, Some(name));
    let agent = AgentId::new(name).expect("an id");
    peer.manage(Command::Register { agent, metadata: "{}".into() }).await.expect("an agent");
    peer.consume(&format!("agent.{name}.inbox"), 16).await;
    peer
}

/// What an agent says to a message, as a client inherits it.
fn answer(to: &str, heard: &MessageRef<'_>) -> MessageBuilder {
    message(&format!("agent.{to}.inbox")).causation(heard.id()).conversation(heard.conversation())
}

/// Alice and bob answer each other until one of them is refused; how many answers there were, and what that one was told.
async fn quarrel(house: &House, answer: impl Fn(&str, &MessageRef<'_>) -> MessageBuilder) -> (u32, Error) {
    let mut agents = [("bob", agent(house, "alice").await), ("alice", agent(house, "bob").await)];
    agents[0].1.publish(message("agent.bob.inbox").text("hello")).await.expect("it begins");
    for answers in 0.. {
        let (other, me) = &mut agents[1 - answers as usize % 2];
        let heard = me.delivery().await;
        let answered = me.publish(answer(other, &heard.message.view())).await;
        me.settle(heard.lease, Action::Ack).await.expect("acked");
        if let Err(error) = answered {
            for (_, peer) in &mut agents {
                assert!(peer.is_quiet(20).await, "nothing goes round any more");
            }
            return (answers, error);
        }
    }
    unreachable!("it goes on for ever")
}

#[tokio::test]
async fn two_agents_that_answer_each_other_for_ever_are_stopped_and_told_why() {
    let house = House::new().await;
    let (answers, error) = quarrel(&house, answer).await;
    assert_eq!((answers, error.code, error.retry), (32, Code::HopsExceeded, Retry::Never));
    assert!(error.text.contains("33 hops") && error.text.contains("loop"), "{error}");
    let counters = house.hub.counters();
    assert_eq!((counters.refused, counters.refused_by_hops), (1, 1));
}

#[tokio::test]
async fn a_loop_that_names_no_causes_is_stopped_by_the_budget_of_its_conversation() {
    let house = House::guarded(Guards { conversation_messages: 50, ..Guards::default() }).await;
    let talk = |to: &str, _: &MessageRef<'_>| message(&format!("agent.{to}.inbox")).conversation("talk");
    let (answers, error) = quarrel(&house, talk).await;
    assert_eq!((answers, error.code), (50, Code::ConversationExhausted));
    assert!(matches!(error.retry, Retry::After(ms) if ms > 23 * 3_600_000), "{error:?}");
    assert_eq!(house.hub.counters().refused_by_conversation, 1);
}

#[tokio::test]
async fn a_live_loop_is_stopped_too() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    peer.listen("echo").await;
    let mut said = peer.publish(message("echo")).await;
    let mut rounds = 0;
    while said.is_ok() {
        let heard = peer.live().await;
        rounds += 1;
        said = peer.publish(message("echo").causation(heard.id())).await;
    }
    assert_eq!((rounds, said.expect_err("refused").code), (33, Code::HopsExceeded));
}

#[tokio::test]
async fn an_atomic_step_of_a_loop_is_refused_whole_and_its_lease_holds() {
    let house = House::guarded(Guards { hops: 1, ..Guards::default() }).await;
    let (mut alice, mut bob) = (agent(&house, "alice").await, agent(&house, "bob").await);
    alice.publish(message("agent.bob.inbox")).await.expect("a receipt");
    let first = bob.delivery().await;
    let step = |lease, message: MessageBuilder| {
        (vec![Settle { lease, action: Action::Ack }], vec![message.finish().expect("a message")])
    };
    let (settles, messages) = step(first.lease, answer("alice", &first.message.view()));
    assert_eq!(bob.settle_all(settles, messages).await.results, vec![Settlement::Ok(())]);
    let second = alice.delivery().await;
    let (settles, messages) = step(second.lease, answer("bob", &second.message.view()));
    let refused = alice.settle_all(settles, messages).await;
    let codes = refused.results.into_iter().map(|result| Result::from(result).map_err(|error: Error| error.code));
    assert_eq!(codes.collect::<Vec<_>>(), vec![Err(Code::HopsExceeded)]);
    alice.settle(second.lease, Action::Ack).await.expect("its lease holds");
}

#[tokio::test]
async fn a_message_that_was_stored_gets_its_receipt_again_although_its_conversation_is_exhausted() {
    let house = House::guarded(Guards { conversation_messages: 1, ..Guards::default() }).await;
    let mut peer = agent(&house, "alice").await;
    let talk = || -> Message { message("agent.alice.inbox").conversation("talk").finish().expect("a message") };
    let only = talk();
    let stored = peer.publish_at(70, &only).await.expect("a receipt");
    assert_eq!(peer.publish_at(71, &talk()).await.expect_err("one too many").code, Code::ConversationExhausted);
    let again = peer.publish_at(70, &only).await.expect("the receipt again");
    assert_eq!((again.position, again.duplicate), (stored.position, true));
}

#[tokio::test]
async fn what_is_refused_after_all_uses_up_no_conversation() {
    let house = House::guarded(Guards { conversation_messages: 2, ..Guards::default() }).await;
    let mut peer = Peer::attach(&house.hub, None);
    let name = || QueueName::new("small").expect("a name");
    peer.manage(Command::Declare(QueueSpec { messages_max: 1, ..QueueSpec::new(name()) })).await.expect("a queue");
    let talk = || message("small").conversation("talk");
    peer.publish(talk()).await.expect("there is room for one");
    for _ in 0..3 {
        assert_eq!(peer.publish(talk()).await.expect_err("and for no other").code, Code::QueueFull);
    }
    peer.manage(Command::Purge { queue: name() }).await.expect("a purge");
    peer.publish(talk()).await.expect("the second that is taken");
    assert_eq!(peer.publish(talk()).await.expect_err("of two").code, Code::ConversationExhausted);
}

#[tokio::test]
async fn what_a_guard_refuses_gives_no_conversation_back() {
    let house = House::guarded(Guards { conversation_messages: 2, ..Guards::default() }).await;
    let mut peer = Peer::attach(&house.hub, None);
    let spec = QueueSpec::new(QueueName::new("talks").expect("a name"));
    peer.manage(Command::Declare(spec)).await.expect("a queue");
    let talk = || message("talks").conversation("talk");
    let known = talk().finish().expect("a message");
    peer.publish_at(1, &known).await.expect("the first");
    peer.publish_at(2, &talk().finish().expect("a message")).await.expect("the second");
    // Under an id that was counted, as another message.
    for (sequence, sent) in [(3, known.clone()), (4, talk().finish().expect("a message"))] {
        let refused = peer.publish_at(sequence, &sent).await.expect_err("one too many");
        assert_eq!(refused.code, Code::ConversationExhausted, "{sequence}");
    }
}
