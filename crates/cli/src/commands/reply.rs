//! `skep reply`: the answer to a request that was received.

use skep_protocol::{Kind, Topic};

use crate::context::Context;
use crate::message::MessageArgs;
use crate::receipt::Receipt;

/// Answer a request
///
/// `receive` and `subscribe` show of a request where its reply goes and how to name it; both are
/// what this command asks for.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where the reply goes: the request's replyto
    #[arg(long, value_name = "TOPIC")]
    to: Topic,
    /// What it replies to: the request's id
    #[arg(long, value_name = "ID")]
    correlation: String,
    #[command(flatten)]
    message: MessageArgs,
}

const EXAMPLES: &str = "\
Examples:
  skep reply --to '$reply.4f6c….7' --correlation 0193… \"42 words\"
  skep reply --to agent.alice.inbox --correlation 0193… --as bob \"done\"

Quote the topic: a shell takes $reply for a variable.";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.attached(async |client| {
            let message = self.message.begin(client, Kind::RESPONSE)?.to(&self.to).correlation(&self.correlation);
            let message = message.finish()?;
            let accepted = client.publish(message.clone()).await?;
            let receipt = Receipt::new(message.id(), &accepted);
            Ok(context.output().answer(&receipt, receipt.words())?)
        })
    }
}

/// The command that answers a message, if it asks for an answer.
pub(super) fn how_to(message: &skep_protocol::Message) -> Option<String> {
    let view = message.view();
    let replyto = view.replyto()?;
    Some(format!("reply with: skep reply --to {} --correlation {} TEXT", quoted(replyto), quoted(view.id())))
}

/// Text as one word of a shell.
fn quoted(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Message, MessageId};

    use super::*;

    #[test]
    fn a_request_is_shown_with_the_command_that_answers_it() {
        let request = Message::build(&MessageId::new("it's").unwrap(), "agent/a", "request");
        assert_eq!(how_to(&request.clone().finish().unwrap()), None);
        let request = request.replyto(&Topic::new("$reply.00.1").unwrap()).finish().unwrap();
        let expected = r"reply with: skep reply --to '$reply.00.1' --correlation 'it'\''s' TEXT";
        assert_eq!(how_to(&request).unwrap(), expected);
    }
}
