//! `skep nack`: a message is not done.

use std::time::Duration;

use skep_protocol::{Action, LeaseToken};

use crate::context::Context;
use crate::duration;
use crate::settle::settle;

/// Say that a received message is not done: it is delivered again
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lease, as `receive` showed it
    #[arg(value_name = "LEASE", required = true)]
    leases: Vec<LeaseToken>,
    /// Deliver it again after this long; unsaid, after the queue's backoff
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    after: Option<Duration>,
    /// Why, for the next attempt
    #[arg(long, value_name = "TEXT", default_value = "nacked by hand")]
    reason: String,
}

const EXAMPLES: &str = "\
Examples:
  skep nack 00000000000000010000000000000007
  skep nack 00000000000000010000000000000007 --after 5m --reason \"the disk is full\"";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let action = Action::Nack { after_ms: self.after.map(duration::millis), reason: self.reason };
        settle(context, &self.leases, &action, "nacked")
    }
}
