//! `skep repair`: go on without what is lost.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use skep_server::offline::{Done, Repair, repair};

use crate::context::Context;
use crate::offline::{Damaged, data_folder, next, with_progress};
use crate::output::path;

/// Repair a damaged store, giving up what cannot be read
///
/// Without --accept-loss it only says what would be lost. With it, first all files that it touches are copied into a folder beside
/// them; then everything that can be read, before and behind the damage, is kept, and the rest is given up. A message whose
/// settle is lost is delivered again. If it is killed, run it again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Give up what cannot be read
    #[arg(long)]
    accept_loss: bool,
    /// Only say what would be lost, and exit with 0
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  skep repair                     # what would be lost? nothing is changed
  skep repair --accept-loss       # copy, then repair
  skep verify                     # and see";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        let folder = data_folder(context.global())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let accepted = self.accept_loss && !self.dry_run;
        let repaired = with_progress(context, |progress| repair(&folder, accepted, now, progress))?;
        let next = next(next_verb(&repaired), &folder);
        context.output().answer(&Shown { repaired: &repaired, next: &next }, words(&repaired, &next))?;
        match damage_left(&repaired, &folder, &next) {
            Some(text) if !self.dry_run => Err(Damaged(text).into()),
            _ => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    repaired: &'a Repair,
    next: &'a str,
}

fn next_verb(Repair { found, done }: &Repair) -> &'static str {
    match (done, &found.damage) {
        (None, None) => "serve",
        (None, Some(damage)) if damage.irreparable.is_some() => "verify",
        (None, Some(_)) => "repair --accept-loss",
        (Some(_), _) => "verify",
    }
}

fn words<'a>(Repair { found, done }: &'a Repair, next: &'a str) -> impl fmt::Display + 'a {
    std::fmt::from_fn(move |f| {
        write!(f, "{found}")?;
        match done {
            None if found.sound => f.write_str(", nothing to repair")?,
            None => f.write_str("\nnothing was changed")?,
            Some(Done { copy, written, removed, now }) => {
                write!(f, "\ncopy       {}", path(copy))?;
                if !written.is_empty() {
                    write!(f, "\nwritten    {}", written.join(", "))?;
                }
                if !removed.is_empty() {
                    write!(f, "\nremoved    {}", removed.join(", "))?;
                }
                write!(f, "\nrepaired, and read again:\n{now}")?;
            }
        }
        write!(f, "\nnext       {next}")
    })
}

/// What is to be said when the store cannot be used yet.
fn damage_left(Repair { found, done }: &Repair, folder: &Path, next: &str) -> Option<String> {
    let folder = path(folder);
    match done {
        Some(done) if done.now.sound => None,
        Some(_) => Some(format!("the store in {folder} is still damaged; its files as they were are in the copy")),
        None if found.sound => None,
        None => match found.damage.as_ref().and_then(|damage| damage.irreparable.as_ref()) {
            Some(why) => Some(format!("the store in {folder} cannot be repaired, and nothing was changed: {why}")),
            None => Some(format!(
                "the store in {folder} is damaged, and nothing was changed; to give up what is lost: {next}"
            )),
        },
    }
}
