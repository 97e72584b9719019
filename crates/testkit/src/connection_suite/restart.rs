//! The hub ends and begins again: clients find it, and know what they have lost.

use std::collections::BTreeMap;

use skep_protocol::{Ask, Code};
use tokio::sync::mpsc;

use super::hub::{declare, heard, held, next, note, publish, receive, soon, subscribe, text};
use super::place::Place;
use super::reconnect::consume_for_ever;

/// Subscriptions stand again; leases are lost, and said to be; what was not acked comes again.
pub async fn a_hub_that_restarts_finds_its_clients_again_and_their_leases_lost(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| spec).await;
    for n in 0..2 {
        publish(&client, "jobs", &n.to_string()).await;
    }
    let mut live = subscribe(&client, "news.*").await;
    let mut jobs = receive(&client, "jobs", 2).await;
    let (mut acked, mut open) = (next(&mut jobs).await, next(&mut jobs).await);
    soon("an ack is answered", acked.ack()).await.expect("acked");
    place.restart().await;
    soon("a look is answered", client.query(Ask::Status)).await.expect("by the new hub");
    assert_eq!(place.hub().counters().resumed, 0);
    soon("the lease is lost", open.lost()).await;
    let late = soon("a late ack is answered", open.ack()).await.expect_err("its lease was of another hub");
    assert_eq!(late.code, Code::LeaseLost);
    let mut again = next(&mut jobs).await;
    assert_eq!((text(&again.message).as_str(), again.attempt), ("1", 1), "the hub said goodbye: uncharged");
    soon("an ack is answered", again.ack()).await.expect("acked");
    assert_eq!(held(&client, "jobs").await, (0, 0, 0, 0));
    publish(&client, "news.flash", "we are back").await;
    assert_eq!(heard(&mut live).await, "we are back");
}

/// A client publishes on while its hub restarts three times; each message is stored once.
pub async fn publishes_go_on_over_restarts_of_the_hub(place: &mut Place) {
    const BATCHES: usize = 40;
    const A_BATCH: usize = 25;
    let client = place.client().await;
    declare(&client, "jobs", |spec| spec).await;
    let (tell, mut told) = mpsc::channel(1);
    let publisher = client.clone();
    let publishing = tokio::spawn(async move {
        let mut stored = BTreeMap::new();
        for batch in 0..BATCHES {
            let texts: Vec<String> = (0..A_BATCH).map(|n| format!("{batch} {n}")).collect();
            let messages = texts.iter().map(|text| note(&publisher, "jobs", text)).collect();
            // Told before it is answered: the hub ends while this is under way.
            tell.send(batch).await.expect("the test listens");
            let results = soon("receipts come", publisher.publish_all(messages)).await;
            for (text, result) in texts.into_iter().zip(results) {
                stored.insert(result.expect("a receipt").position.expect("stored"), text);
            }
        }
        stored
    });
    while let Some(batch) = soon("a batch is published", told.recv()).await {
        if [10, 20, 30].contains(&batch) {
            place.restart().await;
        }
    }
    let stored = publishing.await.expect("no panic");
    assert_eq!(stored.len(), BATCHES * A_BATCH, "no position was given twice");
    let mut jobs = receive(&client, "jobs", 64).await;
    let mut came = BTreeMap::new();
    for _ in 0..BATCHES * A_BATCH {
        let mut job = next(&mut jobs).await;
        came.insert(job.position, text(&job.message));
        soon("an ack is answered", job.ack()).await.expect("acked");
    }
    assert!(came == stored, "what is in the queue is what was acknowledged");
    assert_eq!(held(&client, "jobs").await, (0, 0, 0, 0));
}

/// A new hub knows no lease: the handler that works under one is dropped, and another begins.
pub async fn a_handler_is_cancelled_when_the_hub_restarts(place: &mut Place) {
    let client = place.client().await;
    // So long that it is not the renewal which finds out.
    declare(&client, "jobs", |spec| skep_protocol::QueueSpec { lease_ms: 3_600_000, ..spec }).await;
    publish(&client, "jobs", "for ever").await;
    let (mut told, working) = consume_for_ever(&client);
    assert_eq!(soon("the handler begins", told.recv()).await, Some("begun"));
    place.restart().await;
    let mut events = [soon("something happens", told.recv()).await, soon("something happens", told.recv()).await];
    events.sort_unstable();
    assert_eq!(events, [Some("begun"), Some("dropped")], "the old one is dropped, and a new one begins");
    working.abort();
}
