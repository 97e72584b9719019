//! Request and reply: clients with one request each, one service that answers all.

use std::time::Instant;

use anyhow::ensure;

use super::nats::Nats;
use super::server::Server;
use super::{number_of, payload, set_number};
use crate::case::{Goal, Request, Setting, WARM_PART, together};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::process::Meter;

const TOPIC: &str = "bench.service";
/// A message of this number asks the service to end.
const END: u64 = u64::MAX;

pub(super) fn run(server: &Server, case: &Request, setting: &Setting) -> anyhow::Result<Figures> {
    let mut service = Nats::open(server.port)?;
    service.subscribe(TOPIC)?;
    let mut clients: Vec<Client> =
        (0..case.clients).map(|n| Client::open(server, n, case.bytes)).collect::<anyhow::Result<_>>()?;
    let each = setting.scaled(case.count).div_ceil(case.clients as u64);
    let (warm, measured, used, answered) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let serving = scope.spawn(move || serve(&mut service));
        let mut work = || -> anyhow::Result<_> {
            let warm = setting.goal((each / WARM_PART).max(1));
            let warm = together(&mut clients, |client| client.ask(&warm))?;
            let goal = setting.goal(each);
            let meter = Meter::begin(server.pid())?;
            let measured = together(&mut clients, |client| client.ask(&goal))?;
            Ok((warm, measured, meter.end()?))
        };
        let worked = work();
        // Also when that failed: else the service would wait for ever.
        let mut last = Nats::open(server.port)?;
        last.put(TOPIC, "_INBOX.bench.end", &END.to_le_bytes());
        last.flush()?;
        let answered = serving.join().expect("a service does not panic");
        let (warm, measured, used) = worked?;
        Ok((warm, measured, used, answered?))
    })?;
    let total = |some: &[(u64, Latencies)]| some.iter().map(|(count, _)| count).sum::<u64>();
    let (warm, asked) = (total(&warm), total(&measured));
    ensure!(answered == warm + asked, "{} requests were answered {answered} times", warm + asked);
    let mut latencies = Latencies::default();
    measured.into_iter().for_each(|(_, some)| latencies.append(some));
    Ok(Figures::of(asked, warm, &used, latencies))
}

/// Answers what comes until it is told to end; how many it answered.
fn serve(nats: &mut Nats) -> anyhow::Result<u64> {
    let mut answered = 0;
    loop {
        let mut heard = Some(nats.next()?);
        while let Some(request) = heard {
            let body = nats.payload(&request).to_vec();
            if number_of(&body)? == END {
                return Ok(answered);
            }
            let reply = nats.reply(&request)?;
            nats.put(&reply, "", &body);
            answered += 1;
            heard = nats.next_here()?;
        }
        nats.flush()?;
    }
}

struct Client {
    nats: Nats,
    replies: String,
    payload: Vec<u8>,
    next: u64,
}

impl Client {
    fn open(server: &Server, nth: usize, bytes: usize) -> anyhow::Result<Self> {
        let mut nats = Nats::open(server.port)?;
        let replies = format!("_INBOX.bench.{nth}");
        nats.subscribe(&replies)?;
        Ok(Client { nats, replies, payload: payload(bytes), next: (nth as u64) << 40 })
    }

    fn ask(&mut self, goal: &Goal) -> anyhow::Result<(u64, Latencies)> {
        let mut latencies = Latencies::default();
        for done in 0..goal.count {
            if goal.is_late() {
                return Ok((done, latencies));
            }
            let since = Instant::now();
            set_number(&mut self.payload, self.next);
            self.nats.put(TOPIC, &self.replies, &self.payload);
            self.nats.flush()?;
            let reply = self.nats.next()?;
            let number = number_of(self.nats.payload(&reply))?;
            ensure!(number == self.next, "request {} got the reply to {number}", self.next);
            latencies.add(since.elapsed(), 1);
            self.next += 1;
        }
        Ok((goal.count, latencies))
    }
}
