//! `skep extend`: a message takes longer.

use std::time::Duration;

use skep_protocol::{Action, LeaseToken};

use crate::context::Context;
use crate::duration;
use crate::settle::settle;

/// Say that a received message takes longer: its lease is extended
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lease, as `receive` showed it
    #[arg(value_name = "LEASE", required = true)]
    leases: Vec<LeaseToken>,
    /// So long from now; unsaid, the queue's lease
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lasts: Option<Duration>,
    /// How far it came, for the next attempt if this one fails
    #[arg(long, value_name = "TEXT")]
    progress: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  skep extend 00000000000000010000000000000007
  skep extend 00000000000000010000000000000007 --for 10m --progress \"half of the pages\"";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let action = Action::Extend { lease_ms: self.lasts.map(duration::millis), progress: self.progress };
        settle(context, &self.leases, &action, "extended")
    }
}
