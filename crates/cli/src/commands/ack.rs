//! `skep ack`: a message is done.

use skep_protocol::{Action, LeaseToken};

use crate::context::Context;
use crate::settle::settle;

/// Say that a received message is done: it never comes back
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lease, as `receive` showed it
    #[arg(value_name = "LEASE", required = true)]
    leases: Vec<LeaseToken>,
}

const EXAMPLES: &str = "\
Examples:
  skep ack 00000000000000010000000000000007
  skep receive jobs -n 9 --json | jq -r .delivery.lease | xargs skep ack";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        settle(context, &self.leases, &Action::Ack, "acked")
    }
}
