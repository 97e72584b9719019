//! Numbers of subscriptions: whoever draws one again means the new one.

use skep_core::Incoming;
use skep_protocol::{
    Accepted, Ask, Binding, Code, Frame, Managed, Page, Publication, Publish, Query, QueueName, Report, Settlement,
    Subscribe, Target, Window,
};
use skep_testkit::message;

use crate::connection::{House, Line, hello};

fn subscribe(target: &str) -> Frame {
    let target = match target.strip_prefix("live:") {
        Some(filter) => Target::Live(filter.parse().expect("a filter")),
        None => Target::Queue(QueueName::new(target).expect("a name")),
    };
    let window = Window { subscription: 1, messages: 4, bytes: 1 << 20 };
    Frame::Subscribe(Subscribe { id: 1, target, window, handlers: 1, binding: Binding::Connection })
}

impl Line {
    fn say_at_once(&mut self, frames: Vec<Frame>) {
        let now = self.hub.now();
        self.connection.turn(frames.into_iter().map(Incoming::Frame), now).expect("open");
    }

    async fn publish(&mut self, sequence: u64, topic: &str) -> Accepted {
        let messages = vec![message(topic).text("x").finish().expect("a message")];
        self.say(Frame::Publish(Publish { sequence, messages }));
        match self.hear(|frame| matches!(frame, Frame::Receipt(_))).await {
            Frame::Receipt(receipts) => match receipts.as_slice() {
                [Publication { result: Settlement::Ok(accepted), .. }] => accepted.clone(),
                other => panic!("{other:?}"),
            },
            other => unreachable!("{other:?}"),
        }
    }

    async fn readers(&mut self, queue: &str) -> u64 {
        self.say(Frame::Query(Query { tag: 5, ask: Ask::Queues }));
        match self.hear(|frame| matches!(frame, Frame::Page(_))).await {
            Frame::Page(Report { result: Settlement::Ok(Page::Queues(queues)), .. }) => {
                queues.iter().find(|info| info.spec.name.as_str() == queue).map_or(0, |info| info.consumers)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_number_that_is_drawn_again_in_one_breath_is_the_subscription_that_was_asked_for_last() {
    for (first, second) in [("jobs", "jobs"), ("jobs", "others"), ("nope", "others"), ("jobs", "live:news")] {
        let house = House::new().await;
        let (mut publisher, _) = house.open(hello()).await;
        for queue in ["others", "jobs"] {
            publisher.consume(queue, 1).await;
            publisher.say(Frame::Unsubscribe(1));
        }
        let (mut line, _) = house.open(skep_protocol::Connect { producer: None, ..hello() }).await;
        line.say_at_once(vec![subscribe(first), Frame::Unsubscribe(1), subscribe(second)]);
        line.hear(|frame| matches!(frame, Frame::Subscribed(1))).await;
        publisher.publish(1, second.strip_prefix("live:").unwrap_or(second)).await;
        line.hear(|frame| matches!(frame, Frame::Deliver(_) | Frame::Live(_))).await;
        line.say(Frame::Unsubscribe(1));
        assert_eq!((line.readers("jobs").await, line.readers("others").await), (0, 0), "{first}, {second}");
        assert_eq!(publisher.publish(2, "news").await.live, 0, "{first}, {second}: nobody listens any more");
    }
}

#[tokio::test]
async fn the_end_of_a_queue_is_not_that_of_the_subscription_which_has_its_number_now() {
    let house = House::new().await;
    let (mut line, _) = house.open(hello()).await;
    line.consume("others", 1).await;
    line.say(Frame::Unsubscribe(1));
    line.consume("jobs", 4).await;
    let (mut other, _) = house.open(skep_protocol::Connect { producer: None, ..hello() }).await;
    let delete = skep_protocol::Command::Delete { queue: QueueName::new("jobs").expect("a name"), force: true };
    other.say(Frame::Manage(skep_protocol::Manage { tag: 9, command: delete }));
    other.hear(|frame| matches!(frame, Frame::Managed(Managed { tag: 9, .. }))).await;
    // It was not yet told, and does not care any more.
    line.say_at_once(vec![Frame::Unsubscribe(1), subscribe("others")]);
    line.hear(|frame| matches!(frame, Frame::Subscribed(1))).await;
    other.publish(1, "others").await;
    line.hear(|frame| matches!(frame, Frame::Deliver(_))).await;
    assert_eq!(line.readers("others").await, 1);
}

#[tokio::test]
async fn a_number_that_stands_for_another_target_is_refused_and_goes_on() {
    let house = House::new().await;
    let (mut line, _) = house.open(hello()).await;
    line.consume("others", 1).await;
    line.say(Frame::Unsubscribe(1));
    line.consume("jobs", 4).await;
    for target in ["others", "live:news"] {
        line.say(subscribe(target));
        let refused = line.hear(|frame| matches!(frame, Frame::Managed(Managed { tag: 1, .. }))).await;
        let Frame::Managed(Managed { result: Settlement::Error(error), .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(error.code, Code::InvalidArgument);
    }
    line.say(subscribe("jobs"));
    line.hear(|frame| matches!(frame, Frame::Subscribed(1))).await;
    assert_eq!((line.readers("jobs").await, line.readers("others").await), (1, 0));
}
