//! `skep stop`: the hub ends, its messages stay.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use skep_protocol::{Code, Error};
use skep_server::folder::{Seen, look};

use crate::connect::data_folder;
use crate::context::Context;
use crate::duration;
use crate::output::path;

/// Stop the hub of this data folder; messages stay
///
/// Connections hear a goodbye, and what was accepted is made durable.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How long to wait until it has ended
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    wait: Duration,
}

const EXAMPLES: &str = "\
Examples:
  skep stop
  skep stop --data /var/lib/skep";

/// How often the hub is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Stopped {
            stopped: u32,
        }
        let folder = data_folder(context.global())?;
        let pid = match look(&folder)? {
            Seen::Ready(hub) => hub.pid,
            Seen::Nobody => {
                return Err(
                    Error::new(Code::NoHub, format!("no hub runs in {}; nothing to stop", path(&folder))).into()
                );
            }
            Seen::Unready => bail!("the hub in {} is starting or closing just now; try again", path(&folder)),
        };
        terminate(pid)?;
        self.wait_for_end(&folder, pid)?;
        Ok(context.output().answer(&Stopped { stopped: pid }, format!("stopped, pid {pid}"))?)
    }

    fn wait_for_end(&self, folder: &Path, pid: u32) -> anyhow::Result<()> {
        let since = Instant::now();
        while since.elapsed() < self.wait {
            if look(folder)? == Seen::Nobody {
                return Ok(());
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        bail!(
            "the hub (pid {pid}) was told to stop and has not ended after {:?}; see hub.log in {}",
            self.wait,
            path(folder)
        )
    }
}

/// The lock was held a moment ago by the hub that wrote its pid, so the pid is its own.
fn terminate(pid: u32) -> anyhow::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        bail!("hub.json names {pid} as the hub's process, which is none");
    };
    match kill_process(pid, Signal::TERM) {
        // It ended by itself meanwhile.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => bail!("the hub (pid {}) cannot be told to stop: {error}", pid.as_raw_nonzero()),
    }
}
