//! Queues and agents, page by page.

use std::collections::BTreeMap;

use skep_core::limits::{LIST_BYTES_MAX, LIST_MAX};
use skep_protocol::{
    AgentId, AgentInfo, Ask, Code, Command, Encoding, Frame, Page, QueueInfo, QueueName, QueueSpec, Report, Settlement,
};
use skep_testkit::Peer;

use crate::connection::House;

async fn queues(peer: &mut Peer, after: Option<QueueName>, limit: u32) -> (Vec<QueueInfo>, Option<QueueName>) {
    match peer.look(Ask::QueuesAfter { after, limit }).await.expect("a page") {
        Page::QueuesPart { queues, next } => (queues, next),
        other => panic!("{other:?}"),
    }
}

async fn agents(peer: &mut Peer, after: Option<AgentId>, limit: u32) -> (Vec<AgentInfo>, Option<AgentId>) {
    match peer.look(Ask::AgentsAfter { after, limit }).await.expect("a page") {
        Page::AgentsPart { agents, next } => (agents, next),
        other => panic!("{other:?}"),
    }
}

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a name")
}

async fn declare(peer: &mut Peer, text: &str) {
    peer.manage(Command::Declare(QueueSpec::new(name(text)))).await.expect("declared");
}

#[tokio::test]
async fn pages_show_every_queue_once_while_others_come_and_go() {
    let house = House::new().await;
    // Declared at once, so that many share a sync.
    let all = 20_000_u32;
    let declaring = (0..64).map(|part| {
        let hub = house.hub.clone();
        tokio::spawn(async move {
            let mut peer = Peer::attach(&hub, None);
            for n in (0..all).filter(|n| n % 64 == part) {
                declare(&mut peer, &format!("q{n:05}")).await;
            }
        })
    });
    for done in declaring.collect::<Vec<_>>() {
        done.await.expect("declared");
    }
    let (mut looker, mut other) = (Peer::attach(&house.hub, None), Peer::attach(&house.hub, None));
    let (mut seen, mut after, mut pages) = (BTreeMap::new(), None, 0);
    loop {
        let (page, next) = queues(&mut looker, after, u32::MAX).await;
        assert!(page.len() <= LIST_MAX as usize);
        page.iter().for_each(|queue| *seen.entry(queue.spec.name.to_string()).or_insert(0) += 1);
        pages += 1;
        if next.is_none() {
            break;
        }
        declare(&mut other, &format!("{}x{pages}", next.as_ref().expect("a name"))).await;
        declare(&mut other, &format!("a{pages}")).await;
        // Also where the name to go on from is gone meanwhile.
        let gone = format!("a{pages}");
        other.manage(Command::Delete { queue: name(&gone), force: true }).await.expect("deleted");
        after = next;
    }
    assert!((0..all).all(|n| seen.get(&format!("q{n:05}")) == Some(&1)), "{} seen on {pages} pages", seen.len());
    assert!(seen.values().all(|times| *times == 1));
    let whole = looker.look(Ask::Queues).await.expect_err("they do not fit into one answer");
    assert!(whole.code == Code::TooLarge && whole.text.contains("queues_after"), "{whole}");
    let Page::Status(status) = looker.look(Ask::Status).await.expect("a status") else { panic!("a status") };
    assert_eq!(status.queues, u64::from(all) + pages - 1);
}

#[tokio::test]
async fn a_page_goes_on_behind_a_name_that_is_gone_and_ends_with_none() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    for text in ["a", "b", "c"] {
        declare(&mut peer, text).await;
    }
    let (first, next) = queues(&mut peer, None, 2).await;
    assert_eq!((first.len(), next.clone()), (2, Some(name("b"))));
    peer.manage(Command::Delete { queue: name("b"), force: true }).await.expect("deleted");
    let (last, next) = queues(&mut peer, next, 2).await;
    assert_eq!((last.first().map(|info| info.spec.name.clone()), next), (Some(name("c")), None));
    assert_eq!(queues(&mut peer, Some(name("c")), 2).await, (Vec::new(), None));
    assert_eq!(queues(&mut peer, None, 0).await.0.len(), 1, "a page shows something");
}

#[tokio::test]
async fn a_page_of_agents_is_bounded_in_bytes_whatever_they_say_of_themselves() {
    let house = House::new().await;
    let mut peer = Peer::attach(&house.hub, None);
    let metadata = format!("{{\"of\":\"{}\"}}", "\\n".repeat(30_000));
    let ids: Vec<AgentId> = (0..30).map(|n| format!("agent-{n:02}").parse().expect("an id")).collect();
    for agent in &ids {
        peer.manage(Command::Register { agent: agent.clone(), metadata: metadata.clone() }).await.expect("an agent");
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = agents(&mut peer, after, u32::MAX).await;
        seen.extend(page.iter().map(|info| info.agent.clone()));
        let mut bytes = Vec::new();
        let part = Page::AgentsPart { agents: page, next: next.clone() };
        Encoding::Compact.encode(&Frame::Page(Report { tag: 1, result: Settlement::Ok(part) }), &mut bytes);
        assert!(bytes.len() <= LIST_BYTES_MAX + metadata.len() + 1_024, "{} bytes", bytes.len());
        if next.is_none() {
            break;
        }
        after = next;
    }
    assert_eq!(seen, ids);
    let whole = peer.look(Ask::Agents).await.expect_err("they do not fit into one answer");
    assert!(whole.code == Code::TooLarge && whole.text.contains("agents_after"), "{whole}");
    assert_eq!(agents(&mut peer, None, 3).await.1, Some(ids[2].clone()));
}
