//! Dead letters: found by what they are, moved back or dropped in bounded steps, in order.

use std::sync::Arc;

use skep_core::Hub;
use skep_protocol::{Action, Answer, Code, Command, Pick, Picked, Position, QueueName};

use super::{Opener, close, hub, jobs, peek, text};
use crate::peer::{Peer, message};

/// Messages that died one after the other, each with its body as the reason.
async fn dead(hub: &Arc<Hub>, bodies: &[&str]) -> Peer {
    let mut peer = jobs(hub).await;
    peer.consume("jobs", 1).await;
    for body in bodies {
        peer.publish(message("jobs").text(body)).await.expect("a receipt");
        let delivery = peer.delivery().await;
        let half = Action::Extend { lease_ms: None, progress: Some("half".into()) };
        peer.settle(delivery.lease, half).await.expect("an answer");
        peer.settle(delivery.lease, Action::Reject { reason: (*body).into() }).await.expect("an answer");
    }
    peer
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

async fn picked(peer: &mut Peer, command: Command) -> Picked {
    match peer.manage(command).await.expect("an answer") {
        Answer::Picked(picked) => picked,
        other => panic!("{other:?}"),
    }
}

async fn redrive(peer: &mut Peer, pick: Pick) -> Picked {
    picked(peer, Command::RedrivePicked { queue: queue("jobs"), pick: Box::new(pick) }).await
}

fn of_reason(reason: &str) -> Pick {
    Pick { reason: Some(reason.into()), ..Pick::default() }
}

async fn reasons(peer: &mut Peer) -> Vec<String> {
    let dead = peek(peer, "$dead.jobs").await;
    dead.into_iter().filter_map(|stored| Some(stored.previous?.reason)).collect()
}

/// Those that are meant go back oldest first, so many at a time; the others stay.
pub async fn dead_letters_are_moved_back_by_what_they_are_and_in_order(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = dead(&hub, &["no such file 1", "busy", "no such file 2", "no such file 3"]).await;
    let first = redrive(&mut peer, Pick { limit: Some(2), ..of_reason("no such") }).await;
    assert_eq!((first.count, first.skipped, first.first), (2, 0, Vec::new()));
    let delivery = peer.delivery().await;
    assert_eq!((text(&delivery.message).as_str(), delivery.attempt), ("no such file 1", 1));
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    let delivery = peer.delivery().await;
    assert_eq!(text(&delivery.message), "no such file 2");
    peer.settle(delivery.lease, Action::Ack).await.expect("an answer");
    assert_eq!(reasons(&mut peer).await, ["busy", "no such file 3"]);
    let rest = redrive(&mut peer, Pick { from: first.next, ..of_reason("no such") }).await;
    assert_eq!((rest.count, rest.next), (1, None));
    assert_eq!(text(&peer.delivery().await.message), "no such file 3");
    assert_eq!(reasons(&mut peer).await, ["busy"]);
}

/// One is named by its id, or by where it stands; what is not there is no error.
pub async fn one_dead_letter_is_moved_back_by_its_id_or_its_position(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let mut peer = dead(&hub, &["a", "b", "c"]).await;
    let dead = peek(&mut peer, "$dead.jobs").await;
    let by_id = Pick { message: Some(dead[1].message.view().id().into()), ..Pick::default() };
    assert_eq!(redrive(&mut peer, by_id.clone()).await.count, 1);
    assert_eq!(redrive(&mut peer, by_id).await.count, 0);
    let by_position = Pick { position: Some(dead[2].position), ..Pick::default() };
    assert_eq!(redrive(&mut peer, by_position.clone()).await.count, 1);
    assert_eq!(redrive(&mut peer, by_position).await, Picked::default());
    let nowhere = Pick { position: Some(Position::Number(1 << 40)), ..Pick::default() };
    assert_eq!(redrive(&mut peer, nowhere).await, Picked::default());
    assert_eq!(reasons(&mut peer).await, ["a"]);
    let own = Command::RedrivePicked { queue: queue("$dead.jobs"), pick: Box::default() };
    assert_eq!(peer.manage(own).await.expect_err("refused").code, Code::InvalidArgument);
    let none = Command::RedrivePicked { queue: queue("nothing"), pick: Box::default() };
    assert_eq!(peer.manage(none).await.expect_err("refused").code, Code::UnknownQueue);
}

/// It says what would be done and shows the first of them, and does nothing.
pub async fn a_dry_run_says_which_would_be_moved_or_dropped_and_changes_nothing(opener: Opener<'_>) {
    let hub = hub(opener).await;
    let bodies: Vec<String> = (1..=7).map(|n| format!("bad {n}")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let mut peer = dead(&hub, &bodies).await;
    let dry = Pick { dry_run: true, ..of_reason("bad") };
    let would = redrive(&mut peer, dry.clone()).await;
    assert_eq!((would.count, would.next, would.first.len()), (7, None, 5));
    let shown = would.first[0].previous.as_ref().expect("how it ended");
    assert_eq!((shown.reason.as_str(), shown.progress.as_deref()), ("bad 1", Some("half")));
    let dead = queue("$dead.jobs");
    let would = picked(&mut peer, Command::PurgePicked { queue: dead.clone(), pick: Box::new(dry) }).await;
    assert_eq!(would.count, 7);
    assert_eq!(reasons(&mut peer).await, bodies);
    assert!(peer.is_quiet(50).await);
    let dropped = picked(&mut peer, Command::PurgePicked { queue: dead, pick: Box::new(of_reason("bad 3")) }).await;
    assert_eq!((dropped.count, dropped.first.len()), (1, 0));
    assert_eq!(reasons(&mut peer).await.len(), 6);
}

/// When a message died is known, also after a restart, and by it those that died long ago are told from the others.
pub async fn a_dead_letter_tells_when_it_died_across_a_restart(opener: Opener<'_>) {
    let first = hub(opener).await;
    let mut peer = dead(&first, &["early"]).await;
    let shown = peek(&mut peer, "$dead.jobs").await;
    let died_ms = shown[0].died_ms.expect("it is known");
    assert!(died_ms >= shown[0].time_ms, "{shown:?}");
    close(first, peer).await;
    let second = hub(opener).await;
    let mut peer = Peer::attach(&second, None);
    let shown = peek(&mut peer, "$dead.jobs").await;
    let died_ms = shown[0].died_ms.expect("it is known still");
    assert!(died_ms >= shown[0].time_ms, "{shown:?}");
    let until = |until_ms| Pick { until_ms: Some(until_ms), ..Pick::default() };
    assert_eq!(redrive(&mut peer, until(died_ms - 1)).await.count, 0);
    assert_eq!(redrive(&mut peer, Pick { since_ms: Some(died_ms + 1), ..Pick::default() }).await.count, 0);
    assert_eq!(redrive(&mut peer, until(died_ms)).await.count, 1);
}
