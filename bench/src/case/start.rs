//! Start to ready on a fresh folder, and memory at rest.

use std::time::Duration;

use super::Setting;
use crate::figures::{Figures, mib};
use crate::latency::Latencies;
use crate::process::resident;

/// Starts of one round.
const STARTS: u64 = 10;
/// How long a hub is at rest before its memory is looked at.
const REST: Duration = Duration::from_secs(2);

/// Ten starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start;

impl Start {
    pub(super) fn name(self) -> String {
        format!("start to ready, fresh store, {STARTS} starts; memory after {REST:?} at rest")
    }

    pub(super) fn run(self, setting: &Setting) -> anyhow::Result<Figures> {
        let mut latencies = Latencies::default();
        for _ in 1..STARTS {
            let hub = setting.hub()?;
            latencies.add(hub.ready_after, 1);
            hub.stop()?;
        }
        let hub = setting.hub()?;
        latencies.add(hub.ready_after, 1);
        std::thread::sleep(REST);
        let resident_mib = Some(mib(resident(hub.pid())?));
        hub.stop()?;
        Ok(Figures { resident_mib, ..Figures::default() }.with(latencies))
    }
}
