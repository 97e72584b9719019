//! Memory: of messages that wait, and of queues in which nothing does.

use anyhow::ensure;

use super::durable::{Durable, Producer};
use super::{Setting, mib};
use crate::figures::Figures;
use crate::process::resident;
use crate::wire::Link;

/// Messages after which what does not grow with them has grown: caches and buffers.
const FIRST: u64 = 1_000_000;
/// Messages that are measured.
const MORE: u64 = 4_000_000;
const IN_FLIGHT: u64 = 2048;
/// Of a payload: what lies on disk is not measured.
const BYTES: usize = 16;

/// What waits in some queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    queues: u64,
}

impl Queued {
    pub(super) fn standard() -> Vec<Self> {
        [1, 10_000].map(|queues| Queued { queues }).into()
    }

    pub(super) fn name(self) -> String {
        match self.queues {
            1 => "memory of a message that waits in a queue".into(),
            queues => format!("memory of a message that waits in one of {queues} queues"),
        }
    }

    pub(super) fn run(self, setting: &Setting) -> anyhow::Result<Figures> {
        let hub = setting.hub()?;
        let case =
            Durable { connections: 1, in_flight: IN_FLIGHT, bytes: BYTES, count: 0, queues: self.queues, level: None };
        let mut observer = Link::open(hub.party())?;
        observer.declare_all(case.queues())?;
        let mut producer = Producer::open(hub.party(), 0, &case)?;
        producer.pump(&setting.whole(setting.scaled(FIRST)))?;
        let (first, before) = (producer.sent(), resident(hub.pid())?);
        producer.pump(&setting.whole(setting.scaled(MORE)))?;
        let (sent, after) = (producer.sent(), resident(hub.pid())?);
        let held = observer.held()?;
        ensure!(held == (sent, 0), "{sent} were acknowledged, but held are (ready, others) {held:?}");
        hub.stop()?;
        let bytes_each = after.saturating_sub(before) as f64 / (sent - first) as f64;
        let resident_mib = Some(mib(after));
        Ok(Figures { bytes_each: Some(bytes_each), resident_mib, exact: sent, ..Figures::default() })
    }
}

/// So many queues, in which nothing waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    queues: u64,
}

impl Idle {
    pub(super) fn standard() -> Self {
        Idle { queues: 100_000 }
    }

    pub(super) fn name(self) -> String {
        format!("memory of a queue in which nothing waits, {} of them", self.queues)
    }

    pub(super) fn run(self, setting: &Setting) -> anyhow::Result<Figures> {
        let hub = setting.hub()?;
        let queues = setting.scaled(self.queues);
        let case = Durable { connections: 1, in_flight: 1, bytes: BYTES, count: 0, queues, level: None };
        let mut observer = Link::open(hub.party())?;
        let before = resident(hub.pid())?;
        observer.declare_all(case.queues())?;
        let after = resident(hub.pid())?;
        hub.stop()?;
        let bytes_each = after.saturating_sub(before) as f64 / queues as f64;
        Ok(Figures { bytes_each: Some(bytes_each), resident_mib: Some(mib(after)), ..Figures::default() })
    }
}
