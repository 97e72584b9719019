//! What the hub counts, in the text form of Prometheus. Made anew for every scrape: nothing
//! is counted twice, and nothing is kept.

use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use skep_core::Counters;
use skep_core::limits::LIST_MAX;
use skep_protocol::{Ask, Code, Error, Page, QueueInfo};

use super::Answered;
use super::extract::Caller;
use super::visit::Visit;
use crate::edge::Shared;
use crate::limits::METRIC_QUEUES_MAX;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = [(&'static str, String); 1];

/// `GET /metrics`
pub(crate) async fn metrics(caller: Caller) -> Answered {
    let shared = caller.shared.clone();
    let queues = Queues::seen(&mut caller.visit()?).await?;
    let mut registry = Registry::with_prefix("skep");
    count(&mut registry, &shared.hub.counters());
    gauge_hub(&mut registry, &shared, &queues);
    gauge_queues(&mut registry, queues.fullest());
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|error| Error::new(Code::Internal, format!("metrics cannot be written: {error}")))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// The encoder adds `_total`.
fn count(registry: &mut Registry, counters: &Counters) {
    for (name, help, value) in [
        ("messages_published", "Messages that sessions published", counters.published),
        ("messages_refused", "Publishes that were refused", counters.refused),
        ("messages_refused_by_hops", "Publishes refused for too many hops", counters.refused_by_hops),
        (
            "messages_refused_by_conversation",
            "Publishes refused for an exhausted conversation",
            counters.refused_by_conversation,
        ),
        ("messages_refused_by_rate", "Publishes refused for the rate of their sender", counters.refused_by_rate),
        ("messages_delivered", "Messages handed out under leases", counters.delivered),
        ("messages_settled", "Settles that took effect", counters.settled),
        ("messages_duplicate", "Publishes recognised as resends", counters.duplicates),
        ("live_messages_delivered", "Live messages handed to sessions", counters.live),
        ("live_messages_dropped", "Live messages dropped for want of room", counters.live_dropped),
        ("sessions_opened", "Sessions that began, one for each HTTP request too", counters.sessions),
        ("sessions_resumed", "Sessions that were taken up again", counters.resumed),
    ] {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
}

/// What all queues come to, and the fullest of them.
#[derive(Default)]
struct Queues {
    count: u64,
    ready: u64,
    leased: u64,
    delayed: u64,
    parked: u64,
    dead: u64,
    bytes: u64,
    /// Twice as many as are shown, at most, besides a page.
    some: Vec<QueueInfo>,
}

impl Queues {
    /// Looks at them page by page.
    async fn seen(visit: &mut Visit) -> Result<Self, Error> {
        let (mut all, mut after) = (Queues::default(), None);
        loop {
            let Page::QueuesPart { queues, next } = visit.ask(Ask::QueuesAfter { after, limit: LIST_MAX }).await?
            else {
                return Err(Error::new(Code::Internal, "the hub answered another question"));
            };
            all.add(queues);
            if next.is_none() {
                return Ok(all);
            }
            after = next;
        }
    }

    fn add(&mut self, queues: Vec<QueueInfo>) {
        for queue in &queues {
            self.count += 1;
            self.ready += queue.ready;
            self.leased += queue.leased;
            self.delayed += queue.delayed;
            self.parked += queue.parked;
            self.dead += queue.dead;
            self.bytes += queue.bytes;
        }
        self.some.extend(queues);
        if self.some.len() > 2 * METRIC_QUEUES_MAX {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.some.sort_by_key(|queue| std::cmp::Reverse(queue.held() + queue.dead));
        self.some.truncate(METRIC_QUEUES_MAX);
    }

    fn fullest(mut self) -> Vec<QueueInfo> {
        self.cut();
        self.some
    }
}

fn gauge_hub(registry: &mut Registry, shared: &Shared, queues: &Queues) {
    for (name, help, value) in [
        ("sessions", "Sessions attached now, parked ones included", shared.hub.sessions()),
        ("connections", "Connections to this edge now", shared.seats.taken() as u64),
        ("ready", "Whether the hub takes publishes", u64::from(shared.hub.trouble().is_none())),
        ("queues", "Queues declared", queues.count),
        ("queues_messages_ready", "Messages ready in all queues", queues.ready),
        ("queues_messages_leased", "Messages under leases in all queues", queues.leased),
        ("queues_messages_delayed", "Messages that wait for their backoff in all queues", queues.delayed),
        ("queues_messages_parked", "Messages that wait for a dead letter of their key in all queues", queues.parked),
        ("queues_messages_dead", "Dead letters of all queues", queues.dead),
        ("queues_bytes", "Bytes of messages in all queues", queues.bytes),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(value));
        registry.register(name, help, gauge);
    }
    for skep_core::Gauge { name, help, value } in shared.hub.gauges() {
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(value));
        registry.register(name, help, gauge);
    }
}

/// Every agent has a queue: only the fullest are shown one by one.
fn gauge_queues(registry: &mut Registry, queues: Vec<QueueInfo>) {
    type Part = fn(&QueueInfo) -> u64;
    let parts: [(&str, &str, Part); 7] = [
        ("queue_messages_ready", "Messages ready, of the fullest queues", |queue| queue.ready),
        ("queue_messages_leased", "Messages under leases, of the fullest queues", |queue| queue.leased),
        ("queue_messages_delayed", "Messages that wait for their backoff, of the fullest queues", |queue| {
            queue.delayed
        }),
        (
            "queue_messages_parked",
            "Messages that wait for a dead letter of their key, of the fullest queues",
            |queue| queue.parked,
        ),
        ("queue_messages_dead", "Dead letters, of the fullest queues", |queue| queue.dead),
        ("queue_bytes", "Bytes of messages, of the fullest queues", |queue| queue.bytes),
        ("queue_consumers", "Consumers attached, of the fullest queues", |queue| queue.consumers),
    ];
    for (name, help, part) in parts {
        let family = Family::<Labels, Gauge>::default();
        for queue in &queues {
            family.get_or_create(&[("queue", queue.spec.name.to_string())]).set(signed(part(queue)));
        }
        registry.register(name, help, family);
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
