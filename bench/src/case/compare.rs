//! Another server in the same session, driven by its own generator: `SERVER PORT 2`, then
//! `GENERATOR 127.0.0.1:PORT live|rr|durable ... PID`. Only its printed line is read.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{Durable, Live, Request, Setting};
use crate::figures::{Figures, mib};
use crate::process::{Killed, resident};

/// How long it may take to accept.
const READY_MAX: Duration = Duration::from_secs(10);

/// A case of ours, done by the other server.
#[derive(Clone, Debug)]
pub(crate) struct Compare {
    pub(crate) server: PathBuf,
    pub(crate) generator: PathBuf,
    pub(crate) like: Like,
}

/// What the other generator can do, too.
#[derive(Clone, Debug)]
pub(crate) enum Like {
    Live(Live),
    Request(Request),
    Durable(Durable),
}

impl Compare {
    /// The counterparts of our rows.
    pub(crate) fn standard(server: &Path, generator: &Path) -> Vec<Self> {
        let live = Live::standard().into_iter().filter(|case| case.batch.is_none()).map(Like::Live);
        let request = Request::standard().into_iter().map(Like::Request);
        let durable = Durable::standard().into_iter().filter(|case| case.queues == 1 && case.level.is_none());
        let likes = durable.map(Like::Durable).chain(live).chain(request);
        likes.map(|like| Compare { server: server.into(), generator: generator.into(), like }).collect()
    }

    pub(super) fn name(&self) -> String {
        let like = match &self.like {
            Like::Live(case) => case.name(),
            Like::Request(case) => case.name(),
            Like::Durable(case) => case.name(),
        };
        format!("{}: {like}", self.server.file_name().unwrap_or_default().to_string_lossy())
    }

    pub(super) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let folder = tempfile::Builder::new().prefix("skep-bench-").tempdir_in(&setting.place)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(&self.server);
        command.args([port.to_string(), "2".into()]).current_dir(&folder).stdin(Stdio::null());
        let server = Killed(command.spawn().with_context(|| format!("{} cannot be started", self.server.display()))?);
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(since.elapsed() < READY_MAX, "nobody accepts at {port}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = server.0.id();
        let mut generator = Command::new(&self.generator);
        generator.arg(format!("127.0.0.1:{port}")).args(self.arguments(setting, pid));
        let out = generator.output().with_context(|| format!("{} cannot be started", self.generator.display()))?;
        let said = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        ensure!(out.status.success(), "the generator failed: {said} {}", String::from_utf8_lossy(&out.stderr));
        eprintln!("    {said}");
        Ok(Figures { resident_mib: Some(mib(resident(pid)?)), ..read(&said) })
    }

    fn arguments(&self, setting: &Setting, pid: u32) -> Vec<String> {
        let pid = u64::from(pid);
        let (word, numbers) = match &self.like {
            Like::Live(Live { listeners, bytes, count, .. }) => {
                ("live", vec![*listeners as u64, *bytes as u64, setting.scaled(*count), pid])
            }
            Like::Request(Request { clients, bytes, count }) => {
                let clients = *clients as u64;
                ("rr", vec![clients, *bytes as u64, setting.scaled(count / clients), pid])
            }
            Like::Durable(Durable { connections, in_flight, bytes, count, .. }) => {
                let connections = *connections as u64;
                let each = setting.scaled(count / connections);
                ("durable", vec![*in_flight, *bytes as u64, each, pid, connections])
            }
        };
        [word.to_owned()].into_iter().chain(numbers.iter().map(u64::to_string)).collect()
    }
}

/// Reads a line such as `rr 64 clients  52.1k/s  p50 75 us p99 90 us  8.10 us cpu`.
fn read(line: &str) -> Figures {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut figures = Figures::default();
    for (at, word) in words.iter().enumerate() {
        let (before, next) = (at.checked_sub(1).map(|at| words[at]), words.get(at + 1).copied().unwrap_or_default());
        match (before, *word) {
            (Some(number), "deliveries/s") => figures.per_second = scaled(number),
            (Some(number), "ns") if next.starts_with("cpu") => figures.cpu_ns = number.parse().ok(),
            (Some(number), "us") if next.starts_with("cpu") => {
                figures.cpu_ns = number.parse::<f64>().ok().map(|us| us * 1000.0);
            }
            (_, "p50") => figures.p50_us = next.parse().ok(),
            (_, "p99") => figures.p99_us = next.parse().ok(),
            (_, word) => {
                if let Some(rate) = word.strip_suffix("/s").and_then(scaled) {
                    figures.per_second = Some(rate);
                }
            }
        }
    }
    figures
}

/// `1.5M`, `93.2k`, `17`.
fn scaled(text: &str) -> Option<f64> {
    let (number, factor) = match (text.strip_suffix('M'), text.strip_suffix('k')) {
        (Some(number), _) => (number, 1e6),
        (_, Some(number)) => (number, 1e3),
        _ => (text, 1.0),
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_other_generator_are_read() {
        let live = read("live 1:10 256B  1.52M deliveries/s  198 ns cpu/delivery");
        assert_eq!((live.per_second, live.cpu_ns), (Some(1_520_000.0), Some(198.0)));
        let durable = read("durable window 2048 x1 256B  2210.5k/s  0.31 us cpu");
        assert_eq!((durable.per_second, durable.cpu_ns), (Some(2_210_500.0), Some(310.0)));
        let request = read("rr 64 clients  52.1k/s  p50 75 us p99 90 us  8.10 us cpu");
        assert_eq!((request.p50_us, request.p99_us, request.cpu_ns), (Some(75.0), Some(90.0), Some(8_100.0)));
    }
}
