//! `skep reject`: a message can never be done.

use skep_protocol::{Action, LeaseToken};

use crate::context::Context;
use crate::settle::settle;

/// Say that a received message can never be done: it goes to the dead letters
///
/// Its sender gets a notice with the reason. `skep queue peek '$dead.jobs'` shows the dead letters
/// of the queue jobs, `skep queue redrive jobs` moves them back.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lease, as `receive` showed it
    #[arg(value_name = "LEASE", required = true)]
    leases: Vec<LeaseToken>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "rejected by hand")]
    reason: String,
}

const EXAMPLES: &str = "\
Examples:
  skep reject 00000000000000010000000000000007 --reason \"no such customer\"";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        settle(context, &self.leases, &Action::Reject { reason: self.reason }, "rejected")
    }
}
