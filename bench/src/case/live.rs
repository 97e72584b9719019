//! One publisher, some listeners, nothing stored.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::{Goal, Setting, WARM_PART, bytes_in_words, frame_messages};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;
use crate::wire::{Link, Reader, Said, Template, Writer, listen};

const TOPIC: &str = "bench.live";
/// How far the publisher may be ahead of the slowest listener, in messages and in bytes: well
/// within what the hub keeps for one session (16,384 messages, 8 MiB), so that nothing is dropped.
pub(crate) const AHEAD_MAX: u64 = 4096;
pub(crate) const AHEAD_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long a publisher that is too far ahead waits before it looks again.
pub(crate) const PAUSE: Duration = Duration::from_micros(20);

/// One publisher and so many listeners, each with a connection of its own.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Live {
    /// Listeners
    #[arg(long, default_value_t = 1)]
    pub(crate) listeners: usize,
    /// Bytes of a payload, 8 at least
    #[arg(long, default_value_t = 256)]
    pub(crate) bytes: usize,
    /// Messages published
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) count: u64,
    /// Messages of one publish frame; unsaid, as many as fill 64 KiB, 256 at most
    #[arg(long)]
    pub(crate) batch: Option<u64>,
}

impl Live {
    pub(super) fn standard() -> Vec<Self> {
        [
            (1, 16, 2_000_000, None),
            (1, 256, 2_000_000, None),
            (1, 256, 1_000_000, Some(1)),
            (1, 16 * 1024, 100_000, None),
            (10, 16, 400_000, None),
            (10, 256, 400_000, None),
            (10, 16 * 1024, 30_000, None),
        ]
        .map(|(listeners, bytes, count, batch)| Live { listeners, bytes, count, batch })
        .into()
    }

    pub(crate) fn name(&self) -> String {
        let batch = match self.batch {
            None => String::new(),
            Some(1) => ", one message a frame".into(),
            Some(n) => format!(", {n} messages a frame"),
        };
        format!("live 1:{}, {}{batch}, each delivery", self.listeners, bytes_in_words(self.bytes))
    }

    pub(super) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let hub = setting.hub()?;
        let mut listeners = Vec::new();
        for _ in 0..self.listeners {
            let mut link = Link::open(hub.party())?;
            link.listen(TOPIC)?;
            listeners.push(Listener { link, expected: AtomicU64::new(1) });
        }
        let template = Template::new(TOPIC, self.bytes, None)?;
        let mut publisher = Link::open(hub.party())?;

        let count = setting.scaled(self.count);
        let warm = self.phase(&template, &mut publisher, &mut listeners, &setting.goal((count / WARM_PART).max(1)))?;
        let goal = setting.goal(count);
        let meter = Meter::begin(hub.pid())?;
        let measured = self.phase(&template, &mut publisher, &mut listeners, &goal)?;
        let used = meter.end()?;
        drop((publisher, listeners));
        hub.stop()?;
        let each = self.listeners as u64;
        Ok(Figures::of(measured * each, warm * each, &used, Latencies::default()))
    }

    /// Publishes until the goal is reached and every listener has heard all, each once and in
    /// order, and every receipt says so. Answers how many were published.
    fn phase(
        &self,
        template: &Template,
        publisher: &mut Link,
        listeners: &mut [Listener],
        goal: &Goal,
    ) -> anyhow::Result<u64> {
        let first = publisher.next_sequence;
        let shared = Shared { last: AtomicU64::new(u64::MAX), failed: AtomicBool::new(false) };
        let Link { reader: receipts, writer, .. } = publisher;
        let next = std::thread::scope(|scope| -> anyhow::Result<u64> {
            let (shared, each) = (&shared, listeners.len() as u64);
            let check = move || check_receipts(receipts, first, each, shared);
            let mut threads = vec![scope.spawn(move || shared.watched(check))];
            let mut heard = Vec::new();
            for Listener { link, expected } in listeners {
                let (reader, expected) = (&mut link.reader, &*expected);
                heard.push(expected);
                let hear = move || hear(reader, template, expected, shared);
                threads.push(scope.spawn(move || shared.watched(hear)));
            }
            let published = self.publish(template, writer, first, &heard, goal, shared);
            for thread in threads {
                thread.join().expect("a listener does not panic")?;
            }
            published
        })?;
        publisher.next_sequence = next;
        Ok(next - first)
    }

    /// Publishes without running too far ahead of any listener; answers the next sequence.
    fn publish(
        &self,
        template: &Template,
        writer: &mut Writer,
        first: u64,
        heard: &[&AtomicU64],
        goal: &Goal,
        shared: &Shared,
    ) -> anyhow::Result<u64> {
        let batch = self.batch.unwrap_or_else(|| frame_messages(template.len())).max(1);
        let ahead_max = (AHEAD_BYTES_MAX / template.len() as u64).clamp(batch, AHEAD_MAX.max(batch));
        let (mut next, mut frame) = (first, Vec::new());
        loop {
            let count = batch.min(first + goal.count - next);
            let end = next + count;
            while end > slowest(heard).unwrap_or(end) + ahead_max {
                if shared.failed.load(Ordering::Relaxed) {
                    bail!("a listener failed");
                }
                std::thread::sleep(PAUSE);
            }
            let is_last = end == first + goal.count || goal.is_late();
            if is_last {
                shared.last.store(end - 1, Ordering::SeqCst);
            }
            let numbers = u32::try_from(count)?;
            template.publish(next, (0..numbers).map(|n| next + u64::from(n)), &mut frame);
            writer.put(&frame);
            writer.flush()?;
            next = end;
            if is_last {
                return Ok(next);
            }
        }
    }
}

struct Listener {
    link: Link,
    /// The number it expects next. Numbers are sequences here, and begin at 1.
    expected: AtomicU64,
}

/// What the threads of a phase share.
struct Shared {
    /// The last number, known before it is published.
    last: AtomicU64,
    failed: AtomicBool,
}

impl Shared {
    fn watched(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let done = work();
        if done.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        done
    }
}

/// The number that the slowest listener expects.
pub(crate) fn slowest(heard: &[&AtomicU64]) -> Option<u64> {
    heard.iter().map(|expected| expected.load(Ordering::Relaxed)).min()
}

/// Reads until the last number: each must come once, in order.
fn hear(reader: &mut Reader, template: &Template, progress: &AtomicU64, shared: &Shared) -> anyhow::Result<()> {
    let mut expected = progress.load(Ordering::Relaxed);
    while expected <= shared.last.load(Ordering::SeqCst) {
        let frame = reader.next().with_context(|| format!("a listener waits for {expected}"))?;
        let Said::Live(messages) = listen(frame)? else { continue };
        Said::messages(messages, |message| {
            let number = template.number(message)?;
            ensure!(number == expected, "a listener expects {expected} and gets {number}");
            expected += 1;
            Ok(())
        })?;
        progress.store(expected, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads the publisher's receipts until the last: each says that all listeners got it.
fn check_receipts(reader: &mut Reader, first: u64, listeners: u64, shared: &Shared) -> anyhow::Result<()> {
    let mut expected = first;
    while expected <= shared.last.load(Ordering::SeqCst) {
        let frame = reader.next().with_context(|| format!("the publisher waits for the receipt of {expected}"))?;
        let Said::Receipts(receipts) = listen(frame)? else { continue };
        Said::receipts(receipts, |run| {
            ensure!(run.sequence == expected, "expected the receipt of {expected}, got {run:?}");
            ensure!(run.live == listeners, "{listeners} listen, but a receipt says {run:?}");
            expected += run.count;
            Ok(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use skep_protocol::{Encoding, Frame, Message};

    use super::*;
    use crate::wire::Stream;

    /// What a listener says of live messages of these numbers, when 1 to 3 were published.
    fn heard(numbers: &[u64]) -> anyhow::Result<()> {
        let template = Template::new(TOPIC, 16, None)?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut hub = Writer::new(Stream::Unix(theirs));
        for number in numbers {
            let mut publish = Vec::new();
            template.publish(1, [*number].into_iter(), &mut publish);
            let Frame::Publish(publish) = Encoding::Compact.decode(&publish.into())? else { bail!("a publish") };
            let (messages, mut live): (Vec<Message>, _) = (publish.messages, Vec::new());
            Encoding::Compact.encode(&Frame::Live(messages), &mut live);
            hub.put(&live);
        }
        hub.flush()?;
        drop(hub);
        let shared = Shared { last: AtomicU64::new(3), failed: AtomicBool::new(false) };
        hear(&mut Reader::new(Stream::Unix(ours)), &template, &AtomicU64::new(1), &shared)
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_fails_the_run() {
        assert!(heard(&[1, 2, 3]).is_ok());
        for numbers in [&[1, 3][..], &[1, 2], &[1, 1, 2, 3], &[2, 1, 3]] {
            assert!(heard(numbers).is_err(), "{numbers:?}");
        }
    }
}
