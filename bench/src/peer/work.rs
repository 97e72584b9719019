//! A work queue: enqueue, take, ack, each answered by the server. Every client does all three.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::durable::{STREAM, TOPIC, held, make_stream, position};
use super::nats::Nats;
use super::redis::Redis;
use super::server::Server;
use super::{number_of, payload, set_number};
use crate::case::{Goal, Setting, WARM_PART, Work, together};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;

const GROUP: &str = "workers";
/// How long one asks for jobs before one asks again, in milliseconds.
const ASK_MS: u64 = 5_000;

pub(super) fn run(server: &Server, case: &Work, setting: &Setting) -> anyhow::Result<Figures> {
    prepare(server)?;
    let mut workers: Vec<Worker> =
        (0..case.clients).map(|n| Worker::open(server, n, case)).collect::<anyhow::Result<_>>()?;
    let rounds = setting.scaled(case.count).div_ceil(case.clients as u64 * u64::from(case.batch));
    let (warm, _) = phase(&mut workers, &setting.goal((rounds / WARM_PART).max(1)))?;
    let goal = setting.goal(rounds);
    let meter = Meter::begin(server.pid())?;
    let (jobs, latencies) = phase(&mut workers, &goal)?;
    let used = meter.end()?;
    let left = if server.kind.is_nats() { held(server)? } else { pending(server)? };
    ensure!(left == 0, "every job was acked, but {left} are left");
    Ok(Figures::of(jobs, warm, &used, latencies))
}

/// Jobs that were taken and not acked.
fn pending(server: &Server) -> anyhow::Result<u64> {
    let answer = Redis::open(server.port)?.ask(&["XPENDING", TOPIC, GROUP])?;
    Ok(u64::try_from(answer.list()?.first().context("a count comes first")?.number()?)?)
}

fn prepare(server: &Server) -> anyhow::Result<()> {
    if server.kind.is_nats() {
        let mut nats = Nats::open(server.port)?;
        make_stream(&mut nats, "workqueue")?;
        let config = json!({
            "durable_name": GROUP, "ack_policy": "explicit", "deliver_policy": "all",
            "max_ack_pending": 100_000, "max_waiting": 4096,
        });
        let body = json!({ "stream_name": STREAM, "config": config });
        nats.ask(&format!("CONSUMER.DURABLE.CREATE.{STREAM}.{GROUP}"), &body)?;
    } else {
        Redis::open(server.port)?.ask(&["XGROUP", "CREATE", TOPIC, GROUP, "$", "MKSTREAM"])?;
    }
    Ok(())
}

/// All workers do their rounds. Every job that was enqueued must be acked once.
fn phase(workers: &mut [Worker], goal: &Goal) -> anyhow::Result<(u64, Latencies)> {
    let tallies = together(workers, |worker| worker.rounds(goal))?;
    let mut sent: Vec<u64> = workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.sent)).collect();
    let (mut acked, mut latencies) = (Vec::new(), Latencies::default());
    for (numbers, some) in tallies {
        acked.extend(numbers);
        latencies.append(some);
    }
    acked.sort_unstable();
    sent.sort_unstable();
    ensure!(acked == sent, "{} jobs were enqueued, but others acked: {}", sent.len(), acked.len());
    Ok((sent.len() as u64, latencies))
}

enum Wire {
    Nats(Nats),
    Redis(Redis),
}

struct Worker {
    wire: Wire,
    /// Its name, and where its answers go.
    name: String,
    payload: Vec<u8>,
    batch: u64,
    next: u64,
    /// Numbers of the jobs it enqueued in this phase.
    sent: Vec<u64>,
}

/// How a job is acked, and its number.
type Job = (String, u64);

impl Worker {
    fn open(server: &Server, nth: usize, case: &Work) -> anyhow::Result<Self> {
        let name = format!("_INBOX.bench.{nth}");
        let wire = if server.kind.is_nats() {
            let mut nats = Nats::open(server.port)?;
            nats.subscribe(&name)?;
            Wire::Nats(nats)
        } else {
            Wire::Redis(Redis::open(server.port)?)
        };
        let (payload, next) = (payload(case.bytes), (nth as u64) << 40);
        Ok(Worker { wire, name, payload, batch: case.batch.into(), next, sent: Vec::new() })
    }

    fn rounds(&mut self, goal: &Goal) -> anyhow::Result<(Vec<u64>, Latencies)> {
        let (mut acked, mut latencies) = (Vec::new(), Latencies::default());
        for _ in 0..goal.count {
            if goal.is_late() {
                break;
            }
            let since = Instant::now();
            self.enqueue()?;
            let mut jobs = Vec::new();
            while (jobs.len() as u64) < self.batch {
                self.take(self.batch - jobs.len() as u64, &mut jobs)?;
            }
            self.ack(&jobs)?;
            acked.extend(jobs.iter().map(|(_, number)| *number));
            latencies.add(since.elapsed(), self.batch);
        }
        Ok((acked, latencies))
    }

    fn enqueue(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.batch {
            set_number(&mut self.payload, self.next);
            match &mut self.wire {
                Wire::Nats(nats) => nats.put(TOPIC, &self.name, &self.payload),
                Wire::Redis(redis) => redis.put(&[b"XADD", TOPIC.as_bytes(), b"*", b"d", &self.payload]),
            }
            self.sent.push(self.next);
            self.next += 1;
        }
        match &mut self.wire {
            Wire::Nats(nats) => {
                nats.flush()?;
                for _ in 0..self.batch {
                    let answer = nats.next()?;
                    position(nats.payload(&answer))?;
                }
            }
            Wire::Redis(redis) => {
                redis.flush()?;
                for _ in 0..self.batch {
                    redis.next()?.bytes().context("an entry is answered by its id")?;
                }
            }
        }
        Ok(())
    }

    /// Takes at most so many.
    fn take(&mut self, most: u64, jobs: &mut Vec<Job>) -> anyhow::Result<()> {
        match &mut self.wire {
            Wire::Nats(nats) => {
                let ask = json!({ "batch": most, "expires": 30_000_000_000_u64 }).to_string();
                nats.put(&format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{GROUP}"), &self.name, ask.as_bytes());
                nats.flush()?;
                for _ in 0..most {
                    let job = nats.next()?;
                    jobs.push((nats.reply(&job)?, number_of(nats.payload(&job))?));
                }
            }
            Wire::Redis(redis) => {
                let (count, block) = (most.to_string(), ASK_MS.to_string());
                let words = ["XREADGROUP", "GROUP", GROUP, &self.name, "COUNT", &count, "BLOCK", &block];
                let answer = redis.ask(&[&words[..], &["STREAMS", TOPIC, ">"]].concat())?;
                let streams = answer.list().context("jobs were waited for")?;
                let stream = streams.first().context("one stream was asked for")?.list()?;
                for entry in stream.get(1).context("a stream has entries")?.list()? {
                    let [id, fields] = entry.list()? else { anyhow::bail!("an entry is an id and fields: {entry:?}") };
                    let data = fields.list()?.get(1).context("an entry has a field")?.bytes()?;
                    jobs.push((String::from_utf8(id.bytes()?.into())?, number_of(data)?));
                }
            }
        }
        Ok(())
    }

    /// Acks, and waits until the server says that it knows.
    fn ack(&mut self, jobs: &[Job]) -> anyhow::Result<()> {
        match &mut self.wire {
            Wire::Nats(nats) => {
                for (how, _) in jobs {
                    nats.put(how, &self.name, b"+ACK");
                }
                nats.flush()?;
                for _ in jobs {
                    nats.next()?;
                }
            }
            Wire::Redis(redis) => {
                let mut words = vec!["XACK", TOPIC, GROUP];
                words.extend(jobs.iter().map(|(id, _)| id.as_str()));
                let acked = redis.ask(&words)?.number()?;
                ensure!(acked == i64::try_from(jobs.len())?, "{} jobs were acked, {acked} in truth", jobs.len());
            }
        }
        Ok(())
    }
}
