//! `skep status`: how the hub is.

use skep_protocol::{Ask, Page, Status};

use crate::context::Context;
use crate::output::age;
use crate::stored::unexpected;

/// Show how the hub is
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
            Page::Status(status) => Ok(context.output().answer(&status, words(&status))?),
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
