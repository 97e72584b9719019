//! Publish to the server's answer, into one stream.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::nats::Nats;
use super::redis::Redis;
use super::server::Server;
use super::{payload, set_number};
use crate::case::{Durable, Goal, Setting, WARM_PART, together};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;
use crate::wire::{nth_queue, queue_of};

pub(super) const STREAM: &str = "BENCH";
pub(super) const TOPIC: &str = "bench.stored";
/// The begin of the topics of messages that go to one of many.
const TOPICS: &str = "bench.stored.";

pub(super) fn run(server: &Server, case: &Durable, setting: &Setting) -> anyhow::Result<Figures> {
    if server.kind.is_nats() {
        make_stream(&mut Nats::open(server.port)?, "limits")?;
    }
    let mut producers: Vec<Producer> =
        (0..case.connections).map(|n| Producer::open(server, n, case)).collect::<anyhow::Result<_>>()?;
    let each = setting.scaled(case.count).div_ceil(case.connections as u64);
    let warm = setting.goal((each / WARM_PART).max(1));
    together(&mut producers, |producer| producer.pump(&warm))?;
    let warm: u64 = producers.iter().map(|producer| producer.sent).sum();

    let goal = setting.goal(each);
    let meter = Meter::begin(server.pid())?;
    let measured = together(&mut producers, |producer| producer.pump(&goal))?;
    let used = meter.end()?;

    let all: u64 = producers.iter().map(|producer| producer.sent).sum();
    let mut positions: Vec<u64> = producers.iter().flat_map(|producer| &producer.positions).copied().collect();
    positions.sort_unstable();
    positions.dedup();
    if server.kind.is_nats() {
        ensure!(positions.len() as u64 == all, "{all} messages got {} positions", positions.len());
    }
    let held = if server.kind.is_nats() { held(server)? } else { held_by(server, case.queues)? };
    ensure!(held == all, "{all} were acknowledged, but the stream holds {held}");
    let mut latencies = Latencies::default();
    measured.into_iter().for_each(|some| latencies.append(some));
    Ok(Figures::of(all - warm, warm, &used, latencies))
}

/// A stream of the topic, in a file, that keeps everything within 4 GiB.
pub(super) fn make_stream(nats: &mut Nats, retention: &str) -> anyhow::Result<()> {
    nats.subscribe("_INBOX.bench.api")?;
    let config = json!({
        "name": STREAM, "subjects": [TOPIC, format!("{TOPICS}*")], "retention": retention, "storage": "file", "num_replicas": 1,
        "max_msgs": -1, "max_bytes": 4_u64 << 30, "discard": "new",
    });
    nats.ask(&format!("STREAM.CREATE.{STREAM}"), &config)?;
    Ok(())
}

/// Messages in the stream.
pub(super) fn held(server: &Server) -> anyhow::Result<u64> {
    if server.kind.is_nats() {
        let mut nats = Nats::open(server.port)?;
        nats.subscribe("_INBOX.bench.api")?;
        let info = nats.ask(&format!("STREAM.INFO.{STREAM}"), &json!({}))?;
        info.pointer("/state/messages").and_then(serde_json::Value::as_u64).context("a stream says how much it holds")
    } else {
        Ok(u64::try_from(Redis::open(server.port)?.ask(&["XLEN", TOPIC])?.number()?)?)
    }
}

/// Entries in all streams of Redis.
fn held_by(server: &Server, queues: u64) -> anyhow::Result<u64> {
    let mut redis = Redis::open(server.port)?;
    let mut held = 0;
    for queue in 0..queues {
        held += redis.ask(&["XLEN", &nth_queue(TOPICS, queue)])?.number()?;
    }
    Ok(u64::try_from(held)?)
}

enum Wire {
    Nats(Nats),
    Redis(Redis),
}

/// One connection that publishes.
struct Producer {
    wire: Wire,
    /// Where its answers go.
    answers: String,
    payload: Vec<u8>,
    topics: Vec<String>,
    base: u64,
    in_flight: u64,
    sent: u64,
    answered: u64,
    /// What JetStream said the positions are.
    positions: Vec<u64>,
}

impl Producer {
    fn open(server: &Server, nth: usize, case: &Durable) -> anyhow::Result<Self> {
        let answers = format!("_INBOX.bench.{nth}");
        let wire = if server.kind.is_nats() {
            let mut nats = Nats::open(server.port)?;
            nats.subscribe(&answers)?;
            Wire::Nats(nats)
        } else {
            Wire::Redis(Redis::open(server.port)?)
        };
        Ok(Producer {
            wire,
            answers,
            payload: payload(case.bytes),
            topics: (0..case.queues).map(|nth| nth_queue(TOPICS, nth)).collect(),
            base: (nth as u64) << 40,
            in_flight: case.in_flight,
            sent: 0,
            answered: 0,
            positions: Vec::new(),
        })
    }

    /// Publishes, never more unanswered than the window, until the goal is reached and all is answered.
    fn pump(&mut self, goal: &Goal) -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::default();
        let mut end = self.sent + goal.count;
        let mut waiting: VecDeque<(u64, u64, Instant)> = VecDeque::new();
        while self.answered < end {
            let now = Instant::now();
            if now >= goal.until {
                end = self.sent;
            }
            let until = end.min(self.answered + self.in_flight);
            if self.sent < until {
                waiting.push_back((until, until - self.sent, now));
                self.publish(until)?;
            }
            if self.answered == end {
                break;
            }
            self.take_answers()?;
            let now = Instant::now();
            while let Some((_, count, since)) = waiting.pop_front_if(|(end, ..)| *end <= self.answered) {
                latencies.add(now.saturating_duration_since(since), count);
            }
        }
        Ok(latencies)
    }

    fn publish(&mut self, until: u64) -> anyhow::Result<()> {
        while self.sent < until {
            let number = self.base + self.sent;
            set_number(&mut self.payload, number);
            let nth = queue_of(number, self.topics.len() as u64);
            let topic = self.topics.get(usize::try_from(nth)?).context("a topic has a number")?;
            match &mut self.wire {
                Wire::Nats(nats) => nats.put(topic, &self.answers, &self.payload),
                Wire::Redis(redis) => redis.put(&[b"XADD", topic.as_bytes(), b"*", b"d", &self.payload]),
            }
            self.sent += 1;
        }
        match &mut self.wire {
            Wire::Nats(nats) => nats.flush(),
            Wire::Redis(redis) => redis.flush(),
        }
    }

    /// Waits for an answer, and takes all that are here.
    fn take_answers(&mut self) -> anyhow::Result<()> {
        match &mut self.wire {
            Wire::Nats(nats) => {
                let mut heard = Some(nats.next()?);
                while let Some(answer) = heard {
                    self.positions.push(position(nats.payload(&answer))?);
                    self.answered += 1;
                    heard = nats.next_here()?;
                }
            }
            Wire::Redis(redis) => {
                let mut heard = Some(redis.next()?);
                while let Some(answer) = heard {
                    answer.bytes().context("an entry is answered by its id")?;
                    self.answered += 1;
                    heard = redis.next_here()?;
                }
            }
        }
        Ok(())
    }
}

/// The sequence in `{"stream":"BENCH", "seq":7}`.
pub(super) fn position(answer: &[u8]) -> anyhow::Result<u64> {
    let text = std::str::from_utf8(answer)?;
    let wrong = || format!("a publish is answered by {text}");
    let (_, rest) = text.split_once("\"seq\":").with_context(wrong)?;
    rest.split([',', '}']).next().unwrap_or_default().trim().parse().with_context(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_no_position() {
        assert_eq!(position(br#"{"stream":"BENCH", "seq":7}"#).unwrap(), 7);
        assert_eq!(position(br#"{"stream":"BENCH","seq":8,"duplicate":true}"#).unwrap(), 8);
        assert!(position(br#"{"error":{"code":503,"description":"insufficient storage"}}"#).is_err());
    }
}
