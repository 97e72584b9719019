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
use skep_protocol::{Ask, Code, Error, Page, QueueInfo};

use super::Answered;
use super::extract::Caller;
use crate::edge::Shared;
use crate::limits::METRIC_QUEUES_MAX;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = [(&'static str, String); 1];

/// `GET /metrics`
pub(crate) async fn metrics(caller: Caller) -> Answered {
    let shared = caller.shared.clone();
    let Page::Queues(queues) = caller.visit()?.ask(Ask::Queues).await? else {
        return Err(Error::new(Code::Internal, "the hub answered another question").into());
    };
    let mut registry = Registry::with_prefix("skep");
    count(&mut registry, &shared.hub.counters());
    gauge_hub(&mut registry, &shared, &queues);
    gauge_queues(&mut registry, queues);
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

fn gauge_hub(registry: &mut Registry, shared: &Shared, queues: &[QueueInfo]) {
    let sum = |part: fn(&QueueInfo) -> u64| queues.iter().map(part).sum::<u64>();
    for (name, help, value) in [
        ("sessions", "Sessions attached now, parked ones included", shared.hub.sessions()),
        ("connections", "Connections to this edge now", shared.seats.taken() as u64),
        ("ready", "Whether the hub takes publishes", u64::from(shared.hub.trouble().is_none())),
        ("queues", "Queues declared", queues.len() as u64),
        ("queues_messages_ready", "Messages ready in all queues", sum(|queue| queue.ready)),
        ("queues_messages_leased", "Messages under leases in all queues", sum(|queue| queue.leased)),
        ("queues_messages_delayed", "Messages that wait for their backoff in all queues", sum(|queue| queue.delayed)),
        ("queues_messages_dead", "Dead letters of all queues", sum(|queue| queue.dead)),
        ("queues_bytes", "Bytes of messages in all queues", sum(|queue| queue.bytes)),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(value));
        registry.register(name, help, gauge);
    }
}

/// Every agent has a queue: only the fullest are shown one by one.
fn gauge_queues(registry: &mut Registry, mut queues: Vec<QueueInfo>) {
    queues.sort_by_key(|queue| std::cmp::Reverse(queue.ready + queue.leased + queue.delayed + queue.dead));
    queues.truncate(METRIC_QUEUES_MAX);
    type Part = fn(&QueueInfo) -> u64;
    let parts: [(&str, &str, Part); 6] = [
        ("queue_messages_ready", "Messages ready, of the fullest queues", |queue| queue.ready),
        ("queue_messages_leased", "Messages under leases, of the fullest queues", |queue| queue.leased),
        ("queue_messages_delayed", "Messages that wait for their backoff, of the fullest queues", |queue| {
            queue.delayed
        }),
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
