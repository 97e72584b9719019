//! A party that works on while others misbehave: it must not notice.

use std::sync::Arc;
use std::time::Duration;

use skep_client::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::hub::{Hub, declare, info, next, note, receive, soon, text};

/// No answer to the neighbour may take longer, whatever others do.
const NOTICED: Duration = Duration::from_secs(5);

/// A client that publishes, receives and acks one message after the other.
pub(crate) struct Neighbour {
    client: Client,
    rounds: watch::Receiver<u64>,
    stop: Arc<watch::Sender<bool>>,
    working: JoinHandle<u64>,
}

impl Neighbour {
    pub(crate) async fn of(hub: &Hub) -> Self {
        let client = hub.client().await;
        declare(&client, "neighbour").await;
        let (tell, rounds) = watch::channel(0);
        let stop = Arc::new(watch::Sender::new(false));
        let working = tokio::spawn(rounds_of(client.clone(), tell, stop.subscribe()));
        let neighbour = Neighbour { client, rounds, stop, working };
        neighbour.goes_on().await;
        neighbour
    }

    /// Waits until three more rounds are done, which began after this was asked.
    pub(crate) async fn goes_on(&self) {
        let mut rounds = self.rounds.clone();
        let from = *rounds.borrow();
        let more = soon("the neighbour goes on", rounds.wait_for(|done| *done > from + 3)).await.is_ok();
        assert!(more, "the neighbour stopped");
    }

    /// It got everything it was owed, once, on the connection with which it began.
    pub(crate) async fn content(self, hub: &Hub) {
        self.goes_on().await;
        self.stop.send_replace(true);
        let rounds = soon("the neighbour ends", self.working).await.expect("it went well");
        let left = info(&self.client, "neighbour").await;
        assert_eq!((left.ready, left.leased, left.delayed, left.dead), (0, 0, 0, 0), "after {rounds} rounds");
        assert_eq!(hub.hub().counters().resumed, 0, "its connection was lost in between");
        assert!(hub.hub().trouble().is_none(), "the hub is ready");
    }
}

async fn rounds_of(client: Client, tell: watch::Sender<u64>, stop: watch::Receiver<bool>) -> u64 {
    let mut queue = receive(&client, "neighbour", 4).await;
    let mut last = None;
    for round in 0_u64.. {
        if *stop.borrow() {
            return round;
        }
        let done = timeout(NOTICED, async {
            let receipt = client.publish(note(&client, "neighbour", &round.to_string())).await.expect("a receipt");
            let mut job = next(&mut queue).await;
            assert_eq!((text(&job.message), job.attempt), (round.to_string(), 1));
            assert_eq!(Some(job.position), receipt.position);
            assert!(last < receipt.position, "positions only grow");
            last = receipt.position;
            job.ack().await.expect("acked");
        });
        done.await.unwrap_or_else(|_| panic!("round {round} took longer than {NOTICED:?}"));
        tell.send_replace(round + 1);
    }
    unreachable!("it counts far")
}
