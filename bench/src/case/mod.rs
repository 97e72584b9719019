//! What is measured. A case is one row of the table; every run of it has a fresh hub.

mod compare;
mod durable;
mod in_process;
mod live;
mod queued;
mod recovery;
mod request;
mod start;
mod work;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

pub(crate) use compare::Compare;
pub(crate) use durable::Durable;
pub(crate) use in_process::InProcess;
pub(crate) use live::{AHEAD_BYTES_MAX, AHEAD_MAX, Live, PAUSE, slowest};
pub(crate) use queued::{Idle, Queued};
pub(crate) use recovery::{Recovery, Replay};
pub(crate) use request::Request;
pub(crate) use start::Start;
pub(crate) use work::Work;

use crate::figures::{Figures, mib};
use crate::hub::Hub;
use crate::peer::Peer;
use crate::wire::Kind;

/// Before it is measured, a case does this part of its messages once.
pub(crate) const WARM_PART: u64 = 10;
/// A run that must do all of it ends, by then at the latest.
const WHOLE_MAX: Duration = Duration::from_secs(120);
/// Most messages of one publish frame.
const FRAME_MESSAGES: u64 = 256;
/// Bytes of messages at which a publish frame is full.
const FRAME_BYTES: u64 = 64 * 1024;

/// What all cases are told.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The hub's program.
    pub(crate) program: PathBuf,
    /// Where data folders are made.
    pub(crate) place: PathBuf,
    pub(crate) kind: Kind,
    /// Of every message, as the hub's configuration says it.
    pub(crate) durability: String,
    /// Every count is multiplied by it.
    pub(crate) scale: f64,
    /// A run that is not done by then publishes no more.
    pub(crate) time_max: Duration,
}

impl Setting {
    pub(crate) fn hub(&self) -> anyhow::Result<Hub> {
        Hub::start(&self.program, &self.place, self.kind, &self.durability)
    }

    pub(crate) fn scaled(&self, count: u64) -> u64 {
        ((count as f64 * self.scale) as u64).max(1)
    }

    /// All of it is to be done, however long it takes.
    pub(crate) fn whole(&self, count: u64) -> Goal {
        Goal { count, until: Instant::now() + WHOLE_MAX }
    }

    /// So much is to be done.
    pub(crate) fn goal(&self, count: u64) -> Goal {
        Goal { count, until: Instant::now() + self.time_max }
    }
}

/// How much is to be done at most, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) count: u64,
    pub(crate) until: Instant,
}

impl Goal {
    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) enum Case {
    Durable(Durable),
    Live(Live),
    Request(Request),
    Work(Work),
    Queued(Queued),
    Idle(Idle),
    Recovery(Recovery),
    Replay(Replay),
    Start(Start),
    InProcess(InProcess),
    Compare(Compare),
    Peer(Peer),
}

impl Case {
    /// What is measured, in words.
    pub(crate) fn name(&self) -> String {
        match self {
            Case::Durable(case) => case.name(),
            Case::Live(case) => case.name(),
            Case::Request(case) => case.name(),
            Case::Work(case) => case.name(),
            Case::Queued(case) => case.name(),
            Case::Idle(case) => case.name(),
            Case::Recovery(case) => case.name(),
            Case::Replay(case) => case.name(),
            Case::Start(case) => case.name(),
            Case::InProcess(case) => case.name(),
            Case::Compare(case) => case.name(),
            Case::Peer(case) => case.name(),
        }
    }

    /// Runs it once.
    ///
    /// # Errors
    /// Also when something was lost, doubled, changed, out of order or refused.
    pub(crate) fn run(&self, setting: &Setting) -> anyhow::Result<Figures> {
        let figures = match self {
            Case::Durable(case) => case.run(setting),
            Case::Live(case) => case.run(setting),
            Case::Request(case) => case.run(setting),
            Case::Work(case) => case.run(setting),
            Case::Queued(case) => case.run(setting),
            Case::Idle(case) => case.run(setting),
            Case::Recovery(case) => case.run(setting),
            Case::Replay(case) => case.run(setting),
            Case::Start(case) => case.run(setting),
            Case::InProcess(case) => case.run(setting),
            Case::Compare(case) => case.run(setting),
            Case::Peer(case) => case.run(setting),
        };
        figures.with_context(|| self.name())
    }

    /// All rows of the hub itself.
    pub(crate) fn all() -> Vec<Self> {
        let durable = Durable::standard().into_iter().map(Case::Durable);
        let live = Live::standard().into_iter().map(Case::Live);
        let request = Request::standard().into_iter().map(Case::Request);
        let work = Work::standard().into_iter().map(Case::Work);
        durable.chain(live).chain(request).chain(work).chain(Self::kept()).chain(Self::alone()).collect()
    }

    /// What is kept: its memory, its recovery, its past.
    pub(crate) fn kept() -> Vec<Self> {
        let queued = Queued::standard().into_iter().map(Case::Queued);
        let recovery = Recovery::standard().into_iter().map(Case::Recovery);
        queued.chain([Case::Idle(Idle::standard())]).chain(recovery).chain([Case::Replay(Replay)]).collect()
    }

    fn alone() -> [Self; 2] {
        [Case::InProcess(InProcess::standard()), Case::Start(Start)]
    }
}

/// How many messages of this size fill a frame.
pub(crate) fn frame_messages(message_bytes: usize) -> u64 {
    (FRAME_BYTES / message_bytes as u64).clamp(1, FRAME_MESSAGES)
}

/// Works on every item in a thread of its own, and waits for all.
pub(crate) fn together<T: Send, R: Send>(
    items: &mut [T],
    work: impl Fn(&mut T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let results: Vec<anyhow::Result<R>> = std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.iter_mut().map(|item| scope.spawn(move || work(item))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect()
    });
    results.into_iter().collect()
}

/// A count in a name: `64`, `16 KiB`.
fn bytes_in_words(bytes: usize) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} B") }
}
