//! The link is lost and comes back: what was under way goes on, and nothing happens twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skep_client::{Client, Outcome, ReceiveOptions};
use skep_protocol::{Ask, Code, Command, Position};
use tokio::sync::mpsc;

use super::hub::{declare, heard, held, info, next, note, publish, queue, receive, soon, subscribe, text};
use super::line::Line;
use super::place::Place;

/// So often the lines of the great case are cut each: more would only be slower, for a client that
/// loses its hub again and again waits longer and longer.
const CUTS: u64 = 6;

/// Five thousand messages while the publisher's and the consumer's lines are cut, each time in place
/// of something the hub had to say: receipts, deliveries, answers to acks.
pub async fn no_message_is_lost_or_doubled_however_often_the_link_is_cut(place: &mut Place) {
    const MESSAGES: usize = 5_000;
    let watcher = place.client().await;
    declare(&watcher, "jobs", |spec| skep_protocol::QueueSpec { attempts_max: 0, ..spec }).await;
    let lines = [place.line().await, place.line().await];
    let publisher = place.client_on(&lines[0], place.options()).await.expect("a client");
    let consumer = place.client_on(&lines[1], place.options()).await.expect("a client");
    let mut jobs = receive(&consumer, "jobs", 64).await;
    let publishing = tokio::spawn(published(publisher.clone(), MESSAGES));
    let consuming = async {
        let (mut acked, mut acks) = (BTreeMap::<Position, String>::new(), 0);
        while acked.len() < MESSAGES {
            let mut job = next(&mut jobs).await;
            if soon("an ack is answered", job.ack()).await.is_ok() {
                acks += 1;
                acked.insert(job.position, text(&job.message));
            }
        }
        (acked, acks)
    };
    let (published, (acked, acks), ..) = tokio::join!(publishing, consuming, harm(&lines[0]), harm(&lines[1]));
    let (receipts, duplicates) = published.expect("no panic");
    assert!(lines.iter().all(|line| line.cuts() == CUTS));
    assert!(duplicates > 0, "a receipt was lost each time, so something was published again");
    assert_eq!(receipts.len(), MESSAGES, "no two messages share a position");
    assert_eq!(acks, MESSAGES, "each was acked once");
    assert!(acked == receipts, "what was consumed is what was published");
    let texts: BTreeSet<&String> = acked.values().collect();
    assert_eq!(texts.len(), MESSAGES);
    assert_eq!(held(&watcher, "jobs").await, (0, 0, 0, 0));
}

/// Publishes numbers in batches; answers their texts by position, and how many were known already.
async fn published(client: Client, count: usize) -> (BTreeMap<Position, String>, usize) {
    let (mut receipts, mut duplicates) = (BTreeMap::new(), 0);
    let texts: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    for batch in texts.chunks(100) {
        let messages = batch.iter().map(|text| note(&client, "jobs", text)).collect();
        let results = soon("receipts come", client.publish_all(messages)).await;
        for (text, result) in batch.iter().zip(results) {
            let receipt = result.expect("a receipt, however late");
            duplicates += usize::from(receipt.duplicate);
            receipts.insert(receipt.position.expect("stored"), text.clone());
        }
    }
    (receipts, duplicates)
}

/// Cuts a line in place of something that the hub says, and when the client is back, later.
async fn harm(line: &Line) {
    for cut in 0..CUTS {
        // The first pieces of a connection are its handshake and Welcome.
        line.cut_after(u32::try_from(2 + cut).expect("few"));
        soon("the line is cut", line.until_cut(cut + 1)).await;
    }
}

/// Waits until a session was taken up so often. A cut takes a moment: an answer that comes after it
/// may still have come over the old connection.
pub(super) async fn is_back(place: &Place, times: u64) {
    soon("the session is taken up", async {
        while place.hub().counters().resumed < times {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What was handed out, and what still waits in the client, stays its own.
pub async fn a_session_that_is_resumed_keeps_its_leases(place: &mut Place) {
    let (other, line) = (place.client().await, place.line().await);
    let client = place.client_on(&line, place.options()).await.expect("a client");
    declare(&client, "jobs", |spec| spec).await;
    for n in 0..3 {
        publish(&client, "jobs", &n.to_string()).await;
    }
    let mut live = subscribe(&client, "news").await;
    let mut jobs = receive(&client, "jobs", 3).await;
    let mut leased = [next(&mut jobs).await, next(&mut jobs).await];
    for cuts in 1..=2 {
        line.cut();
        is_back(place, cuts).await;
    }
    assert_eq!((place.hub().counters().resumed, line.cuts()), (2, 2));
    assert_eq!(held(&client, "jobs").await, (0, 3, 0, 0));
    for job in &mut leased {
        assert!(!job.is_lost());
        soon("an ack is answered", job.ack()).await.expect("its lease still holds");
    }
    let mut third = next(&mut jobs).await;
    assert_eq!((text(&third.message).as_str(), third.attempt, &third.previous), ("2", 1, &None));
    soon("an ack is answered", third.ack()).await.expect("acked");
    assert_eq!(held(&client, "jobs").await, (0, 0, 0, 0));
    publish(&other, "news", "still here").await;
    assert_eq!(heard(&mut live).await, "still here");
}

/// The hub has acked; the word of it never came. The client asks again and is told the same.
pub async fn a_settle_whose_answer_was_lost_is_answered_again(place: &mut Place) {
    let (other, line) = (place.client().await, place.line().await);
    let client = place.client_on(&line, place.options()).await.expect("a client");
    declare(&client, "jobs", |spec| spec).await;
    publish(&client, "jobs", "one").await;
    let mut jobs = receive(&client, "jobs", 3).await;
    let mut job = next(&mut jobs).await;
    line.cut_after(0);
    soon("an ack is answered", job.ack()).await.expect("acked");
    assert_eq!((line.cuts(), held(&other, "jobs").await), (1, (0, 0, 0, 0)));
    publish(&other, "jobs", "two").await;
    assert_eq!(text(&next(&mut jobs).await.message), "two", "it did not come back");
}

/// The same for an ack with messages.
pub async fn a_hand_over_whose_answer_was_lost_is_done_once(place: &mut Place) {
    let (other, line) = (place.client().await, place.line().await);
    let client = place.client_on(&line, place.options()).await.expect("a client");
    declare(&client, "jobs", |spec| spec).await;
    declare(&client, "results", |spec| spec).await;
    publish(&client, "jobs", "input").await;
    let mut jobs = receive(&client, "jobs", 3).await;
    let mut job = next(&mut jobs).await;
    line.cut_after(0);
    let handed = soon("a hand-over is answered", job.hand_over(vec![note(&client, "results", "output")])).await;
    let receipt = handed.expect("handed over").pop().expect("one receipt");
    assert_eq!((line.cuts(), held(&other, "jobs").await, held(&other, "results").await.0), (1, (0, 0, 0, 0), 1));
    let mut results = receive(&other, "results", 3).await;
    assert_eq!(Some(next(&mut results).await.position), receipt.position, "the receipt is of the one that is stored");
}

/// The same for what is stored nowhere: it was heard, and is not heard again.
pub async fn a_live_message_whose_receipt_was_lost_is_heard_once(place: &mut Place) {
    let (listener, line) = (place.client().await, place.line().await);
    let client = place.client_on(&line, place.options()).await.expect("a client");
    let mut live = subscribe(&listener, "news").await;
    line.cut_after(0);
    publish(&client, "news", "one").await;
    publish(&client, "news", "two").await;
    assert_eq!((line.cuts(), place.hub().counters().resumed), (1, 1));
    assert_eq!([heard(&mut live).await, heard(&mut live).await], ["one", "two"]);
}

/// And for a request: to be asked twice is to do the work twice.
pub async fn a_request_whose_receipt_was_lost_is_asked_once(place: &mut Place) {
    let (answerer, line) = (place.client().await, place.line().await);
    let asker = place.client_on(&line, place.options()).await.expect("a client");
    let mut questions = subscribe(&answerer, "service.once").await;
    let to = skep_protocol::Topic::new("service.once").expect("a topic");
    line.cut_after(0);
    let asked = asker.request(asker.message("request").to(&to).text("?"), Some(Duration::from_secs(30)));
    let answered = async {
        let question = soon("the question comes", questions.next()).await.expect("it was asked");
        soon("the line is cut", line.until_cut(1)).await;
        soon("a look is answered", asker.query(Ask::Status)).await.expect("over the new connection");
        soon("a reply is taken", answerer.reply(&question, |reply| reply.text("!"))).await.expect("taken");
    };
    let (reply, ()) = tokio::join!(asked, answered);
    assert_eq!(text(&reply.expect("a reply")), "!");
    publish(&answerer, "service.once", "nothing more").await;
    assert_eq!(heard(&mut questions).await, "nothing more", "it was asked again");
}

/// Tells when it is dropped.
struct Guard(mpsc::Sender<&'static str>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.try_send("dropped");
    }
}

/// Consumes with a handler that never ends; what it does is told.
pub(super) fn consume_for_ever(client: &Client) -> (mpsc::Receiver<&'static str>, tokio::task::JoinHandle<()>) {
    let (tell, told) = mpsc::channel(16);
    let client = client.clone();
    let working = tokio::spawn(async move {
        let handle = move |_| {
            let tell = tell.clone();
            async move {
                let _guard = Guard(tell.clone());
                tell.send("begun").await.expect("the test listens");
                std::future::pending::<()>().await;
                Outcome::Ack
            }
        };
        let _ended = client.consume(&queue("jobs"), ReceiveOptions::handlers(1), handle).await;
    });
    (told, working)
}

/// Its queue is deleted, which ends the lease while the handler works: the handler is dropped.
pub async fn a_handler_is_cancelled_when_its_lease_is_lost(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| skep_protocol::QueueSpec { lease_ms: 300, ..spec }).await;
    publish(&client, "jobs", "for ever").await;
    let (mut told, working) = consume_for_ever(&client);
    assert_eq!(soon("the handler begins", told.recv()).await, Some("begun"));
    let delete = Command::Delete { queue: queue("jobs"), force: true };
    soon("the queue is deleted", client.manage(delete)).await.expect("deleted");
    assert_eq!(soon("the handler is cancelled", told.recv()).await, Some("dropped"));
    working.abort();
}

/// Who reads a queue that is deleted learns it, and so does who was away then; neither asks for it again.
pub async fn readers_of_a_deleted_queue_learn_it_and_ask_no_more(place: &mut Place) {
    let client = place.client().await;
    let line = place.line().await;
    let away = place.client_on(&line, place.options()).await.expect("a client");
    declare(&client, "jobs", |spec| spec).await;
    publish(&client, "jobs", "one").await;
    let mut here = receive(&client, "jobs", 1).await;
    let mut job = next(&mut here).await;
    let mut there = receive(&away, "jobs", 1).await;
    line.cut();
    let deleted = client.manage(Command::Delete { queue: queue("jobs"), force: true });
    soon("a queue is deleted", deleted).await.expect("deleted");
    for deliveries in [&mut here, &mut there] {
        assert!(soon("the deliveries end", deliveries.next()).await.is_none());
        let error = deliveries.ended().expect("why they ended");
        assert_eq!(error.code, Code::UnknownQueue);
        assert!(error.text.contains("jobs"), "{error}");
    }
    let late = soon("an ack is answered", job.ack()).await.expect_err("its queue is gone");
    assert_eq!(late.code, Code::LeaseLost);
    declare(&client, "jobs", |spec| spec).await;
    for client in [&client, &away] {
        soon("a look is answered", client.query(Ask::Status)).await.expect("the link stands");
    }
    assert_eq!(info(&client, "jobs").await.consumers, 0, "nobody asked for it again");
}

/// The hub's word that a queue is gone never came: its reader learns it all the same, when it is back.
pub async fn a_reader_learns_that_its_queue_is_gone_also_when_the_word_of_it_was_lost(place: &mut Place) {
    let (other, line) = (place.client().await, place.line().await);
    let client = place.client_on(&line, place.options()).await.expect("a client");
    for name in ["jobs", "others"] {
        declare(&other, name, |spec| spec).await;
    }
    let mut jobs = receive(&client, "jobs", 1).await;
    let mut others = receive(&client, "others", 1).await;
    line.cut_after(0);
    let deleted = other.manage(Command::Delete { queue: queue("jobs"), force: true });
    soon("a queue is deleted", deleted).await.expect("deleted");
    assert!(soon("the deliveries end", jobs.next()).await.is_none());
    assert_eq!(jobs.ended().expect("why they ended").code, Code::UnknownQueue);
    assert_eq!((line.cuts(), place.hub().counters().resumed), (1, 1));
    publish(&other, "others", "one").await;
    assert_eq!(text(&next(&mut others).await.message), "one", "the other queue is read as before");
}

/// The requester's line is cut after its question was heard; when it is back, the reply finds it.
pub async fn a_request_under_way_survives_a_cut(place: &mut Place) {
    let (answerer, line) = (place.client().await, place.line().await);
    let asker = place.client_on(&line, place.options()).await.expect("a client");
    let mut questions = subscribe(&answerer, "service.slow").await;
    let ours = asker.clone();
    let asking = tokio::spawn(async move {
        let to = skep_protocol::Topic::new("service.slow").expect("a topic");
        let question = ours.message("request").to(&to).text("?");
        ours.request(question, Some(Duration::from_secs(30))).await
    });
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    line.cut();
    is_back(place, 1).await;
    soon("a reply is taken", answerer.reply(&question, |reply| reply.text("!"))).await.expect("taken");
    let reply = soon("the reply comes", asking).await.expect("no panic").expect("a reply");
    assert_eq!((text(&reply).as_str(), line.cuts(), place.hub().counters().resumed), ("!", 1, 1));
}
