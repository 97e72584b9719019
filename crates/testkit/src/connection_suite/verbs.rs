//! The verbs: publish, receive, settle, extend, hand over, request and reply.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use skep_client::{Options, Outcome, ReceiveOptions};
use skep_protocol::{Ask, Code, Durability, Guarantee};
use tokio::sync::{Semaphore, mpsc};

use super::hub::{declare, filter, held, next, note, publish, queue, receive, soon, subscribe, text};
use super::place::{Place, Way};

/// A receipt names durability and position; the message comes under it, and once acked no more.
pub async fn a_receipt_names_the_position_and_an_acked_message_never_comes_back(place: &mut Place) {
    let (sender, worker) = (place.client().await, place.client().await);
    declare(&sender, "jobs", |spec| spec).await;
    let receipt = publish(&sender, "jobs", "one").await;
    assert_eq!((receipt.queues, receipt.durability), (1, Some(Durability::Fsync)));
    assert_eq!((receipt.guarantee, receipt.duplicate), (Guarantee::AtLeastOnce, false));
    let mut jobs = receive(&worker, "jobs", 8).await;
    let mut job = next(&mut jobs).await;
    assert_eq!((text(&job.message).as_str(), job.attempt, Some(job.position)), ("one", 1, receipt.position));
    assert_eq!(held(&sender, "jobs").await, (0, 1, 0, 0));
    soon("an ack is answered", job.ack()).await.expect("acked");
    assert_eq!(held(&sender, "jobs").await, (0, 0, 0, 0));
    publish(&sender, "jobs", "two").await;
    assert_eq!(text(&next(&mut jobs).await.message), "two", "nothing came in between");
}

/// A nack brings the message back at once, with the reason and the next attempt.
pub async fn a_nacked_message_comes_again_with_the_reason(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| spec).await;
    publish(&client, "jobs", "hard").await;
    let mut jobs = receive(&client, "jobs", 1).await;
    let mut first = next(&mut jobs).await;
    soon("a nack is answered", first.nack(Some(Duration::ZERO), "not today")).await.expect("nacked");
    let mut second = next(&mut jobs).await;
    let ended = second.previous.clone().expect("why it ended");
    assert_eq!((second.attempt, ended.reason.as_str()), (2, "not today"));
    assert_ne!(first.lease, second.lease);
    soon("a reject is answered", second.reject("never")).await.expect("rejected");
    assert_eq!(held(&client, "jobs").await, (0, 0, 0, 1));
    let late = soon("a late ack is answered", first.ack()).await.expect_err("its lease is over");
    assert_eq!(late.code, Code::LeaseLost);
}

/// Two leases of the same length: the one that was extended still holds when the other has ended.
pub async fn an_extended_lease_outlasts_its_first_deadline_and_shows_its_progress(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| skep_protocol::QueueSpec { lease_ms: 500, ..spec }).await;
    let mut jobs = receive(&client, "jobs", 2).await;
    publish(&client, "jobs", "long").await;
    let mut long = next(&mut jobs).await;
    let extended = long.extend(Some(Duration::from_secs(30)), Some("half".into()));
    soon("an extend is answered", extended).await.expect("extended");
    publish(&client, "jobs", "short").await;
    let short = next(&mut jobs).await;
    let again = next(&mut jobs).await;
    assert_eq!((text(&again.message).as_str(), again.attempt), ("short", 2), "its lease ended");
    assert_eq!(again.previous.clone().expect("why").reason, "lease_expired");
    assert_ne!(short.lease, again.lease);
    assert!(!long.is_lost());
    soon("a nack is answered", long.nack(Some(Duration::ZERO), "stuck")).await.expect("it still held");
    loop {
        let next = next(&mut jobs).await;
        if text(&next.message) == "long" {
            let ended = next.previous.clone().expect("why it ended");
            assert_eq!((ended.reason.as_str(), ended.progress.as_deref()), ("stuck", Some("half")));
            break;
        }
    }
}

/// An ack and what follows from it happen together.
pub async fn a_hand_over_acks_and_publishes_in_one_step(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| spec).await;
    declare(&client, "results", |spec| spec).await;
    publish(&client, "jobs", "input").await;
    let mut jobs = receive(&client, "jobs", 1).await;
    let mut job = next(&mut jobs).await;
    let messages = ["left", "right"].map(|name| note(&client, "results", name)).to_vec();
    let receipts = soon("a hand-over is answered", job.hand_over(messages)).await.expect("handed over");
    assert_eq!(receipts.len(), 2);
    assert_eq!(held(&client, "jobs").await, (0, 0, 0, 0));
    let mut results = receive(&client, "results", 8).await;
    for (name, receipt) in ["left", "right"].into_iter().zip(receipts) {
        let result = next(&mut results).await;
        assert_eq!((text(&result.message).as_str(), Some(result.position)), (name, receipt.position));
    }
}

/// Where one message of a hand-over is refused, nothing is published and nothing is acked.
pub async fn a_refused_hand_over_publishes_nothing_and_the_lease_still_holds(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| spec).await;
    declare(&client, "results", |spec| spec).await;
    publish(&client, "jobs", "input").await;
    let mut jobs = receive(&client, "jobs", 1).await;
    let mut job = next(&mut jobs).await;
    for (topic, code) in [("agent.nobody.inbox", Code::UnknownAgent), ("resluts", Code::NoQueue)] {
        let messages = vec![note(&client, "results", "good"), note(&client, topic, "bad")];
        let refused = soon("a hand-over is answered", job.hand_over(messages)).await.expect_err(topic);
        assert_eq!(refused.code, code);
        assert_eq!((held(&client, "results").await.0, held(&client, "jobs").await), (0, (0, 1, 0, 0)));
    }
    soon("an ack is answered", job.ack()).await.expect("its lease still held");
}

/// Of ten messages a window of three holds three; each ack makes room for one.
pub async fn in_flight_never_exceeds_the_window_and_settling_frees_it(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| spec).await;
    for n in 0..10 {
        publish(&client, "jobs", &n.to_string()).await;
    }
    let mut jobs = receive(&client, "jobs", 3).await;
    let mut leased = vec![next(&mut jobs).await, next(&mut jobs).await, next(&mut jobs).await];
    for n in 3..10 {
        assert_eq!(held(&client, "jobs").await, (10 - n, 3, 0, 0));
        let mut oldest = leased.remove(0);
        soon("an ack is answered", oldest.ack()).await.expect("acked");
        leased.push(next(&mut jobs).await);
        assert_eq!(text(&leased[2].message), n.to_string());
    }
    assert_eq!(held(&client, "jobs").await, (0, 3, 0, 0));
}

/// Handlers at work are counted; the others wait their turn, longer than a lease lasts, and keep theirs.
pub async fn as_many_messages_are_worked_on_at_once_as_there_are_handlers(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| skep_protocol::QueueSpec { lease_ms: 500, ..spec }).await;
    for n in 0..6 {
        publish(&client, "jobs", &n.to_string()).await;
    }
    let (began, mut begun) = mpsc::channel::<u32>(16);
    let (go, at_work, most) =
        (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (ours, gate, peak) = (client.clone(), go.clone(), most.clone());
    let working = tokio::spawn(async move {
        let options = ReceiveOptions { window: 6, ..ReceiveOptions::handlers(2) };
        let handle = move |work: skep_client::Work| {
            let (began, gate, at_work, peak) = (began.clone(), gate.clone(), at_work.clone(), peak.clone());
            async move {
                peak.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                began.send(work.attempt).await.expect("the test listens");
                gate.acquire().await.expect("open").forget();
                at_work.fetch_sub(1, Ordering::SeqCst);
                Outcome::Ack
            }
        };
        ours.consume(&queue("jobs"), options, handle).await
    });
    assert_eq!([soon("a handler begins", begun.recv()).await, soon("another", begun.recv()).await], [Some(1); 2]);
    a_lease_lasts(&client).await;
    go.add_permits(6);
    for _ in 2..6 {
        assert_eq!(soon("a handler begins", begun.recv()).await, Some(1), "its lease was lost while it waited");
    }
    soon("all are acked", async {
        while held(&client, "jobs").await != (0, 0, 0, 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    client.close().await;
    soon("the consumer ends with its client", working).await.expect("no panic").expect("in order");
}

/// Waits until a lease of half a second that began now has ended.
async fn a_lease_lasts(client: &skep_client::Client) {
    declare(client, "clock", |spec| skep_protocol::QueueSpec { lease_ms: 500, ..spec }).await;
    publish(client, "clock", "tick").await;
    let mut clock = receive(client, "clock", 1).await;
    let _first = next(&mut clock).await;
    assert_eq!(next(&mut clock).await.attempt, 2);
}

/// Who says goodbye was not at fault: what it held begins anew elsewhere.
pub async fn a_goodbye_returns_leases_uncharged(place: &mut Place) {
    let (leaving, staying) = (place.client().await, place.client().await);
    declare(&staying, "jobs", |spec| spec).await;
    for n in 0..3 {
        publish(&staying, "jobs", &n.to_string()).await;
    }
    let mut jobs = receive(&leaving, "jobs", 3).await;
    let mut leased = [next(&mut jobs).await, next(&mut jobs).await, next(&mut jobs).await];
    soon("a client closes", leaving.close()).await;
    let mut jobs = receive(&staying, "jobs", 3).await;
    let again = [next(&mut jobs).await, next(&mut jobs).await, next(&mut jobs).await];
    for (n, job) in again.iter().enumerate() {
        assert_eq!((text(&job.message), job.attempt, &job.previous), (n.to_string(), 1, &None));
    }
    assert!(leased.iter_mut().all(skep_client::Leased::is_lost));
}

/// Thirty-two at once, answered in another order: each gets the reply to itself.
pub async fn requests_under_way_together_each_get_their_own_reply(place: &mut Place) {
    let (asker, answerer) = (place.client().await, place.client().await);
    let mut questions = subscribe(&answerer, "service.double").await;
    let answering = tokio::spawn(async move {
        let mut asked = Vec::new();
        for _ in 0..32 {
            asked.push(questions.next().await.expect("a question"));
        }
        for question in asked.iter().rev() {
            let double = 2 * text(question).parse::<u32>().expect("a number");
            answerer.reply(question, |reply| reply.text(&double.to_string())).await.expect("taken");
        }
    });
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..32_u32 {
        let asker = asker.clone();
        asking.spawn(async move {
            let to = skep_protocol::Topic::new("service.double").expect("a topic");
            let question = asker.message("request").to(&to).text(&n.to_string());
            let reply = asker.request(question, None).await.expect("a reply");
            assert_eq!(text(&reply), (2 * n).to_string());
            (n, reply.view().correlation().map(str::to_owned))
        });
    }
    let replies = soon("all are answered", asking.join_all()).await;
    let correlations: BTreeSet<_> = replies.iter().map(|(_, correlation)| correlation.clone().expect("one")).collect();
    assert_eq!(correlations.len(), 32);
    soon("the answerer ends", answering).await.expect("no panic");
}

/// Whoever answers late or elsewhere may hit upon a reply topic: only what names the request answers it.
pub async fn a_reply_that_names_another_request_is_not_taken_for_the_answer(place: &mut Place) {
    let (asker, answerer) = (place.client().await, place.client().await);
    let mut questions = subscribe(&answerer, "service.sum").await;
    let asking = tokio::spawn(async move {
        let to = skep_protocol::Topic::new("service.sum").expect("a topic");
        asker.request(asker.message("request").to(&to).text("1+1"), None).await
    });
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    let replyto = skep_protocol::Topic::new(question.view().replyto().expect("a way back")).expect("a topic");
    for stray in [None, Some("another")] {
        let stray = stray.iter().fold(answerer.message("response").to(&replyto), |reply, id| reply.correlation(id));
        let stray = stray.text("3").finish().expect("a message");
        soon("a stray reply is taken by the hub", answerer.publish(stray)).await.expect("nobody but the asker knows");
    }
    soon("a reply is taken", answerer.reply(&question, |reply| reply.text("2"))).await.expect("taken");
    let reply = soon("the reply comes", asking).await.expect("no panic").expect("a reply");
    assert_eq!(text(&reply), "2");
}

/// Nobody listens: that is known at once, and nobody waits for the timeout.
pub async fn a_request_that_nobody_hears_fails_at_once(place: &mut Place) {
    let client = place.client().await;
    let to = skep_protocol::Topic::new("service.nowhere").expect("a topic");
    let question = client.message("request").to(&to).text("?");
    let asked = client.request(question, Some(Duration::from_secs(600)));
    let error = soon("a request is refused", asked).await.expect_err("nobody listens");
    assert_eq!(error.code, Code::NoResponders);
}

/// Somebody listens and says nothing.
pub async fn a_request_that_nobody_answers_times_out(place: &mut Place) {
    let (asker, silent) = (place.client().await, place.client().await);
    let mut questions = subscribe(&silent, "service.silent").await;
    let to = skep_protocol::Topic::new("service.silent").expect("a topic");
    let question = asker.message("request").to(&to).text("?");
    let error = soon("a request ends", asker.request(question, Some(Duration::from_millis(200)))).await;
    assert_eq!(error.expect_err("no reply").code, Code::Timeout);
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    // The reply comes too late: it harms nobody, and the next request gets its own.
    let _ = soon("a late reply is answered", silent.reply(&question, |reply| reply.text("late"))).await;
    let again = tokio::spawn(async move {
        let question = asker.message("request").to(&to).text("again");
        asker.request(question, None).await.expect("a reply")
    });
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    soon("a reply is taken", silent.reply(&question, |reply| reply.text("in time"))).await.expect("taken");
    assert_eq!(text(&soon("a reply comes", again).await.expect("no panic")), "in time");
}

/// A wrong token, none at all, and then the right one. Within the process the link brings one along.
pub async fn a_wrong_token_is_refused_as_unauthenticated(place: &mut Place) {
    let line = place.line().await;
    let wrong = Some("0123456789abcdef0123456789abcdef".to_owned());
    for token in [wrong, None].into_iter().take(if place.way() == Way::InProcess { 1 } else { 2 }) {
        let options = Options { token, ..place.options() };
        let refused = place.client_on(&line, options).await.expect_err("it is not the hub's token");
        assert_eq!(refused.code, Code::Unauthenticated, "{refused}");
    }
    let client = place.client_on(&line, place.options()).await.expect("a client");
    soon("a look is answered", client.query(Ask::Status)).await.expect("the hub lives");
}

/// What the hub does not want is refused by its code, and the client lives on.
pub async fn a_subscription_that_cannot_be_is_refused(place: &mut Place) {
    let (client, nowhere) = (place.client().await, queue("nowhere"));
    let unknown = soon("a refusal comes", client.receive(&nowhere, ReceiveOptions::default())).await;
    assert_eq!(unknown.expect_err("no such queue").code, Code::UnknownQueue);
    let foreign = soon("a refusal comes", client.subscribe(filter("$reply.>"))).await;
    assert_eq!(foreign.expect_err("the replies of others").code, Code::Forbidden);
    declare(&client, "jobs", |spec| spec).await;
    let _jobs = receive(&client, "jobs", 1).await;
}
