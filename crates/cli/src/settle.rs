//! What `ack`, `nack`, `reject` and `extend` have in common: one action for several leases.

use serde::Serialize;
use skep_protocol::{Action, LeaseToken};

use crate::context::Context;

/// Settles each lease, says what became of it, and fails with the first refusal.
pub(crate) fn settle(context: &Context, leases: &[LeaseToken], action: &Action, done: &str) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Settled<'a> {
        lease: LeaseToken,
        done: &'a str,
    }
    action.check()?;
    context.attached(async |client| {
        let mut failed = None;
        for lease in leases {
            match client.settle(*lease, action.clone()).await {
                Ok(()) => context.output().answer(&Settled { lease: *lease, done }, format!("{done} {lease}"))?,
                Err(error) => {
                    if leases.len() > 1 {
                        context.output().note(format!("not {done} {lease}: {error}"));
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    })
}
