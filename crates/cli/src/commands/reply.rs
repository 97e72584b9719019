//! `skep reply`: the answer to a request that was received.

use skep_protocol::{Kind, Message, Topic};

use crate::advice::Named;
use crate::context::{Context, Global};
use crate::message::MessageArgs;
use crate::output::word;

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
        self.message.publish(context, Kind::RESPONSE, Named::Topic(&self.to), |message| {
            message.to(&self.to).correlation(&self.correlation)
        })
    }
}

/// The command that answers a message, if it asks for an answer.
pub(super) fn how_to(global: &Global, message: &Message) -> Option<String> {
    let view = message.view();
    let words = format!("reply --to {} --correlation {} TEXT", word(view.replyto()?), word(view.id()));
    Some(format!("reply with: {}", global.command(&words)))
}

#[cfg(test)]
mod tests {
    use skep_protocol::MessageId;

    use super::*;

    #[test]
    fn a_request_is_shown_with_the_command_that_answers_it() {
        let request = Message::build(&MessageId::new("it's").unwrap(), "agent/a", "request");
        assert_eq!(how_to(&Global::default(), &request.clone().finish().unwrap()), None);
        let request = request.replyto(&Topic::new("$reply.00.1").unwrap()).finish().unwrap();
        let expected = r"reply with: skep reply --to '$reply.00.1' --correlation 'it'\''s' TEXT";
        assert_eq!(how_to(&Global::default(), &request).unwrap(), expected);
    }
}
