//! `skep send`: a message to an agent.

use skep_protocol::{AgentId, Kind, Topic};

use crate::advice::Named;
use crate::context::Context;
use crate::message::{MessageArgs, ReplytoArgs};

/// Send a message to an agent's inbox
///
/// It is on disk when this returns. The receipt says where it stands, how many messages wait
/// there, and when the agent was last seen.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// To whom
    agent: AgentId,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    replyto: ReplytoArgs,
}

const EXAMPLES: &str = "\
Examples:
  skep send bob \"hi\"
  skep send bob --as alice --type task --priority high \"look at issue 7\"
  skep send bob --file report.pdf --content-type application/pdf
  skep send bob --delay 10m --expires 1h \"stand-up?\"     # or --not-before 2026-01-31T12:00:00Z
  echo '{\"n\":1}' | skep send bob --data-json -
  skep send bob --id order-7 --guarantee exactly_once \"pay\"    # a second one is recognised";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        self.message.publish(context, Kind::MESSAGE, Named::Agent(&self.agent), |message| {
            self.replyto.set(message.to(&Topic::inbox(&self.agent)))
        })
    }
}
