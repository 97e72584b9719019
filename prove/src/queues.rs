//! The queues of a run, and what holds for each.

use skep_protocol::{Error, Filter, QueueName, QueueSpec};

/// A queue, as the workload uses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    pub(crate) name: &'static str,
    /// What is published there comes here.
    pub(crate) topic: &'static str,
    /// 0 is without end.
    pub(crate) attempts_max: u32,
    /// One consumer at a time takes from it, and it takes up its session again: first deliveries come in order.
    pub(crate) is_ordered: bool,
    /// Parties consume it while there is work, and to its end.
    pub(crate) is_consumed: bool,
}

const fn queue(name: &'static str, topic: &'static str) -> Queue {
    Queue { name, topic, attempts_max: 0, is_ordered: false, is_consumed: true }
}

/// Acked by one consumer.
pub(crate) const ORDERED: Queue = Queue { is_ordered: true, ..queue("ordered", "ordered") };
/// A second queue on the same topic.
pub(crate) const MIRROR: Queue = queue("mirror", "ordered");
/// Acked, nacked, rejected, extended, forgotten, by many.
pub(crate) const PLAIN: Queue = Queue { attempts_max: 4, ..queue("plain", "plain") };
/// Handed over into the next, and that into the last.
pub(crate) const WORK: Queue = queue("work", "work");
pub(crate) const REFINED: Queue = queue("refined", "refined");
/// Consumed only at the end.
pub(crate) const RESULTS: Queue = Queue { is_consumed: false, ..queue("results", "results") };
/// What nobody is told of: it is written when the hub is killed, or when its disk runs full.
pub(crate) const TORN: Queue = Queue { is_consumed: false, ..queue("torn", "torn") };

/// All of them.
pub(crate) const QUEUES: [Queue; 7] = [ORDERED, MIRROR, PLAIN, WORK, REFINED, RESULTS, TORN];

/// How long leases of every queue last, in milliseconds: short, so that forgotten ones come back within a run.
pub(crate) const LEASE_MS: u64 = 1_500;

impl Queue {
    pub(crate) fn spec(&self) -> Result<QueueSpec, Error> {
        Ok(QueueSpec {
            filters: vec![Filter::new(self.topic)?],
            lease_ms: LEASE_MS,
            attempts_max: self.attempts_max,
            backoff_min_ms: 20,
            backoff_max_ms: 200,
            ..QueueSpec::new(QueueName::new(self.name)?)
        })
    }

    /// Its dead letters.
    pub(crate) fn dead(&self) -> String {
        dead(self.name)
    }
}

/// The queue of the dead letters of a queue.
pub(crate) fn dead(queue: &str) -> String {
    format!("$dead.{queue}")
}

/// The queues that a topic reaches.
pub(crate) fn of_topic(topic: &str) -> impl Iterator<Item = &'static Queue> {
    QUEUES.iter().filter(move |queue| queue.topic == topic)
}
