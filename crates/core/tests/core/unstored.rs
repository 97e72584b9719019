//! Messages that were never stored, in the lists of a trace.

use skep_protocol::{Ask, Code, Command, Fate, Found, Page, Position, QueueName, QueueSpec, Search, Wanted};
use skep_testkit::{Peer, message};

use crate::connection::House;

async fn page(peer: &mut Peer, next: Option<Position>, limit: u32, outcome: Option<Wanted>) -> Found {
    let search = Search { limit: Some(limit), next, outcome, ..Search::default() };
    match peer.look(Ask::Trace { message: String::new(), search: Some(search) }).await.expect("a page") {
        Page::Traced(found) => found,
        other => panic!("{other:?}"),
    }
}

/// The ids on all pages, of which none may show more than it should.
async fn pages(peer: &mut Peer, limit: u32, outcome: Option<Wanted>) -> Vec<String> {
    let (mut ids, mut next) = (Vec::new(), None);
    loop {
        let found = page(peer, next, limit, outcome).await;
        assert!(found.messages.len() <= limit as usize, "{found:?}");
        assert!(found.messages.is_sorted_by_key(|traced| traced.time_ms), "{found:?}");
        ids.extend(found.messages.into_iter().map(|traced| traced.id));
        next = found.next;
        if next.is_none() {
            return ids;
        }
    }
}

/// A peer that published 30 messages, of which every third was stored.
async fn peer(house: &House) -> Peer {
    let mut peer = Peer::attach(&house.hub, None);
    let jobs = QueueName::new("jobs").expect("a name");
    peer.manage(Command::Declare(QueueSpec::new(jobs))).await.expect("a queue");
    for n in 0..30 {
        match n % 3 {
            0 => drop(peer.publish(message("jobs")).await.expect("stored")),
            1 => {
                let refused = peer.publish(message("agent.nobody.inbox")).await.expect_err("refused");
                assert_eq!(refused.code, Code::UnknownAgent);
            }
            _ => drop(peer.publish(message("nowhere")).await.expect("unmatched")),
        }
    }
    peer
}

#[tokio::test]
async fn what_was_never_stored_is_listed_page_by_page_between_what_was() {
    let house = House::new().await;
    let mut peer = peer(&house).await;
    let all = pages(&mut peer, 1_000, None).await;
    assert_eq!(all.len(), 30);
    for limit in [1, 7, 30] {
        assert_eq!(pages(&mut peer, limit, None).await, all, "{limit} a page");
    }
    let refused = pages(&mut peer, 4, Some(Wanted::Fate(Fate::Refused))).await;
    assert_eq!(refused.len(), 10);
    let undelivered = pages(&mut peer, 4, Some(Wanted::Undelivered)).await;
    assert_eq!(undelivered.len(), 30);
}

#[tokio::test]
async fn a_page_from_a_position_shows_what_is_stored_and_nonsense_is_refused() {
    let house = House::new().await;
    let mut peer = peer(&house).await;
    let found = page(&mut peer, Some(Position::Number(0)), 100, None).await;
    assert_eq!((found.messages.len(), found.next), (10, None));
    let next = Position::opaque(b"1-7");
    let search = Search { next, ..Search::default() };
    let refused = peer.look(Ask::Trace { message: String::new(), search: Some(search) }).await;
    assert_eq!(refused.map_err(|error| error.code), Err(Code::InvalidArgument));
}
