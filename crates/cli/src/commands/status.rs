//! `skep status`: how the hub is.

use skep_protocol::{Ask, Page, Status};

use crate::context::Context;
use crate::exit::{Exit, Fell};
use crate::health::is_damage;
use crate::output::age;
use crate::stored::unexpected;

/// Show how the hub is
///
/// Exit code 0 if it is ready; 7 if the store is damaged and takes nothing new; 3 if it refuses publishes for another reason,
/// such as a full disk.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

const EXAMPLES: &str = "\
Examples:
  skep status
  skep status --json | jq .messages";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.attached(async |client| match client.query(Ask::Status).await? {
            Page::Status(status) => {
                context.output().answer(&status, words(&status))?;
                status.not_ready.map_or(Ok(()), |why| Err(not_ready(context, &why).into()))
            }
            other => Err(unexpected(&other).into()),
        })
    }
}

fn words(status: &Status) -> String {
    let Status { hub, started_ms, sessions, agents, queues, messages, not_ready, recovery } = status;
    let ready = not_ready.as_ref().map_or_else(|| "ready".into(), |why| format!("not ready: {why}"));
    let started = age(*started_ms);
    format!(
        "{hub}, started {started}, {ready}\n\
         agents    {agents}\nqueues    {queues}\nmessages  {messages}\nsessions  {sessions}\n\
         store     {recovery}"
    )
}

/// What the exit code says, too.
fn not_ready(context: &Context, why: &str) -> Fell {
    let (exit, text) = match is_damage(why) {
        true => {
            let verify = context.command("verify");
            (Exit::Damaged, format!("the hub is read-only, its store is damaged; see {verify}"))
        }
        false => (Exit::Refused, "the hub refuses publishes, as said above".to_owned()),
    };
    Fell { exit, code: "not_ready", text }
}
