//! Live messages: who gets them, how often, and what a slow reader costs.

use skep_protocol::{Accepted, Error, Topic};

use super::hub::{declare, heard, held, next, note, publish, receive, soon, subscribe};
use super::place::Place;

/// Wildcards; several subscriptions of one session; a message for several topics.
pub async fn a_live_message_reaches_each_matching_subscription_once(place: &mut Place) {
    let (sender, listener) = (place.client().await, place.client().await);
    let before = place.hub().counters().live;
    let mut exact = subscribe(&listener, "news.sport.today").await;
    let mut star = subscribe(&listener, "news.*.today").await;
    let mut rest = subscribe(&listener, "news.>").await;
    let mut other = subscribe(&listener, "weather.*").await;
    let goal = publish(&sender, "news.sport.today", "goal").await;
    assert_eq!((goal.live, goal.queues, goal.position), (1, 0, None), "one session, however many subscriptions");
    let topics = ["news.sport", "news.art.today", "weather.rain"].map(|topic| Topic::new(topic).expect("a topic"));
    let both = topics.iter().fold(sender.message("note").text("both"), |message, topic| message.to(topic));
    soon("a receipt comes", sender.publish(both.finish().expect("a message"))).await.expect("a receipt");
    publish(&sender, "news.sport.today", "end").await;
    publish(&sender, "weather.end", "end").await;
    assert_eq!([heard(&mut exact).await, heard(&mut exact).await], ["goal", "end"]);
    assert_eq!([heard(&mut star).await, heard(&mut star).await, heard(&mut star).await], ["goal", "both", "end"]);
    assert_eq!([heard(&mut rest).await, heard(&mut rest).await, heard(&mut rest).await], ["goal", "both", "end"]);
    assert_eq!([heard(&mut other).await, heard(&mut other).await], ["both", "end"]);
    assert_eq!(place.hub().counters().live - before, 4, "four messages to one session are four frames");
    // What is stored reaches live listeners too, after it is stored.
    declare(&sender, "news.stored", |spec| spec).await;
    assert!(publish(&sender, "news.stored", "kept").await.position.is_some());
    assert_eq!(heard(&mut rest).await, "kept");
}

/// Of six thousand messages the last are there; the others were dropped, here or at the hub, and counted.
pub async fn a_reader_that_does_not_keep_up_loses_the_oldest_and_they_are_counted(place: &mut Place) {
    const SENT: usize = 6_000;
    let (sender, listener) = (place.client().await, place.client().await);
    let mut slow = subscribe(&listener, "flood.*").await;
    let mut end = subscribe(&listener, "flood.end").await;
    let flood = (0..SENT).map(|n| note(&sender, "flood.wave", &n.to_string())).collect();
    accepted(soon("all are answered", sender.publish_all(flood)).await);
    publish(&sender, "flood.end", "end").await;
    assert_eq!(heard(&mut end).await, "end", "all that came before it came");
    let mut numbers = Vec::new();
    loop {
        match heard(&mut slow).await.as_str() {
            "end" => break,
            number => numbers.push(number.parse::<usize>().expect("a number")),
        }
    }
    let dropped = usize::try_from(slow.dropped() + place.hub().counters().live_dropped).expect("few");
    assert!(dropped >= SENT - 4_096, "a reader holds 4,096 at most, but only {dropped} were dropped");
    assert_eq!(numbers.len() + dropped, SENT, "each was heard or counted");
    assert!(numbers.is_sorted() && numbers.last() == Some(&(SENT - 1)), "the newest are kept, in order");
}

/// One client does not read while 120 MiB are published for it, live and durable: its neighbours
/// get all of them, and of what waited for it the hub kept no more than its bound.
pub async fn a_client_that_does_not_read_costs_itself_only(place: &mut Place) {
    const WAVES: usize = 30;
    const A_WAVE: usize = 4;
    const MESSAGE_BYTES: usize = 1000 * 1024;
    /// 8 MiB wait at the hub; the rest is what the systems between keep of a socket.
    const KEPT_MAX: usize = 24 * 1024 * 1024 / MESSAGE_BYTES;
    let (sender, line) = (place.client().await, place.line().await);
    let stuck = place.client_on(&line, place.options()).await.expect("a client");
    declare(&sender, "jobs", |spec| spec).await;
    let mut never = subscribe(&stuck, "flood.>").await;
    let _never = receive(&stuck, "jobs", 4).await;
    let neighbour = place.client().await;
    let mut all = subscribe(&neighbour, "flood.>").await;
    let mut jobs = receive(&neighbour, "jobs", 16).await;
    line.hold_up(true);
    let filling = "x".repeat(MESSAGE_BYTES);
    for wave in 0..WAVES {
        let messages = (0..A_WAVE).map(|n| note(&sender, "flood.wave", &format!("{wave} {n} {filling}"))).collect();
        accepted(soon("all are answered", sender.publish_all(messages)).await);
        for n in 0..A_WAVE {
            assert!(heard(&mut all).await.starts_with(&format!("{wave} {n} ")), "the neighbour hears every message");
        }
        publish(&sender, "jobs", &wave.to_string()).await;
    }
    // The stuck one holds four of the jobs at most; the neighbour gets the rest.
    for _ in 0..WAVES - 4 {
        soon("an ack is answered", next(&mut jobs).await.ack()).await.expect("acked");
    }
    line.hold_up(false);
    publish(&sender, "flood.end", "end").await;
    let mut came = 0;
    while heard(&mut never).await != "end" {
        came += 1;
    }
    // What came in a rush may have been too much for the client itself.
    let kept = came + usize::try_from(never.dropped()).expect("few");
    let dropped = usize::try_from(place.hub().counters().live_dropped).expect("few");
    assert_eq!(kept + dropped, WAVES * A_WAVE, "each was heard or counted");
    assert!(kept <= KEPT_MAX, "{kept} of {} waited for a client that does not read", WAVES * A_WAVE);
    assert_eq!(held(&sender, "jobs").await.0, 0);
}

fn accepted(results: Vec<Result<Accepted, Error>>) {
    results.into_iter().for_each(|result| drop(result.expect("a receipt")));
}
