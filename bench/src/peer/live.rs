//! One publisher, some listeners, nothing stored.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, bail, ensure};

use super::nats::Nats;
use super::redis::Redis;
use super::server::Server;
use super::{number_of, payload, set_number};
use crate::case::{AHEAD_BYTES_MAX, AHEAD_MAX, Goal, Live, PAUSE, Setting, WARM_PART, frame_messages, slowest};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;

const TOPIC: &str = "bench.live";

pub(super) fn run(server: &Server, case: &Live, setting: &Setting) -> anyhow::Result<Figures> {
    let mut listeners =
        (0..case.listeners).map(|_| Listener::open(server)).collect::<anyhow::Result<Vec<Listener>>>()?;
    let mut publisher = Publisher::open(server, case)?;
    let count = setting.scaled(case.count);
    let warm = phase(&mut publisher, &mut listeners, &setting.goal((count / WARM_PART).max(1)))?;
    let goal = setting.goal(count);
    let meter = Meter::begin(server.pid())?;
    let measured = phase(&mut publisher, &mut listeners, &goal)?;
    let used = meter.end()?;
    let each = case.listeners as u64;
    Ok(Figures::of(measured * each, warm * each, &used, Latencies::default()))
}

enum Wire {
    Nats(Nats),
    Redis(Redis),
}

struct Listener {
    wire: Wire,
    /// The number it expects next.
    expected: AtomicU64,
}

impl Listener {
    fn open(server: &Server) -> anyhow::Result<Self> {
        let wire = if server.kind.is_nats() {
            let mut nats = Nats::open(server.port)?;
            nats.subscribe(TOPIC)?;
            Wire::Nats(nats)
        } else {
            let mut redis = Redis::open(server.port)?;
            redis.ask(&["SUBSCRIBE", TOPIC])?;
            Wire::Redis(redis)
        };
        Ok(Listener { wire, expected: AtomicU64::new(0) })
    }
}

/// Reads until the last number: each must come once, in order.
fn hear(wire: &mut Wire, progress: &AtomicU64, last: &AtomicU64) -> anyhow::Result<()> {
    let mut expected = progress.load(Ordering::Relaxed);
    while expected <= last.load(Ordering::SeqCst) {
        let mut take = |number: u64| {
            ensure!(number == expected, "a listener expects {expected} and gets {number}");
            expected += 1;
            Ok(())
        };
        match wire {
            Wire::Nats(nats) => {
                let mut heard = Some(nats.next()?);
                while let Some(message) = heard {
                    take(number_of(nats.payload(&message))?)?;
                    heard = nats.next_here()?;
                }
            }
            Wire::Redis(redis) => {
                let mut heard = Some(redis.next()?);
                while let Some(message) = heard {
                    take(number_of(message.list()?.last().context("a message is a list")?.bytes()?)?)?;
                    heard = redis.next_here()?;
                }
            }
        }
        progress.store(expected, Ordering::Relaxed);
    }
    Ok(())
}

struct Publisher {
    wire: Wire,
    payload: Vec<u8>,
    batch: u64,
    ahead_max: u64,
    listeners: i64,
    next: u64,
}

impl Publisher {
    fn open(server: &Server, case: &Live) -> anyhow::Result<Self> {
        let wire = if server.kind.is_nats() {
            Wire::Nats(Nats::open(server.port)?)
        } else {
            Wire::Redis(Redis::open(server.port)?)
        };
        let batch = case.batch.unwrap_or_else(|| frame_messages(case.bytes)).max(1);
        let ahead_max = (AHEAD_BYTES_MAX / case.bytes.max(8) as u64).clamp(batch, AHEAD_MAX.max(batch));
        let listeners = i64::try_from(case.listeners)?;
        Ok(Publisher { wire, payload: payload(case.bytes), batch, ahead_max, listeners, next: 0 })
    }

    fn publish(&mut self, count: u64) -> anyhow::Result<()> {
        for number in self.next..self.next + count {
            set_number(&mut self.payload, number);
            match &mut self.wire {
                Wire::Nats(nats) => nats.put(TOPIC, "", &self.payload),
                Wire::Redis(redis) => redis.put(&[b"PUBLISH", TOPIC.as_bytes(), &self.payload]),
            }
        }
        self.next += count;
        match &mut self.wire {
            Wire::Nats(nats) => nats.flush(),
            Wire::Redis(redis) => {
                redis.flush()?;
                for _ in 0..count {
                    let heard = redis.next()?.number()?;
                    ensure!(heard == self.listeners, "{} listen, but {heard} got a message", self.listeners);
                }
                Ok(())
            }
        }
    }
}

/// Publishes until the goal is reached and every listener has heard all; answers how many.
fn phase(publisher: &mut Publisher, listeners: &mut [Listener], goal: &Goal) -> anyhow::Result<u64> {
    let first = publisher.next;
    let (last, failed) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let (last, failed) = (&last, &failed);
        let mut heard = Vec::new();
        let mut threads = Vec::new();
        for Listener { wire, expected } in listeners {
            let expected = &*expected;
            heard.push(expected);
            threads.push(scope.spawn(move || {
                let done = hear(wire, expected, last);
                failed.fetch_or(done.is_err(), Ordering::Relaxed);
                done
            }));
        }
        let published = publish_all(publisher, &heard, goal, last, failed);
        for thread in threads {
            thread.join().expect("a listener does not panic")?;
        }
        published
    })?;
    Ok(publisher.next - first)
}

fn publish_all(
    publisher: &mut Publisher,
    heard: &[&AtomicU64],
    goal: &Goal,
    last: &AtomicU64,
    failed: &AtomicBool,
) -> anyhow::Result<()> {
    let end = publisher.next + goal.count;
    loop {
        let count = publisher.batch.min(end - publisher.next);
        let next = publisher.next + count;
        while next > slowest(heard).unwrap_or(next) + publisher.ahead_max {
            if failed.load(Ordering::Relaxed) {
                bail!("a listener failed");
            }
            std::thread::sleep(PAUSE);
        }
        let is_last = next == end || goal.is_late();
        if is_last {
            last.store(next - 1, Ordering::SeqCst);
        }
        publisher.publish(count)?;
        if is_last {
            return Ok(());
        }
    }
}
