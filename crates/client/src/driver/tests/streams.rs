//! Streamed replies: how long they are waited for, and what they leave behind.

use skep_protocol::{Kind, Message, MessageBuilder, Publication, Topic};

use super::*;
use crate::limits::PARTS_WAITING_MAX;
use crate::{Chunks, StreamError};

const LIMIT: Duration = Duration::from_secs(5);

/// A request for a stream, and how its parts are made.
async fn asked(client: &Client, ends: &mut Ends) -> (Chunks, MessageBuilder) {
    let chunks = client.request_stream(client.message("request"), Some(LIMIT)).await.unwrap();
    let Frame::Publish(publish) = ends.next(&mut Vec::new()).await else { panic!("a request") };
    let request = publish.messages[0].view();
    let to = Topic::new(request.replyto().unwrap()).unwrap();
    (chunks, client.message(Kind::STREAM_CHUNK).to(&to).correlation(request.id()))
}

fn live(part: &MessageBuilder, numbers: std::ops::RangeInclusive<u32>) -> Frame {
    let part = |number| part.clone().part(number).text("x").finish().unwrap();
    Frame::Live(numbers.map(part).collect())
}

async fn part(chunks: &mut Chunks) -> Result<Message, StreamError> {
    chunks.next().await.expect("not yet the end")
}

/// Until the client's task has done what there is to do.
async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_part_has_the_whole_time_and_the_end_without_one_frees_everything() {
    let (client, _hub, mut ends) = connected().await;
    let (mut chunks, parts) = asked(&client, &mut ends).await;
    let clock = Clock::start();
    for number in 1..=3 {
        crate::clock::pause(Duration::from_secs(4)).await;
        ends.say(live(&parts, number..=number)).await;
        part(&mut chunks).await.unwrap();
    }
    assert_eq!(part(&mut chunks).await, Err(StreamError::Late { parts: 3, waited: LIMIT }));
    assert_eq!((clock.now().as_secs(), chunks.next().await), (17, None));
    settled().await;
    assert_eq!(client.handle().requests_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_or_ends_leaves_nothing_behind() {
    let (client, _hub, mut ends) = connected().await;
    let (mut dropped, parts) = asked(&client, &mut ends).await;
    ends.say(live(&parts, 1..=2)).await;
    part(&mut dropped).await.unwrap();
    drop(dropped);
    settled().await;
    assert_eq!(client.handle().requests_waiting(), 0);
    let (mut ended, parts) = asked(&client, &mut ends).await;
    let end = client.message(Kind::STREAM_END).to(&Topic::new("$reply.1.2").unwrap());
    let Frame::Live(mut messages) = live(&parts, 1..=1) else { panic!("live") };
    let request = messages[0].view().correlation().unwrap().to_owned();
    messages.push(end.correlation(&request).part(2).finish().unwrap());
    ends.say(Frame::Live(messages)).await;
    part(&mut ended).await.unwrap();
    assert_eq!(ended.next().await, None);
    settled().await;
    assert_eq!((client.handle().requests_waiting(), ended.taken()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_keep_up_gets_what_waits_and_then_the_end() {
    let (client, _hub, mut ends) = connected().await;
    let (mut chunks, parts) = asked(&client, &mut ends).await;
    let most = u32::try_from(PARTS_WAITING_MAX).unwrap();
    ends.say(live(&parts, 1..=most + 2)).await;
    settled().await;
    assert_eq!(client.handle().requests_waiting(), 0);
    for _ in 0..most {
        part(&mut chunks).await.unwrap();
    }
    let Err(StreamError::Ended { parts, error }) = part(&mut chunks).await else { panic!("it ends") };
    assert_eq!((parts, error.code), (most, Code::StreamBroken));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_finds_no_room_is_sent_again_under_its_number_and_one_that_is_cancelled_spends_it() {
    let (client, _hub, mut ends) = connected().await;
    let request = client.message("request").replyto(&Topic::new("$reply.9.1").unwrap()).finish().unwrap();
    let mut stream = client.reply_stream(&request).unwrap();
    let sending = tokio::spawn(async move {
        stream.send(|part| part.text("x")).await.unwrap();
        let cancelled = within(Duration::from_secs(1), stream.send(|part| part.text("y"))).await;
        assert!(cancelled.is_none());
        stream
    });
    let (clock, mut waiting) = (Clock::start(), Vec::new());
    for seconds in [0, 1] {
        let Frame::Publish(publish) = ends.next(&mut waiting).await else { panic!("a part") };
        assert_eq!((number(&publish.messages[0]), clock.now().as_secs()), ("1".into(), seconds));
        let error = Error::new(Code::QueueFull, "full");
        let result = if seconds == 0 { Settlement::Error(error) } else { Settlement::Ok(accepted()) };
        ends.say(Frame::Receipt(vec![Publication { sequence: publish.sequence, count: 1, result }])).await;
    }
    let mut stream = sending.await.unwrap();
    let Frame::Publish(publish) = ends.next(&mut waiting).await else { panic!("a part") };
    assert_eq!(number(&publish.messages[0]), "2");
    let sending = tokio::spawn(async move { stream.send(|part| part.text("z")).await });
    let Frame::Publish(publish) = ends.next(&mut waiting).await else { panic!("a part") };
    assert_eq!(number(&publish.messages[0]), "3");
    sending.abort();
}

fn number(part: &Message) -> String {
    part.view().text_attribute("sequence").unwrap().into()
}

fn accepted() -> skep_protocol::Accepted {
    skep_protocol::Accepted {
        position: None,
        durability: None,
        guarantee: skep_protocol::Guarantee::BestEffort,
        queues: 0,
        skipped: 0,
        live: 1,
        duplicate: false,
        recipient: None,
    }
}
