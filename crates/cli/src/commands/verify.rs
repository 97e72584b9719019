//! `skep verify`: is the store sound?

use serde::Serialize;
use skep_server::offline::{Checked, verify};

use crate::context::Context;
use crate::offline::{Damaged, data_folder, next, with_progress};
use crate::output::path;

/// Read the whole store and say whether it is sound; nothing is changed
///
/// Every segment, batch and record is checked, also against those before it. No hub may run there meanwhile. Exit code 0: sound
/// (also with an unfinished write at the end, which the next start cuts off); 7: something durable is damaged.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

const EXAMPLES: &str = "\
Examples:
  skep verify
  skep verify --data /var/lib/skep --json | jq .sound";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Shown<'a> {
            #[serde(flatten)]
            checked: &'a Checked,
            next: String,
        }
        let folder = data_folder(context.global())?;
        let checked = with_progress(context, |progress| verify(&folder, progress))?;
        let verb = if checked.sound { "serve" } else { "repair" };
        let next = next(verb, &folder);
        context.output().answer(&Shown { checked: &checked, next: next.clone() }, &checked)?;
        if checked.sound {
            return Ok(());
        }
        let text = format!(
            "the store in {} is damaged; restore its files from a copy, or see what it would cost to go on without: {next}",
            path(&folder)
        );
        Err(Damaged(text).into())
    }
}
