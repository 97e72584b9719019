//! The options of a message, shared by all verbs that publish one.

use std::time::Duration;

use skep_client::Client;
use skep_protocol::{
    Attribute, Durability, Error, Guarantee, Kind, Message, MessageBuilder, MessageId, Outcome, Priority, Topic, Tries,
    format_time,
};
use tokio::sync::mpsc;

use crate::advice::{Named, advised, near_topic};
use crate::context::Context;
use crate::duration;
use crate::exit::{Exit, Fell};
use crate::output::{now_ms, word};
use crate::payload::{Payload, PayloadArgs};
use crate::receipt::Receipt;

/// What a message is, besides where it goes.
#[derive(Debug, clap::Args)]
pub(crate) struct MessageArgs {
    #[command(flatten)]
    payload: PayloadArgs,
    /// The message's type, such as task or note
    #[arg(long = "type", value_name = "TYPE", help_heading = "Message")]
    kind: Option<String>,
    /// critical, high, normal, low or bulk
    #[arg(long, help_heading = "Message")]
    priority: Option<Priority>,
    /// best_effort, at_least_once or exactly_once; unsaid, as strong as the receiver
    #[arg(long, help_heading = "Message")]
    guarantee: Option<Guarantee>,
    /// fsync, interval, os or memory: at least so durable; the topic may ask for more. The receipt names what was reached
    #[arg(long, value_name = "LEVEL", help_heading = "Message")]
    durability: Option<Durability>,
    /// A free header; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Message", value_parser = parse_header)]
    header: Vec<(String, String)>,
    /// Order by key: of the messages of one key a queue delivers one at a time, oldest first
    #[arg(long, value_name = "KEY", help_heading = "Message")]
    key: Option<String>,
    /// How often it is tried, and how long it waits in between, in place of what its queues say: 'attempts=3 backoff=2s..1m'
    #[arg(long, value_name = "HOW", help_heading = "Message")]
    retry: Option<Tries>,
    /// The message's own id; with --guarantee exactly_once a second send of it is recognised
    #[arg(long, help_heading = "Message")]
    id: Option<MessageId>,
    /// The conversation it belongs to
    #[arg(long, value_name = "ID", help_heading = "Message")]
    conversation: Option<String>,
    /// The message that caused it
    #[arg(long, value_name = "ID", help_heading = "Message")]
    causation: Option<String>,
    #[command(flatten)]
    moments: MomentArgs,
}

/// Where replies to a message go: of one that is sent and not waited for.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplytoArgs {
    /// Where replies go
    #[arg(long, value_name = "TOPIC", help_heading = "Message")]
    replyto: Option<Topic>,
}

impl ReplytoArgs {
    pub(crate) fn set(&self, message: MessageBuilder) -> MessageBuilder {
        match &self.replyto {
            Some(topic) => message.replyto(topic),
            None => message,
        }
    }
}

/// When a message is delivered. What people say from now on is counted on this machine's clock.
#[derive(Debug, clap::Args)]
struct MomentArgs {
    /// Keep it in its queues and deliver it after so long
    #[arg(long, value_name = "DURATION", help_heading = "Message", value_parser = duration::parse, conflicts_with = "not_before")]
    delay: Option<Duration>,
    /// Keep it in its queues and deliver it not before this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", help_heading = "Message", value_parser = parse_time)]
    not_before: Option<String>,
    /// Deliver it no more after so long; it then goes where its queue says, the dead letters by default
    #[arg(long, value_name = "DURATION", help_heading = "Message", value_parser = duration::parse)]
    expires: Option<Duration>,
}

impl MomentArgs {
    fn set(&self, mut message: MessageBuilder) -> MessageBuilder {
        let after = |wait: Duration| now_ms().saturating_add(duration::millis(wait));
        if let Some(delay) = self.delay {
            message = message.not_before(after(delay));
        }
        if let Some(time) = &self.not_before {
            message = message.attribute("notbefore", Attribute::Text(time));
        }
        match self.expires {
            Some(wait) => message.expires(after(wait)),
            None => message,
        }
    }
}

impl MessageArgs {
    /// Publishes it where `address` says, and tells the receipt. Unsaid, its type is `kind`.
    pub(crate) fn publish(
        &self,
        context: &Context,
        kind: Kind,
        named: Named<'_>,
        address: impl FnOnce(MessageBuilder) -> MessageBuilder,
    ) -> anyhow::Result<()> {
        context.attached(async |client| {
            let message = address(self.begin(client, kind)?).finish()?;
            let accepted = advised(context, client, named, client.publish(message.clone())).await;
            let accepted = accepted.map_err(|error| self.look_for(context, message.id(), error))?;
            let receipt = Receipt::new(message.id(), &accepted);
            context.output().answer(&receipt, receipt.words())?;
            match named {
                Named::Topic(topic) if receipt.reached_nobody() => tell_nobody(context, client, kind, topic).await,
                _ => Ok(()),
            }
        })
    }

    /// Begins the message: all but its destination. Unsaid, its type is `kind`.
    pub(crate) fn begin(&self, client: &Client, kind: Kind) -> anyhow::Result<MessageBuilder> {
        let kind = self.kind.as_deref().unwrap_or(kind.as_str());
        let message = match &self.id {
            None => client.message(kind),
            Some(id) => {
                let source = client.agent().map_or_else(|| "client/skep".into(), |agent| agent.source());
                Message::build(id, &source, kind).time(&format_time(now_ms()))
            }
        };
        Ok(self.dress(message, self.payload.read()?))
    }

    /// Of a message of which nobody knows whether it arrived: how to look, and whether a second one would be recognised.
    pub(crate) fn look_for(&self, context: &Context, id: &str, error: Error) -> Error {
        if error.outcome != Outcome::Unknown {
            return error;
        }
        let id = word(id);
        let look = context.command(&format!("trace {id}"));
        let again = match self.guarantee {
            Some(Guarantee::ExactlyOnce) => {
                format!(", or send it again as it was, with --id {id} --guarantee exactly_once: it is recognised")
            }
            _ => " before you send it again: only a message of --guarantee exactly_once is recognised".to_owned(),
        };
        Error { text: format!("{}. Its id is {id}: look for it with {look}{again}", error.text), ..error }
    }

    /// Its payload line by line, as it comes.
    pub(crate) fn lines(&self) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Payload>>> {
        self.payload.lines()
    }

    /// Adds a payload, and all that the options say but id and type.
    pub(crate) fn dress(&self, message: MessageBuilder, payload: Payload) -> MessageBuilder {
        let mut message = message.payload(&payload.content_type, payload.bytes);
        if let Some(priority) = self.priority {
            message = message.priority(priority);
        }
        if let Some(guarantee) = self.guarantee {
            message = message.guarantee(guarantee);
        }
        if let Some(durability) = self.durability {
            message = message.durability(durability);
        }
        if let Some(key) = &self.key {
            message = message.attribute("partitionkey", Attribute::Text(key));
        }
        if let Some(tries) = self.retry {
            message = message.tries(tries);
        }
        if let Some(id) = &self.conversation {
            message = message.conversation(id);
        }
        if let Some(id) = &self.causation {
            message = message.causation(id);
        }
        if !self.header.is_empty() {
            message = message.headers(self.header.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        self.moments.set(message)
    }
}

/// That nobody took a message is news; of a reply it is a failure, because somebody waits for it.
async fn tell_nobody(context: &Context, client: &Client, kind: Kind, topic: &Topic) -> anyhow::Result<()> {
    if kind == Kind::RESPONSE {
        return Err(unheard(topic).into());
    }
    if let Some(near) = near_topic(client, topic.as_str()).await {
        context.output().note(near);
    }
    Ok(())
}

/// A reply that nobody heard.
pub(crate) fn unheard(to: &Topic) -> Fell {
    let text = match to.as_str() {
        "null" => {
            "the reply reached nobody: null is no topic; a request whose replyto is null wants no reply".to_owned()
        }
        to => format!(
            "the reply reached nobody: nobody listens at {to}, and no queue takes it. --to wants the request's replyto, as \
             receive and subscribe show it"
        ),
    };
    Fell { exit: Exit::Refused, code: "unmatched", text }
}

/// A time as the hub will read it; it stays as it is.
fn parse_time(text: &str) -> Result<String, String> {
    let id = MessageId::new("1").map_err(|error| error.text)?;
    let message = Message::build(&id, "client/skep", Kind::MESSAGE.as_str());
    let message = message.attribute("notbefore", Attribute::Text(text)).finish();
    let read = message.and_then(|message| message.view().not_before_ms());
    read.map(|_| text.to_owned()).map_err(|_| "expected a time such as 2026-01-31T12:00:00Z, or say --delay 2h".into())
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_that_the_hub_reads() {
        for time in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+01:00"] {
            assert_eq!(parse_time(time).as_deref(), Ok(time));
        }
        for text in ["tomorrow", "", "12:00", "2026-01-31"] {
            assert!(parse_time(text).unwrap_err().contains("--delay"), "{text}");
        }
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        assert_eq!(parse_header("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse_header("a="), Ok(("a".into(), String::new())));
        assert!(parse_header("=b").is_err() && parse_header("a").is_err());
    }
}
