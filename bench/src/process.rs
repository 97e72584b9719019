//! What Linux says of a process: processor time and memory.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Ticks of a second in `/proc/<pid>/stat`; on Linux it is 100 on every machine.
const TICKS_A_SECOND: u64 = 100;

/// Processor time of a process so far, user and system, in steps of 10 ms.
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    cpu_of(&stat).with_context(|| format!("/proc/{pid}/stat is not as expected: {stat}"))
}

/// The name in parentheses may hold anything, so fields are counted behind the last one.
fn cpu_of(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_A_SECOND))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS is shown")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// A process that is killed when this is dropped, unless it has ended.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already, unless something went wrong.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures time and processor time from its begin.
pub(crate) struct Meter {
    pid: u32,
    cpu: Duration,
    since: Instant,
}

/// What was used since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) time: Duration,
    pub(crate) cpu: Duration,
    /// Resident memory at the end, in bytes.
    pub(crate) resident: u64,
}

impl Meter {
    pub(crate) fn begin(pid: u32) -> anyhow::Result<Self> {
        Ok(Meter { pid, cpu: cpu(pid)?, since: Instant::now() })
    }

    pub(crate) fn end(self) -> anyhow::Result<Used> {
        let time = self.since.elapsed();
        Ok(Used { time, cpu: cpu(self.pid)?.saturating_sub(self.cpu), resident: resident(self.pid)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_of_any_form() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 100 1000 200";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
    }
}
