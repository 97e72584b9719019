//! Publish to receipt, synced to disk, into one durable queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{Goal, Setting, WARM_PART, bytes_in_words, frame_messages, together};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;
use crate::wire::{Link, Party, Said, Template, listen, nth_queue};

/// The begin of the names of all queues.
const QUEUE: &str = "bench.durable.";

/// So many connections with so many messages unanswered each.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Durable {
    /// Connections
    #[arg(long, default_value_t = 1)]
    pub(crate) connections: usize,
    /// Messages without receipt on each, 4096 at most
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) in_flight: u64,
    /// Bytes of a payload, 8 at least
    #[arg(long, default_value_t = 256)]
    pub(crate) bytes: usize,
    /// Messages of all connections together
    #[arg(long, default_value_t = 300_000)]
    pub(crate) count: u64,
    /// Queues, each with a topic of its own: a message goes to any of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) queues: u64,
    /// How durable, if not as --durability says
    #[arg(skip)]
    pub(crate) level: Option<&'static str>,
}

/// Weaker levels than that of the hub: each answers before it is synced.
const LEVELS: [&str; 3] = ["interval(100ms)", "os", "memory"];
/// How long after its receipt a message may be shown.
const SHOWN_MAX: Duration = Duration::from_secs(5);
/// In flight, and how many messages.
const WINDOWS: [(u64, u64); 4] = [(1, 5_000), (16, 100_000), (256, 500_000), (2048, 1_000_000)];

impl Durable {
    pub(super) fn standard() -> Vec<Self> {
        let one = |in_flight, bytes, count| Durable { connections: 1, in_flight, bytes, count, queues: 1, level: None };
        let mut cases: Vec<Self> = WINDOWS.map(|(in_flight, count)| one(in_flight, 256, count)).into();
        cases.push(Durable { connections: 64, ..one(1, 256, 64_000) });
        cases.extend([(1024, 300_000), (16 * 1024, 40_000)].map(|(bytes, count)| one(256, bytes, count)));
        cases.extend([10_000, 100_000].map(|queues| Durable { queues, ..one(2048, 256, 500_000) }));
        for level in LEVELS {
            cases
                .extend(WINDOWS.map(|(in_flight, count)| Durable { level: Some(level), ..one(in_flight, 256, count) }));
        }
        cases
    }

    pub(crate) fn name(&self) -> String {
        let Durable { connections, in_flight, bytes, queues, level, .. } = self;
        let bytes = bytes_in_words(*bytes);
        let begin = match level {
            None => "durable publish to receipt".into(),
            Some(level) => format!("publish to receipt at level {level}"),
        };
        let end = match (connections, queues) {
            (1, 1) => format!("{in_flight} in flight"),
            (1, queues) => format!("{in_flight} in flight, to any of {queues} queues"),
            (n, 1) => format!("{n} connections, {in_flight} in flight each"),
            (n, queues) => format!("{n} connections, {in_flight} in flight each, to any of {queues} queues"),
        };
        format!("{begin}, {bytes}, {end}")
    }

    pub(super) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let setting = &match self.level {
            Some(level) => Setting { durability: level.into(), ..setting.clone() },
            None => setting.clone(),
        };
        let hub = setting.hub()?;
        let mut observer = Link::open(hub.party())?;
        observer.declare_all(self.queues())?;
        let mut producers: Vec<Producer> =
            (0..self.connections).map(|n| Producer::open(hub.party(), n, self)).collect::<anyhow::Result<_>>()?;

        let each = setting.scaled(self.count).div_ceil(self.connections as u64);
        let warm = setting.goal((each / WARM_PART).max(1));
        together(&mut producers, |producer| producer.pump(&warm))?;
        let warm: u64 = producers.iter().map(Producer::sent).sum();

        let goal = setting.goal(each);
        let meter = Meter::begin(hub.pid())?;
        let measured = together(&mut producers, |producer| producer.pump(&goal))?;
        let used = meter.end()?;

        let all: u64 = producers.iter().map(Producer::sent).sum();
        check_positions(producers.iter().flat_map(|producer| &producer.stored).copied().collect(), all)?;
        // At level memory a receipt comes before the message is shown.
        let since = Instant::now();
        let mut held = observer.held()?;
        while held != (all, 0) && since.elapsed() < SHOWN_MAX {
            held = observer.held()?;
        }
        ensure!(held == (all, 0), "{all} were acknowledged, but held are (ready, others) {held:?}");
        drop(producers);
        hub.stop()?;
        let mut latencies = Latencies::default();
        measured.into_iter().for_each(|some| latencies.append(some));
        Ok(Figures::of(all - warm, warm, &used, latencies))
    }
}

impl Durable {
    /// Their names.
    pub(super) fn queues(&self) -> impl Iterator<Item = String> {
        (0..self.queues).map(|nth| nth_queue(QUEUE, nth))
    }
}

/// One connection that publishes.
pub(super) struct Producer {
    link: Link,
    template: Template,
    /// Tells the numbers of its messages from those of others.
    base: u64,
    in_flight: u64,
    /// First position and count of each run of receipts.
    stored: Vec<(u64, u64)>,
    frame: Vec<u8>,
}

/// A frame that is not answered yet.
struct Waiting {
    /// The sequence behind its last.
    end: u64,
    count: u64,
    since: Instant,
}

impl Producer {
    pub(super) fn open(party: &Party, nth: usize, case: &Durable) -> anyhow::Result<Self> {
        let (link, template) = (Link::open(party)?, Template::to_many(QUEUE, case.queues, case.bytes)?);
        let (base, in_flight) = ((nth as u64) << 40, case.in_flight);
        Ok(Producer { link, template, base, in_flight, stored: Vec::new(), frame: Vec::new() })
    }

    pub(super) fn sent(&self) -> u64 {
        self.link.next_sequence - 1
    }

    /// Publishes, never more unanswered than the window, until the goal is reached and every
    /// receipt is here.
    pub(super) fn pump(&mut self, goal: &Goal) -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::default();
        let (first, mut end) = (self.link.next_sequence, self.link.next_sequence + goal.count);
        let mut answered = first;
        let mut waiting = VecDeque::new();
        while answered < end {
            let now = Instant::now();
            if now >= goal.until {
                end = self.link.next_sequence;
            }
            self.fill(end.min(answered + self.in_flight), now, &mut waiting)?;
            if answered == end {
                break;
            }
            answered = self.take_receipts(answered, &mut waiting, &mut latencies)?;
        }
        Ok(latencies)
    }

    /// Publishes all sequences before `end`.
    fn fill(&mut self, end: u64, now: Instant, waiting: &mut VecDeque<Waiting>) -> anyhow::Result<()> {
        while self.link.next_sequence < end {
            let first = self.link.next_sequence;
            let count = (end - first).min(frame_messages(self.template.len()));
            let numbers = u32::try_from(count)?;
            self.template.publish(first, (0..numbers).map(|n| self.base + first + u64::from(n)), &mut self.frame);
            self.link.writer.put(&self.frame);
            self.link.next_sequence += count;
            waiting.push_back(Waiting { end: first + count, count, since: now });
        }
        self.link.writer.flush()
    }

    /// Waits for receipts, takes all that are here, and answers up to where there are some.
    fn take_receipts(
        &mut self,
        mut answered: u64,
        waiting: &mut VecDeque<Waiting>,
        latencies: &mut Latencies,
    ) -> anyhow::Result<u64> {
        let mut frame = Some(self.link.reader.next()?);
        let now = Instant::now();
        while let Some(bytes) = frame {
            if let Said::Receipts(receipts) = listen(bytes)? {
                Said::receipts(receipts, |run| {
                    ensure!(run.sequence == answered, "expected the receipt of {answered}, got {run:?}");
                    self.stored.push((run.position.context("a receipt shows no position")?, run.count));
                    answered += run.count;
                    Ok(())
                })?;
            }
            frame = self.link.reader.next_here()?;
        }
        ensure!(answered <= self.link.next_sequence, "there are receipts of what was never sent");
        // A frame that is answered in part waits for the rest.
        while let Some(frame) = waiting.pop_front_if(|frame| frame.end <= answered) {
            latencies.add(now.saturating_duration_since(frame.since), frame.count);
        }
        Ok(answered)
    }
}

/// Every position was given once, and there are as many as messages.
fn check_positions(mut runs: Vec<(u64, u64)>, messages: u64) -> anyhow::Result<()> {
    runs.sort_unstable();
    for pair in runs.windows(2) {
        let [(first, count), (next, _)] = *pair else { continue };
        ensure!(first + count <= next, "positions from {next} on were given twice");
    }
    let positions: u64 = runs.iter().map(|(_, count)| count).sum();
    ensure!(positions == messages, "{messages} messages got {positions} positions");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_was_given_twice_is_noticed() {
        assert!(check_positions(vec![(10, 5), (1, 9), (15, 1)], 15).is_ok());
        assert!(check_positions(vec![(10, 5), (14, 1)], 6).is_err());
        assert!(check_positions(vec![(10, 5)], 6).is_err());
    }
}
