//! `skep publish`: a message to a topic.

use skep_protocol::{Kind, Topic};

use crate::advice::Named;
use crate::context::Context;
use crate::message::{MessageArgs, ReplytoArgs};

/// Publish a message to a topic
///
/// Every queue whose filter matches keeps it; every live listener hears it. Where nothing
/// matches it is not stored, and the receipt says so.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to
    topic: Topic,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    replyto: ReplytoArgs,
}

const EXAMPLES: &str = "\
Examples:
  skep publish jobs.resize --type task --file photo.png
  skep publish broadcast \"back in five minutes\"              # to everyone
  skep publish workspace.docs.news --as alice \"chapter 2 is done\"
  skep publish jobs.pay --guarantee at_least_once \"...\"       # refused if no queue takes it";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        self.message.publish(context, Kind::EVENT, Named::Topic(&self.topic), |message| {
            self.replyto.set(message.to(&self.topic))
        })
    }
}
