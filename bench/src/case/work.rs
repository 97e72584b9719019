//! A work queue: enqueue, lease, ack, all synced to disk. Every client does all three.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use skep_protocol::{Frame, QueueName, Target};

use super::{Goal, Setting, WARM_PART, bytes_in_words, together};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;
use crate::wire::{Link, Party, Said, Template, listen, settle_frame};

const QUEUE: &str = "bench.work";

/// So many clients; each enqueues a batch and waits for the receipt, then takes as many jobs,
/// acks them and waits for the answer.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Work {
    /// Clients
    #[arg(long, default_value_t = 64)]
    pub(crate) clients: usize,
    /// Jobs that are enqueued, taken and acked together
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: u32,
    /// Bytes of a payload, 8 at least
    #[arg(long, default_value_t = 256)]
    pub(crate) bytes: usize,
    /// Jobs of all clients together
    #[arg(long, default_value_t = 64_000)]
    pub(crate) count: u64,
}

impl Work {
    pub(super) fn standard() -> Vec<Self> {
        [(1, 64_000), (32, 512_000)].map(|(batch, count)| Work { clients: 64, batch, bytes: 256, count }).into()
    }

    pub(crate) fn name(&self) -> String {
        let Work { clients, batch, bytes, .. } = self;
        let together = if *batch == 1 { "single".into() } else { format!("batches of {batch}") };
        format!("work queue, enqueue to ack, {}, {clients} clients, {together}, each job", bytes_in_words(*bytes))
    }

    pub(super) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let hub = setting.hub()?;
        let mut observer = Link::open(hub.party())?;
        observer.declare(QUEUE)?;
        let mut workers: Vec<Worker> =
            (0..self.clients).map(|n| Worker::open(hub.party(), n, self)).collect::<anyhow::Result<_>>()?;
        let rounds = setting.scaled(self.count).div_ceil(self.clients as u64 * u64::from(self.batch));

        let warm = self.phase(&mut workers, &setting.goal((rounds / WARM_PART).max(1)))?;
        let goal = setting.goal(rounds);
        let meter = Meter::begin(hub.pid())?;
        let measured = self.phase(&mut workers, &goal)?;
        let used = meter.end()?;

        let held = observer.look(QUEUE)?;
        let left = held.ready + held.leased + held.delayed + held.dead;
        ensure!(left == 0, "every job was acked, but the queue holds {held:?}");
        drop(workers);
        hub.stop()?;
        Ok(Figures::of(measured.jobs, warm.jobs, &used, measured.latencies))
    }

    /// All workers do their rounds. Every job that was enqueued must be acked once.
    fn phase(&self, workers: &mut [Worker], goal: &Goal) -> anyhow::Result<Tally> {
        for worker in workers.iter_mut() {
            worker.begin()?;
        }
        let tallies = together(workers, |worker| worker.rounds(goal))?;
        let mut acked: Vec<u64> = tallies.iter().flat_map(|(acked, _)| acked.iter().copied()).collect();
        let mut sent: Vec<u64> = workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.sent)).collect();
        acked.sort_unstable();
        sent.sort_unstable();
        ensure!(acked == sent, "{} jobs were enqueued, but others acked: {}", sent.len(), acked.len());
        let mut latencies = Latencies::default();
        tallies.into_iter().for_each(|(_, some)| latencies.append(some));
        Ok(Tally { jobs: sent.len() as u64, latencies })
    }
}

/// What a phase did.
struct Tally {
    jobs: u64,
    latencies: Latencies,
}

/// A client that enqueues and works.
struct Worker {
    link: Link,
    template: Template,
    base: u64,
    batch: u32,
    /// Its subscription; each phase has one of its own.
    subscription: u32,
    is_subscribed: bool,
    /// Leases not settled yet, and the numbers of their jobs.
    held: VecDeque<([u8; 16], u64)>,
    /// Numbers of the jobs it enqueued in this phase.
    sent: Vec<u64>,
    /// Jobs without receipt.
    unanswered: u64,
    /// The tag of settles without answer.
    unsettled: Option<u64>,
    next_tag: u64,
}

impl Worker {
    fn open(party: &Party, nth: usize, case: &Work) -> anyhow::Result<Self> {
        Ok(Worker {
            link: Link::open(party)?,
            template: Template::new(QUEUE, case.bytes, None)?,
            base: (nth as u64) << 40,
            batch: case.batch,
            subscription: 0,
            is_subscribed: false,
            held: VecDeque::new(),
            sent: Vec::new(),
            unanswered: 0,
            unsettled: None,
            next_tag: 1,
        })
    }

    /// Takes from the queue from now on.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.subscription += 1;
        self.is_subscribed = false;
        self.link.subscribe(self.subscription, Target::Queue(QueueName::new(QUEUE)?), self.batch)?;
        while !self.is_subscribed {
            self.hear().context("a worker waits for its subscription")?;
        }
        Ok(())
    }

    /// Answers the numbers it acked. It acks as many as it enqueues, so that nobody waits for
    /// jobs that are not there; what it holds beyond that returns to the queue at the end.
    fn rounds(&mut self, goal: &Goal) -> anyhow::Result<(Vec<u64>, Latencies)> {
        let (mut acked, mut latencies, mut frame) = (Vec::new(), Latencies::default(), Vec::new());
        let batch = self.batch as usize;
        for _ in 0..goal.count {
            if goal.is_late() {
                break;
            }
            let since = Instant::now();
            self.enqueue(&mut frame)?;
            while self.unanswered > 0 {
                self.hear().context("a worker waits for receipts")?;
            }
            while self.held.len() < batch {
                self.hear().with_context(|| format!("a worker holds {} of {batch} jobs", self.held.len()))?;
            }
            let (leases, numbers): (Vec<_>, Vec<_>) = self.held.drain(..batch).unzip();
            self.settle(&leases, &mut frame)?;
            while self.unsettled.is_some() {
                self.hear().context("a worker waits for its settles")?;
            }
            acked.extend(numbers);
            latencies.add(since.elapsed(), u64::from(self.batch));
        }
        self.link.say(&Frame::Unsubscribe(self.subscription))?;
        self.held.clear();
        Ok((acked, latencies))
    }

    fn enqueue(&mut self, frame: &mut Vec<u8>) -> anyhow::Result<()> {
        let first = self.link.next_sequence;
        let (base, batch) = (self.base, u64::from(self.batch));
        self.template.publish(first, (0..self.batch).map(|n| base + first + u64::from(n)), frame);
        self.sent.extend((first..first + batch).map(|sequence| base + sequence));
        self.link.next_sequence += batch;
        self.unanswered = batch;
        self.link.writer.put(frame);
        self.link.writer.flush()
    }

    fn settle(&mut self, leases: &[[u8; 16]], frame: &mut Vec<u8>) -> anyhow::Result<()> {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.unsettled = Some(tag);
        settle_frame(tag, leases, frame);
        self.link.writer.put(frame);
        self.link.writer.flush()
    }

    /// Takes one frame.
    fn hear(&mut self) -> anyhow::Result<()> {
        match listen(self.link.reader.next()?)? {
            Said::Receipts(receipts) => Said::receipts(receipts, |run| {
                let left = self.unanswered.checked_sub(run.count);
                self.unanswered = left.with_context(|| format!("a receipt comes twice: {run:?}"))?;
                Ok(())
            }),
            Said::Deliveries(deliveries) => Said::deliveries(deliveries, |leased| {
                ensure!(leased.attempt == 1, "no attempt ended, but this is attempt {}", leased.attempt);
                // What an ended subscription was still sent has returned to the queue.
                if leased.subscription == u64::from(self.subscription) {
                    self.held.push_back((leased.lease, self.template.number(leased.message)?));
                }
                Ok(())
            }),
            Said::Settled(answer) => {
                let (tag, count) = Said::settled(answer)?;
                ensure!(self.unsettled == Some(tag), "expected the answer to {:?}, got {tag}", self.unsettled);
                ensure!(count == self.batch as usize, "{} settles were answered by {count}", self.batch);
                self.unsettled = None;
                Ok(())
            }
            Said::Subscribed(id) => {
                self.is_subscribed = id == u64::from(self.subscription);
                Ok(())
            }
            Said::Live(_) | Said::Ping => Ok(()),
        }
    }
}
