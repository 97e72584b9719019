//! Replies in parts: in order, complete or known not to be, and with an end in any case.

use std::time::Duration;

use skep_client::{Chunks, Client, ReplyStream, StreamError};
use skep_protocol::{Broken, Code, Command, Kind, Message, Part, Parts, Topic};

use super::hub::{declare, next, receive, soon, subscribe, text};
use super::place::Place;
use super::reconnect::is_back;

/// Longer than any part takes that is sent at all.
const LONG: Option<Duration> = Some(Duration::from_secs(20));

async fn ask(client: &Client, to: &str, limit: Option<Duration>) -> Chunks {
    let request = client.message("request").to(&Topic::new(to).expect("a topic")).text("?");
    soon("a request is on its way", client.request_stream(request, limit)).await.expect("it is")
}

/// A request that waits for its reply, and the request as it was heard.
async fn asked(place: &Place, limit: Option<Duration>) -> (Client, Chunks, Client, Message) {
    let (asker, answerer) = (place.client().await, place.client().await);
    let mut questions = subscribe(&answerer, "service.count").await;
    let chunks = ask(&asker, "service.count", limit).await;
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    (asker, chunks, answerer, question)
}

async fn send(stream: &mut ReplyStream, part: &str) {
    soon("a part is taken", stream.send(|message| message.text(part))).await.expect("taken");
}

async fn part(chunks: &mut Chunks) -> String {
    text(&soon("a part comes", chunks.next()).await.expect("not yet the end").expect("a part"))
}

async fn broken(chunks: &mut Chunks) -> StreamError {
    let error = soon("the stream ends", chunks.next()).await.expect("not in order").expect_err("it is broken");
    assert!(soon("nothing more comes", chunks.next()).await.is_none());
    error
}

/// Says a part by hand, with any number.
async fn say(client: &Client, question: &Message, kind: Kind, number: u32) {
    let to = Topic::new(question.view().replyto().expect("a way back")).expect("a topic");
    let part = client.message(kind).to(&to).correlation(question.id()).part(number).text(&number.to_string());
    soon("a part is taken", client.publish(part.finish().expect("a message"))).await.expect("taken");
}

/// A thousand parts, of which the last is marked: they come in order, each once, and then the end.
pub async fn a_streamed_reply_comes_part_by_part_and_ends_with_the_last(place: &mut Place) {
    let (_asker, mut chunks, answerer, question) = asked(place, LONG).await;
    let mut stream = answerer.reply_stream(&question).expect("it asks for a reply");
    let answering = tokio::spawn(async move {
        for n in 1..1000 {
            send(&mut stream, &n.to_string()).await;
        }
        soon("the last part is taken", stream.end(|last| last.text("1000"))).await.expect("taken");
    });
    for n in 1..=1000 {
        assert_eq!(part(&mut chunks).await, n.to_string());
    }
    assert!(soon("the end comes", chunks.next()).await.is_none());
    soon("the answerer ends", answering).await.expect("no panic");
}

/// Whoever answers as ever answers a stream, too; and a stream is no answer to who asked for one message.
pub async fn a_plain_reply_is_a_stream_of_one_and_a_stream_no_plain_reply(place: &mut Place) {
    let (asker, mut chunks, answerer, question) = asked(place, LONG).await;
    soon("a reply is taken", answerer.reply(&question, |reply| reply.text("all of it"))).await.expect("taken");
    assert_eq!(part(&mut chunks).await, "all of it");
    assert!(soon("the end comes", chunks.next()).await.is_none());
    let mut questions = subscribe(&answerer, "service.other").await;
    let asking = tokio::spawn(async move {
        let to = Topic::new("service.other").expect("a topic");
        asker.request(asker.message("request").to(&to).text("?"), LONG).await
    });
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    send(&mut answerer.reply_stream(&question).expect("a stream"), "1").await;
    let refused = soon("the request ends", asking).await.expect("no panic").expect_err("it comes in parts");
    assert_eq!(refused.code, Code::Streamed);
}

/// What is lost on the way is noticed with the next part, and named.
pub async fn a_missing_part_ends_the_stream_and_is_named(place: &mut Place) {
    let (_asker, mut chunks, answerer, question) = asked(place, LONG).await;
    for number in [1, 2, 4] {
        say(&answerer, &question, Kind::STREAM_CHUNK, number).await;
    }
    assert_eq!((part(&mut chunks).await, part(&mut chunks).await), ("1".into(), "2".into()));
    let missing = Broken::Missing { expected: 3, came: 4 };
    assert_eq!(broken(&mut chunks).await, StreamError::Broken { parts: 2, broken: missing });
}

/// What is said twice is read once, and what another responder says is not mixed into it.
pub async fn a_part_that_comes_twice_is_read_once(place: &mut Place) {
    let (_asker, mut chunks, answerer, question) = asked(place, LONG).await;
    let options = skep_client::Options { name: "another".into(), ..place.options() };
    let line = place.line().await;
    let another = place.client_on(&line, options).await.expect("a client");
    say(&answerer, &question, Kind::STREAM_CHUNK, 1).await;
    say(&answerer, &question, Kind::STREAM_CHUNK, 2).await;
    say(&answerer, &question, Kind::STREAM_CHUNK, 2).await;
    say(&another, &question, Kind::STREAM_CHUNK, 3).await;
    say(&answerer, &question, Kind::STREAM_END, 3).await;
    assert_eq!([part(&mut chunks).await, part(&mut chunks).await, part(&mut chunks).await], ["1", "2", "3"]);
    assert!(soon("the end comes", chunks.next()).await.is_none());
}

/// A responder that says no more, and one that says why: the requester knows how far it came.
pub async fn a_responder_that_ends_in_the_middle_is_noticed_in_time(place: &mut Place) {
    let (_asker, mut chunks, answerer, question) = asked(place, Some(Duration::from_secs(2))).await;
    let mut stream = answerer.reply_stream(&question).expect("a stream");
    send(&mut stream, "1").await;
    send(&mut stream, "2").await;
    drop((stream, answerer));
    assert_eq!((part(&mut chunks).await, part(&mut chunks).await), ("1".into(), "2".into()));
    let late = broken(&mut chunks).await;
    assert_eq!(late, StreamError::Late { parts: 2, waited: Duration::from_secs(2) });
    assert!(late.to_string().ends_with("parts that came: 2"), "{late}");

    let (_asker, mut chunks, answerer, question) = asked(place, LONG).await;
    let mut stream = answerer.reply_stream(&question).expect("a stream");
    send(&mut stream, "1").await;
    soon("an error is taken", stream.fail(|error| error.text("no model"))).await.expect("taken");
    assert_eq!(part(&mut chunks).await, "1");
    let StreamError::Failed { parts: 1, reply } = broken(&mut chunks).await else { panic!("it gave up") };
    assert_eq!(text(&reply), "no model");
}

/// Who reads no more tells nobody; who has gone is told of at the next part.
pub async fn a_responder_learns_when_the_requester_has_gone(place: &mut Place) {
    let (asker, mut chunks, answerer, question) = asked(place, LONG).await;
    let mut stream = answerer.reply_stream(&question).expect("a stream");
    send(&mut stream, "1").await;
    assert_eq!(part(&mut chunks).await, "1");
    drop(chunks);
    send(&mut stream, "2").await;
    soon("the requester closes", asker.close()).await;
    // It has said so; the hub hears it in a moment.
    let gone = soon("a part is refused", async {
        loop {
            let sent = stream.sent();
            if let Err(error) = stream.send(|part| part.text("more")).await {
                assert_eq!(stream.sent(), sent, "what is refused was not sent");
                return error;
            }
        }
    })
    .await;
    assert_eq!(gone.code, Code::NoResponders);
}

/// A request that is refused ends its stream with the refusal.
pub async fn a_streamed_request_that_nobody_hears_fails_at_once(place: &mut Place) {
    let mut chunks = ask(&place.client().await, "service.nowhere", LONG).await;
    let StreamError::Ended { parts: 0, error } = broken(&mut chunks).await else { panic!("it was refused") };
    assert_eq!(error.code, Code::NoResponders);
}

/// Cut in the middle, and back: it goes on where it was.
pub async fn a_streamed_reply_survives_a_cut(place: &mut Place) {
    let (answerer, line) = (place.client().await, place.line().await);
    let asker = place.client_on(&line, place.options()).await.expect("a client");
    let mut questions = subscribe(&answerer, "service.count").await;
    let mut chunks = ask(&asker, "service.count", LONG).await;
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    let mut stream = answerer.reply_stream(&question).expect("a stream");
    send(&mut stream, "1").await;
    assert_eq!(part(&mut chunks).await, "1");
    line.cut();
    is_back(place, 1).await;
    send(&mut stream, "2").await;
    soon("the last part is taken", stream.end(|last| last.text("3"))).await.expect("taken");
    assert_eq!((part(&mut chunks).await, part(&mut chunks).await), ("2".into(), "3".into()));
    assert!(soon("the end comes", chunks.next()).await.is_none());
}

/// A part that the hub has written, and that the line lost: the next one tells of it.
pub async fn a_part_that_is_lost_with_the_line_is_missed(place: &mut Place) {
    let (answerer, line) = (place.client().await, place.line().await);
    let asker = place.client_on(&line, place.options()).await.expect("a client");
    let mut questions = subscribe(&answerer, "service.count").await;
    let mut chunks = ask(&asker, "service.count", LONG).await;
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    let mut stream = answerer.reply_stream(&question).expect("a stream");
    send(&mut stream, "1").await;
    assert_eq!(part(&mut chunks).await, "1");
    line.cut_after(0);
    send(&mut stream, "2").await;
    soon("the line is cut", line.until_cut(1)).await;
    is_back(place, 1).await;
    send(&mut stream, "3").await;
    let missing = Broken::Missing { expected: 2, came: 3 };
    assert_eq!(broken(&mut chunks).await, StreamError::Broken { parts: 1, broken: missing });
}

/// A requester that takes nothing for a while is waited for: no part is lost, and the hub keeps no more than its bound.
pub async fn a_responder_waits_for_a_requester_that_takes_nothing(place: &mut Place) {
    const PARTS: usize = 400;
    const BYTES: usize = 64 * 1024;
    let (answerer, line) = (place.client().await, place.line().await);
    let asker = place.client_on(&line, place.options()).await.expect("a client");
    let mut questions = subscribe(&answerer, "service.count").await;
    let mut chunks = ask(&asker, "service.count", LONG).await;
    let question = soon("the question comes", questions.next()).await.expect("it was asked");
    line.hold_up(true);
    let mut stream = answerer.reply_stream(&question).expect("a stream");
    let answering = tokio::spawn(async move {
        for n in 0..PARTS {
            let payload = vec![u8::try_from(n % 251).expect("small"); BYTES];
            stream.send(|part| part.payload("application/octet-stream", payload)).await.expect("taken in the end");
        }
        stream.end(|end| end).await.expect("taken");
    });
    soon("a part is refused for now", async {
        while place.hub().counters().refused == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    line.hold_up(false);
    for n in 0..PARTS {
        let part = soon("a part comes", chunks.next()).await.expect("not yet the end").expect("a part");
        assert_eq!((part.payload().len(), part.payload().first()), (BYTES, u8::try_from(n % 251).ok().as_ref()));
    }
    assert!(soon("the end comes", chunks.next()).await.is_none());
    soon("the answerer ends", answering).await.expect("no panic");
}

/// Replies of another hub cannot come: the requester is told, and the responder too.
pub async fn a_streamed_reply_ends_when_the_hub_restarts(place: &mut Place) {
    let (_asker, mut chunks, answerer, question) = asked(place, LONG).await;
    let mut stream = answerer.reply_stream(&question).expect("a stream");
    send(&mut stream, "1").await;
    assert_eq!(part(&mut chunks).await, "1");
    place.restart().await;
    let StreamError::Ended { parts: 1, error } = broken(&mut chunks).await else { panic!("the session is lost") };
    assert_eq!(error.code, Code::ConnectionLost);
    let gone = soon("a part is refused", stream.send(|part| part.text("2"))).await.expect_err("nobody waits");
    assert_eq!(gone.code, Code::NoResponders);
}

/// A durable request names an inbox: the parts lie there, in order, until they are taken, over a restart, too.
pub async fn a_streamed_reply_to_an_inbox_is_kept_until_it_is_read(place: &mut Place) {
    let client = place.client().await;
    declare(&client, "jobs", |spec| spec).await;
    let alice = "alice".parse().expect("an agent");
    let register = Command::Register { agent: alice, metadata: "{}".into() };
    soon("an agent is added", client.manage(register)).await.expect("added");
    let inbox = Topic::new("agent.alice.inbox").expect("a topic");
    let request = client.message("request").to(&Topic::new("jobs").expect("a topic")).replyto(&inbox).text("?");
    soon("a receipt comes", client.publish(request.finish().expect("a message"))).await.expect("a receipt");
    let mut jobs = receive(&client, "jobs", 1).await;
    let mut job = next(&mut jobs).await;
    let mut stream = client.reply_stream(&job.message).expect("a stream");
    send(&mut stream, "1").await;
    send(&mut stream, "2").await;
    let receipt = soon("the end is taken", stream.end(|end| end)).await.expect("taken");
    assert_eq!((receipt.queues, receipt.position.is_some()), (1, true));
    soon("an ack is answered", job.ack()).await.expect("acked");
    place.restart().await;
    let mut parts = Parts::default();
    let mut replies = receive(&client, "agent.alice.inbox", 8).await;
    for expected in [Part::Chunk, Part::Chunk, Part::End] {
        let mut reply = next(&mut replies).await;
        assert_eq!(reply.message.view().correlation(), Some(job.message.id()));
        assert_eq!(parts.take(&reply.message.view()), Ok(expected));
        soon("an ack is answered", reply.ack()).await.expect("acked");
    }
}
