//! `skep reply`: the answer to a request that was received.

use skep_client::Client;
use skep_protocol::{Accepted, Kind, Message, Topic};

use crate::advice::Named;
use crate::context::{Context, Global};
use crate::message::{MessageArgs, unheard};
use crate::output::{counted, word};
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
    /// Reply in parts: each line is sent as it is read, and the end of - or --file ends the reply
    #[arg(long, conflicts_with_all = ["id", "kind"])]
    stream: bool,
    #[command(flatten)]
    message: MessageArgs,
}

const EXAMPLES: &str = "\
Examples:
  skep reply --to '$reply.4f6c….7' --correlation 0193… \"42 words\"
  skep reply --to agent.alice.inbox --correlation 0193… --as bob \"done\"
  count-words | skep reply --to '$reply.4f6c….7' --correlation 0193… --stream -

Quote the topic: a shell takes $reply for a variable.";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        if self.stream {
            return context.attached(async |client| self.reply_in_parts(context, client).await);
        }
        self.message.publish(context, Kind::RESPONSE, Named::Topic(&self.to), |message| {
            message.to(&self.to).correlation(&self.correlation)
        })
    }

    /// Each line as a part, and then the end. What cannot be read or sent ends the reply, too, and the requester is told why.
    async fn reply_in_parts(&self, context: &Context, client: &Client) -> anyhow::Result<()> {
        let mut lines = self.message.lines()?;
        let mut stream = client.reply_stream_to(self.to.clone(), &self.correlation);
        while let Some(line) = lines.recv().await {
            let sent = match line {
                Ok(line) => {
                    let sent = stream.send(|part| self.message.dress(part, line)).await;
                    sent.map_err(anyhow::Error::from).and_then(|accepted| self.heard(&accepted))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                // If the requester is gone, there is nobody to be told.
                let _gone = stream.fail(|last| last.text(&error.to_string())).await;
                return Err(error);
            }
        }
        let parts = stream.sent();
        self.heard(&stream.end(|end| end).await?)?;
        let words = format!("sent {} and the end -> {}", counted(parts.into(), "part", "parts"), self.to);
        Ok(context.output().answer(&serde_json::json!({ "parts": parts, "to": self.to.as_str() }), words)?)
    }

    fn heard(&self, accepted: &Accepted) -> anyhow::Result<()> {
        if Receipt::new("", accepted).reached_nobody() { Err(unheard(&self.to).into()) } else { Ok(()) }
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
