//! The same work done by other servers, in the same rounds: NATS and Redis over their own
//! protocols, spoken here without their client libraries, so that those do not decide the result.

mod durable;
mod live;
mod nats;
mod redis;
mod request;
mod server;
mod work;

use std::path::{Path, PathBuf};

use crate::case::{Case, Durable, Live, Request, Setting, Work};
use crate::figures::Figures;

pub(crate) use server::versions;

/// A server, and when it syncs what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing stored.
    Nats,
    /// JetStream as it comes: written for each message, synced every two minutes.
    JetStream,
    /// JetStream with `sync_interval: always`.
    JetStreamAlways,
    /// Nothing stored.
    Redis,
    /// An append-only file, synced every second.
    RedisEverySecond,
    /// An append-only file, synced before the answer.
    RedisAlways,
}

impl Kind {
    /// For a row: who, and what an answer is worth there.
    fn name(self) -> &'static str {
        match self {
            Kind::Nats => "nats",
            Kind::JetStream => "JetStream (default: answered before it is synced)",
            Kind::JetStreamAlways => "JetStream (sync always)",
            Kind::Redis => "redis",
            Kind::RedisEverySecond => "redis (everysec: answered before it is synced)",
            Kind::RedisAlways => "redis (appendfsync always)",
        }
    }

    fn is_nats(self) -> bool {
        matches!(self, Kind::Nats | Kind::JetStream | Kind::JetStreamAlways)
    }
}

/// A case of ours, done by another server.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    kind: Kind,
    /// Where `nats-server` and `redis-server` lie.
    programs: PathBuf,
    like: Like,
}

#[derive(Clone, Debug)]
enum Like {
    Durable(Durable),
    Live(Live),
    Request(Request),
    Work(Work),
}

impl Peer {
    /// What other servers can do of a case of ours, those that store both as strictly as we do and as they come.
    pub(crate) fn of(case: &Case, programs: &Path) -> Vec<Self> {
        const STORED: [Kind; 4] = [Kind::JetStreamAlways, Kind::RedisAlways, Kind::JetStream, Kind::RedisEverySecond];
        let (like, kinds) = match case {
            // What a weaker level is to be compared with stands beside the strongest.
            Case::Durable(Durable { level: Some(_), .. }) => return Vec::new(),
            Case::Durable(case) => (Like::Durable(case.clone()), &STORED[..]),
            Case::Work(case) => (Like::Work(case.clone()), &STORED[..]),
            Case::Live(case) => (Like::Live(case.clone()), &[Kind::Nats, Kind::Redis][..]),
            Case::Request(case) => (Like::Request(case.clone()), &[Kind::Nats][..]),
            _ => return Vec::new(),
        };
        kinds.iter().map(|kind| Peer { kind: *kind, programs: programs.into(), like: like.clone() }).collect()
    }

    pub(crate) fn name(&self) -> String {
        let like = match &self.like {
            Like::Durable(case) => case.name(),
            Like::Live(case) => case.name(),
            Like::Request(case) => case.name(),
            Like::Work(case) => case.name(),
        };
        format!("{}: {like}", self.kind.name())
    }

    /// Runs it once, on a server of its own with an empty folder.
    ///
    /// # Errors
    /// Also when something was lost, doubled, changed or out of order.
    pub(crate) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let server = server::Server::start(self.kind, &self.programs, &setting.place)?;
        match &self.like {
            Like::Durable(case) => durable::run(&server, case, setting),
            Like::Live(case) => live::run(&server, case, setting),
            Like::Request(case) => request::run(&server, case, setting),
            Like::Work(case) => work::run(&server, case, setting),
        }
    }
}

/// A payload of so many bytes that begins with its number.
fn payload(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes.max(8)]
}

fn number_of(payload: &[u8]) -> anyhow::Result<u64> {
    let number = payload.first_chunk().ok_or_else(|| anyhow::anyhow!("a payload of {} bytes came", payload.len()))?;
    Ok(u64::from_le_bytes(*number))
}

fn set_number(payload: &mut [u8], number: u64) {
    if let Some(first) = payload.first_chunk_mut() {
        *first = number.to_le_bytes();
    }
}
