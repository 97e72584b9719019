//! `skep request`: a question, and its answer.

use std::time::Duration;

use skep_client::{Client, Error, StreamError};
use skep_protocol::{AgentId, Ask, Code, Kind, MessageBuilder, QueueName, Topic, content_is_json};

use crate::advice::{Named, advised};
use crate::context::Context;
use crate::duration;
use crate::exit::Usage;
use crate::message::MessageArgs;
use crate::output::{one_line, word};

/// Ask a service or an agent, and wait for the reply
///
/// The target is a topic, or the name of an agent that is known. The reply's payload is printed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A topic such as service.words, or an agent
    #[arg(value_name = "TOPIC|AGENT")]
    target: Topic,
    #[command(flatten)]
    message: MessageArgs,
    /// How long to wait for the reply; what a queue still holds of the request then expires
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
    /// Print the parts of a reply as they come; --timeout is how long one part may take
    #[arg(long)]
    stream: bool,
    /// Not taken: a request waits for its reply
    #[arg(long, value_name = "TOPIC", hide = true)]
    replyto: Option<Topic>,
}

const EXAMPLES: &str = "\
Examples:
  skep request service.words \"how many words has this?\"
  skep request bob --as alice --timeout 5m \"are you done?\"
  skep request service.sum --data-json '[1,2,3]'
  skep request service.write \"a poem\" --stream

Somebody who waits for it answers with `skep reply`; `skep subscribe service.words` shows how.";

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
        if let Some(elsewhere) = &self.replyto {
            return Err(self.not_elsewhere(context, elsewhere).into());
        }
        context.attached(async |client| {
            let agent = known_agent(client, &self.target).await?;
            let topic = agent.as_ref().map_or_else(|| self.target.clone(), Topic::inbox);
            let message = self.message.begin(client, Kind::REQUEST)?.to(&topic);
            if self.stream {
                return self.print_parts(context, client, message, &topic).await;
            }
            let id = message.clone().finish()?.id().to_owned();
            let asked = client.request(message, Some(self.timeout));
            let reply = advised(context, client, Named::Topic(&topic), asked).await;
            let reply = reply.map_err(|error| self.explain(context, error, &topic, &id))?;
            if context.output().is_json() {
                return Ok(context.output().value(&reply)?);
            }
            Ok(context.output().payload(&reply.payload())?)
        })
    }

    /// Prints the parts of the reply: text as it is, JSON line by line.
    async fn print_parts(
        &self,
        context: &Context,
        client: &Client,
        message: MessageBuilder,
        topic: &Topic,
    ) -> anyhow::Result<()> {
        let (output, mut line_is_open) = (context.output(), false);
        let id = message.clone().finish()?.id().to_owned();
        let mut chunks = client.request_stream(message, Some(self.timeout)).await?;
        let ended = loop {
            let next = async { chunks.next().await.transpose().map_err(told) };
            let part = match advised(context, client, Named::Topic(topic), next).await {
                Ok(Some(part)) => part,
                Ok(None) => break Ok(()),
                Err(error) if chunks.taken() == 0 => break Err(self.explain(context, error, topic, &id)),
                Err(error) => break Err(self.if_lost(context, error, &id)),
            };
            let payload = part.payload();
            if output.is_json() {
                output.value(&part)?;
            } else if content_is_json(part.view().content_type()) {
                output.payload(&payload)?;
            } else if !payload.is_empty() {
                line_is_open = output.piece(&payload)?;
            }
        };
        if line_is_open {
            output.line("")?;
        }
        Ok(ended?)
    }

    /// The reply comes where this command waits for it, and nowhere else.
    fn not_elsewhere(&self, context: &Context, elsewhere: &Topic) -> Usage {
        let target = word(self.target.as_str());
        let words = format!("publish {target} TEXT --type request --replyto {}", word(elsewhere.as_str()));
        let publish = context.command(&words);
        Usage(format!(
            "a request waits for its reply and prints it, so it takes no --replyto; to have the reply go to {elsewhere}, \
             to an agent's inbox as agent.<ID>.inbox, and not wait for it: {publish}"
        ))
    }

    /// Where the connection went, whether the request arrived is not known; where a reply came, it did.
    fn if_lost(&self, context: &Context, error: Error, id: &str) -> Error {
        if error.code == Code::ConnectionLost { self.message.look_for(context, id, error) } else { error }
    }

    /// That nobody answered, in the words of who asked.
    fn explain(&self, context: &Context, error: Error, topic: &Topic, id: &str) -> Error {
        if error.code != Code::Timeout {
            return self.if_lost(context, error, id);
        }
        let within = duration::show(duration::millis(self.timeout));
        let text = match Topic::agent_of(topic.as_str()) {
            Some(agent) => {
                let look = context.command(&format!("inbox {agent}"));
                format!(
                    "no reply from {topic} within {within}. Unless {agent} took it by then, it is given no more: {look}"
                )
            }
            None => format!("no reply from {topic} within {within}"),
        };
        Error { text, ..error }
    }
}

/// Why a stream ended; where the responder says why, in its words.
fn told(error: StreamError) -> Error {
    let says = match &error {
        StreamError::Failed { reply, .. } => format!(": {}", one_line(&reply.payload())),
        _ => String::new(),
    };
    let error = Error::from(error);
    Error { text: error.text + &says, ..error }
}

/// The agent of that name, if there is one.
async fn known_agent(client: &Client, target: &Topic) -> Result<Option<AgentId>, Error> {
    let Ok(agent) = AgentId::new(target.as_str()) else { return Ok(None) };
    match client.query(Ask::Queue { queue: QueueName::inbox(&agent) }).await {
        Ok(_) => Ok(Some(agent)),
        Err(error) if error.code == Code::UnknownQueue => Ok(None),
        Err(error) => Err(error),
    }
}
