//! Request and reply: clients with one request each, one service that answers all.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::{Goal, Setting, WARM_PART, bytes_in_words, together};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;
use crate::wire::{Cursor, Link, Party, Said, Template, listen, publish_head, put_bin_head};

const TOPIC: &str = "bench.service";
/// A message of this number asks the service to end.
const END: u64 = u64::MAX;

/// So many clients with one request at a time each.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Request {
    /// Clients
    #[arg(long, default_value_t = 1)]
    pub(crate) clients: usize,
    /// Bytes of a payload, 8 at least
    #[arg(long, default_value_t = 64)]
    pub(crate) bytes: usize,
    /// Requests of all clients together
    #[arg(long, default_value_t = 10_000)]
    pub(crate) count: u64,
}

impl Request {
    pub(super) fn standard() -> Vec<Self> {
        [(1, 20_000), (64, 200_000)].map(|(clients, count)| Request { clients, bytes: 64, count }).into()
    }

    pub(crate) fn name(&self) -> String {
        let bytes = bytes_in_words(self.bytes);
        match self.clients {
            1 => format!("request and reply, {bytes}, 1 client"),
            n => format!("request and reply, {bytes}, {n} clients"),
        }
    }

    pub(super) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let hub = setting.hub()?;
        let mut service = Service::open(hub.party(), self.bytes)?;
        let mut clients: Vec<Client> =
            (0..self.clients).map(|n| Client::open(hub.party(), n, self.bytes)).collect::<anyhow::Result<_>>()?;
        let each = setting.scaled(self.count).div_ceil(self.clients as u64);

        let (warm, measured, used, answered) = std::thread::scope(|scope| -> anyhow::Result<_> {
            let serving = scope.spawn(move || service.serve());
            let mut work = || -> anyhow::Result<_> {
                let warm = setting.goal((each / WARM_PART).max(1));
                let warm = together(&mut clients, |client| client.ask(&warm))?;
                let goal = setting.goal(each);
                let meter = Meter::begin(hub.pid())?;
                let measured = together(&mut clients, |client| client.ask(&goal))?;
                Ok((warm, measured, meter.end()?))
            };
            let worked = work();
            // Also when that failed: else the service would wait for ever.
            Link::open(hub.party()).and_then(|mut link| end_service(&mut link, self.bytes))?;
            let answered = serving.join().expect("a service does not panic");
            let (warm, measured, used) = worked?;
            Ok((warm, measured, used, answered?))
        })?;

        let (warm, asked) = (total(&warm), total(&measured));
        ensure!(answered == warm + asked, "{} requests were answered {answered} times", warm + asked);
        drop(clients);
        hub.stop()?;
        let mut latencies = Latencies::default();
        measured.into_iter().for_each(|(_, some)| latencies.append(some));
        Ok(Figures::of(asked, warm, &used, latencies))
    }
}

fn total(some: &[(u64, Latencies)]) -> u64 {
    some.iter().map(|(count, _)| count).sum()
}

fn end_service(link: &mut Link, bytes: usize) -> anyhow::Result<()> {
    let mut frame = Vec::new();
    Template::new(TOPIC, bytes, None)?.publish(1, [END].into_iter(), &mut frame);
    link.writer.put(&frame);
    link.writer.flush()?;
    link.hear().map(|_| ())
}

/// Asks, one request at a time.
struct Client {
    link: Link,
    request: Template,
    payload_bytes: usize,
    base: u64,
    /// Receipts so far.
    receipts: u64,
}

impl Client {
    fn open(party: &Party, nth: usize, bytes: usize) -> anyhow::Result<Self> {
        let link = Link::open(party)?;
        let request = Template::new(TOPIC, bytes, Some(&format!("{}.0", link.replies)))?;
        Ok(Client { link, request, payload_bytes: bytes, base: (nth as u64) << 40, receipts: 0 })
    }

    fn ask(&mut self, goal: &Goal) -> anyhow::Result<(u64, Latencies)> {
        let (mut latencies, mut frame, mut count) = (Latencies::default(), Vec::new(), 0);
        while count < goal.count && !goal.is_late() {
            let sequence = self.link.next_sequence;
            self.request.publish(sequence, [self.base + sequence].into_iter(), &mut frame);
            let since = Instant::now();
            self.link.writer.put(&frame);
            self.link.writer.flush()?;
            self.link.next_sequence += 1;
            while !self.hear(self.base + sequence)? {}
            latencies.add(since.elapsed(), 1);
            count += 1;
        }
        // The last receipt may come behind the last reply.
        while self.receipts + 1 < self.link.next_sequence {
            ensure!(!self.hear(END)?, "a reply comes that nobody asked for");
        }
        Ok((count, latencies))
    }

    /// Takes one frame; answers whether it was the reply to this number.
    fn hear(&mut self, number: u64) -> anyhow::Result<bool> {
        let mut replied = false;
        match listen(self.link.reader.next()?)? {
            Said::Receipts(receipts) => Said::receipts(receipts, |run| {
                ensure!(run.live == 1, "one service listens, but a receipt says {run:?}");
                self.receipts += run.count;
                Ok(())
            })?,
            Said::Live(messages) => Said::messages(messages, |message| {
                let got = Template::number_at_end(message, self.payload_bytes)?;
                ensure!(got == number && !replied, "expected the reply to {number}, got the one to {got}");
                replied = true;
                Ok(())
            })?,
            _ => {}
        }
        Ok(replied)
    }
}

/// Answers every request with its own payload.
struct Service {
    link: Link,
    payload_bytes: usize,
}

impl Service {
    fn open(party: &Party, bytes: usize) -> anyhow::Result<Self> {
        let mut link = Link::open(party)?;
        link.listen(TOPIC)?;
        Ok(Service { link, payload_bytes: bytes })
    }

    /// Answers until it is asked to end, and all its receipts are here; answers how many.
    fn serve(&mut self) -> anyhow::Result<u64> {
        let (mut answered, mut receipts, mut is_ending) = (0, 0, false);
        let (mut replies, mut batch, mut frame) = (Vec::new(), 0_usize, Vec::new());
        while !is_ending || receipts < answered {
            let mut next = Some(self.link.reader.next()?);
            // All that is here is answered by one frame.
            while let Some(bytes) = next {
                match listen(bytes)? {
                    Said::Receipts(some) => Said::receipts(some, |run| {
                        receipts += run.count;
                        Ok(())
                    })?,
                    Said::Live(messages) => Said::messages(messages, |request| {
                        if Template::number_at_end(request, self.payload_bytes)? == END {
                            is_ending = true;
                            return Ok(());
                        }
                        batch += 1;
                        put_reply(request, self.payload_bytes, &mut replies)
                    })?,
                    _ => {}
                }
                next = self.link.reader.next_here()?;
            }
            if batch > 0 {
                frame.clear();
                publish_head(self.link.next_sequence, batch, &mut frame);
                frame.append(&mut replies);
                self.link.writer.put(&frame);
                self.link.writer.flush()?;
                answered += batch as u64;
                self.link.next_sequence += batch as u64;
                batch = 0;
            }
        }
        Ok(answered)
    }
}

/// Appends the reply to a request, as a publish frame holds it: the same id as correlation, the
/// `replyto` as destination, the same payload.
fn put_reply(request: &[u8], payload_bytes: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let payload = request.get(request.len().saturating_sub(payload_bytes)..).context("a request is too short")?;
    let mut fields = Cursor::new(request);
    ensure!(fields.array()? == 14, "a message has not 14 elements");
    let id = fields.value()?;
    // To, type, source, priority, guarantee.
    for _ in 0..5 {
        fields.value()?;
    }
    let replyto = fields.value()?;
    const NIL: &[u8] = &[0xc0];
    let mut bin = Vec::with_capacity(8);
    put_bin_head(payload.len(), &mut bin);
    let parts = [
        &[0x9e],
        id,
        replyto,
        b"\xa8response",
        b"\xa5bench",
        NIL,
        NIL,
        NIL,
        id,
        NIL,
        NIL,
        NIL,
        NIL,
        NIL,
        &bin,
        payload,
    ];
    put_bin_head(parts.iter().map(|part| part.len()).sum(), out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Encoding, Frame};

    use super::*;

    #[test]
    fn a_reply_is_a_message_to_where_the_request_says() {
        let (mut frame, mut reply) = (Vec::new(), Vec::new());
        let template = Template::new(TOPIC, 64, Some("bench.reply.0")).unwrap();
        template.publish(1, [7].into_iter(), &mut frame);
        let Frame::Publish(request) = Encoding::Compact.decode(&frame.into()).unwrap() else { panic!("a publish") };
        let request = &request.messages[0];
        publish_head(1, 1, &mut reply);
        put_reply(request.bytes(), 64, &mut reply).unwrap();
        let Frame::Publish(reply) = Encoding::Compact.decode(&reply.into()).unwrap() else { panic!("a publish") };
        let view = reply.messages[0].view();
        assert_eq!(view.to().collect::<Vec<_>>(), ["bench.reply.0"]);
        assert_eq!((view.correlation(), view.kind()), (Some(request.id()), "response"));
        assert_eq!(view.payload(), request.view().payload());
    }
}
