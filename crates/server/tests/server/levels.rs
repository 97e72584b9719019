//! `kill -9` of the real hub where messages are not synced before they are answered.

use skep_protocol::Durability;

use crate::hub::{declare, info, next, publish, receive, text};
use crate::victim::Victim;

const MESSAGES: usize = 500;

#[tokio::test]
async fn a_hub_that_is_killed_loses_nothing_that_it_answered_at_level_os() {
    let mut victim =
        Victim::new(u64::from(std::process::id())).told("durability = [\"logs.* os\", \"logs interval(1s)\"]\n");
    victim.start();
    victim.ready().await;
    let client = victim.door().client().await.expect("a client");
    for (name, durability) in [("logs.a", Durability::Os), ("logs", Durability::Interval), ("jobs", Durability::Fsync)]
    {
        declare(&client, name).await;
        assert_eq!(publish(&client, name, "first").await.durability, Some(durability));
    }
    for n in 1..MESSAGES {
        publish(&client, "logs.a", &n.to_string()).await;
    }
    let mut deliveries = receive(&client, "logs.a", 1).await;
    next(&mut deliveries).await.ack().await.expect("it is answered");
    victim.kill().await;
    drop((deliveries, client));
    victim.start();
    victim.ready().await;
    let client = victim.door().client().await.expect("a client");
    let left = info(&client, "logs.a").await;
    assert_eq!(left.ready + left.leased + left.delayed, MESSAGES as u64 - 1, "one was acked");
    assert_eq!((info(&client, "logs").await.ready, info(&client, "jobs").await.ready), (1, 1));
    let mut deliveries = receive(&client, "logs.a", 1).await;
    assert_eq!(text(&next(&mut deliveries).await.message), "1", "the oldest that was not acked");
    victim.kill().await;
}
