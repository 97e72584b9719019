//! Agents come and go.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use skep_core::{Backend, Clock, Guards, Hub, HubOptions, Party, QueueCommand};
use skep_embedded::Embedded;
use skep_protocol::{AgentId, Answer, Code, Command, QueueName};
use skep_testkit::{Anyone, Gated, Peer, message};

async fn hub_on(disk: &Gated) -> (Arc<Embedded>, Arc<Hub>) {
    let store = Embedded::open_on(Arc::new(disk.clone()), Clock::new()).expect("a store");
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(options, Clock::new(), store.clone(), store.clone(), Arc::new(Anyone)).await.expect("a hub");
    (store, hub)
}

fn bob() -> AgentId {
    "bob".parse().expect("an id")
}

#[tokio::test]
async fn an_agent_is_forgotten_although_whoever_deregisters_it_goes_before_it_is_answered() {
    let disk = Gated::default();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    peer.manage(Command::Register { agent: bob(), metadata: "{}".into() }).await.expect("an agent");
    disk.syncs.shut();
    {
        let party = Party { name: "local".into(), agent: None };
        let asked = hub.manage(&party, Command::Deregister { agent: bob(), force: false }, hub.now());
        let mut asked = pin!(asked);
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it waits for the disk");
    }
    disk.syncs.open();
    let refused = peer.publish(message("agent.bob.inbox")).await.expect_err("nobody is bob");
    assert_eq!(refused.code, Code::UnknownAgent);
    let again = peer.manage(Command::Deregister { agent: bob(), force: false }).await;
    assert_eq!(again.expect_err("it is gone").code, Code::UnknownAgent);
    peer.manage(Command::Register { agent: bob(), metadata: "{}".into() }).await.expect("an agent again");
    peer.publish(message("agent.bob.inbox")).await.expect("bob is known again");
}

#[tokio::test]
async fn an_agent_whose_inbox_is_deleted_already_is_deregistered() {
    let (store, hub) = hub_on(&Gated::default()).await;
    let mut peer = Peer::attach(&hub, None);
    peer.manage(Command::Register { agent: bob(), metadata: "{}".into() }).await.expect("an agent");
    store.manage(QueueCommand::Delete(QueueName::inbox(&bob()), false), hub.now()).await.expect("deleted");
    let left = peer.manage(Command::Deregister { agent: bob(), force: false }).await.expect("it is done");
    assert_eq!(left, Answer::Done { changed: true });
    assert_eq!(peer.publish(message("agent.bob.inbox")).await.expect_err("nobody is bob").code, Code::UnknownAgent);
}

#[tokio::test]
async fn an_agent_that_cannot_be_deregistered_stays_known_and_was_seen_when_it_was() {
    let disk = Gated::default();
    let (_store, hub) = hub_on(&disk).await;
    let mut peer = Peer::attach(&hub, None);
    peer.manage(Command::Register { agent: bob(), metadata: "{}".into() }).await.expect("an agent");
    Peer::attach(&hub, Some("bob")).goodbye();
    peer.publish(message("agent.bob.inbox")).await.expect("a receipt");
    let refused = peer.manage(Command::Deregister { agent: bob(), force: false }).await;
    assert_eq!(refused.expect_err("its inbox holds a message").code, Code::InUse);
    let receipt = peer.publish(message("agent.bob.inbox")).await.expect("bob is known");
    assert!(receipt.recipient.expect("bob").last_seen_ms.is_some());
}
